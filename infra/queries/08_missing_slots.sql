-- The slots of a day that were missed or failed.
--
-- A missing one has no row in any table, which is why this view counts from a calendar; a failed one says why it is.

select slot, outcome, error
from expected_slots
where country = 'mx' and day = '2026-03-25' and outcome in ('missing', 'failed')
order by slot
