-- Stores that only one of the two sources knows, a row a store and day: orphans are in the live view and not in the
-- schedules, unlisted ones are scheduled and not in the live view.
--
-- Counts slots. A store is `unlisted` only while it is scheduled: one that is missing from the live view all day has no
-- ticks here outside of its hours, where it is `closed`. Orphans have no name, no city and no hours.
--
-- country     varchar       ISO 3166-1 alpha-2, lower case; filter by it
-- day         varchar       day of the slots in UTC; filter by it
-- status      varchar       orphan or unlisted
-- store_id    varchar       the store's key in the source that knows it
-- name        varchar       as it was last called in the day; null: an orphan, or the schedule source has none
-- city        varchar       as it was last in the day; null: an orphan, or the schedule source has none
-- ticks       bigint        slots in which it had that status
-- first_slot  timestamp(3)  the first of them, UTC
-- last_slot   timestamp(3)  the last of them, UTC

select
    country,
    day,
    status,
    store_id,
    max_by(name, slot) as name,
    max_by(city, slot) as city,
    count(*) as ticks,
    min(slot) as first_slot,
    max(slot) as last_slot
from store_availability
where status in ('orphan', 'unlisted')
group by country, day, status, store_id
