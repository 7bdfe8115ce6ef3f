-- The stores that are down now: in an outage, and unavailable or unlisted at the country's newest slot, the longest first.
--
-- The newest slot is the last one that has rows of stores, whatever its age: look at `age_minutes`, since after a failed
-- tick "now" is the one before. Stores of an outage that are closed or unknown at that slot are not in it; the table
-- current_outages has them. Minutes run on the clock from the first bad look to the slot, so that closed time between is
-- in them; `lost_minutes` counts open time only. Filter by yesterday and today, `day >= '2026-11-25'`: the newest slot is
-- found from the names of the partitions, but an engine may begin to read the other days before it knows.
--
-- country           varchar       ISO 3166-1 alpha-2, lower case; filter by it
-- day               varchar       day of the newest slot in UTC; filter by it
-- slot              timestamp(3)  start of the newest slot's 15 minutes, UTC
-- age_minutes       double        minutes from the slot's start until now; above 30, ticks are missing
-- place             bigint        1 is the longest of the country; equal begins share a place
-- store_id          varchar       the store's key in both sources
-- name              varchar       what the store is called; null: the schedule source has none
-- city              varchar       where it is; null: the schedule source has none
-- region            varchar       region as ISO 3166-2 writes it, ES-MD; null: the schedule source has none
-- chain             varchar       the chain that it belongs to; null: the schedule source has none
-- owner             varchar       the team or account manager who is told; null: the schedule source has none
-- status            varchar       unavailable or unlisted
-- reason            varchar       why, as the live view says; null: none was given
-- since_after       timestamp(3)  last good look before it, or when the hours opened, whichever is later, UTC; null: not known
-- since_by          timestamp(3)  first bad look, UTC
-- minutes_at_least  double        from since_by to the slot's start
-- minutes_at_most   double        from since_after to the slot's end; null: since_after is not known
-- lost_minutes      double        scheduled minutes of its bad looks' slots so far
-- bad_looks         bigint        looks so far in which it was unavailable or unlisted
-- unseen_looks      bigint        slots between the first and the last bad look that were missed or unknown
-- is_new            boolean       it began at this slot

with newest_days as (
    -- Of the catalog alone: no file is read for it.
    select country, max(day) as day
    from "current_outages$partitions"
    group by country
),
newest_slots as (
    -- Of the ticks and not of the outages, for a slot in which no store is down has none.
    select country, day, max(slot) as slot
    from country_ticks
    where outcome <> 'failed'
    group by country, day
)
select
    o.country,
    o.day,
    o.slot,
    date_diff('second', o.slot, cast(current_timestamp at time zone 'UTC' as timestamp(3))) / 60e0 as age_minutes,
    rank() over (partition by o.country, o.day order by o.since_by) as place,
    o.store_id,
    o.name,
    o.city,
    o.region,
    o.chain,
    o.owner,
    o.status,
    o.reason,
    o.since_after,
    o.since_by,
    greatest(date_diff('second', o.since_by, o.slot), 0) / 60e0 as minutes_at_least,
    date_diff('second', o.since_after, o.slot + interval '15' minute) / 60e0 as minutes_at_most,
    o.lost_seconds / 60e0 as lost_minutes,
    o.bad_looks,
    o.unseen_looks,
    o.is_new
from current_outages as o
join newest_days on newest_days.country = o.country and newest_days.day = o.day
join newest_slots on newest_slots.country = o.country and newest_slots.day = o.day and newest_slots.slot = o.slot
where o.status in ('unavailable', 'unlisted')
