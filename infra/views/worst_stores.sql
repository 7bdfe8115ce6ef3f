-- The stores of a country by the minutes of a week in which they were not available though scheduled, the worst first,
-- and what is usual there: half of the stores have at most p50, 95 of 100 at most p95.
--
-- Counts the scheduled seconds of the slots in which a store was seen unavailable or unlisted: a store that is off for
-- five minutes between two looks is not seen, one that is off at the look counts for its whole slot. Stores that were
-- never scheduled and seen in the week are not in it; the percentiles are over those that are, by nearest rank. What was
-- not seen is between availability_low and availability_high, missed slots once their day is compacted.
-- A week is seven days of UTC from Monday on. Filter by `week` and `country`: the engine then reads the seven days only.
--
-- country                varchar  ISO 3166-1 alpha-2, lower case; filter by it
-- week                   varchar  the week's Monday, 2026-11-23; filter by it
-- place                  bigint   1 is the worst of the country's week; equal minutes share a place
-- store_id               varchar  the store's key in both sources
-- name                   varchar  as it was last called in the week; null: the schedule source has none
-- city                   varchar  as it was last in the week; null: the schedule source has none
-- scheduled_minutes      double   minutes inside its hours of the slots in which it was seen
-- unavailable_minutes    double   the same of the slots in which it was unavailable or unlisted
-- availability           double   available / (available + unavailable + unlisted), in ticks
-- availability_weighted  double   the same in scheduled seconds; null: no slot had any
-- p50_minutes            double   unavailable minutes that half of the country's stores do not exceed
-- p95_minutes            double   unavailable minutes that 95 of 100 of the country's stores do not exceed
-- unseen                 bigint   slots not seen in which it may have been scheduled: it was unknown, or the slot was missed
-- availability_low       double   availability if it had been available in none of these
-- availability_high      double   availability if it had been available in all of these

with looks as (
    select country, day, store_id, slot, name, city, status, scheduled_seconds
    from store_availability
    where status in ('available', 'unavailable', 'unlisted')
        or (status = 'unknown' and (scheduled_seconds is null or scheduled_seconds > 0))
    union all
    select country, day, store_id, slot, name, city, 'missed', scheduled_seconds
    from missed_looks
),
weeks as (
    select
        *,
        cast(date_trunc('week', cast(day as date)) as varchar) as week,
        status in ('available', 'unavailable', 'unlisted') as is_seen
    from looks
),
stores as (
    select
        country,
        week,
        store_id,
        max_by(name, slot) filter (where is_seen) as name,
        max_by(city, slot) filter (where is_seen) as city,
        count_if(is_seen) as ticks,
        count_if(not is_seen) as unseen,
        count_if(status = 'available') as available,
        sum(scheduled_seconds) filter (where is_seen) as scheduled_seconds,
        coalesce(sum(scheduled_seconds) filter (where status in ('unavailable', 'unlisted')), 0) as unavailable_seconds
    from weeks
    group by country, week, store_id
    having count_if(is_seen) > 0
),
shares as (
    select
        *,
        cume_dist() over (partition by country, week order by unavailable_seconds) as share
    from stores
)
select
    country,
    week,
    rank() over (partition by country, week order by unavailable_seconds desc) as place,
    store_id,
    name,
    city,
    scheduled_seconds / 60e0 as scheduled_minutes,
    unavailable_seconds / 60e0 as unavailable_minutes,
    cast(available as double) / ticks as availability,
    cast(scheduled_seconds - unavailable_seconds as double) / nullif(scheduled_seconds, 0) as availability_weighted,
    min(if(share >= 0.50e0, unavailable_seconds)) over (partition by country, week) / 60e0 as p50_minutes,
    min(if(share >= 0.95e0, unavailable_seconds)) over (partition by country, week) / 60e0 as p95_minutes,
    unseen,
    cast(available as double) / (ticks + unseen) as availability_low,
    cast(available + unseen as double) / (ticks + unseen) as availability_high
from shares
