//! A country tick from its staged chunks: the tables' files, the row of `country_ticks`, and the next look.

use storewatch_domain::{Counts, Instant, Slot};
use storewatch_lake::availability::Meeting;
use storewatch_lake::objects::damaged;
use storewatch_lake::{Objects, Outcome, ParquetError, Put, Table, TickRecord, availability, keys, zones};
use storewatch_runtime::events::ChunkItem;
use storewatch_runtime::{CountryFile, FunctionError, Metric};

use crate::commit::{Standing, commit, note_pending, partitions};
use crate::current::{Before, basis, follow};
use crate::gather::{Gathered, Missing, all_unknown, gather};
use crate::handler::{Event, Merged, Ports};
use crate::levels::{self, Levels, compare};
use crate::look;
use crate::measure::{coverage_metric, fault_metric, outcome_metric};
use crate::usual::{Seen, Usual};

/// Characters of an error that are kept: it can contain a query.
const LONGEST_ERROR: usize = 2_000;

/// The gathered chunks, and what was found about them.
struct Tick {
    gathered: Gathered,
    meeting: Meeting,
    /// The release of the zones that the stores were judged by.
    tzdb: String,
    /// No id of the two sources has ever met, so no chunk's answer is used.
    is_unmet: bool,
    last: Result<Option<Levels>, FunctionError>,
}

/// One try; `None` if another merge has written the slot. `is_first` does not look for what the slot has.
pub(crate) async fn once(
    ports: &Ports<'_>,
    country: &CountryFile,
    event: &Event,
    manifest: &str,
    started_at: Instant,
    is_first: bool,
) -> Result<Option<Merged>, FunctionError> {
    let (objects, slot) = (ports.objects, event.slot);
    let now = ports.clock.now();
    let standing = async {
        match is_first {
            true => Ok(Standing::NOTHING),
            false => Standing::look(objects, event.country, slot).await,
        }
    };
    let (standing, basis, items) =
        tokio::join!(standing, basis(objects, event.country, slot, now), items(objects, event, manifest));
    let (standing, basis) = (standing?, basis?);
    let partitions = partitions(objects, event.country, slot, &Table::TICKED);
    if let Some(record) = standing.record.as_ref().filter(|record| record.outcome == Outcome::Complete) {
        tracing::info!("the slot is already complete");
        follow(objects, event.country, slot, now, None).await?;
        return Ok(Some(Merged::standing(partitions, record)));
    }
    let items = items?;
    // The note is there before anything is written. If nothing is, it only has the partitions registered again.
    let pending = keys::pending(event.country, slot);
    let (tick, before, ()) = tokio::try_join!(
        Tick::gather(objects, country, event, manifest, &items),
        async { Ok(Before::read(objects, event.country, basis.clone()).await?) },
        note_pending(objects, &pending, &partitions)
    )?;
    let summary = tick.gathered.rows.summary().map_err(unwritable)?;
    let counts = summary.counts;
    let record = tick.record(event, counts, started_at, ports.clock.now());
    let by_city = availability::by_city(slot, &summary).map_err(unwritable)?;
    let stands = standing.is_as_good_as(record.outcome, record.coverage);
    if stands {
        tracing::info!(
            outcome = record.outcome.as_str(),
            "the existing rows are at least as good; keeping them"
        );
    } else {
        let rows = &tick.gathered.rows;
        let mut current = before.current(objects, event.country, slot, rows).await?;
        let files = vec![
            (Table::StoreAvailability, rows.write().map_err(unwritable)?),
            (Table::AvailabilityByCity, by_city),
            (Table::CurrentOutages, current.write().map_err(unwritable)?),
            (Table::CountryTicks, record.write().map_err(unwritable)?),
        ];
        if commit(objects, &standing, event.country, slot, files).await? == Put::Conflict {
            return Ok(None);
        }
    }
    let observing_until = started_at.plus_micros(country.run.observing_micros());
    let written = Some(basis).filter(|_| !stands);
    let counts_now = !stands || event.look > 1;
    let (again, followed) = tokio::join!(
        tick.close(ports, country, event, observing_until, counts_now.then_some((&record, counts))),
        follow(objects, event.country, slot, ports.clock.now(), written)
    );
    let again = again?;
    followed?;
    let record = standing.record.filter(|_| stands).unwrap_or(record);
    tracing::info!(
        outcome = record.outcome.as_str(),
        stores = record.stores,
        coverage = record.coverage,
        error = record.error,
        look = event.look,
        looks_again = again.is_some(),
        "merged"
    );
    Ok(Some(Merged { again, ..Merged::standing(partitions, &record) }))
}

/// Reads the manifest. Chunks of another country or slot are refused.
async fn items(
    objects: &dyn Objects,
    event: &Event,
    manifest: &str,
) -> Result<Vec<ChunkItem>, FunctionError> {
    let body = objects.get(manifest).await?;
    let items: Vec<ChunkItem> =
        serde_json::from_slice(&body).map_err(|error| damaged(objects, manifest, error))?;
    match items.iter().find(|item| item.country != event.country || item.slot != event.slot) {
        None => Ok(items),
        Some(item) => Err(FunctionError::BadEvent {
            function: "merge",
            problem: format!(
                "manifest {manifest:?} is of {} {}, and the event of {} {}",
                item.country, item.slot, event.country, event.slot
            ),
        }),
    }
}

fn unwritable(source: ParquetError) -> FunctionError {
    FunctionError::File { what: "the files of the country tick", source }
}

/// The parts of the live view that decide whether the ids of the two sources can meet.
fn view(country: &CountryFile) -> String {
    let view = &country.live_view;
    format!("{} {} {:?}", view.index, view.id_field, view.id_type)
}

