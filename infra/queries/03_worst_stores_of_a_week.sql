-- The five worst stores of a week, and what is usual in their country.
--
-- The week is named by its Monday. `usual` is the median store's minutes, `p95` what 95 of 100 stores do not exceed: who
-- is far above both is worth a call.

select place, store_id, name, city, unavailable_minutes, round(availability_weighted, 4) as weighted,
    p50_minutes as usual, p95_minutes as p95
from worst_stores
where country = 'es' and week = '2026-03-23' and place <= 5
order by place, store_id
