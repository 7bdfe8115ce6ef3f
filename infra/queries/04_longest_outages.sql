-- The longest outages that ended on a day, each with its bounds.
--
-- An outage began between two looks and ended between two looks: the minutes at least and at most are of open time between
-- the inner and the outer pair. One that lasted for days is told once, on the day on which it ended.

select store_id, name, chain, began_by, ended_by, lost_minutes, round(minutes_at_least, 1) as at_least,
    round(minutes_at_most, 1) as at_most, kind, first_reason
from outages_of
where country = 'es' and day = '2026-03-24' and not is_open
order by lost_minutes desc, began_by, store_id
limit 5