impl Tick {
    async fn gather(
        objects: &dyn Objects,
        country: &CountryFile,
        event: &Event,
        manifest: &str,
        items: &[ChunkItem],
    ) -> Result<Self, FunctionError> {
        // Every item has the zones that the tick was planned with.
        let key = items.first().and_then(|item| item.zones.clone());
        let rules = country.rules(&zones::of(objects, event.country, key).await?.zones)?;
        let (gathered, last) =
            tokio::join!(gather(objects, &rules, manifest, items), levels::last(objects, event.country));
        let mut gathered = gathered?;
        let meeting = gathered.rows.meeting().map_err(unwritable)?;
        let has_met = match &last {
            Ok(last) => last.as_ref().is_some_and(|last| last.has_met_in(&view(country))),
            Err(_) => true,
        };
        let is_unmet = meeting.is_empty() && !has_met;
        if is_unmet {
            gathered.rows = all_unknown(objects, &rules, items, gathered.schedule_as_of).await?;
        }
        let tzdb = rules.zones.release().to_owned();
        Ok(Self { gathered, meeting, tzdb, is_unmet, last })
    }

    fn record(&self, event: &Event, counts: Counts, started_at: Instant, finished_at: Instant) -> TickRecord {
        let chunks_unknown = self.chunks_unknown();
        TickRecord {
            slot: event.slot,
            started_at,
            finished_at,
            outcome: if chunks_unknown == 0 { Outcome::Complete } else { Outcome::Partial },
            stores: Some(counts.stores()),
            chunks: Some(self.gathered.chunks),
            chunks_unknown: Some(chunks_unknown),
            coverage: counts.coverage(),
            schedule_as_of: Some(self.gathered.schedule_as_of),
            error: self.error(),
            tzdb: Some(self.tzdb.clone()),
        }
    }

    fn chunks_unknown(&self) -> u32 {
        if self.is_unmet { self.gathered.chunks } else { self.gathered.missing.len() as u32 }
    }

    /// What went wrong, in one line: ids that do not meet, the first cause of a missing chunk, stale schedules.
    fn error(&self) -> Option<String> {
        let meeting = &self.meeting;
        let unmet = meeting.is_empty().then(|| {
            let unknown = if self.is_unmet { "; the stores are unknown until one id has met" } else { "" };
            format!(
                "ids do not meet: none of {} stores is in the live view, and none of its {} ids is a store's \
                 (the first are {:?} in PostgreSQL and {:?} in the live view; see id_field, id_type and the stores query){unknown}",
                meeting.observed,
                meeting.orphans,
                meeting.first_observed.as_deref().unwrap_or_default(),
                meeting.first_orphan.as_deref().unwrap_or_default()
            )
        });
        let missing = &self.gathered.missing;
        let cause = missing
            .first()
            .map(|first| format!("{} of {} chunks: {}", missing.len(), self.gathered.chunks, first.cause()));
        let stale = self.gathered.stale.as_ref().map(|stale| {
            format!("stale schedules of {}: {}: {}", stale.schedule_as_of, stale.error, stale.message)
        });
        let all: Vec<String> = [unmet, cause, stale].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; ").chars().take(LONGEST_ERROR).collect())
    }

    /// Decides about the next look, and sends the metrics after the last one: a slot counts once. `None`
    /// counts nothing.
    async fn close(
        self,
        ports: &Ports<'_>,
        country: &CountryFile,
        event: &Event,
        observing_until: Instant,
        counted: Option<(&TickRecord, Counts)>,
    ) -> Result<Option<look::Look>, FunctionError> {
        let again = self.again(ports, event, observing_until).await?;
        if let Some((record, counts)) = counted.filter(|_| again.is_none()) {
            let mut metrics: Vec<Metric> = outcome_metric(record.outcome).into_iter().collect();
            metrics.extend(coverage_metric(counts));
            metrics.extend(self.metrics(ports.objects, country, event.slot, counts).await);
            if !metrics.is_empty() {
                ports.metrics.put(event.country, &metrics).await;
            }
        }
        Ok(again)
    }

    /// The next look, if another look may find a missing chunk and there is time for it.
    async fn again(
        &self,
        ports: &Ports<'_>,
        event: &Event,
        observing_until: Instant,
    ) -> Result<Option<look::Look>, FunctionError> {
        let missing: Vec<&Missing> = self.gathered.missing.iter().filter(|one| one.may_pass()).collect();
        let (pause, now) = (ports.look_again_seconds, ports.clock.now());
        match look::wait_seconds(event.look, pause, event.slot, observing_until, now) {
            Some(wait) => look::write(ports.objects, &missing, event.look + 1, wait).await,
            None => Ok(None),
        }
    }

    /// The metrics of what went wrong, and of changes since the last tick.
    async fn metrics(
        self,
        objects: &dyn Objects,
        country: &CountryFile,
        slot: Slot,
        counts: Counts,
    ) -> Vec<Metric> {
        let config_errors = self.gathered.missing.iter().filter(|one| one.is_config()).count();
        let listed_share = self.meeting.listed_share().filter(|_| !self.is_unmet);
        let met_in = (self.meeting.listed > 0).then(|| view(country));
        let (stores, seen, usual) = (counts.stores(), Seen::of(counts), Usual::default());
        let levels = Levels { slot, stores, listed_share, met_in, seen, usual };
        let mut metrics = compare(objects, country.country, self.last, levels).await;
        metrics.extend(fault_metric("SchedulesStale", u64::from(self.gathered.stale.is_some())));
        metrics.extend(fault_metric("ConfigErrors", config_errors as u64));
        metrics.extend(fault_metric("IdsUnmet", u64::from(self.meeting.is_empty())));
        metrics
    }
}
