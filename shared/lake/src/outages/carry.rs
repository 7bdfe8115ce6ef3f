//! What a day's outages take over from the day before: the state of each store, in a Parquet file. Only
//! compacting reads it; it is no table of the catalog.

use bytes::Bytes;
use polars::prelude::*;
use storewatch_domain::Slot;
use storewatch_domain::outages::{Outage, Recent, Track};

use crate::parquet::{self, ParquetError};
use crate::tables::{self, OF_STORE};

use super::OfStore;
use super::hours::History;

/// The columns, in order. The last two are JSON.
const COLUMNS: [tables::Column; 13] = [
    ("store_id", "string"),
    ("name", "string"),
    ("city", "string"),
    ("timezone", "string"),
    ("region", "string"),
    ("chain", "string"),
    ("segment", "string"),
    ("owner", "string"),
    ("last_slot", "timestamp"),
    ("last_good", "timestamp"),
    ("recent", "smallint"),
    ("hours", "string"),
    ("outage", "string"),
];

/// A store at the end of a day.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Carried {
    pub(super) store_id: String,
    /// As in its last row.
    pub(super) labels: OfStore,
    pub(super) track: Track,
    pub(super) history: History,
    /// As in the last bad look of its open outage.
    pub(super) bad_labels: Option<OfStore>,
}

impl Carried {
    /// A store without a row so far.
    pub(super) fn new(store_id: &str) -> Self {
        let (labels, track) = (OfStore::default(), Track::default());
        Self { store_id: store_id.to_owned(), labels, track, history: History::default(), bad_labels: None }
    }
}

/// Writes the stores, which are sorted by their ids.
pub(super) fn write(stores: &[Carried]) -> Result<Bytes, ParquetError> {
    let text = |name: &str, value: &dyn Fn(&Carried) -> Option<String>| {
        Series::new(name.into(), stores.iter().map(value).collect::<Vec<_>>()).into_column()
    };
    let last = stores.iter().map(|store| store.track.last.map(Slot::first_instant)).collect();
    let mut columns = vec![text("store_id", &|store| Some(store.store_id.clone()))];
    for (n, name) in OF_STORE.into_iter().enumerate() {
        columns.push(text(name, &|store| store.labels[n].clone()));
    }
    columns.push(parquet::timestamps("last_slot", last)?);
    let last_good = stores.iter().map(|store| store.track.last_good).collect();
    columns.push(parquet::timestamps("last_good", last_good)?);
    let recent: Vec<i16> = stores.iter().map(|store| i16::from(store.track.recent.0)).collect();
    columns.push(Series::new("recent".into(), recent).into_column());
    let json = |name: &str, value: &dyn Fn(&Carried) -> serde_json::Result<Option<String>>| {
        let values = stores.iter().map(value).collect::<Result<Vec<_>, _>>();
        let values = values.map_err(|error| ParquetError::Content(error.to_string()))?;
        Ok::<_, ParquetError>(Series::new(name.into(), values).into_column())
    };
    columns.push(json("hours", &|store| serde_json::to_string(&store.history).map(Some))?);
    columns.push(json("outage", &|store| {
        let open = store.track.open.as_ref().map(|outage| (outage, &store.bad_labels));
        open.map(|open| serde_json::to_string(&open)).transpose()
    })?);
    let mut frame = DataFrame::new(stores.len(), columns)?;
    parquet::check_columns("the carried outages", &COLUMNS, &frame)?;
    parquet::write(&mut frame)
}

/// Reads the stores, sorted by their ids.
///
/// # Errors
/// It is not such a file.
pub(super) fn read(body: Bytes) -> Result<Vec<Carried>, ParquetError> {
    let frame = parquet::read(body)?;
    parquet::check_columns("the carried outages", &COLUMNS, &frame)?;
    let missing = |name: &str| ParquetError::Content(format!("{name} is null"));
    let text = |name: &str| -> PolarsResult<_> { Ok(frame.column(name)?.str()?.clone()) };
    let time = |name: &str| -> PolarsResult<_> { Ok(frame.column(name)?.datetime()?.physical().clone()) };
    let (ids, hours, outages) = (text("store_id")?, text("hours")?, text("outage")?);
    let labels: Vec<StringChunked> = OF_STORE.into_iter().map(text).collect::<PolarsResult<_>>()?;
    let (last, last_good) = (time("last_slot")?, time("last_good")?);
    let recent = frame.column("recent")?.i16()?;
    let mut stores = Vec::with_capacity(frame.height());
    for n in 0..frame.height() {
        let open: Option<(Outage, Option<OfStore>)> = outages.get(n).map(json).transpose()?;
        let (open, bad_labels) = open.map_or((None, None), |(outage, labels)| (Some(outage), labels));
        stores.push(Carried {
            store_id: ids.get(n).ok_or_else(|| missing("store_id"))?.to_owned(),
            labels: std::array::from_fn(|label| labels[label].get(n).map(str::to_owned)),
            track: Track {
                last: last.get(n).map(parquet::instant).transpose()?.map(Slot::of),
                last_good: last_good.get(n).map(parquet::instant).transpose()?,
                recent: Recent(recent.get(n).ok_or_else(|| missing("recent"))? as u8),
                open,
            },
            history: json(hours.get(n).ok_or_else(|| missing("hours"))?)?,
            bad_labels,
        });
    }
    Ok(stores)
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ParquetError> {
    serde_json::from_str(text).map_err(|error| ParquetError::Content(error.to_string()))
}
