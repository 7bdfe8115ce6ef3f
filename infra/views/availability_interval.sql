-- How sure an availability is: of a country, its regions and its chains, in a day, week, month or quarter, with two
-- intervals of 95 % each. docs/accuracy.md derives them, and shows how often they hold where the truth is known.
--
-- Counts store ticks, whatever part of the slot is scheduled. `period_low` to `period_high` is what the availability of
-- just these stores was in just this period, between the looks too. `low` to `high` is the availability of stores like
-- these in periods like this one, and the one to compare with: is this chain better than that one, this week worse than
-- the last? There a store counts once, however often it was looked at, because its looks resemble each other, so a few
-- stores say little. Neither knows of stores that were not seen (`unknown`, missed slots), of failures that hit all
-- stores at once, or of looks that always fall on the minute of opening. Name one `period` and its `since`: the engine
-- then reads its days once, and otherwise all days four times.
--
-- country       varchar  ISO 3166-1 alpha-2, lower case; filter by it
-- period        varchar  day, week, month or quarter, all in UTC; filter by it
-- since         varchar  first day of the period, 2026-11-23, a Monday for weeks; filter by it
-- scope         varchar  what the row is of: country, region or chain
-- region        varchar  as it was last in the period; null: the stores without one, or a row of another scope
-- chain         varchar  as it was last in the period; null: the stores without one, or a row of another scope
-- stores        bigint   stores that were scheduled and seen at least once
-- looks         bigint   looks at them while they were scheduled
-- bad_looks     bigint   looks that found them unavailable or unlisted
-- bad_runs      bigint   runs of such looks in slot after slot; an outage that lasts over night is several
-- availability  double   1 - bad_looks / looks
-- low           double   lower end for stores like these; null: there is one store only
-- high          double   upper end for stores like these; null: there is one store only
-- period_low    double   lower end for these stores in this period
-- period_high   double   upper end for these stores in this period

with rated as (
    select country, 'day' as period, day as since, store_id, region, chain, slot, status
    from store_availability
    where status in ('available', 'unavailable', 'unlisted')
    union all
    select
        country, 'week', cast(date_trunc('week', cast(day as date)) as varchar), store_id, region, chain, slot, status
    from store_availability
    where status in ('available', 'unavailable', 'unlisted')
    union all
    select
        country, 'month', cast(date_trunc('month', cast(day as date)) as varchar), store_id, region, chain, slot, status
    from store_availability
    where status in ('available', 'unavailable', 'unlisted')
    union all
    select
        country, 'quarter', cast(date_trunc('quarter', cast(day as date)) as varchar), store_id, region, chain,
        slot, status
    from store_availability
    where status in ('available', 'unavailable', 'unlisted')
),
stores as (
    select
        country,
        period,
        since,
        max_by(region, slot) as region,
        max_by(chain, slot) as chain,
        cast(count(*) as double) as looks,
        cast(count_if(status <> 'available') as double) as bad,
        array_agg(slot) filter (where status <> 'available') as slots
    from rated
    group by country, period, since, store_id
),
runs as (
    -- A run begins with a bad look without another one slot before it. It is single if there is none after it either.
    select
        *,
        coalesce(cardinality(array_except(slots, transform(slots, slot -> slot + interval '15' minute))), 0) as runs,
        coalesce(cardinality(array_except(slots, concat(
            transform(slots, slot -> slot + interval '15' minute),
            transform(slots, slot -> slot - interval '15' minute)
        ))), 0) as singles
    from stores
),
sums as (
    select
        country,
        period,
        since,
        case grouping(region, chain) when 3 then 'country' when 1 then 'region' else 'chain' end as scope,
        region,
        chain,
        count(*) as stores,
        sum(looks) as looks,
        sum(bad) as bad,
        sum(looks * looks) as looks_looks,
        sum(looks * bad) as looks_bad,
        sum(bad * bad) as bad_bad,
        sum(runs) as runs,
        cast(sum(singles) as double) as singles
    from runs
    group by grouping sets (
        (country, period, since),
        (country, period, since, region),
        (country, period, since, chain)
    )
),
spread as (
    -- The variance of the share, from how far each store is from it; at least that of independent looks. The degrees of
    -- freedom are as many as there are stores that are bad, if all bad ones were alike.
    select
        *,
        bad / looks as share,
        greatest(
            (bad_bad - 2 * bad / looks * looks_bad + bad / looks * bad / looks * looks_looks)
            * stores / nullif(stores - 1e0, 0) / (looks * looks),
            bad / looks * (1 - bad / looks) / looks
        ) as variance,
        least(stores - 1e0, bad * bad / nullif(bad_bad, 0)) as freedom,
        -- What one store more would show, these may not: the rule of three.
        1 - power(0.05e0, 1e0 / stores) as unshown,
        -- How far the bad looks may be from the slots that were lost. The variance of a run is 1/4 at most; outages
        -- shorter than a slot are hit by chance, so that their number has Poisson's limits, here in Byar's formula.
        1.96e0 * 1.96e0 * (runs - singles) / 4 as ends,
        (singles + 1) * power(1 - 1 / (9 * (singles + 1)) + 1.96e0 / (3 * sqrt(singles + 1)), 3) - singles as more,
        singles - if(singles = 0, 0, singles * power(1 - 1 / (9 * singles) - 1.96e0 / (3 * sqrt(singles)), 3)) as fewer
    from sums
),
margins as (
    select
        *,
        share / (1 - share) as odds,
        -- Student's quantile for that many degrees of freedom, times the spread of the log odds.
        exp(
            sqrt(freedom * (exp(power(1.96e0 * (8 * freedom + 3) / (8 * freedom + 1), 2) / freedom) - 1))
            * sqrt(variance) / (share * (1 - share))
        ) as factor
    from spread
)
select
    country,
    period,
    since,
    scope,
    region,
    chain,
    stores,
    cast(looks as bigint) as looks,
    cast(bad as bigint) as bad_looks,
    runs as bad_runs,
    1 - share as availability,
    case
        when stores = 1 then null
        when share = 0 then 1 - unshown
        when share = 1 then 0
        else least(1 / (1 + odds * factor), 1 - unshown)
    end as low,
    case
        when stores = 1 then null
        when share = 0 then 1
        when share = 1 then unshown
        else greatest(1 / (1 + odds / factor), unshown)
    end as high,
    greatest(1 - share - sqrt(ends + more * more) / looks, 0) as period_low,
    least(1 - share + sqrt(ends + fewer * fewer) / looks, 1) as period_high
from margins
