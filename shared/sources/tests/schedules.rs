//! The contract of schedules, which PostgreSQL and the ones in memory both keep, and what only a
//! database can do wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use storewatch_domain::{ExceptionHours, LocalDate, Store, StoreHours, WallTime, WeeklyHours};
use storewatch_sources::memory::MemorySchedules;
use storewatch_sources::{
    PostgresConfig, PostgresSchedules, Queries, Read, ReadRequest, ScheduleError, Schedules,
};
use storewatch_stack_client::{Stack, unique_name};
use tokio_postgres::{Client, NoTls};

const SCHEMA: &str = include_str!("../../../infra/local/sample/schema.sql");

const ROWS: &str = "
insert into stores (id, name, city, timezone, active) values
  (1, 'Bar \"Uno\"', 'Madrid', 'Europe/Madrid', true), (2, 'Two', null, null, true),
  (3, 'closed for good', 'Madrid', 'Europe/Madrid', false);
insert into store_hours (store_id, weekday, opens, closes) values
  (1, 1, '09:00', '24:00'), (1, 7, '20:30:15', '02:00'), (3, 1, '09:00', '10:00');
insert into store_exceptions (store_id, date, opens, closes) values
  (1, '2026-12-25', null, null), (1, '2026-12-26', '10:00', '10:00'), (1, '2027-06-01', null, null);";

struct Database {
    client: Client,
    name: String,
}

impl Database {
    async fn new(rows: &str) -> Self {
        let name = unique_name("schedules");
        connect("postgres").await.batch_execute(&format!("create database {name}")).await.unwrap();
        let client = connect(&name).await;
        client.batch_execute(SCHEMA).await.unwrap();
        client.batch_execute(rows).await.unwrap();
        Self { client, name }
    }

    fn config(&self, host: &str, ssl: &str) -> PostgresConfig {
        let pg = &Stack::running().postgres;
        PostgresConfig {
            url: format!("postgresql://nobody@{host}:{}/{}?{ssl}", pg.port, self.name).parse().unwrap(),
            username: Some(pg.admin_user.clone()),
            password: Some(pg.admin_password.clone()),
            queries: Queries::default(),
            timeout: Duration::from_secs(20),
        }
    }

    async fn read(&self, queries: Queries) -> Result<Read, ScheduleError> {
        let config = PostgresConfig { queries, ..self.config("127.0.0.1", "sslmode=require") };
        PostgresSchedules::new(config).unwrap().read(&request(None)).await
    }

    async fn stores(&self) -> Vec<Store> {
        let Read::Schedules { mut stores, .. } = self.read(Queries::default()).await.unwrap() else {
            panic!()
        };
        stores.sort_by(|a, b| a.id.cmp(&b.id));
        stores
    }
}

