//! The next look at the live view: a partial tick looks again for its missing chunks, while its slot and its time
//! to observe last.

use serde::Serialize;
use storewatch_domain::{Instant, Slot};
use storewatch_lake::objects::json;
use storewatch_lake::{Objects, keys};
use storewatch_runtime::FunctionError;
use storewatch_runtime::events::ChunkItem;

use crate::gather::Missing;

/// The next look, in the form that the state machine takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Look {
    /// From 2: the first look is at the whole manifest.
    pub number: u32,
    /// The key of its chunks, a JSON array like the manifest's.
    pub items: String,
    pub wait_seconds: u64,
}

/// Looks per tick. With pauses of 60, 120 and 180 s no more fit into its time to observe.
const LOOKS: u32 = 4;
/// The least time that a look needs.
const ROOM_MICROS: i64 = 10 * 1_000_000;

/// Seconds to wait after a look before the next: one pause more each time, or less if there is not enough time.
/// `observing_until` is when the tick has used up its time to observe. `None` if less than a pause is left, or if
/// `pause` is 0, which means never.
pub fn wait_seconds(
    look: u32,
    pause: u64,
    slot: Slot,
    observing_until: Instant,
    now: Instant,
) -> Option<u64> {
    let until = observing_until.micros().min(slot.end() * 1_000_000) - ROOM_MICROS;
    let left = ((until - now.micros()) / 1_000_000).max(0) as u64;
    (pause > 0 && look < LOOKS && left >= pause).then(|| left.min(pause * u64::from(look)))
}

/// Writes the list of chunks for the next look.
///
/// # Errors
/// `LakeUnavailable`.
pub async fn write(
    objects: &dyn Objects,
    missing: &[&Missing],
    number: u32,
    wait_seconds: u64,
) -> Result<Option<Look>, FunctionError> {
    let Some(first) = missing.first().map(|missing| &missing.item) else { return Ok(None) };
    let key = keys::missing_chunks(first.country, first.slot, number);
    let items: Vec<&ChunkItem> = missing.iter().map(|missing| &missing.item).collect();
    objects.put(&key, json(objects, &key, &items)?).await?;
    Ok(Some(Look { number, items: key, wait_seconds }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_the_last_look_is_as_late_as_it_can_be() {
        let slot: Slot = "2026-11-23T04:15:00Z".parse().unwrap();
        let at = |seconds: i64| slot.first_instant().plus_micros(seconds * 1_000_000);
        let wait = |look, pause, now| wait_seconds(look, pause, slot, at(452), at(now));
        assert_eq!([wait(1, 60, 30), wait(2, 60, 120), wait(3, 60, 270)], [Some(60), Some(120), Some(172)]);
        assert_eq!([wait(3, 60, 382), wait(3, 60, 383), wait(1, 60, 900)], [Some(60), None, None]);
        assert_eq!([wait(4, 60, 30), wait(1, 0, 30)], [None, None]);
        // A tick that started late reaches the end of its slot first.
        assert_eq!(wait_seconds(1, 60, slot, at(1250), at(820)), Some(60));
        assert_eq!(wait_seconds(1, 60, slot, at(1250), at(831)), None);
    }
}
