-- How long outages last, by week, region, chain and kind: counts and sums that can be summed again, and mean and median.
--
-- Counts an outage in the week in which it ended. One that is open when a week ends is counted apart, in every such week
-- in which it had bad looks, and is in no time: a mean over those that have ended is too short while long ones last. Times
-- are open time, and lie between two bounds; `mean_minutes` and `median_minutes` take the middle, which is off by less
-- than a look's distance where no look was missed. To go from these groups to larger ones, sum the counts and the minutes
-- and divide again; the median cannot be summed, so take it from outages_of. A week is seven days of UTC from Monday on.
-- Filter by `week` and `country`: the engine then reads the seven days only. There once the days are compacted.
--
-- country           varchar  ISO 3166-1 alpha-2, lower case; filter by it
-- week              varchar  the week's Monday, 2026-11-23; filter by it
-- region            varchar  region as ISO 3166-2 writes it; null: the schedule source has none
-- chain             varchar  the chain; null: the schedule source has none
-- kind              varchar  late_opening, early_closing, whole_shift or mid_shift; null: the hours are not known
-- ended             bigint   outages that ended
-- measured          bigint   those of which both bounds are known; all that follows but `still_open` is over them
-- minutes_at_least  double   sum of their shortest possible minutes; null: none is measured
-- minutes_at_most   double   sum of their longest possible minutes; null: none is measured
-- mean_at_least     double   minutes_at_least / measured; null: none is measured
-- mean_at_most      double   minutes_at_most / measured; null: none is measured
-- mean_minutes      double   mean of the middle between both; null: none is measured
-- median_minutes    double   the middle that half of them do not exceed, by nearest rank; null: none is measured
-- still_open        bigint   outages that were open when the week ended; not to be summed over weeks

with told as (
    select
        *,
        (seconds_at_least + seconds_at_most) / 120e0 as minutes,
        cast(date_trunc('week', cast(day as date)) as varchar) as week
    from outages
),
last_rows as (
    -- What the week has of an outage is in its last row there.
    select *, row_number() over (partition by country, week, outage_id order by day desc) as number
    from told
),
shares as (
    -- Outages without a middle are ranked apart, so that they do not move the median.
    select
        *,
        cume_dist() over (
            partition by country, week, region, chain, kind, minutes is null order by minutes
        ) as share
    from last_rows
    where number = 1
)
select
    country,
    week,
    region,
    chain,
    kind,
    count_if(not is_open) as ended,
    count(minutes) as measured,
    sum(seconds_at_least) filter (where minutes is not null) / 60e0 as minutes_at_least,
    sum(seconds_at_most) filter (where minutes is not null) / 60e0 as minutes_at_most,
    avg(seconds_at_least) filter (where minutes is not null) / 60e0 as mean_at_least,
    avg(seconds_at_most) filter (where minutes is not null) / 60e0 as mean_at_most,
    avg(minutes) as mean_minutes,
    min(minutes) filter (where share >= 0.50e0) as median_minutes,
    count_if(is_open) as still_open
from shares
group by country, week, region, chain, kind
