//! The records that a sink has sent and whose fate is not reported yet.
//!
//! Records are numbered as they are taken. A number's slot is set by the delivery report; fates are
//! told to the host in the order of the numbers, so that 'everything before this number is done' is
//! one comparison.
//!
//! Invariant: a slot is reused only after its former number was reported, so at most `capacity`
//! records are between `head` and `tail`.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use plugin_api::prelude::*;
use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryResult, ProducerContext},
};

use crate::{embedded::Topic, events::Events};

/// What is known of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fate {
    /// On its way.
    Sent = 0,
    /// Acknowledged.
    Done = 1,
    /// To be sent once more: what stopped it was no fault of its own.
    Again = 2,
    /// To be sent once more alone: its batch was refused, and it may be the culprit.
    Alone = 3,
    /// Refused for good.
    Refused = 4,
}

impl Fate {
    fn from_u8(n: u8) -> Self {
        match n {
            1 => Self::Done,
            2 => Self::Again,
            3 => Self::Alone,
            4 => Self::Refused,
            _ => Self::Sent,
        }
    }

    /// What an error of the broker (or of librdkafka) means for the record.
    pub fn of(code: RDKafkaErrorCode) -> Self {
        match code {
            RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidTimestamp
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::UnsupportedForMessageFormat
            | RDKafkaErrorCode::PolicyViolation => Self::Alone,
            _ => Self::Again,
        }
    }
}

/// Delivery reports, as librdkafka's callback leaves them.
pub(crate) struct Reports {
    slots: Box<[AtomicU8]>,
    /// Records on their way.
    sent: AtomicUsize,
    /// Records to be sent once more.
    again: AtomicUsize,
    /// The last reason why something is to be sent again.
    trouble: Mutex<Option<RDKafkaErrorCode>>,
}

impl Reports {
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            slots: (0..capacity)
                .map(|_| AtomicU8::new(Fate::Done as u8))
                .collect(),
            sent: AtomicUsize::new(0),
            again: AtomicUsize::new(0),
            trouble: Mutex::new(None),
        })
    }

    fn slot(&self, number: usize) -> &AtomicU8 {
        &self.slots[number % self.slots.len()]
    }

    pub fn fate(&self, number: usize) -> Fate {
        Fate::from_u8(self.slot(number).load(Ordering::Acquire))
    }

    /// Sets a fate; what is to be sent again is counted.
    pub fn set(&self, number: usize, fate: Fate) {
        let repeats = |f: Fate| matches!(f, Fate::Again | Fate::Alone);
        let before = Fate::from_u8(self.slot(number).swap(fate as u8, Ordering::AcqRel));
        match (repeats(before), repeats(fate)) {
            (false, true) => self.again.fetch_add(1, Ordering::AcqRel),
            (true, false) => self.again.fetch_sub(1, Ordering::AcqRel),
            _ => 0,
        };
    }

    /// Records to be sent once more.
    pub fn repeats(&self) -> usize {
        self.again.load(Ordering::Acquire)
    }

    /// The record is handed to librdkafka now.
    pub fn sending(&self, number: usize) {
        self.set(number, Fate::Sent);
        self.sent.fetch_add(1, Ordering::AcqRel);
    }

    /// librdkafka did not take it.
    pub fn not_sent(&self, number: usize, fate: Fate) {
        self.set(number, fate);
        self.sent.fetch_sub(1, Ordering::AcqRel);
    }

    /// Records on their way.
    pub fn on_their_way(&self) -> usize {
        self.sent.load(Ordering::Acquire)
    }

    /// Why something had to be sent again, since the last question.
    pub fn trouble(&self) -> Option<RDKafkaErrorCode> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn report(&self, number: usize, fate: Fate, code: Option<RDKafkaErrorCode>) {
        self.not_sent(number, fate);
        if let Some(code) = code {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
        }
    }
}

/// The context of a sink's client.
pub(crate) struct ProducerEvents {
    pub events: Arc<Events>,
    pub reports: Arc<Reports>,
    pub embedded: Option<Arc<Topic>>,
}

impl ClientContext for ProducerEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.events.client_log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.events.client_error(&error, reason);
    }
}

impl ProducerContext for ProducerEvents {
    /// A record's number.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(message) => {
                if let Some(topic) = &self.embedded {
                    let bytes = message.payload_len() + message.key_len();
                    topic
                        .flow
                        .wrote(message.partition(), message.offset(), bytes);
                }
                self.reports.report(number, Fate::Done, None);
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                self.reports.report(number, Fate::of(code), Some(code));
            }
        }
    }
}

/// Records of one batch, taken in one call.
struct Run {
    seq: u64,
    batch: Batch,
    /// Index of the first in the batch.
    from: usize,
    len: usize,
    /// Number of the first.
    first: usize,
}

/// The window of records between taken and reported.
pub(crate) struct Window {
    pub reports: Arc<Reports>,
    capacity: usize,
    runs: VecDeque<Run>,
    head: usize,
    tail: usize,
    bytes: usize,
}

