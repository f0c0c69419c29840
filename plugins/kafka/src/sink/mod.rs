//! The sink: records in, messages out, a bounded number on their way.

mod broker;
mod repeat;
mod transaction;

use std::{collections::HashMap, sync::Arc, time::Duration};

use plugin_api::prelude::*;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};

use self::{
    broker::{Questions, questions},
    repeat::refusal,
    transaction::{Transactions, words},
};
use crate::{
    config::{KeyFrom, SinkOptions},
    connect::{self, Cluster},
    delivery::{Fate, ProducerEvents, Window},
    embedded::{self, Topic},
    events::Events,
    topic::Wanted,
};

/// How often delivery reports are fetched while records are on their way.
const BUSY_TICK_NS: u64 = 2_000_000;
/// How often librdkafka is listened to otherwise.
const IDLE_TICK_NS: u64 = 500_000_000;
/// Most bytes on their way to the embedded broker: what it keeps is little.
const EMBEDDED_IN_FLIGHT: usize = 1 << 20;

type Client = BaseProducer<ProducerEvents>;

/// See [`SinkOptions`].
pub struct KafkaSink {
    ctx: Context,
    options: SinkOptions,
    key: KeyFrom,
    address: String,
    max_message: Option<u32>,
    wants_keys: bool,
    max_bytes: usize,
    events: Arc<Events>,
    embedded: Option<Arc<Topic>>,
    producer: Option<Arc<Client>>,
    questions: Questions,
    /// The topic was seen.
    ready: bool,
    window: Window,
    /// The number that is being sent alone.
    alone: Option<usize>,
    /// Why a number was refused.
    verdicts: HashMap<usize, RDKafkaErrorCode>,
    again_at_ns: u64,
    /// The trouble that was last spoken of.
    said: Option<RDKafkaErrorCode>,
    /// Marks of the epochs that have begun.
    marks: HashMap<u64, usize>,
    /// For `exactly_once`.
    transactions: Option<Transactions>,
}

impl Sink for KafkaSink {
    const NAME: &'static str = "kafka";
    const LATE: bool = true;
    type Options = SinkOptions;

    fn plan(options: &SinkOptions, _inputs: &[ContentType]) -> Result<Planned, StageError> {
        options.plan()
    }

    fn open(options: SinkOptions, ctx: &Context) -> Result<Self, StageError> {
        let cluster = options.cluster();
        let events = Events::new(ctx, cluster.name());
        let window = Window::new(options.max_in_flight as usize);
        let (address, embedded, max_message) = match &cluster {
            Cluster::Embedded => {
                let broker = embedded::broker(ctx)?;
                let topic = broker.topic(ctx, &options.topic, options.partitions)?;
                (
                    broker.address().to_owned(),
                    Some(topic),
                    Some(embedded::MAX_MESSAGE),
                )
            }
            Cluster::Remote(brokers) => (brokers.clone(), None, None),
        };
        let most = options.max_in_flight_bytes.bytes();
        let max_bytes = if embedded.is_some() {
            most.min(EMBEDDED_IN_FLIGHT)
        } else {
            most
        };
        let wanted = Wanted {
            topic: options.topic.clone(),
            partitions: options.partitions,
            replication: options.replication,
            config: connect::producer(&options, &address, ctx.stage(), None)?,
            whom: cluster.name().to_owned(),
        };
        let mut sink = Self {
            key: options.key_from()?,
            questions: questions(&wanted)?,
            ctx: ctx.clone(),
            options,
            address,
            max_message,
            wants_keys: false,
            max_bytes,
            events,
            ready: embedded.is_some(),
            embedded,
            producer: None,
            window,
            alone: None,
            verdicts: HashMap::new(),
            again_at_ns: 0,
            said: None,
            marks: HashMap::new(),
            transactions: None,
        };
        if sink.options.exactly_once {
            sink.transactions = Some(Transactions::new(&sink)?);
        }
        sink.connect()?;
        sink.find_topic(&wanted)?;
        Ok(sink)
    }

    fn recover(&mut self, epochs: &[u64]) -> Result<Recover, StageError> {
        if self.transactions.is_none() {
            return Ok(Recover::NotMine);
        }
        self.true_epoch(epochs)
    }

    fn restore(&mut self, epoch: u64, _state: Option<&[u8]>) -> Result<(), StageError> {
        if self.transactions.is_none() {
            return Ok(());
        }
        self.set_truth(epoch)
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        self.pump(out)?;
        if !self.ready || self.window.reports.repeats() > 0 || self.alone.is_some() {
            return Ok(0);
        }
        let Some(producer) = self.producer.clone() else {
            return Ok(0);
        };
        if let Some(transactions) = &mut self.transactions
            && !transactions.admits(&producer)?
        {
            return Ok(0);
        }
        let mut taken = 0;
        for index in from..input.batch.len() {
            let record = input.batch.record(index);
            if !self.has_room(&record) {
                break;
            }
            let number = self.window.tail();
            match self.send(&producer, &record, number) {
                Ok(()) => {}
                Err(RDKafkaErrorCode::QueueFull) => break,
                Err(
                    code
                    @ (RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidRecord),
                ) => {
                    self.verdicts.insert(number, code);
                    self.window.reports.set(number, Fate::Refused);
                }
                Err(code) if self.transactions.is_some() => return Err(self.failed(code)),
                // Taken all the same: it is sent again when the trouble is over.
                Err(code) => {
                    self.trouble(code);
                    self.window.reports.set(number, Fate::Again);
                }
            }
            self.window.take(&record);
            taken += 1;
            if self.window.reports.repeats() > 0 {
                break;
            }
        }
        self.window.close_run(input.seq, input.batch, from, taken);
        if taken == 0 && from < input.batch.len() {
            // Nothing fits until something is delivered: fetch reports, then let the host wait.
            self.pump(out)?;
        }
        Ok(taken)
    }

