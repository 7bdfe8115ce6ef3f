//! The parts of the country file that a snapshot of its schedules depends on. Under another file the snapshot
//! may hold other stores, or be cut for ids of another type.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storewatch_domain::IdType;
use storewatch_runtime::CountryFile;

/// What a snapshot was made with. Time limits and certificates are left out: changing them must not discard
/// the only snapshot while PostgreSQL is down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// Hash of the database's address and the three queries. A different hash means different data.
    source: String,
    /// The query that returned the snapshot's version.
    version_query: Option<String>,
    /// How the stores were ordered and cut. They can be cut again.
    id_type: IdType,
    chunk_stores: usize,
}

impl Basis {
    /// The basis of a snapshot that is read with this file.
    pub fn of(file: &CountryFile) -> Self {
        let queries = file.schedule.queries();
        let mut hash = Sha256::new();
        let address = data_address(&file.schedule.url);
        for part in [&address, &queries.stores, &queries.weekly, &queries.exceptions] {
            // With its length, so that the same text cannot be split into parts in two ways.
            hash.update(format!("{}:{part}\n", part.len()));
        }
        Self {
            source: hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
            version_query: queries.version,
            id_type: file.live_view.id_type,
            chunk_stores: file.run.chunk_stores,
        }
    }

    /// Whether both are read from the same place with the same queries.
    pub fn has_source_of(&self, other: &Self) -> bool {
        self.source == other.source
    }

    /// Whether both cut their stores the same way.
    pub fn is_cut_as(&self, other: &Self) -> bool {
        (self.id_type, self.chunk_stores) == (other.id_type, other.chunk_stores)
    }
}

/// The part of an address that says where the data is: hosts, database, user and `options`, which can set
/// `search_path`. How to connect (`sslmode` and the like) does not change what is read.
fn data_address(url: &str) -> String {
    let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
    let kept = parameters.split('&').filter(|parameter| {
        ["options=", "host=", "hostaddr=", "port=", "dbname=", "user="]
            .iter()
            .any(|key| parameter.starts_with(key))
    });
    kept.fold(place.to_owned(), |address, parameter| format!("{address}\n{parameter}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        country = "es"
        default_timezone = "Europe/Madrid"
        missing_hours = "closed"
        [schedule]
        url = "postgresql://reader@db.example:5432/stores?sslmode=verify-full&options=-csearch_path%3Dshop"
        timeout_seconds = 20
        version = "select 1"
        [live_view]
        url = "https://search.example"
        index = "stores-es"
        id_field = "store_id"
        id_type = "long"
        online = { term = { online = true } }
    "#;

    fn basis(change: (&str, &str)) -> Basis {
        assert!(FILE.contains(change.0), "{change:?}");
        Basis::of(&CountryFile::parse(&FILE.replace(change.0, change.1), "es.toml").unwrap())
    }

    #[test]
    fn what_changes_the_data_changes_the_source_and_nothing_else_does() {
        let own = basis(("es", "es"));
        for change in [
            ("sslmode=verify-full&", ""),
            ("timeout_seconds = 20", "timeout_seconds = 5"),
            ("index = \"stores-es\"", "index = \"other\""),
        ] {
            assert_eq!(basis(change), own, "{change:?}");
        }
        for change in [
            ("db.example", "db2.example"),
            ("/stores?", "/others?"),
            ("Dshop", "Dother"),
            ("timeout_seconds = 20", "weekly = \"select 1\""),
            ("timeout_seconds = 20", "stores = \"select 1\""),
        ] {
            assert!(!basis(change).has_source_of(&own), "{change:?}");
        }
        let recut = basis(("\"long\"", "\"keyword\""));
        assert!(recut.has_source_of(&own) && !recut.is_cut_as(&own));
        let version = basis(("select 1", "select 2"));
        assert!(version != own && version.has_source_of(&own) && version.is_cut_as(&own));
    }
}
