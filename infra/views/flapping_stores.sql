-- Stores that go off and on: those of which an outage of the week began less than an hour after others, with one good look
-- between them.
--
-- Counts the outages that began in the week, told until its end. A flap is a single good look between bad ones in the hour
-- before an outage, two at most for each; a store that is off and on faster than every look is not seen to be so. Few good
-- looks between many outages mean that it is off most of the time. A week is seven days of UTC from Monday on. Filter by
-- `week` and `country`: the engine then reads the seven days only. There once the days are compacted.
--
-- country       varchar       ISO 3166-1 alpha-2, lower case; filter by it
-- week          varchar       the week's Monday, 2026-11-23; filter by it
-- store_id      varchar       the store's key in both sources
-- name          varchar       what the store is called; null: the schedule source has none
-- city          varchar       where it is; null: the schedule source has none
-- region        varchar       region as ISO 3166-2 writes it; null: the schedule source has none
-- chain         varchar       the chain that it belongs to; null: the schedule source has none
-- owner         varchar       the team or account manager who is told; null: the schedule source has none
-- outages       bigint        its outages that began in the week
-- flaps         bigint        good looks that stood alone in the hour before one of them
-- lost_minutes  double        scheduled minutes of their bad looks' slots in the week
-- first_bad     timestamp(3)  first bad look of these outages, UTC
-- last_bad      timestamp(3)  last bad look of these outages in the week, UTC
-- good_looks    bigint        looks in which it was available between the two

with told as (
    -- The last row of the week tells all that the week has of an outage.
    select
        country,
        cast(date_trunc('week', cast(day as date)) as varchar) as week,
        outage_id,
        store_id,
        max_by(name, day) as name,
        max_by(city, day) as city,
        max_by(region, day) as region,
        max_by(chain, day) as chain,
        max_by(owner, day) as owner,
        max(flaps) as flaps,
        max(lost_seconds) as lost_seconds,
        min(began_by) as began_by,
        max(ended_after) as ended_after
    from outages
    group by country, cast(date_trunc('week', cast(day as date)) as varchar), outage_id, store_id
),
stores as (
    select
        country,
        week,
        store_id,
        max_by(name, began_by) as name,
        max_by(city, began_by) as city,
        max_by(region, began_by) as region,
        max_by(chain, began_by) as chain,
        max_by(owner, began_by) as owner,
        count(*) as outages,
        sum(flaps) as flaps,
        sum(lost_seconds) / 60e0 as lost_minutes,
        min(began_by) as first_bad,
        max(ended_after) as last_bad
    from told
    where began_by >= cast(cast(week as date) as timestamp(3))
    group by country, week, store_id
    having sum(flaps) > 0
),
good as (
    select country, cast(date_trunc('week', cast(day as date)) as varchar) as week, store_id, observed_at
    from store_availability
    where status = 'available'
),
between_outages as (
    select stores.country, stores.week, stores.store_id, count(*) as good_looks
    from good
    join stores on stores.country = good.country and stores.week = good.week and stores.store_id = good.store_id
        and good.observed_at between stores.first_bad and stores.last_bad
    group by stores.country, stores.week, stores.store_id
)
select
    stores.country,
    stores.week,
    stores.store_id,
    name,
    city,
    region,
    chain,
    owner,
    outages,
    flaps,
    lost_minutes,
    first_bad,
    last_bad,
    coalesce(good_looks, 0) as good_looks
from stores
left join between_outages on between_outages.country = stores.country and between_outages.week = stores.week
    and between_outages.store_id = stores.store_id
