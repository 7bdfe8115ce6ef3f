//! The contract of schedules, which PostgreSQL and the schedules in memory both fulfil, and failures that only a
//! database can have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod postgres;

use postgres::{Database, ROWS, date, request, shown, stores};
use storewatch_domain::{ExceptionHours, Labels, Store, StoreHours, WallTime, WeeklyHours};
use storewatch_sources::memory::MemorySchedules;
use storewatch_sources::{PostgresConfig, PostgresSchedules, Queries, Read, ScheduleError, Schedules};
use storewatch_stack_client::Stack;

fn time(hour: u32, minute: u32, second: u32) -> Option<WallTime> {
    WallTime::from_seconds(hour * 3600 + minute * 60 + second)
}

fn expected() -> Vec<Store> {
    let text = |text: &str| Some(text.to_owned());
    vec![
        Store {
            id: "1".to_owned(),
            name: text("Bar \"Uno\""),
            city: text("Madrid"),
            timezone: text("Europe/Madrid"),
            labels: Labels::NONE,
            hours: StoreHours {
                weekly: vec![
                    WeeklyHours::new(1, time(9, 0, 0), time(24, 0, 0)).unwrap(),
                    WeeklyHours::new(7, time(20, 30, 15), time(2, 0, 0)).unwrap(),
                ],
                exceptions: vec![
                    ExceptionHours::new(date("2026-12-25"), None, None).unwrap(),
                    ExceptionHours::new(date("2026-12-26"), time(10, 0, 0), time(10, 0, 0)).unwrap(),
                ],
            },
            problem: None,
        },
        Store { id: "2".to_owned(), name: text("Two"), ..Store::default() },
    ]
}

/// The source must contain [`expected`] and an exception in June 2027, and have the version `"(7)"`.
async fn contract(schedules: &dyn Schedules) {
    let Read::Schedules { mut stores, version } = schedules.read(&request(None)).await.unwrap() else {
        panic!()
    };
    stores.sort_by(|a, b| a.id.cmp(&b.id));
    stores.iter_mut().for_each(|store| store.hours.weekly.sort());
    stores.iter_mut().for_each(|store| store.hours.exceptions.sort());
    assert_eq!(
        stores,
        expected(),
        "rows of stores that are not active, and dates outside the request, are left out"
    );
    assert_eq!(version.as_deref(), Some("(7)"));
    assert_eq!(schedules.read(&request(Some("(7)"))).await.unwrap(), Read::Unchanged);
    assert!(matches!(schedules.read(&request(Some("(6)"))).await.unwrap(), Read::Schedules { .. }));
}

#[tokio::test]
async fn schedules_in_memory_fulfil_the_contract() {
    let mut stores = expected();
    stores[0].hours.exceptions.push(ExceptionHours::new(date("2027-06-01"), None, None).unwrap());
    contract(&MemorySchedules { stores, version: Some("(7)".to_owned()) }).await;
}

#[tokio::test]
async fn postgresql_fulfils_the_contract() {
    let database = Database::new(ROWS).await;
    let queries = Queries { version: Some("select 7;".to_owned()), ..Queries::default() };
    let config = PostgresConfig { queries, ..database.config("127.0.0.1", "sslmode=disable") };
    contract(&PostgresSchedules::new(config).unwrap()).await;
}

#[tokio::test]
async fn ids_may_be_text_uuids_or_integers_of_any_width() {
    let database = Database::new("").await;
    let row = |kind: &str, id: &str| Queries {
        stores: format!(
            "select '{id}'::{kind} as id, 'n'::varchar as name, null::text as city, 'UTC'::name as timezone -- a comment"
        ),
        weekly: format!(
            "select '{id}'::text as store_id, 1::int8 as weekday, time '09:00' as opens, time '10:00' as closes;"
        ),
        ..Queries::default()
    };
    let cases = [
        ("text", "a/b"),
        ("uuid", "8f14e45f-ceea-467f-9a36-dedd4bea2543"),
        ("int2", "7"),
        ("int8", "7000000000"),
    ];
    for (kind, id) in cases {
        let Read::Schedules { stores, .. } = database.read(row(kind, id)).await.unwrap() else { panic!() };
        assert_eq!((stores[0].id.as_str(), stores[0].hours.weekly.len()), (id, 1), "{kind}");
    }
}

