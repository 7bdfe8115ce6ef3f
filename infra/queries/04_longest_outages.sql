-- The longest outages of a day, each with its begin and its end.
--
-- Slots in a row of one store in which it was scheduled and not available are one outage. A missed or unknown slot ends
-- it, as does a closing hour: what was not seen is not claimed.

with numbered as (
    select store_id, name, slot, status, reason,
        -- The same for all slots in a row, another after every gap.
        date_add('minute', -15 * row_number() over (partition by store_id order by slot), slot) as run
    from store_availability
    where country = 'es' and day = '2026-03-24' and status in ('unavailable', 'unlisted')
)
select store_id, name, min(slot) as first_slot, max(slot) + interval '15' minute as over_at,
    count(*) * 15 as minutes, min_by(coalesce(reason, status), slot) as first_reason
from numbered
group by store_id, name, run
order by minutes desc, first_slot, store_id
limit 5
