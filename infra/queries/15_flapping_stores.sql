-- Stores that go off and on, most flaps first.
--
-- A tablet with a bad connection looks like this; a store that is closed early does not. Compare `good_looks` with the
-- outages: few of them between many outages is a store that is off most of the time.

select store_id, name, chain, owner, outages, flaps, lost_minutes, good_looks
from flapping_stores
where country = 'es' and week = '2026-03-23'
order by flaps desc, store_id
