-- Why stores were offline in a week, the most frequent reason first.
--
-- Reasons of `unavailable` are the live view's own words. Stores are not added up here: one that is off on two days is
-- one store, and only the table itself can count it once.

select status, reason, sum(ticks) as ticks, round(sum(scheduled_minutes) / 60, 1) as scheduled_hours
from reasons_ranked
where country = 'es' and day between '2026-03-23' and '2026-03-29'
group by status, reason
order by ticks desc, status, reason
