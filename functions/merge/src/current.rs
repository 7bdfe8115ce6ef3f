//! The current outages of a tick: what the tick before said, and what this one saw.
//!
//! A tick's file depends on those of the ticks before it, and these can still change: by a tick that comes
//! late or at the same time. So what it was made of is compared again after it was written, and whoever
//! writes a slot makes the files of later slots again. Every write is conditional, and none ends before the
//! files that it was made of were seen unchanged after it: of two that cross, the last one sees the other.

use std::collections::BTreeMap;

use storewatch_domain::current::{Down, HORIZON, LOOKS, down_at, since_after};
use storewatch_domain::{CountryCode, Day, Instant, Slot};
use storewatch_lake::availability::AvailabilityRows;
use storewatch_lake::current::{CurrentRows, EarlierLooks};
use storewatch_lake::objects::damaged;
use storewatch_lake::{Condition, LakeError, Objects, ParquetError, Put, Table, keys};
use storewatch_runtime::{FunctionError, describe};

/// How often a file is made again because what it was made of has changed.
const TRIES: usize = 10;

/// After this many slots that have not changed, later ones are not looked at: a day.
const QUIET: usize = 96;

/// The files of a slot, as far as current outages are made of them: their entity tags.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    rows: String,
    /// `None` if there is none yet.
    current: Option<String>,
}

/// The ticks around a slot that have rows.
struct Ticks(BTreeMap<Slot, Files>);

/// What a file of current outages was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Basis {
    /// The current outages of the tick before.
    current: Option<String>,
    /// The ticks before and their rows, the latest first: one more than are ever read.
    ticks: Vec<(Slot, String)>,
}

/// The tick before, as far as current outages are made of it.
pub(crate) struct Before {
    basis: Basis,
    current: Option<CurrentRows>,
    looks: Option<EarlierLooks>,
}

impl Ticks {
    /// Lists the ticks of the slot's day, of the day before if a tick before the slot can be there, and of
    /// the day after if it has begun.
    ///
    /// # Errors
    /// `LakeUnavailable`.
    async fn around(
        objects: &dyn Objects,
        country: CountryCode,
        slot: Slot,
        now: Instant,
    ) -> Result<Self, LakeError> {
        let day = slot.day();
        let of = |day: Option<Day>| async move {
            match day {
                Some(day) => Self::list(objects, country, day).await,
                None => Ok(BTreeMap::new()),
            }
        };
        let is_early = (slot.start() - day.first_slot().start()) / Slot::SECONDS <= LOOKS as i64;
        let (previous, next) = (day.plus_days(-1), day.plus_days(1));
        let (own, before, after) = tokio::join!(
            of(Some(day)),
            of(previous.filter(|_| is_early)),
            of(next.filter(|next| Day::containing(now) >= *next)),
        );
        let (mut all, before) = (own?, before?);
        all.extend(before);
        if !is_early && all.range(..slot).count() <= LOOKS {
            all.extend(of(previous).await?);
        }
        all.extend(after?);
        Ok(Self(all))
    }

    async fn list(
        objects: &dyn Objects,
        country: CountryCode,
        day: Day,
    ) -> Result<BTreeMap<Slot, Files>, LakeError> {
        let folder = |table| keys::partition_prefix(table, country, day);
        let (rows, current) = (folder(Table::StoreAvailability), folder(Table::CurrentOutages));
        let (rows, current) = tokio::join!(objects.list(&rows), objects.list(&current));
        let by_slot = |table: Table, listed: Vec<storewatch_lake::ListedObject>| {
            let of = listed.into_iter();
            of.filter_map(move |one| Some((keys::slot_of_file(table, country, &one.key)?, one.etag)))
        };
        let mut current: BTreeMap<Slot, String> = by_slot(Table::CurrentOutages, current?).collect();
        let rows = by_slot(Table::StoreAvailability, rows?);
        Ok(rows.map(|(slot, rows)| (slot, Files { rows, current: current.remove(&slot) })).collect())
    }