async fn connect(database: &str) -> Client {
    let pg = &Stack::running().postgres;
    let mut config = tokio_postgres::Config::new();
    config.host(&pg.host).port(pg.port).user(&pg.admin_user).password(&pg.admin_password).dbname(database);
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn date(text: &str) -> LocalDate {
    LocalDate::from(text.parse::<chrono::NaiveDate>().unwrap())
}

fn time(hour: u32, minute: u32, second: u32) -> Option<WallTime> {
    WallTime::from_seconds(hour * 3600 + minute * 60 + second)
}

fn request(known_version: Option<&str>) -> ReadRequest {
    let exceptions = (date("2026-12-01"), date("2026-12-31"));
    ReadRequest { exceptions, known_version: known_version.map(str::to_owned) }
}

fn expected() -> Vec<Store> {
    let text = |text: &str| Some(text.to_owned());
    vec![
        Store {
            id: "1".to_owned(),
            name: text("Bar \"Uno\""),
            city: text("Madrid"),
            timezone: text("Europe/Madrid"),
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

/// The source must hold [`expected`], an exception in June 2027, and be of the version `"(7)"`.
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
async fn schedules_in_memory_keep_the_contract() {
    let mut stores = expected();
    stores[0].hours.exceptions.push(ExceptionHours::new(date("2027-06-01"), None, None).unwrap());
    contract(&MemorySchedules { stores, version: Some("(7)".to_owned()) }).await;
}

#[tokio::test]
async fn postgresql_keeps_the_contract() {
    let database = Database::new(ROWS).await;
    let queries = Queries { version: Some("select 7;".to_owned()), ..Queries::default() };
    let config = PostgresConfig { queries, ..database.config("127.0.0.1", "sslmode=disable") };
    contract(&PostgresSchedules::new(config).unwrap()).await;
}

#[tokio::test]
async fn ids_may_be_text_or_uuid_or_of_different_widths() {
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
async fn a_bad_row_spoils_its_own_store_only_and_says_which_row() {
    let rows = "
        insert into stores (id, name, timezone) select i, 'n', case i when 5 then 'Mars/Olympus' when 6 then '' end from generate_series(1, 9) i;
        insert into store_hours (store_id, weekday, opens, closes) values
          (1, 8, '09:00', '10:00'), (2, 1, null, '10:00'), (3, 2, '09:00', null), (4, 1, '24:00', '10:00'), (9, 1, '09:00', '10:00');
        insert into store_exceptions (store_id, date, opens, closes) values (7, '2026-12-24', null, '10:00');";
    let database = Database::new(rows).await;
    let problems: Vec<String> =
        database.stores().await.into_iter().map(|store| store.problem.unwrap_or_default()).collect();
    let wanted = [
        "[schedule].weekly of weekday 8: weekday 8 is not 1 (Monday) to 7 (Sunday)",
        "[schedule].weekly of weekday 1: opens is null",
        "[schedule].weekly of weekday 2: closes is null",
        "[schedule].weekly of weekday 1: opens is 24:00, which only closes may be",
        "[schedule].stores: unknown time zone \"Mars/Olympus\": an IANA name such as \"Europe/Madrid\" is wanted",
        "[schedule].stores: unknown time zone \"\": an IANA name such as \"Europe/Madrid\" is wanted",
        "[schedule].exceptions of 2026-12-24: opens is null",
        "",
        "",
    ];
    assert_eq!(problems, wanted);
}

#[tokio::test]
async fn dates_at_the_ends_of_the_calendar_spoil_their_own_store_only() {
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
async fn zones_of_any_spelling_and_hours_to_the_second_are_taken_as_they_are() {
    let rows = "
        insert into stores (id, name, timezone) values (1, 'a', 'US/Pacific'), (2, 'b', 'asia/CALCUTTA'), (3, 'c', null);
        insert into store_hours (store_id, weekday, opens, closes) values
          (1, 1, '00:00', '24:00'), (2, 7, '09:00:30', '17:59:59.999999'), (3, 7, '23:59:59', '23:59:59');";
    let stores = Database::new(rows).await.stores().await;
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
async fn rows_with_nulls_or_of_no_store_hurt_no_other_store() {
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
async fn a_query_with_wrong_columns_or_types_says_which() {
    let database = Database::new(ROWS).await;
    let default = Queries::default;
    let cases = [
        (
            Queries { stores: "select id, name, city from stores".to_owned(), ..default() },
            "[schedule].stores: the query returns no column \"timezone\", only: id, name, city",
        ),
        (
            Queries {
                weekly: "select store_id, weekday::text, opens, closes from store_hours".to_owned(),
                ..default()
            },
            "[schedule].weekly: the query returns \"weekday\" as text, and one of int2, int4, int8 is wanted",
        ),
        (
            Queries {
                exceptions: "select store_id, date, opens, closes from store_exceptions".to_owned(),
                ..default()
            },
            "[schedule].exceptions: the query has 0 parameters, and 2 are given",
        ),
        (
            Queries { stores: "selct 1".to_owned(), ..default() },
            "[schedule].stores: PostgreSQL refuses the query: syntax error at or near \"selct\"",
        ),
        (
            Queries { weekly: "select * from no_such_table".to_owned(), ..default() },
            "[schedule].weekly: PostgreSQL refuses the query: relation \"no_such_table\" does not exist",
        ),
        (
            Queries { version: Some("select 1 where false".to_owned()), ..default() },
            "[schedule].version: the query returns 0 rows, and one is wanted",
        ),
    ];
    for (queries, message) in cases {
        let error = database.read(queries).await.unwrap_err();
        assert!(matches!(error, ScheduleError::Config { .. }), "{error:?}");
        assert_eq!(error.to_string(), message);
    }
}

#[tokio::test]
async fn nothing_can_be_written_by_a_query() {
    let database = Database::new(ROWS).await;
    let stores = "with gone as (delete from stores returning *) select id, name, city, timezone from gone";
    let error = database.read(Queries { stores: stores.to_owned(), ..Queries::default() }).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Config { field: "stores", .. }), "{error:?}");
    let count: i64 = database.client.query_one("select count(*) from stores", &[]).await.unwrap().get(0);
    assert_eq!(count, 3);
}

#[tokio::test]
async fn every_sslmode_checks_what_libpq_says_it_checks() {
    let database = Database::new(ROWS).await;
    let ca = Stack::running().postgres.ca_file.display().to_string();
    let works = |host: &'static str, ssl: String| {
        let schedules = PostgresSchedules::new(database.config(host, &ssl)).unwrap();
        async move { schedules.read(&request(None)).await.map(|_| ()) }
    };
    // The certificate names localhost only, and its authority is none of the system's.
    for ssl in ["sslmode=disable", "sslmode=allow", "sslmode=prefer", "sslmode=require"] {
        works("127.0.0.1", ssl.to_owned()).await.unwrap();
    }
    for mode in ["require", "verify-ca"] {
        works("127.0.0.1", format!("sslmode={mode}&sslrootcert={ca}")).await.unwrap();
    }
    works("localhost", format!("sslmode=verify-full&sslrootcert={ca}")).await.unwrap();
    let error = works("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}")).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Unavailable { during: "connecting", .. }), "{error:?}");
    for mode in ["verify-ca", "verify-full"] {
        let error = works("localhost", format!("sslmode={mode}")).await.unwrap_err();
        assert!(
            matches!(error, ScheduleError::Unavailable { during: "connecting", .. }),
            "{mode}: {error:?}"
        );
    }
    let error =
        works("localhost", "sslmode=verify-full&sslrootcert=/no/such.pem".to_owned()).await.unwrap_err();
    assert!(error.to_string().contains("/no/such.pem"), "{error}");
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_a_fault_of_the_country_file() {
    let cases = [
        ("postgresql://u:secret1@h/d", "holds a password"),
        ("postgresql://u@h/d?password=secret1", "holds a password"),
        ("postgresql://u@h/d?sslmode=sometimes", "sslmode \"sometimes\""),
        ("mysql://u@h/d", "mysql://"),
    ];
    for (url, said) in cases {
        let config = PostgresConfig {
            url: url.parse().unwrap(),
            username: None,
            password: None,
            queries: Queries::default(),
            timeout: Duration::from_secs(1),
        };
        let Err(error) = PostgresSchedules::new(config) else { panic!("{url}") };
        assert!(error.to_string().contains(said), "{error}");
        assert!(!format!("{error:?}").contains("secret1"), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_or_refuses_or_is_slow_is_unavailable() {
    let database = Database::new(ROWS).await;
    let read = |config: PostgresConfig| async move {
        PostgresSchedules::new(config).unwrap().read(&request(None)).await.unwrap_err()
    };
    let good = || database.config("127.0.0.1", "sslmode=require");
    let error = read(PostgresConfig { url: "postgresql://u@127.0.0.1:9/d".parse().unwrap(), ..good() }).await;
    assert!(
        matches!(error, ScheduleError::Unavailable { .. }) && error.to_string().contains("127.0.0.1:9"),
        "{error:?}"
    );
    let error = read(PostgresConfig { password: Some("wr0ng".to_owned()), ..good() }).await;
    assert!(
        matches!(error, ScheduleError::Unavailable { .. }) && !format!("{error:?}").contains("wr0ng"),
        "{error:?}"
    );
    let stores = "select id, name, city, timezone from stores, pg_sleep(5)".to_owned();
    let slow = PostgresConfig {
        queries: Queries { stores, ..Queries::default() },
        timeout: Duration::from_secs(1),
        ..good()
    };
    let error = read(slow).await;
    assert!(
        matches!(error, ScheduleError::TimedOut { seconds: 1, .. } | ScheduleError::Unavailable { .. }),
        "{error:?}"
    );
}
