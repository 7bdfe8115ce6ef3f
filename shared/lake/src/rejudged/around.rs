//! What the live view showed around the stores of a range of ids.
//!
//! A store without a row in a slot is judged by the rows around it ([`Looks`](storewatch_domain::Looks)), in
//! the order of the live view's ids. A range of the day has the rows between two texts: numbers are in another
//! order, and the rows around may be in another range. But neighbours nearly all show the same, because a
//! chunk is looked at as a whole. So for each slot it is enough to know the first and the last id of each run
//! of rows that show the same.

use std::collections::{BTreeMap, HashMap};

use polars_core::prelude::*;
use storewatch_domain::{IdType, Look, Slot, Store, StoreKey};

use crate::availability::status;
use crate::parquet::{self, ParquetError};

/// The columns that [`Around::add`] needs.
pub(super) const COLUMNS: [&str; 7] =
    ["slot", "store_id", "observed_at", "listed", "online", "status", "reason"];

/// The ends of the runs of each slot, and what was shown there.
pub(super) struct Around {
    id_type: IdType,
    ends: BTreeMap<Slot, Vec<(String, Look)>>,
    /// The ids of all rows by their number, if the live view's ids are numbers.
    ids: HashMap<StoreKey, String>,
    /// Whether two rows have the same number, in other digits.
    is_ambiguous: bool,
}

/// What distinguishes a run: between two ids of the same length and sign are only ids of the same range of
/// texts.
type Run = (usize, bool, Look);

impl Around {
    pub(super) fn new(id_type: IdType) -> Self {
        Self { id_type, ends: BTreeMap::new(), ids: HashMap::new(), is_ambiguous: false }
    }

    /// The ends of a slot's runs.
    pub(super) fn of(&self, slot: Slot) -> &[(String, Look)] {
        self.ends.get(&slot).map_or(&[], Vec::as_slice)
    }

    /// Whether a number is written in two ways, by rows or by these stores, such as `7` and `007`. Then what
    /// belongs together may be in different ranges.
    pub(super) fn is_ambiguous(&self, stores: &[Store]) -> bool {
        let other = |store: &Store| {
            let key = StoreKey::new(&store.id, self.id_type)?;
            self.ids.get(&key).filter(|id| **id != store.id)
        };
        self.is_ambiguous || stores.iter().any(|store| other(store).is_some())
    }

    /// Forgets what is only needed for [`Around::is_ambiguous`].
    pub(super) fn settle(&mut self) {
        self.ids = HashMap::new();
    }

    /// Adds the rows of a range.
    pub(super) fn add(&mut self, rows: &DataFrame) -> Result<(), ParquetError> {
        if rows.height() == 0 {
            return Ok(());
        }
        let ids = rows.column("store_id")?.str()?;
        let slots = rows.column("slot")?.datetime()?.physical();
        let places = self.places(ids);
        let mut by_slot = BTreeMap::<i64, Vec<(usize, usize)>>::new();
        for (n, id) in ids.iter().enumerate() {
            let id = id.ok_or_else(|| ParquetError::Content("store_id is null".to_owned()))?;
            let slot = slots.get(n).ok_or_else(|| ParquetError::Content("slot is null".to_owned()))?;
            by_slot.entry(slot).or_default().push((places[id], n));
        }
        let looks = Shown::of(rows)?;
        for (slot, mut rows) in by_slot {
            rows.sort_unstable();
            let ends = self.ends.entry(Slot::of(parquet::instant(slot)?)).or_default();
            add_runs(self.id_type, ends, rows.into_iter().map(|(_, n)| n), ids, &looks)?;
        }
        Ok(())
    }

    /// The place of each id in the order of the live view's ids.
    fn places<'a>(&mut self, ids: &'a StringChunked) -> HashMap<&'a str, usize> {
        let (mut places, mut last) = (HashMap::new(), None);
        for id in ids.iter().flatten().filter(|id| last.replace(*id) != Some(*id)) {
            places.entry(id).or_insert(0);
        }
        let mut order: Vec<(Option<StoreKey>, &str)> =
            places.keys().map(|id| (StoreKey::new(id, self.id_type), *id)).collect();
        order.sort_unstable();
        for (place, (key, id)) in order.into_iter().enumerate() {
            places.insert(id, place);
            if let Some(key @ StoreKey::Long(_)) = key {
                let other = self.ids.insert(key, id.to_owned());
                self.is_ambiguous |= other.is_some_and(|other| other != id);
            }
        }
        places
    }
}

/// Adds the ends of the runs of some rows of a slot, which come in the order of the live view's ids.
fn add_runs(
    id_type: IdType,
    ends: &mut Vec<(String, Look)>,
    rows: impl Iterator<Item = usize>,
    ids: &StringChunked,
    shown: &Shown,
) -> Result<(), ParquetError> {
    let mut run: Option<(Run, &str, &str)> = None;
    let mut end = |run: Option<(Run, &str, &str)>| {
        let Some(((_, _, look), first, last)) = run else { return };
        ends.extend((first != last).then(|| (first.to_owned(), look.clone())));
        ends.push((last.to_owned(), look));
    };
    for n in rows {
        let id = ids.get(n).unwrap_or_default();
        let is_number = id_type == IdType::Long;
        let own = (if is_number { id.len() } else { 0 }, is_number && id.starts_with('-'), shown.look(n)?);
        match &mut run {
            Some((same, _, last)) if *same == own => *last = id,
            _ => end(run.replace((own, id, id))),
        }
    }
    end(run);
    Ok(())
}

/// What the rows say about the live view.
struct Shown {
    observed_at: Int64Chunked,
    listed: BooleanChunked,
    status: StringChunked,
    reason: StringChunked,
}

impl Shown {
    fn of(rows: &DataFrame) -> Result<Self, ParquetError> {
        Ok(Self {
            observed_at: rows.column("observed_at")?.datetime()?.physical().clone(),
            listed: rows.column("listed")?.bool()?.clone(),
            status: rows.column("status")?.str()?.clone(),
            reason: rows.column("reason")?.str()?.clone(),
        })
    }

    /// What a row says about the chunk that it is in: not of its own store.
    fn look(&self, n: usize) -> Result<Look, ParquetError> {
        let at = self.observed_at.get(n).map(parquet::instant).transpose()?;
        let listed = self.listed.get(n).map(|_| false);
        let reason = if at.is_some() && listed.is_some() { None } else { self.reason.get(n) };
        Ok(Look::from_row(at, listed, None, status(self.status.get(n))?, reason))
    }
}