#[tokio::test]
async fn a_bad_row_spoils_only_its_own_store_and_is_named() {
    let rows = "
        insert into stores (id, name, timezone) select i, 'n', case i when 5 then 'Mars/Olympus' when 6 then '' end from generate_series(1, 9) i;
        insert into store_hours (store_id, weekday, opens, closes) values
          (1, 8, '09:00', '10:00'), (2, 1, null, '10:00'), (3, 2, '09:00', null), (4, 1, '24:00', '10:00'), (9, 1, '09:00', '10:00');
        insert into store_exceptions (store_id, date, opens, closes) values (7, '2026-12-24', null, '10:00');";
    let database = Database::new(rows).await;
    let problems: Vec<String> = stores(database.read(Queries::default()).await.unwrap())
        .into_iter()
        .map(|store| store.problem.unwrap_or_default())
        .collect();
    let wanted = [
        "[schedule].weekly of weekday 8: weekday 8 is not 1 (Monday) to 7 (Sunday)",
        "[schedule].weekly of weekday 1: opens is null",
        "[schedule].weekly of weekday 2: closes is null",
        "[schedule].weekly of weekday 1: opens is 24:00, which only closes may be",
        // Zones are checked later, when stores are judged.
        "",
        "",
        "[schedule].exceptions of 2026-12-24: opens is null",
        "",
        "",
    ];
    assert_eq!(problems, wanted);
}

#[tokio::test]
async fn dates_outside_the_years_0_to_9999_spoil_only_their_own_store() {
    let rows = "insert into stores (id, name) select i, 'n' from generate_series(1, 6) i;
        insert into store_exceptions (store_id, date) values (1, 'infinity'), (2, '5874897-12-31'), (3, '9999-12-31'),
          (4, '-infinity'), (5, '4713-01-01 BC'), (6, '0001-01-01');";
    let database = Database::new(rows).await;
    let queries = Queries {
        exceptions: "select store_id, date, opens, closes from store_exceptions where $1::date < $2::date"
            .to_owned(),
        ..Queries::default()
    };
    let Read::Schedules { stores, .. } = database.read(queries).await.unwrap() else { panic!() };
    let bad: Vec<bool> = stores.iter().map(|store| store.problem.is_some()).collect();
    assert_eq!(bad, [true, true, false, true, true, false], "{stores:?}");
    let problem = stores[1].problem.as_deref().unwrap();
    assert!(problem.contains("outside the years 0 to 9999"), "{problem}");
}

#[tokio::test]
async fn zone_names_and_hours_to_the_second_are_read_unchanged() {
    let rows = "
        insert into stores (id, name, timezone) values (1, 'a', 'US/Pacific'), (2, 'b', 'asia/CALCUTTA'), (3, 'c', null);
        insert into store_hours (store_id, weekday, opens, closes) values
          (1, 1, '00:00', '24:00'), (2, 7, '09:00:30', '17:59:59.999999'), (3, 7, '23:59:59', '23:59:59');";
    let stores = stores(Database::new(rows).await.read(Queries::default()).await.unwrap());
    let zones: Vec<_> = stores.iter().map(|store| store.timezone.as_deref()).collect();
    assert_eq!(zones, [Some("US/Pacific"), Some("asia/CALCUTTA"), None]);
    assert!(stores.iter().all(|store| store.problem.is_none()), "{stores:?}");
    let hours: Vec<_> = stores.iter().flat_map(|store| &store.hours.weekly).copied().collect();
    let wanted = [
        WeeklyHours::new(1, time(0, 0, 0), time(24, 0, 0)).unwrap(),
        WeeklyHours::new(7, time(9, 0, 30), time(17, 59, 59)).unwrap(),
        WeeklyHours::new(7, time(23, 59, 59), time(23, 59, 59)).unwrap(),
    ];
    assert_eq!(hours, wanted, "a fraction of a second is cut off");
}

