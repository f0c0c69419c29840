//! What becomes of a record that was not delivered.

use plugin_api::prelude::*;
use rdkafka::{error::RDKafkaErrorCode, producer::Producer};

use super::{Client, KafkaSink};
use crate::delivery::Fate;

/// Pause before records that failed are sent again.
const AGAIN_AFTER_NS: u64 = 500_000_000;

impl KafkaSink {
    /// Speaks of a trouble once, and delays the next attempt.
    pub(super) fn trouble(&mut self, code: RDKafkaErrorCode) {
        self.again_at_ns = self.ctx.monotonic_ns() + AGAIN_AFTER_NS;
        let blameless = matches!(
            code,
            RDKafkaErrorCode::PurgeQueue
                | RDKafkaErrorCode::PurgeInflight
                | RDKafkaErrorCode::InvalidDifferentRecord
        );
        if blameless || Fate::of(code) == Fate::Alone {
            self.again_at_ns = 0;
        } else if self.said != Some(code) {
            self.said = Some(code);
            self.ctx.warn(format!(
                "records for topic `{}` are not delivered: {code}; sending them again",
                self.options.topic
            ));
        }
    }

    /// A producer that met a fatal error (it lost count of its sequence) is replaced; what it had
    /// not delivered is sent again, in order.
    pub(super) fn renew(&mut self) -> Result<(), StageError> {
        if self.ctx.monotonic_ns() < self.again_at_ns {
            return Ok(());
        }
        let why = self
            .producer
            .as_ref()
            .and_then(|p| p.client().fatal_error())
            .map(|(code, _)| code);
        if let Some(code) = why {
            self.ctx.warn(format!("the producer starts afresh: {code}"));
        }
        // Dropped first: that reports everything it still had.
        self.producer = None;
        let lost: Vec<usize> = self.window.with_fate(Fate::Sent).collect();
        for number in lost {
            self.window.reports.not_sent(number, Fate::Again);
        }
        self.alone = None;
        self.connect()?;
        self.again_at_ns = self.ctx.monotonic_ns() + AGAIN_AFTER_NS;
        Ok(())
    }

    /// Sends again what failed through no fault of its own; then, one at a time, what was in a
    /// batch that was refused, to find the culprit.
    pub(super) fn repeat(&mut self, producer: &Client) {
        if let Some(number) = self.alone {
            match self.window.reports.fate(number) {
                Fate::Sent => return,
                Fate::Alone => {
                    self.verdicts
                        .entry(number)
                        .or_insert(RDKafkaErrorCode::InvalidRecord);
                    self.window.reports.set(number, Fate::Refused);
                }
                Fate::Done | Fate::Again | Fate::Refused => {}
            }
            self.alone = None;
        }
        if self.ctx.monotonic_ns() < self.again_at_ns {
            return;
        }
        let again: Vec<usize> = self.window.with_fate(Fate::Again).collect();
        for number in again {
            if !self.send_again(producer, number) {
                return;
            }
        }
        if self.window.reports.on_their_way() == 0 {
            let first = self.window.with_fate(Fate::Alone).next();
            self.alone = first.filter(|number| self.send_again(producer, *number));
        }
    }

    fn send_again(&mut self, producer: &Client, number: usize) -> bool {
        let before = self.window.reports.fate(number);
        let Some(record) = self.window.record(number) else {
            return false;
        };
        match self.send(producer, &record, number) {
            Ok(()) => true,
            Err(code @ RDKafkaErrorCode::MessageSizeTooLarge) => {
                self.verdicts.insert(number, code);
                self.window.reports.set(number, Fate::Refused);
                false
            }
            Err(code) => {
                self.window.reports.set(number, before);
                if code != RDKafkaErrorCode::QueueFull {
                    self.trouble(code);
                }
                false
            }
        }
    }
}

pub(super) fn refusal(topic: &str, code: Option<RDKafkaErrorCode>, record: &Record<'_>) -> Reject {
    let bytes = record.bytes().len();
    match code {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            Reject::new(format!("{bytes} bytes are more than topic `{topic}` takes"))
        }
        Some(code) => Reject::new(format!("topic `{topic}` refuses the record: {code}")),
        None => Reject::new(format!("topic `{topic}` refuses the record")),
    }
}
