//! What a stage under test did.

use crate::{
    Batch, Record,
    abi::{batch::RawBatch, services::OutApi},
};

/// A record that came out, with everything that it carries.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    /// The output port.
    pub port: u32,
    /// The payload.
    pub value: Option<Vec<u8>>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// Event time.
    pub ts_us: Option<i64>,
    /// Headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(shown);
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name, text(value)));
        f.debug_struct("Seen")
            .field("port", &self.port)
            .field("value", &text(&self.value))
            .field("key", &text(&self.key))
            .field("ts_us", &self.ts_us)
            .field("headers", &headers.collect::<Vec<_>>())
            .finish()
    }
}

/// Bytes for a message: readable, and not too many.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 300;
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).into_owned();
    if bytes.len() > MOST {
        text.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    text
}

impl Seen {
    fn new(port: u32, record: &Record<'_>) -> Self {
        let headers = record.headers();
        Self {
            port,
            value: record.value().map(<[u8]>::to_vec),
            key: record.key().map(<[u8]>::to_vec),
            ts_us: record.ts_us(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }
}

/// What a stage did during a call.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Batches it emitted, with their ports.
    pub batches: Vec<(u32, Batch)>,
    /// Fates: batch number and how many records were consumed.
    pub consumed: Vec<(u64, u64)>,
    /// Fates: batch number and how many records were filtered.
    pub filtered: Vec<(u64, u64)>,
    /// Fates: batch number, index, reason, pointer.
    pub rejected: Vec<(u64, u32, String, String)>,
    /// Bytes that a source rejected: bytes, reason.
    pub rejected_raw: Vec<(Vec<u8>, String)>,
    room: usize,
}

impl Outcome {
    pub(super) fn with_room(room: usize) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }
    /// Payloads of all emitted records, in order.
    #[must_use]
    pub fn values(&self) -> Vec<Vec<u8>> {
        self.batches
            .iter()
            .flat_map(|(_, b)| b.iter().map(|r| r.bytes().to_vec()).collect::<Vec<_>>())
            .collect()
    }
    /// Payloads of all emitted records as text.
    ///
    /// # Panics
    /// If one is not UTF-8.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.values()
            .into_iter()
            .map(|v| String::from_utf8(v).expect("a text payload"))
            .collect()
    }
    /// Number of emitted records.
    #[must_use]
    pub fn emitted(&self) -> usize {
        self.batches.iter().map(|(_, b)| b.len()).sum()
    }
    /// Number of records consumed.
    #[must_use]
    pub fn consumed_count(&self) -> u64 {
        self.consumed.iter().map(|c| c.1).sum()
    }
    /// Number of records filtered.
    #[must_use]
    pub fn filtered_count(&self) -> u64 {
        self.filtered.iter().map(|c| c.1).sum()
    }
    /// Emitted records with all that they carry: port by port, each in order.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        let mut seen: Vec<Seen> = self
            .batches
            .iter()
            .flat_map(|(port, batch)| batch.iter().map(|r| Seen::new(*port, &r)))
            .collect();
        seen.sort_by_key(|record| record.port);
        seen
    }
    /// Number of records with a fate: consumed, filtered or rejected.
    #[must_use]
    pub fn fates(&self) -> u64 {
        self.consumed_count() + self.filtered_count() + self.rejected.len() as u64
    }
    /// Adds what a later call did.
    pub fn merge(&mut self, later: Self) {
        self.batches.extend(later.batches);
        self.consumed.extend(later.consumed);
        self.filtered.extend(later.filtered);
        self.rejected.extend(later.rejected);
        self.rejected_raw.extend(later.rejected_raw);
    }
}

impl OutApi for Outcome {
    fn emit(&mut self, port: u32, batch: RawBatch) -> bool {
        let batch = Batch::try_from(batch).expect("a stage under test emits batches in bounds");
        self.batches.push((port, batch));
        self.room = self.room.saturating_sub(1);
        self.room > 0
    }
    fn consumed(&mut self, seq: u64, n: u64) {
        self.consumed.push((seq, n));
    }
    fn filtered(&mut self, seq: u64, n: u64) {
        self.filtered.push((seq, n));
    }
    fn reject(&mut self, seq: u64, index: u32, reason: &str, pointer: &str) {
        self.rejected
            .push((seq, index, reason.to_owned(), pointer.to_owned()));
    }
    fn reject_raw(&mut self, bytes: &[u8], reason: &str, _pointer: &str) {
        self.rejected_raw.push((bytes.to_vec(), reason.to_owned()));
    }
}
