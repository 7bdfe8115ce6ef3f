-- Availability and coverage of a city by part of its own day: night 0 to 5, morning 6 to 11, afternoon 12 to 17,
-- evening 18 to 23 o'clock.
--
-- Counts store ticks, as availability_hourly does. The clock is that of the city's first store: where two cities of one
-- name lie in two zones, they are one row here. A local day reaches over two days of UTC, so a part of the day may
-- have two rows, one a day; sum them, and filter by one more day at either end. What was not seen is between
-- availability_low and availability_high, as there; a missed look has the clock of its own store.
--
-- country                varchar  ISO 3166-1 alpha-2, lower case; filter by it
-- day                    varchar  day of the slots in UTC; filter by it
-- city                   varchar  as the schedule source writes it; null: stores without a city, orphans
-- local_date             date     date on the city's clock; null: no store of it has a zone
-- daypart                varchar  night, morning, afternoon or evening; null: no store of it has a zone
-- slots                  bigint   slots that have rows; 0 if all were missed
-- available              bigint   store ticks scheduled and online
-- unavailable            bigint   store ticks scheduled and listed, not online
-- unlisted               bigint   store ticks scheduled and not in the live view
-- unknown                bigint   store ticks that could not be judged
-- availability           double   available / (available + unavailable + unlisted); null: nothing was scheduled
-- availability_weighted  double   the same in scheduled seconds; null: nothing was scheduled
-- coverage               double   1 - unknown / all store ticks but orphans; null: no stores
-- unseen                 bigint   store ticks not seen that may have been scheduled: unknown, or the slot was missed
-- availability_low       double   availability if all unseen had not been available; null: nothing may have been scheduled
-- availability_high      double   availability if all unseen had been available; null: nothing may have been scheduled

with looks as (
    select country, day, city, local_date, local_hour, slot, stores, available, unavailable, unlisted, unknown,
        scheduled_seconds, available_seconds,
        -- Rows that are older than the column may have had any store scheduled.
        coalesce(unseen, unknown) as unseen
    from availability_by_city
    union all
    select country, day, city, local_date, local_hour, null, 0, 0, 0, 0, 0, 0, 0, 1
    from missed_looks
),
parts as (
    select
        *,
        case
            when local_hour < 6 then 'night'
            when local_hour < 12 then 'morning'
            when local_hour < 18 then 'afternoon'
            when local_hour < 24 then 'evening'
        end as daypart
    from looks
)
select
    country,
    day,
    city,
    local_date,
    daypart,
    count(distinct slot) as slots,
    sum(available) as available,
    sum(unavailable) as unavailable,
    sum(unlisted) as unlisted,
    sum(unknown) as unknown,
    cast(sum(available) as double) / nullif(sum(available + unavailable + unlisted), 0) as availability,
    cast(sum(available_seconds) as double) / nullif(sum(scheduled_seconds), 0) as availability_weighted,
    1 - cast(sum(unknown) as double) / nullif(sum(stores), 0) as coverage,
    sum(unseen) as unseen,
    cast(sum(available) as double) / nullif(sum(available + unavailable + unlisted + unseen), 0) as availability_low,
    cast(sum(available + unseen) as double)
        / nullif(sum(available + unavailable + unlisted + unseen), 0) as availability_high
from parts
group by country, day, city, local_date, daypart
