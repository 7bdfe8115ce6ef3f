-- Each outage once, as it is told in its last row of the table outages: when it began and ended, for how long and why.
--
-- `day` is the day of that row: on which it ended, or of its last bad look while it is open. For the outages that touch a
-- period, ask for those that had not ended before it and began before its end: `day >= '2026-03-24' and began_by <
-- timestamp '2026-03-26 00:00:00'`. Of an outage that has ended only its day is read; of one that is open, the
-- `outage_id` of the days after it too, for a row that tells more: add `not is_open` if you want none. Each end is known
-- within two bounds, a look apart or more where looks were missed; closed time is in none of the durations. There once
-- the day is compacted, which is the day after.
--
-- country           varchar       ISO 3166-1 alpha-2, lower case; filter by it
-- day               varchar       day of the outage's last row in UTC; filter by it
-- outage_id         varchar       store_id, a slash and the slot of the first bad look
-- store_id          varchar       the store's key in both sources
-- name              varchar       what the store is called; null: the schedule source has none
-- city              varchar       where it is; null: the schedule source has none
-- timezone          varchar       zone of its hours; the country's default where the schedule source has none
-- region            varchar       region as ISO 3166-2 writes it, ES-MD; null: the schedule source has none
-- chain             varchar       the chain that it belongs to; null: the schedule source has none
-- segment           varchar       the segment that it belongs to; null: the schedule source has none
-- owner             varchar       the team or account manager who is told; null: the schedule source has none
-- began_after       timestamp(3)  last good look before it, or when the hours opened, whichever is later, UTC; null: neither is known
-- began_by          timestamp(3)  first bad look, UTC
-- ended_after       timestamp(3)  last bad look, UTC
-- ended_by          timestamp(3)  first good look after it, UTC; null: it is open
-- is_open           boolean       no good look has ended it
-- bad_looks         bigint        looks in which the store was unavailable or unlisted
-- unlisted_looks    bigint        those in which it was unlisted
-- unseen_looks      bigint        slots between the first and the last bad look that were missed or unknown
-- lost_seconds      bigint        scheduled seconds of the bad looks' slots
-- seconds_at_least  bigint        open time from began_by to ended_after; null: the hours are not known
-- seconds_at_most   bigint        open time from began_after to ended_by; null: it is open, or a bound or the hours are not known
-- kind              varchar       late_opening, early_closing, whole_shift or mid_shift; null: the hours are not known
-- first_reason      varchar       the first reason that the live view gave; null: none was given
-- reasons           varchar       reasons and their looks as a JSON object, the most frequent first; null: none was given
-- flaps             bigint        how often in the hour before it the store was good for one look only, between bad ones
-- lost_minutes      double        lost_seconds in minutes
-- minutes_at_least  double        seconds_at_least in minutes; null: it is null
-- minutes_at_most   double        seconds_at_most in minutes; null: it is null
-- minutes           double        the middle between the two; null: one of them is

with last_rows as (
    select * from outages where not is_open
    union all
    select o.*
    -- In this order the engine can tell the scan of `later` which days and outages are asked for.
    from outages later
    right join outages o on later.country = o.country and later.outage_id = o.outage_id and later.day > o.day
    where o.is_open and later.day is null
)
select
    country,
    day,
    outage_id,
    store_id,
    name,
    city,
    timezone,
    region,
    chain,
    segment,
    owner,
    began_after,
    began_by,
    ended_after,
    ended_by,
    is_open,
    bad_looks,
    unlisted_looks,
    unseen_looks,
    lost_seconds,
    seconds_at_least,
    seconds_at_most,
    kind,
    first_reason,
    reasons,
    flaps,
    lost_seconds / 60e0 as lost_minutes,
    seconds_at_least / 60e0 as minutes_at_least,
    seconds_at_most / 60e0 as minutes_at_most,
    (seconds_at_least + seconds_at_most) / 120e0 as minutes
from last_rows
