//! Records over which a stage crashes. After its first crash a stage gets its records one by one
//! for a while; a record over which it crashes then is known by its content and goes to the dead
//! letters when it comes again, so that one record cannot hold up a stream for ever.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use plugin_api::Record;

/// Most records that are known at a time.
const MAX: usize = 1_000;

/// Records that a stage cannot bear.
#[derive(Debug, Default)]
pub struct Poison {
    careful: AtomicBool,
    known: Mutex<HashMap<u64, String>>,
}

impl Poison {
    fn known(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether records are to be given one by one.
    pub fn is_careful(&self) -> bool {
        self.careful.load(Ordering::Relaxed)
    }

    /// From now on, or no longer. What is known stays known while careful.
    pub fn set_careful(&self, careful: bool) {
        self.careful.store(careful, Ordering::Relaxed);
        if !careful {
            self.known().clear();
        }
    }

    /// It crashed over this record alone, with these words. False: it was known, or too many are.
    pub fn found(&self, record: &Record<'_>, words: &str) -> bool {
        let mut known = self.known();
        known.len() < MAX && known.insert(fingerprint(record), words.into()).is_none()
    }

    /// Why this record is not given to the stage, if it is not.
    pub fn why(&self, record: &Record<'_>) -> Option<String> {
        let known = self.known();
        if known.is_empty() {
            return None;
        }
        known.get(&fingerprint(record)).cloned()
    }
}

fn fingerprint(record: &Record<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.value().hash(&mut hasher);
    record.key().hash(&mut hasher);
    record.ts_us().hash(&mut hasher);
    for header in record.headers() {
        header.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use plugin_api::BatchBuilder;

    use super::*;

    #[test]
    fn a_record_is_known_again_by_its_content() {
        let mut b = BatchBuilder::new();
        b.push(Some(b"bad")).push(Some(b"good"));
        let batch = b.finish();
        let poison = Poison::default();
        assert!(!poison.is_careful() && poison.why(&batch.record(0)).is_none());
        poison.set_careful(true);
        assert!(poison.found(&batch.record(0), "boom"));
        assert!(!poison.found(&batch.record(0), "boom"), "nothing new");
        b.push(Some(b"bad"));
        assert_eq!(poison.why(&b.finish().record(0)).as_deref(), Some("boom"));
        assert!(poison.why(&batch.record(1)).is_none());
        poison.set_careful(false);
        assert!(poison.why(&batch.record(0)).is_none());
    }
}
