-- Availability and coverage of a country, hour by hour of UTC.
--
-- Counts a store once for every slot ("store ticks"), so an hour of a full country is four times its stores. Made of
-- availability_by_city. To go from hours to a day, sum the counts and divide again: a mean of shares weighs a quiet
-- hour like a busy one. What was not seen is between availability_low and availability_high: stores that were unknown,
-- and, once the day is compacted, those of missed slots. An hour whose slots were all missed while stores were scheduled
-- has only `unseen`; which slots are missing is in expected_slots.
--
-- country                varchar       ISO 3166-1 alpha-2, lower case; filter by it
-- day                    varchar       day of the slots in UTC; filter by it
-- hour                   timestamp(3)  start of the hour, UTC
-- slots                  bigint        slots of the hour that have rows, 0 to 4
-- available              bigint        store ticks scheduled and online
-- unavailable            bigint        store ticks scheduled and listed, not online
-- unlisted               bigint        store ticks scheduled and not in the live view
-- unexpected             bigint        store ticks online while not scheduled
-- closed                 bigint        store ticks not scheduled and not online
-- orphan                 bigint        store ticks in the live view of stores that the schedule source does not know
-- unknown                bigint        store ticks that could not be judged
-- availability           double        available / (available + unavailable + unlisted); null: nothing was scheduled
-- availability_weighted  double        the same in scheduled seconds; null: nothing was scheduled
-- coverage               double        1 - unknown / all store ticks but orphans; null: no stores
-- unseen                 bigint        store ticks not seen that may have been scheduled: unknown, or the slot was missed
-- availability_low       double        availability if all unseen had not been available; null: nothing may have been scheduled
-- availability_high      double        availability if all unseen had been available; null: nothing may have been scheduled

with looks as (
    select country, day, slot, slot as seen_slot, stores, available, unavailable, unlisted, unexpected, closed, orphan,
        unknown, scheduled_seconds, available_seconds,
        -- Rows that are older than the column may have had any store scheduled.
        coalesce(unseen, unknown) as unseen
    from availability_by_city
    union all
    select country, day, slot, null, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
    from missed_looks
)
select
    country,
    day,
    date_trunc('hour', slot) as hour,
    count(distinct seen_slot) as slots,
    sum(available) as available,
    sum(unavailable) as unavailable,
    sum(unlisted) as unlisted,
    sum(unexpected) as unexpected,
    sum(closed) as closed,
    sum(orphan) as orphan,
    sum(unknown) as unknown,
    cast(sum(available) as double) / nullif(sum(available + unavailable + unlisted), 0) as availability,
    cast(sum(available_seconds) as double) / nullif(sum(scheduled_seconds), 0) as availability_weighted,
    1 - cast(sum(unknown) as double) / nullif(sum(stores), 0) as coverage,
    sum(unseen) as unseen,
    cast(sum(available) as double) / nullif(sum(available + unavailable + unlisted + unseen), 0) as availability_low,
    cast(sum(available + unseen) as double)
        / nullif(sum(available + unavailable + unlisted + unseen), 0) as availability_high
from looks
group by country, day, date_trunc('hour', slot)