#[tokio::test]
async fn rows_with_nulls_or_without_a_store_harm_no_other_store() {
    let database = Database::new(ROWS).await;
    let nothing = "null::time as opens, null::time as closes";
    let queries = Queries {
        stores:
            "select id, name, city, timezone from stores where active union all select null, 'x', null, null"
                .to_owned(),
        weekly: format!(
            "select store_id, weekday::bigint, opens, closes from store_hours
             union all select 2, null, {nothing} union all select null, 1, {nothing}
             union all select 77, 1, {nothing} union all select 2, 9223372036854775807, {nothing}"
        ),
        ..Queries::default()
    };
    let Read::Schedules { mut stores, .. } = database.read(queries).await.unwrap() else { panic!() };
    stores.sort_by(|a, b| a.id.cmp(&b.id));
    let problems: Vec<_> = stores.iter().map(|store| (store.id.as_str(), store.problem.as_deref())).collect();
    assert_eq!(problems, [("1", None), ("2", Some("[schedule].weekly: weekday is null"))]);
    assert_eq!(stores[0].hours, expected()[0].hours);
}

#[tokio::test]
async fn a_query_with_wrong_columns_or_types_is_refused_by_name() {
    let database = Database::new(ROWS).await;
    let default = Queries::default;
    let cases = [
        (
            Queries { stores: "select id, name, city from stores".to_owned(), ..default() },
            "[schedule].stores: the query returns no column \"timezone\"",
        ),
        (
            Queries {
                weekly: "select store_id, weekday::text, opens, closes from store_hours".to_owned(),
                ..default()
            },
            "[schedule].weekly: the query returns \"weekday\" as text; it must be smallint, integer or bigint",
        ),
        (
            Queries {
                exceptions: "select store_id, date, opens, closes from store_exceptions".to_owned(),
                ..default()
            },
            "[schedule].exceptions: the query must use both $1 and $2, the first and the last date that are wanted",
        ),
        (
            Queries { stores: "selct 1".to_owned(), ..default() },
            "[schedule].stores: PostgreSQL refuses the query: syntax error at or near \"1\"",
        ),
        (
            Queries { weekly: "select * from no_such_table".to_owned(), ..default() },
            "[schedule].weekly: PostgreSQL refuses the query: relation \"no_such_table\" does not exist",
        ),
        (
            Queries { stores: "select *, id::char(3) as id from stores".to_owned(), ..default() },
            "[schedule].stores: the query returns \"id\" more than once, or names it without its table",
        ),
        (
            Queries {
                stores: "select id::numeric, name, city, timezone from stores".to_owned(),
                ..default()
            },
            "[schedule].stores: the query returns \"id\" as numeric; it must be smallint, integer, bigint, text, varchar, char or uuid",
        ),
        (
            Queries {
                weekly: "select store_id, weekday, closes,\n opnes\nfrom store_hours".to_owned(),
                ..default()
            },
            "[schedule].weekly: PostgreSQL refuses the query: column \"opnes\" does not exist; Perhaps you meant to reference the column \"store_hours.opens\" (line 2 of the query)",
        ),
        (
            Queries { stores: "select 1) q; commit; delete from stores; select (1".to_owned(), ..default() },
            "[schedule].stores: there is more than one statement; only one query is allowed",
        ),
        (
            Queries { stores: "select *, 7 as chain from stores".to_owned(), ..default() },
            "[schedule].stores: the query returns \"chain\" more than once, or names it without its table",
        ),
        (
            Queries {
                stores: "select id, name, city, timezone, '{}'::jsonb as owner from stores".to_owned(),
                ..default()
            },
            "[schedule].stores: the query returns \"owner\" as jsonb; it must be text, varchar, char or name",
        ),
        (
            Queries {
                stores: "select id, name, city, timezone, id as region from stores".to_owned(),
                ..default()
            },
            "[schedule].stores: the query returns \"region\" as bigint; it must be text, varchar, char or name",
        ),
        (
            Queries { version: Some("select 1 where false".to_owned()), ..default() },
            "[schedule].version: the query returns 0 rows; it must return one",
        ),
    ];
    for (queries, message) in cases {
        let error = database.read(queries).await.unwrap_err();
        assert!(matches!(error, ScheduleError::Config { .. }), "{error:?}");
        assert_eq!(shown(&error), message, "nothing is repeated");
    }
}

