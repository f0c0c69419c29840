//! The sink: records in, messages out, a bounded number on their way.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use plugin_api::prelude::*;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};

use crate::{
    background::{Background, QUESTION},
    config::{KeyFrom, SinkOptions},
    connect::{self, Cluster},
    delivery::{Fate, ProducerEvents, Window},
    embedded::{self, Topic},
    events::Events,
    topic::{self, Found, Wanted},
};

/// How long opening waits for a broker before it goes on without.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// Pause before records that failed are sent again.
const AGAIN_AFTER_NS: u64 = 500_000_000;
/// How often delivery reports are fetched while records are on their way.
const BUSY_TICK_NS: u64 = 2_000_000;
/// How often librdkafka is listened to otherwise.
const IDLE_TICK_NS: u64 = 500_000_000;
/// Most bytes on their way to the embedded broker: what it keeps is little.
const EMBEDDED_IN_FLIGHT: usize = 1 << 20;
/// What librdkafka takes without being told, and what a topic takes by default.
const USUAL_MESSAGE: std::ops::RangeInclusive<u32> = 1_000_000..=1_048_588;

type Client = BaseProducer<ProducerEvents>;

/// See [`SinkOptions`].
pub struct KafkaSink {
    ctx: Context,
    options: SinkOptions,
    key: KeyFrom,
    address: String,
    max_message: Option<u32>,
    max_bytes: usize,
    events: Arc<Events>,
    embedded: Option<Arc<Topic>>,
    producer: Option<Arc<Client>>,
    questions: Background<(), Found>,
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
        };
        sink.connect()?;
        match (&sink.embedded, sink.producer.clone()) {
            // An idempotent producer gets its number with metadata, if a connection is up by then:
            // hence twice. Otherwise half a second passes before the first record.
            (Some(_), Some(producer)) => {
                for _ in 0..2 {
                    let _ = topic::look(producer.client(), &wanted.topic, QUESTION);
                    std::thread::sleep(Duration::from_millis(4));
                }
            }
            _ => sink.find_topic(&wanted)?,
        }
        Ok(sink)
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
                Err(code @ RDKafkaErrorCode::MessageSizeTooLarge) => {
                    self.verdicts.insert(number, code);
                    self.window.reports.set(number, Fate::Refused);
                }
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
        self.marks.retain(|e, _| *e > epoch);
        Ok(Checkpoint::Ready(Vec::new()))
    }

    fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
        self.marks.remove(&epoch);
        Ok(())
    }

    fn close(&mut self) -> Result<(), StageError> {
        self.events.close();
        self.producer = None;
        Ok(())
    }
}

/// A thread that looks for the topic, again and again until it knows.
fn questions(wanted: &Wanted) -> Result<Background<(), Found>, StageError> {
    let wanted = wanted.clone();
    let mut client: Option<BaseProducer> = None;
    Background::spawn(move |()| {
        if client.is_none() {
            client = wanted.config.create().ok();
        }
        match wanted.ensure(client.as_ref()?.client(), QUESTION) {
            Found::Unknown(_) => None,
            found => {
                client = None;
                Some(found)
            }
        }
    })
    .map_err(|e| StageError::fatal(format!("cannot start a thread: {e}")))
}

impl KafkaSink {
    fn connect(&mut self) -> Result<(), StageError> {
        let config = connect::producer(
            &self.options,
            &self.address,
            self.ctx.stage(),
            self.max_message,
        )?;
        let context = ProducerEvents {
            events: self.events.clone(),
            reports: self.window.reports.clone(),
            embedded: self.embedded.clone(),
        };
        let producer: Client = config
            .create_with_context(context)
            .map_err(|e| connect::refused(&e))?;
        self.producer = Some(Arc::new(producer));
        Ok(())
    }

    /// Looks for the topic while opening, so that a wrong name ends the run before it began. A
    /// broker that is away is waited for later.
    fn find_topic(&mut self, wanted: &Wanted) -> Result<(), StageError> {
        let Some(producer) = self.producer.clone() else {
            return Ok(());
        };
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && !self.ctx.cancelled() {
            let found = wanted.ensure(producer.client(), Duration::from_millis(500));
            producer.poll(Duration::ZERO);
            if let Some(why) = self.events.refusal() {
                return Err(StageError::unavailable(format!(
                    "{} refuses us: {why}",
                    wanted.whom
                )));
            }
            match found {
                Found::Unknown(_) => std::thread::sleep(Duration::from_millis(20)),
                Found::Missing => return Err(StageError::unavailable(wanted.missing())),
                Found::Refused(why) => return Err(StageError::unavailable(why)),
                Found::Partitions(_) => {
                    self.ready = true;
                    self.max_message = wanted.max_message(Duration::from_millis(500));
                    if self
                        .max_message
                        .is_some_and(|n| !USUAL_MESSAGE.contains(&n))
                    {
                        self.connect()?;
                    }
                    return Ok(());
                }
            }
        }
        self.events.down(None);
        self.questions.ask(());
        Ok(())
    }

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

    /// Asks whether brokers that were away are back, and hears the answer.
    fn listen(&mut self) -> Result<(), StageError> {
        if self.embedded.is_some() {
            return Ok(());
        }
        if let Some(found) = self.questions.answer() {
            match found {
                Found::Partitions(_) => {
                    self.ready = true;
                    self.events.alive();
                }
                Found::Missing => {
                    let (topic, whom) = (&self.options.topic, self.events.whom());
                    return Err(StageError::unavailable(format!(
                        "topic `{topic}` does not exist on {whom}"
                    )));
                }
                Found::Refused(why) => return Err(StageError::unavailable(why)),
                Found::Unknown(_) => {}
            }
        }
        if (self.events.is_down() || !self.ready) && self.questions.waiting() == 0 {
            self.questions.ask(());
        }
        Ok(())
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

    /// Speaks of a trouble once, and delays the next attempt.
    fn trouble(&mut self, code: RDKafkaErrorCode) {
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
    fn renew(&mut self) -> Result<(), StageError> {
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
    fn repeat(&mut self, producer: &Client) {
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
            if let Some(number) = first {
                if self.send_again(producer, number) {
                    self.alone = Some(number);
                }
            }
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

fn refusal(topic: &str, code: Option<RDKafkaErrorCode>, record: &Record<'_>) -> Reject {
    let bytes = record.bytes().len();
    match code {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            Reject::new(format!("{bytes} bytes are more than topic `{topic}` takes"))
        }
        Some(code) => Reject::new(format!("topic `{topic}` refuses the record: {code}")),
        None => Reject::new(format!("topic `{topic}` refuses the record")),
    }
}
