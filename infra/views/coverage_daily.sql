-- How much of a country's day is known: its slots by outcome, and the share of the store ticks that could be judged.
--
-- Counts the slots of expected_slots, so that of today only those that have ended. `coverage` is over the slots that
-- have rows; a day of which half was missed can have a coverage of 1. Look at `slots_observed` first.
--
-- country         varchar  ISO 3166-1 alpha-2, lower case; filter by it
-- day             varchar  day of the slots in UTC; filter by it
-- expected        bigint   slots that should be there, 96 in a whole day
-- complete        bigint   slots in which every chunk of stores was observed
-- partial         bigint   slots in which some chunks were not
-- failed          bigint   slots without rows of stores, for which country_ticks has an error
-- missing         bigint   slots of which nothing was written
-- slots_observed  double   (complete + partial) / expected
-- coverage        double   1 - unknown / all stores, over the slots that have rows; null: none has

select
    country,
    day,
    count(*) as expected,
    count_if(outcome = 'complete') as complete,
    count_if(outcome = 'partial') as partial,
    count_if(outcome = 'failed') as failed,
    count_if(outcome = 'missing') as missing,
    cast(count_if(outcome in ('complete', 'partial')) as double) / count(*) as slots_observed,
    sum(coverage * stores) / nullif(sum(stores), 0) as coverage
from expected_slots
group by country, day
