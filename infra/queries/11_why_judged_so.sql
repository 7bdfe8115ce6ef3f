-- Why was this store judged so?
--
-- Its statuses of a day by the hours that it had then. Here somebody closed the store for the day while it was open: the
-- exception is in the readings from 19:30 on, by which it is `unexpected` until the live view follows, an hour later. Of a
-- day that is not compacted the schedule is null: it comes the day after.

select status, count(*) as slots, min(slot) as first_slot, max(slot) as last_slot, exceptions, problem, timezone, weekly
from judged_by
where country = 'es' and day = '2026-03-27' and store_id = '110'
group by status, exceptions, problem, timezone, weekly
order by first_slot, status