#[tokio::test]
async fn whose_store_it_is_is_read_where_the_query_returns_it() {
    let database = Database::new(ROWS).await;
    let read = async |more: &str| {
        let stores =
            format!("select *{more} from (select id, name, city, timezone from stores where active) as s");
        stores_of(&database, &stores).await
    };
    let none = read(", 'x' as \"Region\", 7 as chains, 'x' as \"a,region\"").await;
    assert!(none.iter().all(|store| store.labels == Labels::NONE), "other columns are ignored: {none:?}");
    let found = read(
        ", 'Ana  '::char(9) as owner, case id when 1 then 'ES-MD' end as region, ''::varchar as segment",
    )
    .await;
    let labels: Vec<_> = found.iter().map(|store| store.labels.values()).collect();
    assert_eq!(labels, [[Some("ES-MD"), None, None, Some("Ana")], [None, None, None, Some("Ana")]]);
    let names: Vec<_> = found.iter().map(|store| store.name.as_deref()).collect();
    assert_eq!(names, [Some("Bar \"Uno\""), Some("Two")]);
}

async fn stores_of(database: &Database, query: &str) -> Vec<Store> {
    stores(database.read(Queries { stores: query.to_owned(), ..Queries::default() }).await.unwrap())
}

#[tokio::test]
async fn a_label_that_cannot_be_one_spoils_only_its_own_store_and_is_named() {
    let rows = "insert into stores (id, name, region, chain) values (1, 'a', 'ES-M', 'Sol'), (2, 'b', 'Madrid', 'Sol'),
        (3, 'c', 'MX-CMX', 'Sol'), (4, 'd', 'ES-M', repeat('x', 10000));";
    let found = stores_of(&Database::new(rows).await, "select * from stores").await;
    let form = "which is not an ISO 3166-2 code of es: \"ES-\" and 1 to 3 capital letters or digits";
    let chain =
        format!("{:?}, which is cut off here: its 10000 characters are more than 200", "x".repeat(40));
    let problems: Vec<_> = found.iter().map(|store| store.problem.clone()).collect();
    let wanted = [
        None,
        Some(format!("[schedule].stores: region is \"Madrid\", {form}")),
        Some(format!("[schedule].stores: region is \"MX-CMX\", {form}")),
        Some(format!("[schedule].stores: chain is {chain}")),
    ];
    assert_eq!(problems, wanted);
    let labels: Vec<_> =
        found.iter().map(|store| (store.labels.values()[0], store.labels.values()[1])).collect();
    let (region, chain) = (Some("ES-M"), Some("Sol"));
    assert_eq!(labels, [(region, chain), (None, chain), (None, chain), (region, None)]);
}

#[tokio::test]
async fn a_query_cannot_write() {
    let database = Database::new(ROWS).await;
    let stores = "with gone as (delete from stores returning *) select id, name, city, timezone from gone";
    let error = database.read(Queries { stores: stores.to_owned(), ..Queries::default() }).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Config { field: "stores", .. }), "{error:?}");
    let count: i64 = database.client.query_one("select count(*) from stores", &[]).await.unwrap().get(0);
    assert_eq!(count, 3);
}

#[tokio::test]
async fn every_sslmode_checks_what_libpq_checks() {
    let database = Database::new(ROWS).await;
    let ca = Stack::running().postgres.ca_file.display().to_string();
    let works = |host: &'static str, ssl: String| {
        let schedules = PostgresSchedules::new(database.config(host, &ssl)).unwrap();
        async move { schedules.read(&request(None)).await.map(|_| ()) }
    };
    // The certificate is only for localhost, and the system does not trust its authority.
    for ssl in ["sslmode=disable", "sslmode=allow", "sslmode=prefer", "sslmode=require"] {
        works("127.0.0.1", ssl.to_owned()).await.unwrap();
    }
    for mode in ["require", "verify-ca"] {
        works("127.0.0.1", format!("sslmode={mode}&sslrootcert={ca}")).await.unwrap();
    }
    works("localhost", format!("sslmode=verify-full&sslrootcert={ca}")).await.unwrap();
    let error = works("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}")).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Unavailable { .. }), "{error:?}");
    for mode in ["verify-ca", "verify-full"] {
        let error = works("localhost", format!("sslmode={mode}")).await.unwrap_err();
        assert!(matches!(error, ScheduleError::Unavailable { .. }), "{mode}: {error:?}");
    }
    let error =
        works("localhost", "sslmode=verify-full&sslrootcert=/no/such.pem".to_owned()).await.unwrap_err();
    assert!(error.to_string().contains("/no/such.pem"), "{error}");
}

