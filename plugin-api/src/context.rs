//! What a running stage knows of its host.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    BatchLimits, ContentType,
    abi::services::{HostApi, HostServices, Level, MetricKind},
};

/// How a stage is started; JSON on the boundary, where members may be added.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Start {
    /// Name of the host that it runs in.
    #[serde(default)]
    pub host: String,
    /// Name of the stage in hosts.toml.
    pub stage: String,
    /// Which of its instances this is, from 0.
    #[serde(default)]
    pub worker: u32,
    /// How many instances there are.
    #[serde(default = "one")]
    pub workers: u32,
    /// Limits of the batches that a source makes.
    #[serde(default)]
    pub batch: BatchLimits,
}

fn one() -> u32 {
    1
}

/// What a running stage knows of its host, and what the host does for it. Cheap to clone; may be
/// used from any thread.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    services: HostServices,
    start: Start,
    inputs: Vec<ContentType>,
}

impl Context {
    pub(crate) fn new(services: HostServices, start: Start, inputs: Vec<ContentType>) -> Self {
        Self(Arc::new(Inner {
            services,
            start,
            inputs,
        }))
    }

    /// Name of the host in hosts.toml.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.start.host
    }
    /// Name of the stage in hosts.toml.
    #[must_use]
    pub fn stage(&self) -> &str {
        &self.0.start.stage
    }
    /// Which instance of the stage this is, from 0.
    #[must_use]
    pub fn worker(&self) -> u32 {
        self.0.start.worker
    }
    /// How many instances there are.
    #[must_use]
    pub fn workers(&self) -> u32 {
        self.0.start.workers
    }
    /// Content type of each input.
    #[must_use]
    pub fn inputs(&self) -> &[ContentType] {
        &self.0.inputs
    }
    /// How large a batch should grow.
    #[must_use]
    pub fn batch_limits(&self) -> BatchLimits {
        self.0.start.batch
    }

    /// Logs something that failed.
    pub fn error(&self, message: impl AsRef<str>) {
        self.0.services.log(Level::Error, message.as_ref());
    }
    /// Logs something that deserves attention.
    pub fn warn(&self, message: impl AsRef<str>) {
        self.0.services.log(Level::Warn, message.as_ref());
    }
    /// Logs what a user wants to know, such as an address.
    pub fn info(&self, message: impl AsRef<str>) {
        self.0.services.log(Level::Info, message.as_ref());
    }
    /// Logs what an author wants to know.
    pub fn debug(&self, message: impl AsRef<str>) {
        self.0.services.log(Level::Debug, message.as_ref());
    }
    /// Wall clock of the host in microseconds since 1970; tests and replays set it.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        self.0.services.now_us()
    }
    /// Monotonic clock in nanoseconds.
    #[must_use]
    pub fn monotonic_ns(&self) -> u64 {
        self.0.services.monotonic_ns()
    }
    /// Sleeps until the monotonic clock says so. False: the stage was cancelled before that.
    /// A test's clock does not wait.
    #[must_use]
    pub fn sleep_until(&self, monotonic_ns: u64) -> bool {
        self.0.services.sleep_until(monotonic_ns)
    }
    /// Whether the run ends. A source stops by it; a processor or sink still gets what is under
    /// way, but waits for nothing from outside any more.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.0.services.cancelled()
    }
    /// Asks the host for a checkpoint soon; remembered if one is under way.
    pub fn request_checkpoint(&self) {
        self.0.services.request_checkpoint();
    }
    /// Adds to a counter of this stage.
    pub fn counter(&self, name: &str, add: u64) {
        self.0
            .services
            .metric(name, MetricKind::Counter, add as f64);
    }
    /// Sets a gauge of this stage.
    pub fn gauge(&self, name: &str, value: f64) {
        self.0.services.metric(name, MetricKind::Gauge, value);
    }
}
