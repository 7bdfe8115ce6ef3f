-- Stores that only one of the two sources knows.
--
-- An orphan is shown to users and has no schedule; one that is unlisted should be open and cannot be found. Both are
-- mistakes in the data of one source, and stay until somebody mends it: look at who is there day after day.

select status, store_id, name, count(distinct day) as days, sum(ticks) as ticks, min(first_slot) as first_slot
from orphans_and_unlisted
where country = 'mx' and day between '2026-03-23' and '2026-03-29'
group by status, store_id, name
order by ticks desc, store_id
limit 5
