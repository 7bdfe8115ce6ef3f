//! What a day's outages take over from the day before: the state of each store, in a Parquet file. Only
//! compacting reads it; it is no table of the catalog.

use bytes::Bytes;
use polars_core::prelude::*;
use storewatch_domain::Slot;
use storewatch_domain::outages::{Outage, Recent, Track};

use crate::parquet::{self, ParquetError, RowGroup};
use crate::tables::{self, OF_STORE};

use super::OfStore;
use super::files::FileRow;
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

impl FileRow for Carried {
    const NAME: &'static str = "the carried outages";

    fn schema() -> &'static [tables::Column] {
        &COLUMNS
    }

    fn store(&self) -> (&str, &OfStore) {
        (&self.store_id, &self.labels)
    }

    fn columns(rows: &[Self]) -> Result<(Vec<Column>, Vec<Column>), ParquetError> {
        let last = rows.iter().map(|store| store.track.last.map(Slot::first_instant)).collect();
        let last_good = rows.iter().map(|store| store.track.last_good).collect();
        let recent: Vec<i16> = rows.iter().map(|store| i16::from(store.track.recent.0)).collect();
        let json = |name: &str, value: &dyn Fn(&Self) -> serde_json::Result<Option<String>>| {
            let values = rows.iter().map(value).collect::<Result<Vec<_>, _>>();
            let values = values.map_err(|error| ParquetError::Content(error.to_string()))?;
            Ok::<_, ParquetError>(Series::new(name.into(), values).into_column())
        };
        let rest = vec![
            parquet::timestamps("last_slot", last)?,
            parquet::timestamps("last_good", last_good)?,
            Series::new("recent".into(), recent).into_column(),
            json("hours", &|store| serde_json::to_string(&store.history).map(Some))?,
            json("outage", &|store| {
                let open = store.track.open.as_ref().map(|outage| (outage, &store.bad_labels));
                open.map(|open| serde_json::to_string(&open)).transpose()
            })?,
        ];
        Ok((Vec::new(), rest))
    }
}

/// The last slot of any store in the file.
pub(super) fn last_slot(body: &Bytes) -> Result<Option<Slot>, ParquetError> {
    let mut last = None;
    for group in parquet::row_groups(body)? {
        let rows = group.rows()?;
        last = last.max(rows.column("last_slot")?.datetime()?.physical().iter().flatten().max());
    }
    Ok(last.map(parquet::instant).transpose()?.map(Slot::of))
}

/// The rows of a row group, sorted by their ids.
///
/// # Errors
/// It is not such a file.
pub(super) fn read(group: &RowGroup) -> Result<Vec<Carried>, ParquetError> {
    let frame = group.rows()?;
    parquet::check_columns(Carried::NAME, &COLUMNS, &frame)?;
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
