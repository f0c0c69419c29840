//! What every stage must keep, whatever it does, as one call from an author's test:
//!
//! ```ignore
//! #[test]
//! fn it_keeps_the_contract() {
//!     conformance::processor::<ThisPlugin>(
//!         "shout",
//!         &json!({"suffix": "!"}),
//!         &ContentType::text(),
//!         &[batch_of(["one", "two"]), batch_of(["three"])],
//!     );
//! }
//! ```
//!
//! Each function panics and says what was broken. Output must depend on options and input alone,
//! not on the time of day: the stage's clock stands still.

mod awkward;
mod planning;
mod processor;
mod sink;
mod source;

pub use planning::plan;
pub use processor::processor;
pub use sink::{files, sink};
pub use source::source;

use super::{Harness, TestHost};
use crate::{Code, ContentType, StageError, abi::root::Plugin, manifest::Manifest};

/// One stage of a plugin, to be opened again and again.
struct Subject<'a> {
    kind: &'static str,
    name: &'a str,
    options: &'a serde_json::Value,
    inputs: &'a [ContentType],
    state_version: u32,
}

impl<'a> Subject<'a> {
    fn new<P: Plugin>(
        kind: &'static str,
        name: &'a str,
        options: &'a serde_json::Value,
        inputs: &'a [ContentType],
    ) -> Self {
        let manifest = Manifest::of::<P>();
        let stages = &manifest.stages;
        let stage = stages
            .iter()
            .find(|s| s.kind.as_str() == kind && s.name == name);
        let stage = stage.unwrap_or_else(|| panic!("the plugin has no {kind} `{name}`"));
        Self {
            kind,
            name,
            options,
            inputs,
            state_version: stage.state_version,
        }
    }

    /// A new instance, as it is after its last epoch: restored, and that epoch committed again.
    fn start<P: Plugin>(&self, epoch: u64, state: Option<&[u8]>) -> Harness<P> {
        let mut stage = self.blank();
        let known: Vec<u64> = (epoch.saturating_sub(1)..=epoch)
            .rev()
            .filter(|e| *e > 0)
            .collect();
        let says = must("recover", stage.recover(&known));
        assert!(
            says.is_none_or(|e| e == 0 || known.contains(&e)),
            "`recover` answered epoch {says:?}, which is none of {known:?}"
        );
        must("restore", stage.restore(epoch, self.state_version, state));
        if epoch > 0 {
            must("commit after restore", stage.commit(epoch));
        }
        stage
    }

    fn blank<P: Plugin>(&self) -> Harness<P> {
        let host = TestHost::leaked();
        host.set_now_us(NOW_US);
        let opened = Harness::open_blank(
            host,
            self.kind,
            self.name,
            self.options,
            self.inputs,
            (0, 1),
        );
        must("open", opened)
    }

    /// Calls that may come at any time and change nothing.
    fn harmless<P: Plugin>(&self) {
        let mut stage = self.start::<P>(0, None);
        must("abort of an epoch it never saw", stage.abort(77));
        must("close", stage.close());
        // What a torn disk may hold: an error, or nothing of it believed, but no panic.
        let mut stage = self.blank::<P>();
        let torn = stage.restore(1, self.state_version, Some(b"\xff\0no state"));
        no_panic("restore of a torn state", torn.err());
        // After an error the host may still close it, or just drop it.
        no_panic("close after an error", stage.close().err());
    }
}

/// Where the clock of the stages stands: 1 January 2024.
pub(super) const NOW_US: i64 = 1_704_067_200_000_000;

fn must<T>(call: &str, result: Result<T, StageError>) -> T {
    result.unwrap_or_else(|e| panic!("{call}: {:?}: {e}", e.code))
}

fn no_panic(call: &str, error: Option<StageError>) {
    if let Some(e) = error {
        assert!(e.code != Code::PANIC, "{call}: it panicked: {e}");
    }
}