    /// What the slot's current outages are to be made of.
    fn basis(&self, slot: Slot) -> Basis {
        let before = self.0.range(..slot).rev();
        let before = before.take_while(|(earlier, _)| slot.start() - earlier.start() <= HORIZON);
        let before: Vec<_> = before.take(LOOKS + 1).collect();
        let current = before.first().and_then(|(_, files)| files.current.clone());
        Basis {
            current,
            ticks: before.into_iter().map(|(slot, files)| (*slot, files.rows.clone())).collect(),
        }
    }

    /// The next tick, if it can be made of this one.
    fn after(&self, slot: Slot) -> Option<Slot> {
        let (next, _) = self.0.range(Slot::containing(slot.end())..).next()?;
        (next.start() - slot.start() <= HORIZON).then_some(*next)
    }
}

/// What the slot's current outages are to be made of. The tick before gets its own if its merge has not
/// written them: it may never come back.
///
/// # Errors
/// `LakeUnavailable`.
pub(crate) async fn basis(
    objects: &dyn Objects,
    country: CountryCode,
    slot: Slot,
    now: Instant,
) -> Result<Basis, FunctionError> {
    let basis = Ticks::around(objects, country, slot, now).await?.basis(slot);
    match basis.ticks.first() {
        Some((before, _)) if basis.current.is_none() => {
            again(objects, country, *before, now).await?;
            Ok(Ticks::around(objects, country, slot, now).await?.basis(slot))
        }
        _ => Ok(basis),
    }
}

impl Before {
    /// Reads the tick before. A damaged file is taken for none, because the ticks after it must go on.
    ///
    /// # Errors
    /// `LakeUnavailable`.
    pub(crate) async fn read(
        objects: &dyn Objects,
        country: CountryCode,
        basis: Basis,
    ) -> Result<Self, LakeError> {
        let Some(tick) = basis.ticks.first().map(|(slot, _)| *slot) else {
            return Ok(Self { basis, current: None, looks: None });
        };
        let current = async {
            let Some(_) = &basis.current else { return Ok(None) };
            let key = keys::table_file(Table::CurrentOutages, country, tick);
            Ok::<_, LakeError>(intact(objects, &key, CurrentRows::read(objects.get(&key).await?)))
        };
        let (current, looks) = tokio::join!(current, looks(objects, country, tick));
        let (current, looks) = (current?, looks?);
        Ok(Self { basis, current, looks })
    }

    /// The current outages of the slot.
    ///
    /// # Errors
    /// `LakeUnavailable`.
    pub(crate) async fn current(
        &self,
        objects: &dyn Objects,
        country: CountryCode,
        slot: Slot,
        rows: &AvailabilityRows,
    ) -> Result<CurrentRows, FunctionError> {
        let looks = rows.looks().map_err(unwritable)?;
        let outages = self.current.as_ref().map(CurrentRows::outages).transpose().map_err(unwritable)?;
        let before =
            self.basis.ticks.first().map(|(slot, _)| (*slot, outages.as_deref().unwrap_or_default()));
        let mut down = down_at(slot, &looks, before);
        self.date(objects, country, &mut down).await?;
        CurrentRows::new(slot, &down, rows, self.current.as_ref()).map_err(unwritable)
    }

