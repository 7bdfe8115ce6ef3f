-- The schedule of a country's stores, as the queries that a country file has by default read it:
--   select id, name, city, timezone from stores where active
--   select store_id, weekday, opens, closes from store_hours
--   select store_id, date, opens, closes from store_exceptions where date between $1 and $2
-- Values are not constrained to what makes sense: databases that have grown hold zones that do not exist and days of
-- the week that nobody has heard of, and whoever reads them has to cope.

create table stores (
    id         bigint      primary key,
    name       text        not null,
    city       text,
    timezone   text,                               -- of the IANA database; null: the country's default
    active     boolean     not null default true,  -- false: has left the marketplace
    updated_at timestamptz not null default now()
);

-- The hours of an ordinary week, in the store's local time. A store may have several rows a day (split shifts) and
-- days with none (closed). A row without times adds no hours.
create table store_hours (
    store_id   bigint      not null references stores (id) on delete cascade,
    weekday    smallint    not null,               -- 1 to 7, Monday is 1 (ISO 8601)
    opens      time,
    closes     time,                               -- 24:00 allowed; before opens: on the next day; equal: 24 hours
    updated_at timestamptz not null default now()
);

-- A store's rows of a date replace its weekly rows of that date; a row without hours: closed that day.
create table store_exceptions (
    store_id   bigint      not null references stores (id) on delete cascade,
    date       date        not null,
    opens      time,
    closes     time,
    updated_at timestamptz not null default now()
);

-- Stores and weekly hours are read whole, for which no index helps; of the exceptions only the days around now are.
create index store_exceptions_date on store_exceptions (date);

-- For the application's own pages of one store, and for deleting a store.
create index store_hours_store on store_hours (store_id);
create index store_exceptions_store on store_exceptions (store_id);
