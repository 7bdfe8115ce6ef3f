-- The schedule of a country's stores. A country file's default queries read it. They leave out the columns of stores that
-- a schema may lack: region, chain, segment and owner.
--   select id, name, city, timezone from stores where active
--   select store_id, weekday, opens, closes from store_hours
--   select store_id, date, opens, closes from store_exceptions where date between $1 and $2
-- Values are not constrained on purpose: real databases hold unknown time zones and an eighth day of the week, and
-- readers must cope with them.

create table stores (
    id         bigint      primary key,
    name       text        not null,
    city       text,
    timezone   text,                               -- IANA name; null: the country's default
    region     text,                               -- ISO 3166-2, such as ES-MD
    chain      text,
    segment    text,
    owner      text,                               -- the team or account manager who is told
    active     boolean     not null default true,  -- false: has left the marketplace
    updated_at timestamptz not null default now()
);

-- The hours of an ordinary week, in the store's local time. A store may have several rows per day (split shifts), or
-- none (closed). A row without times adds no hours.
create table store_hours (
    store_id   bigint      not null references stores (id) on delete cascade,
    weekday    smallint    not null,               -- 1 to 7, Monday is 1 (ISO 8601)
    opens      time,
    closes     time,                               -- 24:00 allowed; before opens: on the next day; equal: 24 hours
    updated_at timestamptz not null default now()
);

-- A store's rows for a date replace its weekly rows on that date. A row without times means closed that day.
create table store_exceptions (
    store_id   bigint      not null references stores (id) on delete cascade,
    date       date        not null,
    opens      time,
    closes     time,
    updated_at timestamptz not null default now()
);

-- Only exceptions need an index for reading: stores and weekly hours are read whole.
create index store_exceptions_date on store_exceptions (date);

-- For the application's own pages of one store, and for deleting a store.
create index store_hours_store on store_hours (store_id);
create index store_exceptions_store on store_exceptions (store_id);
