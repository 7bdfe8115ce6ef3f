-- Late openings of a week by region: how many, of how many stores, and how late.
--
-- A late opening is an outage from the start of the hours on. `minutes` is the middle of its bounds. A store that opens a few
-- minutes late may not be seen to: it is looked at once in a quarter of an hour. Null is a bound that is not known.

select region, count(*) as late_openings, count(distinct store_id) as stores, sum(lost_minutes) as lost_minutes,
    round(avg(minutes), 1) as mean_minutes
from outages_of
where country = 'es' and day between '2026-03-23' and '2026-03-29' and kind = 'late_opening'
group by region
order by late_openings desc, region