    /// Finds since when the new outages can have lasted.
    async fn date(
        &self,
        objects: &dyn Objects,
        country: CountryCode,
        down: &mut [Down<'_>],
    ) -> Result<(), FunctionError> {
        let mut new: Vec<&mut Down<'_>> = down.iter_mut().filter(|one| one.outage.is_new).collect();
        for (n, (tick, _)) in self.basis.ticks.iter().take(LOOKS).enumerate() {
            if new.is_empty() {
                return Ok(());
            }
            let read = if n > 0 { looks(objects, country, *tick).await? } else { self.looks.clone() };
            let mut left = Vec::new();
            for one in new {
                let good = read.as_ref().map(|looks| looks.good(one.id)).transpose().map_err(unwritable)?;
                let outage = &mut one.outage;
                outage.since_after = since_after(outage.opened_at, *tick, good.flatten());
                if outage.since_after.is_none() {
                    left.push(one);
                }
            }
            new = left;
        }
        // All ticks that there are have been searched: what is left is the opening.
        if self.basis.ticks.len() <= LOOKS {
            new.into_iter().for_each(|one| one.outage.since_after = one.outage.opened_at);
        }
        Ok(())
    }
}

async fn looks(
    objects: &dyn Objects,
    country: CountryCode,
    tick: Slot,
) -> Result<Option<EarlierLooks>, LakeError> {
    let key = keys::table_file(Table::StoreAvailability, country, tick);
    let body = objects.get(&key).await?;
    Ok(intact(objects, &key, EarlierLooks::read(tick, body)))
}

/// The content of an earlier file, unless it is damaged.
fn intact<T>(objects: &dyn Objects, key: &str, read: Result<T, ParquetError>) -> Option<T> {
    match read {
        Ok(content) => Some(content),
        Err(error) => {
            let error = FunctionError::from(damaged(objects, key, error));
            tracing::error!(error = describe(&error), "going on without it");
            None
        }
    }
}

fn unwritable(source: ParquetError) -> FunctionError {
    FunctionError::File { what: "the current outages", source }
}

/// Makes the current outages of the slot and of later ones again where what they are made of has changed.
/// `written` is what the slot's own file was made of, if this merge has just written it.
///
/// # Errors
/// `LakeUnavailable`. Running it again does the rest.
pub(crate) async fn follow(
    objects: &dyn Objects,
    country: CountryCode,
    slot: Slot,
    now: Instant,
    written: Option<Basis>,
) -> Result<(), FunctionError> {
    let mut ticks = Ticks::around(objects, country, slot, now).await?;
    if written.as_ref() != Some(&ticks.basis(slot)) {
        again(objects, country, slot, now).await?;
        ticks = Ticks::around(objects, country, slot, now).await?;
    }
    // A merge that died here has made only the first of them again, so one that is unchanged may be of its
    // work, and is no reason to stop.
    let (mut at, mut quiet) = (slot, 0);
    while let Some(next) = ticks.after(at).filter(|_| quiet < QUIET) {
        quiet = if again(objects, country, next, now).await? { 0 } else { quiet + 1 };
        at = next;
        ticks = Ticks::around(objects, country, at, now).await?;
    }
    Ok(())
}

/// Makes a slot's current outages again from its rows and the tick before. Returns whether they changed. If its
/// own merge is just writing them, that finds them changed and starts again.
async fn again(
    objects: &dyn Objects,
    country: CountryCode,
    slot: Slot,
    now: Instant,
) -> Result<bool, FunctionError> {
    let key = keys::table_file(Table::CurrentOutages, country, slot);
    let mut changed = false;
    for _ in 0..TRIES {
        let ticks = Ticks::around(objects, country, slot, now).await?;
        let Some(files) = ticks.0.get(&slot) else { return Ok(changed) };
        let condition = files.current.clone().map_or(Condition::Absent, Condition::Unchanged);
        let held = async {
            let Some(_) = &files.current else { return Ok(None) };
            let body = objects.get(&key).await?;
            Ok::<_, LakeError>(intact(objects, &key, CurrentRows::read(body)))
        };
        let own = keys::table_file(Table::StoreAvailability, country, slot);
        let (held, rows, before) =
            tokio::join!(held, objects.get(&own), Before::read(objects, country, ticks.basis(slot)));
        let Some(mut rows) = intact(objects, &own, AvailabilityRows::read(rows?)) else { return Ok(changed) };
        let held = held?;
        if let Some(held) = &held {
            // The hours are not at hand any more, but the file tells the openings.
            rows = rows.with_openings(held).map_err(unwritable)?;
        }
        let mut current = before?.current(objects, country, slot, &rows).await?;
        if held.is_some_and(|held| held.is_same(&current)) {
            return Ok(changed);
        }
        let body = current.write().map_err(unwritable)?;
        if objects.put_again_if(&key, body, condition).await? == Put::Done {
            tracing::info!(slot = %slot, "made the current outages again, from earlier looks that have come since");
            changed = true;
        }
    }
    Err(LakeError::Failed {
        operation: "conditional put",
        bucket: objects.bucket().to_owned(),
        key,
        source: format!("others changed it or the slots before {TRIES} times").into(),
    }
    .into())
}