#[tokio::test]
async fn char_ids_lose_their_padding_and_equal_varchar_ids() {
    let rows = "drop table stores, store_hours, store_exceptions;
        create table stores (id char(8), name char(20), city char(10), timezone char(30), active boolean);
        create table store_hours (store_id varchar(8), weekday smallint, opens time, closes time);
        create table store_exceptions (store_id char(12), date date, opens time, closes time);
        insert into stores values ('ab1', 'Uno', 'Madrid', 'Europe/Madrid', true);
        insert into store_hours values ('ab1', 1, '09:00', '18:00');
        insert into store_exceptions values ('ab1', '2026-12-25', null, null);";
    let found = stores(Database::new(rows).await.read(Queries::default()).await.unwrap());
    let [store] = &found[..] else { panic!("{found:?}") };
    let texts =
        [Some(store.id.as_str()), store.name.as_deref(), store.city.as_deref(), store.timezone.as_deref()];
    assert_eq!(texts, [Some("ab1"), Some("Uno"), Some("Madrid"), Some("Europe/Madrid")]);
    assert_eq!((store.hours.weekly.len(), store.hours.exceptions.len(), &store.problem), (1, 1, &None));
}

#[tokio::test]
async fn times_may_be_text_and_an_invalid_one_spoils_only_its_own_store() {
    let rows = "alter table store_hours alter opens type text, alter closes type varchar(20);
        alter table store_exceptions alter opens type char(8);
        insert into stores (id, name) select i, 'n' from generate_series(1, 4) i;
        insert into store_hours (store_id, weekday, opens, closes) values
          (1, 1, '9:00', '24:00'), (2, 1, '09:00', '26:00'), (3, 2, '09:00:30', '18:00:00');
        insert into store_exceptions (store_id, date, opens, closes) values
          (3, '2026-12-24', '09:00', '10:00'), (4, '2026-12-24', 'noon', '14:00');";
    let found = stores(Database::new(rows).await.read(Queries::default()).await.unwrap());
    let problems: Vec<_> = found.iter().map(|store| store.problem.as_deref()).collect();
    let wanted = [
        None,
        Some("[schedule].weekly of weekday 1: closes is \"26:00\", which is not a time such as \"09:00\""),
        None,
        Some(
            "[schedule].exceptions of 2026-12-24: opens is \"noon    \", which is not a time such as \"09:00\"",
        ),
    ];
    assert_eq!(problems, wanted);
    assert_eq!(found[0].hours.weekly, [WeeklyHours::new(1, time(9, 0, 0), time(24, 0, 0)).unwrap()]);
    assert_eq!(found[2].hours.weekly, [WeeklyHours::new(2, time(9, 0, 30), time(18, 0, 0)).unwrap()]);
    let exception = ExceptionHours::new(date("2026-12-24"), time(9, 0, 0), time(10, 0, 0)).unwrap();
    assert_eq!(found[2].hours.exceptions, [exception]);
}

#[tokio::test]
async fn queries_may_end_as_in_psql_and_quote_text_that_looks_like_a_parameter() {
    let database = Database::new(ROWS).await;
    let default = Queries::default();
    for end in [";", "; -- all open", " -- all; of them", " /* ; */ ;\n"] {
        let exceptions = format!(
            "select store_id, date, opens, closes from store_exceptions -- from $1 on
             where date between $1 and $2 and '$1' <> $$ $2 $$ and $1::date < $2{end}",
        );
        let queries = Queries {
            stores: default.stores.clone() + end,
            weekly: default.weekly.clone() + end,
            exceptions,
            version: Some(format!("select 7{end}")),
        };
        let config = PostgresConfig { queries, ..database.config("127.0.0.1", "sslmode=require") };
        contract(&PostgresSchedules::new(config).unwrap()).await;
    }
}

