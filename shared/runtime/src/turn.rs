//! Waits for a turn at a live view that has no room now: it serves users first.

use std::time::Duration;

use storewatch_domain::{IdRange, Observation};
use storewatch_sources::{LiveView, LiveViewError};

use crate::clock::Clock;

/// No try begins later than this after the first. The last one's requests must still fit into the function's limit
/// (60 s in infra/country.yaml).
const PATIENCE: Duration = Duration::from_secs(25);
/// The first pause at most; each later one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Observes a range of the live view. While its server has no room, waits and asks again.
///
/// Pauses are random, so that chunks that were refused together do not come back together, and at least as long as the
/// server asks for. The observation is of the try that succeeded.
///
/// # Errors
/// As [`LiveView::observe`], but never `Busy`: a server that had no room all the time is what its last answer says.
pub async fn observe_in_turn(
    clock: &dyn Clock,
    view: &dyn LiveView,
    range: &IdRange,
) -> Result<Observation, LiveViewError> {
    let (began, mut longest) = (clock.now(), FIRST_PAUSE);
    loop {
        let at = clock.now();
        let (error, after) = match view.observe(range).await {
            Ok(stores) => return Ok(Observation { at, stores }),
            Err(LiveViewError::Busy { error, after }) => (error, after.unwrap_or_default()),
            Err(error) => return Err(error),
        };
        let pause = after + longest.mul_f64(0.5 + fastrand::f64() / 2.0);
        let waited = Duration::from_micros(clock.now().micros_since(began).max(0).unsigned_abs());
        if waited + pause > PATIENCE {
            return Err(*error);
        }
        tracing::info!(pause = pause.as_secs_f64(), "the live view has no room now; waiting: {error}");
        clock.wait(pause).await;
        longest = LONGEST_PAUSE.min(longest * 2);
    }
}
