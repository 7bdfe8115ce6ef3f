-- Availability of a week by city and part of its own day.
--
-- Counts are summed and divided again; a mean of the rows' shares would weigh a quiet night like a busy noon. Null stands
-- for stores without a city: keep it or leave it out, but say which.

select city, daypart, sum(available) as available, sum(unavailable + unlisted) as not_available,
    round(cast(sum(available) as double) / nullif(sum(available + unavailable + unlisted), 0), 4) as availability
from availability_city_daypart
where country = 'mx' and day between '2026-03-23' and '2026-03-29'
group by city, daypart
order by city, case daypart when 'night' then 1 when 'morning' then 2 when 'afternoon' then 3 else 4 end
