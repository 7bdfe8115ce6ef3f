-- Why scheduled stores were offline, and why others could not be judged: the reasons of a country's day, the most
-- frequent first.
--
-- Counts store ticks. The reason of `unavailable` is the live view's own word; that of `unknown` is the judgement's:
-- live_view_unavailable, live_view_incomplete, bad_schedule, late. Stores that are unlisted have none. To rank several
-- days together, sum the ticks; the stores cannot be summed, since one that is off on two days is one store.
--
-- country            varchar  ISO 3166-1 alpha-2, lower case; filter by it
-- day                varchar  day of the slots in UTC; filter by it
-- place              bigint   1 is the most frequent of the country's day; equal counts share a place
-- status             varchar  unavailable, unlisted or unknown
-- reason             varchar  the word of the live view or of the judgement; null: none was given
-- ticks              bigint   store ticks with that status and reason
-- stores             bigint   stores that had it at least once in the day
-- scheduled_minutes  double   minutes of these ticks inside the stores' hours; null: could not be told of any

select
    country,
    day,
    rank() over (partition by country, day order by count(*) desc) as place,
    status,
    reason,
    count(*) as ticks,
    count(distinct store_id) as stores,
    sum(scheduled_seconds) / 60e0 as scheduled_minutes
from store_availability
where status in ('unavailable', 'unlisted', 'unknown')
group by country, day, status, reason
