-- Which stores are down now, since when, and whose are they?
--
-- The day is today's; shortly after midnight in UTC ask for yesterday's too. Look at `age_minutes`, which is not shown here
-- because it grows. Between two looks a store may have been back: these were down at the last one.

select place, store_id, name, chain, region, owner, status, reason, since_by, round(minutes_at_most, 1) as minutes_at_most,
    lost_minutes
from down_now
where country = 'mx' and day = '2026-03-29'
order by place, store_id
