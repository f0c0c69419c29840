//! The accounting that a host prints with `--summary json`.

use std::collections::BTreeMap;

use serde_json::Value;

/// What became of a stage's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Read from outside, or taken from the stages before.
    pub received: u64,
    /// Given to the stages behind.
    pub emitted: u64,
    /// Used; for a sink: delivered.
    pub consumed: u64,
    /// Left out on purpose.
    pub filtered: u64,
    /// Could not be used, and kept with the reason.
    pub dead_lettered: u64,
    /// Lost by a policy that says so.
    pub dropped: u64,
    /// Without a fate yet.
    pub in_flight: u64,
}

/// Stages by `host/stage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary(BTreeMap<String, Counts>);

impl Summary {
    /// Reads the summary from a host's standard output: its last line.
    ///
    /// # Panics
    /// If that is no summary.
    #[must_use]
    pub fn read(stdout: &[String]) -> Self {
        let line = stdout.last().expect("a summary on standard output");
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let mut stages = BTreeMap::new();
        for (host, body) in value["hosts"].as_object().expect("hosts") {
            for (stage, counts) in body["stages"].as_object().expect("stages") {
                let counts = counts.as_object().expect("counts");
                let of = |name: &str| {
                    let count = counts.get(name).and_then(Value::as_u64);
                    count.unwrap_or_else(|| panic!("{host}/{stage} has no count `{name}`"))
                };
                stages.insert(
                    format!("{host}/{stage}"),
                    Counts {
                        received: of("received"),
                        emitted: of("emitted"),
                        consumed: of("consumed"),
                        filtered: of("filtered"),
                        dead_lettered: of("dead_lettered"),
                        dropped: of("dropped"),
                        in_flight: of("in_flight"),
                    },
                );
            }
        }
        Self(stages)
    }

    /// The counts of `host/stage`.
    ///
    /// # Panics
    /// If there is no such stage.
    #[must_use]
    pub fn stage(&self, name: &str) -> Counts {
        *self
            .0
            .get(name)
            .unwrap_or_else(|| panic!("no stage {name} in {:?}", self.0.keys()))
    }

    /// Every stage, by name.
    pub fn stages(&self) -> impl Iterator<Item = (&str, Counts)> {
        self.0.iter().map(|(name, counts)| (name.as_str(), *counts))
    }

    /// Every record that a stage received has one fate, and none is without.
    ///
    /// # Panics
    /// Naming the stages for which that is not so.
    pub fn assert_balanced(&self) {
        let wrong: Vec<_> = self
            .stages()
            .filter(|(_, c)| {
                let fates = c.consumed + c.filtered + c.dead_lettered + c.dropped;
                c.in_flight != 0 || c.received != fates
            })
            .collect();
        assert!(wrong.is_empty(), "stages that do not balance: {wrong:#?}");
    }
}
