-- The chains of a country week by week, ranked by the time that they lost and by their availability.
--
-- A large chain loses more time, a small one moves more: `lost_minutes_per_store_day` and `availability` compare them,
-- and `is_small` marks chains of fewer than ten stores, of which one bad store can make the week. Stores without a chain
-- are not in it, nor chains of which no store was scheduled and seen. Looks and time are counted where the store was, if it
-- changed its chain; an outage in the week in which it began. What was not seen is between availability_low and
-- availability_high, missed slots once their day is compacted. A week is seven days of UTC from Monday on. Filter by
-- `week` and `country`: the engine then reads the seven days only.
--
-- country                     varchar  ISO 3166-1 alpha-2, lower case; filter by it
-- week                        varchar  the week's Monday, 2026-11-23; filter by it
-- chain                       varchar  the chain
-- place_by_lost_time          bigint   1 lost the most minutes of the country's week; equal minutes share a place
-- place_by_availability       bigint   1 has the lowest availability of the country's week; equal shares share a place
-- stores                      bigint   stores that were scheduled and seen
-- is_small                    boolean  fewer than ten of them
-- store_days                  bigint   days on which they were so, summed over the stores
-- outages                     bigint   outages that began in the week; those of days that are compacted
-- lost_minutes                double   scheduled minutes of the slots in which stores were unavailable or unlisted
-- lost_minutes_per_store_day  double   lost_minutes / store_days
-- available                   bigint   store ticks scheduled and online
-- not_available               bigint   store ticks unavailable or unlisted
-- unseen                      bigint   store ticks not seen that may have been scheduled: unknown, or the slot was missed
-- availability                double   available / (available + not_available)
-- availability_low            double   available / (available + not_available + unseen)
-- availability_high           double   (available + unseen) / (available + not_available + unseen)

with looks as (
    select country, cast(date_trunc('week', cast(day as date)) as varchar) as week, chain, store_id, day, status,
        scheduled_seconds
    from store_availability
    where status in ('available', 'unavailable', 'unlisted')
        or (status = 'unknown' and (scheduled_seconds is null or scheduled_seconds > 0))
    union all
    select country, cast(date_trunc('week', cast(day as date)) as varchar), chain, store_id, day, 'missed',
        scheduled_seconds
    from missed_looks
),
stores as (
    select
        country,
        week,
        chain,
        store_id,
        count(distinct if(status not in ('unknown', 'missed'), day)) as days,
        count_if(status = 'available') as available,
        count_if(status in ('unavailable', 'unlisted')) as not_available,
        count_if(status in ('unknown', 'missed')) as unseen,
        coalesce(sum(scheduled_seconds) filter (where status in ('unavailable', 'unlisted')), 0) as lost_seconds
    from looks
    where chain is not null
    group by country, week, chain, store_id
),
chains as (
    select
        country,
        week,
        chain,
        count_if(days > 0) as stores,
        sum(days) as store_days,
        sum(available) as available,
        sum(not_available) as not_available,
        sum(unseen) as unseen,
        sum(lost_seconds) / 60e0 as lost_minutes,
        cast(sum(available) as double) / nullif(sum(available + not_available), 0) as availability
    from stores
    group by country, week, chain
),
begun as (
    select country, cast(date_trunc('week', cast(day as date)) as varchar) as week, chain, count(*) as outages
    from outages
    -- The first of an outage's rows.
    where day = cast(cast(began_by as date) as varchar)
    group by country, cast(date_trunc('week', cast(day as date)) as varchar), chain
)
select
    chains.country,
    chains.week,
    chains.chain,
    rank() over (partition by chains.country, chains.week order by lost_minutes desc) as place_by_lost_time,
    rank() over (partition by chains.country, chains.week order by availability) as place_by_availability,
    stores,
    stores < 10 as is_small,
    store_days,
    coalesce(outages, 0) as outages,
    lost_minutes,
    lost_minutes / store_days as lost_minutes_per_store_day,
    available,
    not_available,
    unseen,
    availability,
    cast(available as double) / (available + not_available + unseen) as availability_low,
    cast(available + unseen as double) / (available + not_available + unseen) as availability_high
from chains
left join begun on begun.country = chains.country and begun.week = chains.week and begun.chain = chains.chain
where stores > 0