    fn tick(&mut self, now_ns: u64, out: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        self.pump(out)?;
        let busy = !self.window.is_empty() || !self.ready;
        Ok(Some(
            now_ns + if busy { BUSY_TICK_NS } else { IDLE_TICK_NS },
        ))
    }

    fn checkpoint(&mut self, epoch: u64, _last: bool) -> Result<(), StageError> {
        self.marks.insert(epoch, self.window.tail());
        Ok(())
    }

    fn checkpoint_with(
        &mut self,
        epoch: u64,
        upstream: &[Upstream],
        last: bool,
    ) -> Result<(), StageError> {
        if let Some(transactions) = &mut self.transactions {
            transactions.barrier(epoch, upstream)?;
        }
        self.checkpoint(epoch, last)
    }

    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        self.pump(out)?;
        let mark = self
            .marks
            .get(&epoch)
            .copied()
            .unwrap_or_else(|| self.window.tail());
        if !self.window.reached(mark) {
            return Ok(Checkpoint::Pending);
        }
        if let (Some(transactions), Some(producer)) = (&mut self.transactions, &self.producer)
            && !transactions.sealed(epoch, producer)?
        {
            return Ok(Checkpoint::Pending);
        }
        self.marks.retain(|e, _| *e > epoch);
        Ok(Checkpoint::Ready(Vec::new()))
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        match &mut self.transactions {
            Some(transactions) => transactions.commit(epoch),
            None => Ok(Commit::Done),
        }
    }

    fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
        self.marks.remove(&epoch);
        if let Some(transactions) = &mut self.transactions {
            transactions.abort(epoch);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), StageError> {
        self.events.close();
        if let (Some(transactions), Some(producer)) = (&mut self.transactions, &self.producer) {
            transactions.close(producer);
        }
        self.transactions = None;
        self.producer = None;
        Ok(())
    }
}

impl KafkaSink {
    /// Fetches reports, sends again what must be, and tells the host what is known.
    fn pump(&mut self, out: &mut Out<'_, '_>) -> Result<(), StageError> {
        let Some(producer) = self.producer.clone() else {
            return Ok(());
        };
        let mut delivered = false;
        loop {
            let before = self.window.reports.on_their_way();
            producer.poll(Duration::ZERO);
            if self.window.reports.on_their_way() == before {
                break;
            }
            delivered = true;
        }
        self.listen()?;
        if self.transactions.is_some() {
            self.hear_transactions(&producer)?;
        }
        if let Some(code) = self.window.reports.trouble() {
            if let Some(number) = self.alone {
                self.verdicts.insert(number, code);
            }
            self.trouble(code);
        } else if delivered {
            self.events.alive();
        }
        if producer.client().fatal_error().is_some() {
            drop(producer);
            self.renew()?;
        } else if self.window.reports.repeats() > 0 || self.alone.is_some() {
            self.repeat(&producer);
        }
        let (topic, verdicts) = (&self.options.topic, &self.verdicts);
        self.window.settle(out, |number, record| {
            refusal(topic, verdicts.get(&number).copied(), record)
        });
        if self.window.is_empty() {
            self.said = None;
            self.verdicts.clear();
        }
        Ok(())
    }

    /// Nothing is sent again within a transaction: trouble ends it.
    fn hear_transactions(&mut self, producer: &Client) -> Result<(), StageError> {
        if let Some(code) = self.window.reports.trouble() {
            return Err(self.failed(code));
        }
        if let Some((code, why)) = producer.client().fatal_error() {
            return Err(self.failed(words(code, &why)));
        }
        match &mut self.transactions {
            Some(transactions) => transactions.hear(),
            None => Ok(()),
        }
    }

    fn failed(&mut self, why: impl ToString) -> StageError {
        match &mut self.transactions {
            Some(transactions) => transactions.fail(why.to_string()),
            None => StageError::fatal(why.to_string()),
        }
    }

    fn has_room(&self, record: &Record<'_>) -> bool {
        let bytes = record.bytes().len();
        let in_flight = self.window.bytes();
        let fits = in_flight == 0 || in_flight + bytes <= self.max_bytes;
        self.window.room() > 0
            && fits
            && self
                .embedded
                .as_ref()
                .is_none_or(|t| t.flow.has_room(in_flight + bytes))
    }

    fn send(
        &self,
        producer: &Client,
        record: &Record<'_>,
        number: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        let mut message =
            BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.options.topic, number);
        message.payload = record.value();
        message.key = match &self.key {
            KeyFrom::Record => record.key(),
            KeyFrom::None => None,
            KeyFrom::Header(name) => record.header(name),
        };
        // A record that the broker refuses would take its whole transaction with it.
        if self.wants_keys && message.key.is_none() && self.transactions.is_some() {
            return Err(RDKafkaErrorCode::InvalidRecord);
        }
        // Kafka keeps milliseconds, and has no time before 1970; 0 would mean 'now' to librdkafka.
        message.timestamp = record.ts_us().map(|us| us / 1000).filter(|ms| *ms > 0);
        let headers = record.headers();
        let (count, _) = headers.size_hint();
        let mut owned: Option<OwnedHeaders> = None;
        for (key, value) in headers {
            let list = owned
                .take()
                .unwrap_or_else(|| OwnedHeaders::new_with_capacity(count.max(1)));
            owned = Some(list.insert(Header { key, value }));
        }
        message.headers = owned;
        self.window.reports.sending(number);
        producer.send(message).map_err(|(error, _)| {
            self.window.reports.not_sent(number, Fate::Done);
            match error {
                KafkaError::MessageProduction(code) => code,
                _ => RDKafkaErrorCode::Fail,
            }
        })
    }
}
