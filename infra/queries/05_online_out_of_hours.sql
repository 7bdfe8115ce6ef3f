-- Stores that take orders while they are closed, the most persistent first.
--
-- Slots are a quarter of an hour. One tick at the edge of the hours is a clock that is a minute off; hours of them are a
-- switch that nobody turned.

select store_id, name, city, count(distinct day) as days, sum(ticks) as ticks, max(last_slot) as last_slot
from unexpected_stores
where country = 'es' and day between '2026-03-23' and '2026-03-29'
group by store_id, name, city
order by ticks desc, store_id
limit 5
