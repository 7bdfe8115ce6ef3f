-- How much of a week is known, in every country that may be read.
--
-- Read it before any other figure: availability is of what was observed. Whoever may read some countries only names them,
-- or the engine refuses.

select country, day, expected, complete, partial, failed, missing,
    round(slots_observed, 4) as slots_observed, round(coverage, 4) as coverage
from coverage_daily
where country in ('es', 'mx') and day between '2026-03-24' and '2026-03-26'
order by country, day
