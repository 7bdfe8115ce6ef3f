-- How old the schedules were by which a slot was judged.
--
-- Counts from the instant at which they were read to the start of the slot, so it is negative in a slot whose own tick
-- has read them, which is as it should be. It grows while PostgreSQL is down and the last snapshot is used, and also
-- where the country file has a `version` query that says that nothing has changed. See expected_slots for missed slots.
--
-- country         varchar       ISO 3166-1 alpha-2, lower case; filter by it
-- day             varchar       day of the slot in UTC; filter by it
-- slot            timestamp(3)  start of the 15 minutes, UTC
-- outcome         varchar       complete, partial or failed
-- schedule_as_of  timestamp(3)  instant at which the schedules were read, UTC; null: none were
-- stale_seconds   bigint        slot - schedule_as_of in seconds; null: no schedules were read

select
    country,
    day,
    slot,
    outcome,
    schedule_as_of,
    date_diff('second', schedule_as_of, slot) as stale_seconds
from country_ticks