impl Window {
    pub fn new(capacity: usize) -> Self {
        Self {
            reports: Reports::new(capacity),
            capacity,
            runs: VecDeque::new(),
            head: 0,
            tail: 0,
            bytes: 0,
        }
    }

    /// How many more may be taken.
    pub fn room(&self) -> usize {
        self.capacity - (self.tail - self.head)
    }

    /// Bytes of the records in the window.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// The number that the next record will have: a mark for 'everything so far'.
    pub fn tail(&self) -> usize {
        self.tail
    }

    /// Whether everything before `mark` is reported.
    pub fn reached(&self, mark: usize) -> bool {
        self.head >= mark
    }

    /// Takes the record with the number [`tail`](Self::tail); [`close_run`](Self::close_run) follows.
    pub fn take(&mut self, record: &Record<'_>) {
        self.bytes += weight(record);
        self.tail += 1;
    }

    /// The last `n` numbers were records of this batch, from index `from` on.
    pub fn close_run(&mut self, seq: u64, batch: &Batch, from: usize, n: usize) {
        if n > 0 {
            self.runs.push_back(Run {
                seq,
                batch: batch.clone(),
                from,
                len: n,
                first: self.tail - n,
            });
        }
    }

    /// The record of this number.
    pub fn record(&self, number: usize) -> Option<Record<'_>> {
        let at = self
            .runs
            .partition_point(|run| run.first + run.len <= number);
        let run = self.runs.get(at)?;
        Some(run.batch.record(run.from + number.checked_sub(run.first)?))
    }

    /// Numbers in the window that have this fate.
    pub fn with_fate(&self, fate: Fate) -> impl Iterator<Item = usize> + '_ {
        (self.head..self.tail).filter(move |n| self.reports.fate(*n) == fate)
    }

    /// Tells the host what is known, in order, as far as it is known.
    pub fn settle(
        &mut self,
        out: &mut Out<'_, '_>,
        refused: impl Fn(usize, &Record<'_>) -> Reject,
    ) {
        while let Some(run) = self.runs.front() {
            let end = run.first + run.len;
            let mut done = 0;
            while self.head < end {
                let record = run.batch.record(run.from + self.head - run.first);
                match self.reports.fate(self.head) {
                    Fate::Done => done += 1,
                    Fate::Refused => {
                        out.reject_at(run.seq, record.index(), &refused(self.head, &record))
                    }
                    Fate::Sent | Fate::Again | Fate::Alone => break,
                }
                self.bytes -= weight(&record);
                self.head += 1;
            }
            out.consumed_at(run.seq, done);
            if self.head < end {
                return;
            }
            self.runs.pop_front();
        }
    }
}

fn weight(record: &Record<'_>) -> usize {
    record.bytes().len() + record.key().map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_their_records() {
        let mut builder = BatchBuilder::new();
        (0..10u8).for_each(|i| {
            builder.push(Some(&[i]));
        });
        let batch = builder.finish();
        let mut window = Window::new(8);
        for (from, n) in [(0, 3), (3, 2), (7, 3)] {
            for i in from..from + n {
                window.reports.sending(window.tail());
                window.take(&batch.record(i));
            }
            window.close_run(from as u64, &batch, from, n);
        }
        assert_eq!((window.room(), window.bytes(), window.tail()), (0, 8, 8));
        let values: Vec<_> = (0..8)
            .map(|n| window.record(n).unwrap().bytes()[0])
            .collect();
        assert_eq!(values, [0, 1, 2, 3, 4, 7, 8, 9]);
        assert!(window.record(8).is_none());
        assert_eq!(window.reports.on_their_way(), 8);
        window
            .reports
            .report(4, Fate::Again, Some(RDKafkaErrorCode::MessageTimedOut));
        window
            .reports
            .report(6, Fate::of(RDKafkaErrorCode::InvalidRecord), None);
        assert_eq!(
            (window.reports.on_their_way(), window.reports.repeats()),
            (6, 2)
        );
        assert_eq!(window.with_fate(Fate::Again).collect::<Vec<_>>(), [4]);
        assert_eq!(window.with_fate(Fate::Alone).collect::<Vec<_>>(), [6]);
        window.reports.sending(4);
        assert_eq!(
            (window.reports.on_their_way(), window.reports.repeats()),
            (7, 1)
        );
        assert_eq!(
            window.reports.trouble(),
            Some(RDKafkaErrorCode::MessageTimedOut)
        );
        assert_eq!(window.reports.trouble(), None);
    }

    #[test]
    fn only_a_record_at_fault_is_refused() {
        for code in [
            RDKafkaErrorCode::MessageSizeTooLarge,
            RDKafkaErrorCode::InvalidRecord,
        ] {
            assert_eq!(Fate::of(code), Fate::Alone);
        }
        for code in [
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::NotEnoughReplicas,
            RDKafkaErrorCode::TopicAuthorizationFailed,
            RDKafkaErrorCode::InvalidDifferentRecord,
            RDKafkaErrorCode::PurgeQueue,
            RDKafkaErrorCode::Fatal,
        ] {
            assert_eq!(Fate::of(code), Fate::Again);
        }
    }
}
