-- Each row of store_availability beside the schedule that it was judged by: why a store was open or closed in a slot.
--
-- The schedule is that of the reading which the slot's tick used, not that of now: one that was changed later in the day
-- is another row's. A day's schedules are there once the day is compacted, which is the day after; until then, and for
-- orphans, the columns from `weekly` on are null. So is `weekly` of a store without weekly hours: `valid_from` tells
-- them apart. Name a store or a few, for the texts are long.
--
-- country            varchar       ISO 3166-1 alpha-2, lower case; filter by it
-- day                varchar       day of the slot in UTC; filter by it
-- slot               timestamp(3)  start of the 15 minutes, UTC
-- store_id           varchar       the store's key in both sources
-- name               varchar       what the store is called; null: the schedule source has none, or the store is an orphan
-- city               varchar       where it is, as the schedule source writes it; null: the schedule source has none, or the store is an orphan
-- observed_at        timestamp(3)  instant at which the live view was asked, UTC; null: not observed
-- status             varchar       available, unavailable, unlisted, unexpected, closed, orphan or unknown
-- reason             varchar       why offline, as the live view says, or why unknown; null: none given
-- scheduled          boolean       open by its hours at observed_at; null: not observed, bad schedule, or orphan
-- scheduled_seconds  bigint        seconds of the slot inside its hours, 0 to 900; null: could not be told
-- schedule_as_of     timestamp(3)  instant at which the schedules were read, UTC; null: none were
-- timezone           varchar       zone of its hours; the country's default where the schedule source has none, and for orphans
-- weekly             varchar       its hours by weekday on its own clock, `Mon 09:00-14:00; Mon 17:00-24:00`; null: it has none, or its schedule is not there
-- exceptions         varchar       dates near the day that replace their weekday, `2026-12-25 closed`; null: there are none, or its schedule is not there
-- problem            varchar       what is wrong with its rows; null: nothing, or its schedule is not there
-- valid_from         timestamp(3)  the first of the day's readings that had the store so, UTC; null: its schedule is not there
-- valid_until        timestamp(3)  the first reading that no longer had it, UTC; null: none of the day, or its schedule is not there

select
    a.country,
    a.day,
    a.slot,
    a.store_id,
    a.name,
    a.city,
    a.observed_at,
    a.status,
    a.reason,
    a.scheduled,
    cast(a.scheduled_seconds as bigint) as scheduled_seconds,
    a.schedule_as_of,
    a.timezone,
    s.weekly,
    s.exceptions,
    s.problem,
    s.valid_from,
    s.valid_until
from store_availability a
left join store_schedules s
    on s.country = a.country and s.day = a.day and s.store_id = a.store_id
    and s.valid_from <= a.schedule_as_of and (s.valid_until is null or a.schedule_as_of < s.valid_until)
