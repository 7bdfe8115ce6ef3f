-- How long does it take each chain to recover?
--
-- The view's rows are summed and divided again, over regions and kinds here. The true mean lies between `at_least` and
-- `at_most`. Stores without a chain are one row, and outages that are still open are in no mean.

select chain, sum(ended) as ended, sum(still_open) as still_open,
    round(sum(minutes_at_least) / sum(measured), 1) as at_least,
    round((sum(minutes_at_least) + sum(minutes_at_most)) / 2 / sum(measured), 1) as mean,
    round(sum(minutes_at_most) / sum(measured), 1) as at_most
from mean_time_to_recover
where country = 'es' and week = '2026-03-23'
group by chain
order by ended desc, chain
