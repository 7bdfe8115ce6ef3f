-- Slots that were judged by old schedules.
--
-- Up to a quarter of an hour is the usual state where the tick reads the schedules itself. Longer means that PostgreSQL
-- was away and the last snapshot served; hours that changed meanwhile were judged by what they had been.

select country, slot, outcome, schedule_as_of, stale_seconds / 60 as stale_minutes
from schedule_staleness
where country in ('es', 'mx') and day between '2026-03-23' and '2026-03-29' and stale_seconds > 15 * 60
order by country, slot
