-- Availability of a country's day, hour by hour.
--
-- Both shares are there: in ticks every store counts the same, weighted by the seconds in which it should have been
-- open. An hour with less than four slots has missed some.

select hour, slots, available, unavailable + unlisted as not_available, unknown,
    round(availability, 4) as availability, round(availability_weighted, 4) as weighted
from availability_hourly
where country = 'es' and day = '2026-03-24'
order by hour
