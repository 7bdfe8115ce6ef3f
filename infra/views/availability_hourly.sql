-- Availability and coverage of a country, hour by hour of UTC.
--
-- Counts a store once for every slot ("store ticks"), so an hour of a full country is four times its stores. Made of
-- availability_by_city. To go from hours to a day, sum the counts and divide again: a mean of shares weighs a quiet
-- hour like a busy one. A slot that was missed is not in it at all: see expected_slots.
--
-- country                varchar       ISO 3166-1 alpha-2, lower case; filter by it
-- day                    varchar       day of the slots in UTC; filter by it
-- hour                   timestamp(3)  start of the hour, UTC
-- slots                  bigint        slots of the hour that have rows, 1 to 4
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

select
    country,
    day,
    date_trunc('hour', slot) as hour,
    count(distinct slot) as slots,
    sum(available) as available,
    sum(unavailable) as unavailable,
    sum(unlisted) as unlisted,
    sum(unexpected) as unexpected,
    sum(closed) as closed,
    sum(orphan) as orphan,
    sum(unknown) as unknown,
    cast(sum(available) as double) / nullif(sum(available + unavailable + unlisted), 0) as availability,
    cast(sum(available_seconds) as double) / nullif(sum(scheduled_seconds), 0) as availability_weighted,
    1 - cast(sum(unknown) as double) / nullif(sum(stores), 0) as coverage
from availability_by_city
group by country, day, date_trunc('hour', slot)
