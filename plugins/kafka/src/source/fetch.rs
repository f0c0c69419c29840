//! From librdkafka's messages straight into a batch.

use std::{
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use plugin_api::prelude::*;
use rdkafka::{
    Message,
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers},
};

use super::{KafkaSource, questions::Question};
use crate::positions::Step;

/// The header that tells a record from all others.
const ID: &str = "id";
/// Longest wait for a message before changes of the group are looked at.
const SLICE_NS: u64 = 20_000_000;
const MS_NS: u64 = 1_000_000;
/// How often the lag is measured.
const LAG_EVERY_NS: u64 = 5_000_000_000;

impl KafkaSource {
    pub(super) fn fetch(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        let consumer = self.client()?;
        let limits = self.ctx.batch_limits();
        let most = budget.min(limits.max_records).max(1);
        let mut until = deadline_ns;
        let mut rejected = 0;
        let mut trouble = None;
        while self.builder.len() + rejected < most && self.builder.bytes() < limits.max_bytes {
            let polled = match consumer.poll(Duration::ZERO) {
                Some(polled) => polled,
                None => {
                    if self.builder.is_empty() && rejected == 0 {
                        self.listen()?;
                        if self.at_end() {
                            return Ok(Poll::Finished);
                        }
                    }
                    let left = until.saturating_sub(self.ctx.monotonic_ns()).min(SLICE_NS);
                    // librdkafka counts in milliseconds, and would spin for less.
                    if left < MS_NS {
                        break;
                    }
                    match consumer.poll(Duration::from_millis(left / MS_NS)) {
                        Some(polled) => polled,
                        None => continue,
                    }
                }
            };
            match polled {
                Ok(message) => {
                    if self.builder.is_empty() && rejected == 0 {
                        until = deadline_ns.min(self.ctx.monotonic_ns() + limits.linger_ns);
                    }
                    rejected += usize::from(!self.take(&message, out));
                }
                Err(error) => {
                    if let Err(error) = self.message_error(&error) {
                        trouble = Some(error);
                        break;
                    }
                }
            }
        }
        let something = !self.builder.is_empty() || rejected > 0;
        if something {
            self.events.alive();
            out.emit(0, self.builder.finish());
            self.tell_flow();
        }
        self.measure_lag();
        match trouble {
            Some(error) => Err(error),
            None if something => Ok(Poll::More),
            None => Ok(Poll::Idle),
        }
    }

    /// Appends a message to the batch. False: it was rejected.
    fn take(&mut self, message: &BorrowedMessage<'_>, out: &mut Out<'_, '_>) -> bool {
        match self
            .positions
            .advance(message.partition(), message.offset())
        {
            Step::Skip => return true,
            Step::Take => {}
            Step::TakeAfter(n) => {
                self.ctx.counter("kafka_skipped_offsets", n);
                if !std::mem::replace(&mut self.said_skipped, true) {
                    self.ctx.info(format!(
                        "`{}` has offsets without records (compaction or transactions); they are counted",
                        self.options.topic
                    ));
                }
            }
        }
        let headers = message.headers();
        // rdkafka panics on a header whose name is not UTF-8.
        let readable = |h| catch_unwind(AssertUnwindSafe(|| Headers::iter(h).count())).is_ok();
        if headers.is_some_and(|h| !readable(h)) {
            let why = Reject::new("the name of a header is not UTF-8");
            out.reject_raw(message.payload().unwrap_or_default(), &why);
            return false;
        }
        self.builder.push(message.payload()).key(message.key());
        self.builder.ts_us(
            message
                .timestamp()
                .to_millis()
                .map(|ms| ms.saturating_mul(1000)),
        );
        let mut has_id = false;
        if let Some(headers) = headers {
            for header in headers.iter() {
                has_id |= header.key == ID;
                self.builder.header(header.key, header.value);
            }
        }
        if !has_id {
            self.id.truncate(self.id_prefix);
            // Writing to a String cannot fail.
            let _ = write!(self.id, "{}/{}", message.partition(), message.offset());
            self.builder.header(ID, Some(self.id.as_bytes()));
        }
        true
    }

    fn message_error(&mut self, error: &KafkaError) -> Result<(), StageError> {
        if let KafkaError::MessageConsumption(RDKafkaErrorCode::PollExceeded) = error {
            self.lose_all();
            return self.undiminished();
        }
        let topic = &self.options.topic;
        match error {
            KafkaError::MessageConsumptionFatal(code) => Err(StageError::fatal(format!(
                "reading `{topic}` from {}: {code}",
                self.whom
            ))),
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset) => {
                if !std::mem::replace(&mut self.ranging, true) {
                    let partitions = self
                        .positions
                        .active()
                        .into_iter()
                        .map(|(p, _)| p)
                        .collect();
                    self.ask(Question::Range(partitions));
                }
                Ok(())
            }
            KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                Err(StageError::unavailable(format!(
                    "{} does not allow the group `{}`",
                    self.whom, self.options.group
                )))
            }
            KafkaError::MessageConsumption(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(
                StageError::unavailable(format!("{} does not allow reading `{topic}`", self.whom)),
            ),
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
            ) => {
                if !std::mem::replace(&mut self.said_topic, true) {
                    self.ask(Question::Topic);
                }
                Ok(())
            }
            // Everything else passes, and was heard by the error callback.
            _ => Ok(()),
        }
    }

    /// Lets writers on the embedded broker know how far we are.
    pub(super) fn tell_flow(&self) {
        if let Some(topic) = &self.embedded {
            for (partition, next) in self.positions.active() {
                topic.flow.read(&self.options.group, partition, next);
            }
        }
    }

    fn measure_lag(&mut self) {
        let now = self.ctx.monotonic_ns();
        if now < self.lag_at_ns {
            return;
        }
        self.lag_at_ns = now + LAG_EVERY_NS;
        let behind = |(p, next): (i32, i64)| self.events.end_of(p).map(|end| (end - next).max(0));
        let lag: i64 = self.positions.active().into_iter().filter_map(behind).sum();
        self.ctx.gauge("kafka_lag", lag as f64);
    }
}
