//! Waits between attempts, and words that are said once per trouble.

use plugin_api::{StageError, batch::monotonic_ns};

use super::shared::{Phase, StageShared};

/// First wait after transient trouble, in nanoseconds; doubles up to [`RETRY_MAX_NS`].
const RETRY_MIN_NS: u64 = 100_000_000;
/// Longest wait after transient trouble, in nanoseconds.
const RETRY_MAX_NS: u64 = 30_000_000_000;

/// The wait before attempt number `attempts` after the first.
pub fn backoff_ns(attempts: u32) -> u64 {
    RETRY_MIN_NS
        .saturating_mul(1 << attempts.min(16))
        .min(RETRY_MAX_NS)
}

/// Attempts at one call.
#[derive(Debug, Default)]
pub struct Retry {
    attempts: u32,
    said: String,
}

impl Retry {
    /// When to try again.
    pub fn after(&mut self, stage: &StageShared, e: &StageError) -> u64 {
        if self.said != e.message {
            let (host, stage) = (&*stage.host, &*stage.name);
            tracing::warn!(host, stage, "{}; waiting, and trying again", e.message);
            self.said.clone_from(&e.message);
        }
        stage.set_phase(Phase::Waiting);
        let own = backoff_ns(self.attempts);
        self.attempts += 1;
        let wait = e
            .retry_after
            .map_or(own, |d| u64::try_from(d.as_nanos()).unwrap_or(own));
        monotonic_ns() + wait
    }

    /// It went well.
    pub fn over(&mut self, stage: &StageShared) {
        if self.attempts > 0 {
            let (host, stage_name) = (&*stage.host, &*stage.name);
            tracing::info!(
                host,
                stage = stage_name,
                "goes on after {} attempts",
                self.attempts
            );
            *self = Self::default();
            stage.set_phase(Phase::Running);
        }
    }
}