/// The example in infra/countries/es.toml, which users copy.
fn documented_version() -> String {
    let file = include_str!("../../../infra/countries/es.toml");
    let (_, rest) = file.split_once("# version = \"\"\"\n").expect("es.toml has the example");
    let lines = rest.lines().map(|line| line.trim_start_matches('#'));
    let text: Vec<_> = lines.clone().take_while(|line| !line.contains("\"\"\"")).collect();
    let last = lines.clone().nth(text.len()).unwrap().replace("\"\"\"", "");
    text.join("\n") + "\n" + &last
}

#[tokio::test]
async fn the_documented_version_changes_with_every_row_that_is_read() {
    let database = Database::new(ROWS).await;
    let queries = Queries { version: Some(documented_version()), ..Queries::default() };
    let config = PostgresConfig { queries, ..database.config("127.0.0.1", "sslmode=require") };
    let schedules = PostgresSchedules::new(config).unwrap();
    let version = async || match schedules.read(&request(None)).await.unwrap() {
        Read::Schedules { version, .. } => version.unwrap(),
        Read::Unchanged => panic!("no version was known"),
    };
    let mut before = version().await;
    assert_eq!(schedules.read(&request(Some(&before))).await.unwrap(), Read::Unchanged);
    let changes = [
        "update stores set name = 'Dos' where id = 2",
        "update stores set timezone = 'UTC' where id = 2",
        "update stores set active = false where id = 2",
        "insert into store_hours values (1, 2, '09:00', '10:00', '2000-01-01')",
        "insert into store_hours values (1, 2, '09:00', '10:00', '2000-01-01')",
        "update store_hours set weekday = 3 where weekday = 2",
        "delete from store_hours where weekday = 3",
        "update store_exceptions set opens = '11:00', closes = '12:00' where date = '2026-12-25'",
        "delete from store_exceptions where date = '2026-12-25'",
        "delete from stores where id = 1",
    ];
    for change in changes {
        database.client.batch_execute(change).await.unwrap();
        let after = version().await;
        assert_ne!(after, before, "{change}");
        before = after;
    }
    database.client.batch_execute("update store_hours set updated_at = now()").await.unwrap();
    assert_eq!(version().await, before, "a column that is not read does not change the version");
}

#[tokio::test]
async fn the_documented_version_sees_a_late_commit() {
    let database = Database::new(ROWS).await;
    let queries = Queries { version: Some(documented_version()), ..Queries::default() };
    let config = PostgresConfig { queries, ..database.config("127.0.0.1", "sslmode=require") };
    let schedules = PostgresSchedules::new(config).unwrap();
    let late = postgres::connect(&database.name).await;
    late.batch_execute("begin; insert into store_hours values (2, 1, '09:00', '10:00', now())")
        .await
        .unwrap();
    let quick = "insert into store_hours values (2, 2, '09:00', '10:00', now())";
    database.client.batch_execute(quick).await.unwrap();
    let Read::Schedules { version, .. } = schedules.read(&request(None)).await.unwrap() else { panic!() };
    late.batch_execute("commit").await.unwrap();
    let read = schedules.read(&request(version.as_deref())).await.unwrap();
    let store = stores(read).into_iter().find(|store| store.id == "2").unwrap();
    assert_eq!(store.hours.weekly.len(), 2, "the row with the earlier time, committed later, was read");
}

#[tokio::test]
async fn a_weekly_row_with_two_nulls_adds_no_hours() {
    let rows = "insert into stores (id, name) values (1, 'a');
        insert into store_hours (store_id, weekday, opens, closes) values
          (1, 1, '09:00', '10:00'), (1, 2, null, null);";
    let found = stores(Database::new(rows).await.read(Queries::default()).await.unwrap());
    assert_eq!(found[0].problem, None);
}
