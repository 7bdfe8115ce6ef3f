-- Stores that were online out of their hours, a row a store and day.
--
-- Counts slots in which the store was seen online at an instant outside of its hours. A store that opens a minute early
-- can be one of them: look for many ticks. It says nothing of stores whose hours could not be read (`bad_schedule`).
--
-- country     varchar       ISO 3166-1 alpha-2, lower case; filter by it
-- day         varchar       day of the slots in UTC; filter by it
-- store_id    varchar       the store's key in both sources
-- name        varchar       as it was last called in the day; null: the schedule source has none
-- city        varchar       as it was last in the day; null: the schedule source has none
-- timezone    varchar       the zone of its hours
-- ticks       bigint        slots in which it was online out of its hours
-- first_slot  timestamp(3)  the first of them, UTC
-- last_slot   timestamp(3)  the last of them, UTC

select
    country,
    day,
    store_id,
    max_by(name, slot) as name,
    max_by(city, slot) as city,
    max_by(timezone, slot) as timezone,
    count(*) as ticks,
    min(slot) as first_slot,
    max(slot) as last_slot
from store_availability
where status = 'unexpected'
group by country, day, store_id
