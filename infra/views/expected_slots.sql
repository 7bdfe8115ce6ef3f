-- Every slot that a country should have had, from its first one in the lake until now, and what became of it: here a
-- missed slot has a row too.
--
-- Counts from a calendar and not from what was written, so that silence shows. A slot is expected once it has ended; the
-- one that it is now is not in it. A country that was taken off stays in the calendar, and reads as missing from then
-- on. Of a slot that is `missing` or `failed` there are no rows of stores; one that was run too late is `partial`.
--
-- country   varchar       ISO 3166-1 alpha-2, lower case; filter by it
-- day       varchar       day of the slot in UTC; filter by it
-- slot      timestamp(3)  start of the 15 minutes, UTC
-- outcome   varchar       complete, partial, failed or missing
-- stores    bigint        stores of the schedule source; null: missing or failed
-- coverage  double        share of these that could be judged; null: missing, failed or without stores
-- error     varchar       what went wrong; null: nothing did, or the slot is missing

with first_days as (
    -- Of the catalog alone: no file is read for it.
    select country, min(day) as first_day
    from "country_ticks$partitions"
    group by country
),
calendar as (
    select
        country,
        first_day,
        cast(days.date as varchar) as day,
        cast(days.date as timestamp(3)) + quarters.quarter * interval '15' minute as slot
    from first_days
    -- Days times quarters, since a sequence has at most 10,000 members, which are 104 days of slots.
    cross join unnest(
        sequence(cast(first_day as date), cast(current_timestamp at time zone 'UTC' as date))
    ) as days (date)
    cross join unnest(sequence(0, 95)) as quarters (quarter)
),
found as (
    select
        calendar.country,
        calendar.first_day,
        calendar.day,
        calendar.slot,
        ticks.outcome,
        ticks.stores,
        ticks.coverage,
        ticks.error,
        min(ticks.slot) over (partition by calendar.country, calendar.day) as first_of_day
    from calendar
    left join country_ticks as ticks
        on ticks.country = calendar.country and ticks.day = calendar.day and ticks.slot = calendar.slot
)
select
    country,
    day,
    slot,
    coalesce(outcome, 'missing') as outcome,
    stores,
    coverage,
    error
from found
where
    (day > first_day or slot >= first_of_day)
    and slot + interval '15' minute <= cast(current_timestamp at time zone 'UTC' as timestamp(3))
