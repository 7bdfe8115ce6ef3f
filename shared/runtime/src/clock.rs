//! The current time, behind a trait so that tests can run at any time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use storewatch_domain::Instant;

/// A source of the current time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Instant;

    /// Returns once this time has passed.
    async fn wait(&self, time: Duration);
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    /// # Panics
    /// The system's clock is outside the years 1970 to 9999.
    #[expect(clippy::expect_used, reason = "a machine with such a clock can reach no server over TLS")]
    fn now(&self) -> Instant {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        since
            .and_then(|since| Instant::from_micros(i64::try_from(since.as_micros()).ok()?))
            .expect("the system's clock is outside the years 1970 to 9999")
    }

    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
