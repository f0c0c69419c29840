//! What is true when an epoch is: the state of each instance of a region, as one file.
//!
//! The file: eight bytes of magic, the length of the head, the head as JSON, the states one behind
//! the other, and a CRC-32 over all before it. States are the plugins' own bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// First bytes of a file, with the version of the format.
const MAGIC: &[u8; 8] = b"SMHEPO\x00\x01";
/// Bytes before the head.
const FIXED: usize = 12;

/// How many records of an instance met which fate up to an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Records that came in.
    pub received: u64,
    /// Records that went out.
    pub emitted: u64,
    /// Records that were used.
    pub consumed: u64,
    /// Records passed over on purpose.
    pub filtered: u64,
    /// Records that could not be used and were kept.
    pub dead_lettered: u64,
    /// Records dropped by policy.
    pub dropped: u64,
}

/// What one instance of a stage said at the barrier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Kind and name of the plugin's stage: another one cannot take the state over.
    pub plugin: String,
    /// Version of the state, as the stage's manifest says.
    pub version: u32,
    /// The stage's own bytes.
    pub state: Vec<u8>,
    /// Lanes that had ended, by [`lane name`](crate::checkpoint::shape::lane).
    pub ended: Vec<String>,
    /// A source: it reads nothing more.
    pub finished: bool,
    /// Its accounts.
    pub tally: Tally,
}

/// Where the dead letters of a region stood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LettersMark {
    /// The open file, if one was: its name and length.
    pub file: Option<(String, u64)>,
    /// Letters written since the run began.
    pub count: u64,
    /// Number of the next file.
    pub next: u64,
}

/// An epoch of a region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Epoch {
    /// Its number, from 1.
    pub number: u64,
    /// Whether a run ended with it.
    pub last: bool,
    /// Whether that run ended because every source came to its end.
    pub complete: bool,
    /// When it was written, microseconds since 1970.
    pub at_us: i64,
    /// How long it took from its barrier until then, in microseconds.
    pub took_us: u64,
    /// The instances, by [`instance name`](crate::checkpoint::shape::instance).
    pub instances: BTreeMap<String, Snapshot>,
    /// Dead letters.
    pub letters: LettersMark,
}

#[derive(Serialize, Deserialize)]
struct Head {
    number: u64,
    last: bool,
    complete: bool,
    at_us: i64,
    #[serde(default)]
    took_us: u64,
    instances: BTreeMap<String, Entry>,
    letters: LettersMark,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    plugin: String,
    version: u32,
    length: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ended: Vec<String>,
    #[serde(default)]
    finished: bool,
    tally: Tally,
}

impl Epoch {
    /// Whether nothing can be gone on with: the graph has changed and others have taken it over.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let entry = |s: &Snapshot| Entry {
            plugin: s.plugin.clone(),
            version: s.version,
            length: s.state.len() as u64,
            ended: s.ended.clone(),
            finished: s.finished,
            tally: s.tally,
        };
        let head = Head {
            number: self.number,
            last: self.last,
            complete: self.complete,
            at_us: self.at_us,
            took_us: self.took_us,
            instances: self
                .instances
                .iter()
                .map(|(name, s)| (name.clone(), entry(s)))
                .collect(),
            letters: self.letters.clone(),
        };
        let head = serde_json::to_vec(&head).expect("names and numbers are JSON");
        let states: usize = self.instances.values().map(|s| s.state.len()).sum();
        let mut out = Vec::with_capacity(FIXED + head.len() + states + 4);
        out.extend_from_slice(MAGIC);
        let length = u32::try_from(head.len()).expect("a head is small");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&head);
        for s in self.instances.values() {
            out.extend_from_slice(&s.state);
        }
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Why it is no epoch, in words that follow the file's name.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let cut = "is shorter than it says".to_owned();
        if bytes.len() < FIXED + 4 {
            return Err(cut);
        }
        if bytes[..6] != MAGIC[..6] {
            return Err("is no epoch of this program".into());
        }
        if bytes[..8] != MAGIC[..] {
            return Err("was written by a newer host".into());
        }
        let (body, sum) = bytes.split_at(bytes.len() - 4);
        if crc32fast::hash(body).to_le_bytes() != sum {
            return Err("is damaged: its checksum differs".into());
        }
        let length = u32::from_le_bytes([body[8], body[9], body[10], body[11]]) as usize;
        let head = body.get(FIXED..FIXED + length).ok_or_else(|| cut.clone())?;
        let head: Head = serde_json::from_slice(head)
            .map_err(|e| format!("has a head that does not read: {e}"))?;
        let mut rest = &body[FIXED + length..];
        let mut instances = BTreeMap::new();
        for (name, e) in head.instances {
            let length = usize::try_from(e.length).map_err(|_| cut.clone())?;
            let (state, behind) = rest.split_at_checked(length).ok_or_else(|| cut.clone())?;
            rest = behind;
            let snapshot = Snapshot {
                plugin: e.plugin,
                version: e.version,
                state: state.to_vec(),
                ended: e.ended,
                finished: e.finished,
                tally: e.tally,
            };
            instances.insert(name, snapshot);
        }
        Ok(Self {
            number: head.number,
            last: head.last,
            complete: head.complete,
            at_us: head.at_us,
            took_us: head.took_us,
            instances,
            letters: head.letters,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Epoch {
        let snapshot = |state: &[u8]| Snapshot {
            plugin: "sink x".into(),
            version: 2,
            state: state.to_vec(),
            ended: vec!["a#0.0".into()],
            finished: true,
            tally: Tally {
                received: 5,
                ..Tally::default()
            },
        };
        Epoch {
            number: 7,
            last: true,
            complete: true,
            at_us: 9,
            took_us: 4,
            instances: [
                ("a#0".into(), snapshot(b"xyz")),
                ("b#0".into(), snapshot(b"")),
            ]
            .into(),
            letters: LettersMark {
                file: Some(("f".into(), 3)),
                count: 1,
                next: 2,
            },
        }
    }

    #[test]
    fn an_epoch_reads_back() {
        assert_eq!(Epoch::decode(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn no_cut_and_no_changed_byte_passes() {
        let bytes = sample().encode();
        for n in 0..bytes.len() {
            assert!(Epoch::decode(&bytes[..n]).is_err(), "cut at {n}");
            let mut changed = bytes.clone();
            changed[n] ^= 1;
            assert!(Epoch::decode(&changed).is_err(), "byte {n}");
        }
    }
}
