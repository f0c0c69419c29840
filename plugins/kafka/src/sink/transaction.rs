//! Exactly once: an epoch is one transaction of records, the sources' offsets, and the epoch's
//! number.
//!
//! The number stands as an offset of a group that only this sink writes. A transaction is there
//! whole or not at all, so after a crash that offset says whether the last epoch of the store is
//! true, whatever was in doubt between the store and the cluster.
//!
//! Invariants: between a barrier and the commit of its epoch nothing is written; an error ends the
//! instance, because its successor, by the same name, aborts or finishes what it left and then
//! knows which.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use plugin_api::prelude::*;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::Producer,
};

use super::{Client, KafkaSink};
use crate::{
    background::{Background, QUESTION},
    connect::bystander,
    readers::Reader,
    snapshot::{Snapshot, differ},
};

/// How long a start waits for brokers before it asks the host to come again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The offsets of one source.
struct Share {
    reader: Arc<Reader>,
    topic: String,
    next: BTreeMap<i32, i64>,
}

/// What waits for brokers, and so happens in a thread of its own.
enum Step {
    Seal { epoch: u64, shares: Vec<Share> },
    Commit,
}

enum Phase {
    /// No transaction is open.
    Idle,
    /// Records are written.
    Open,
    /// The barrier of this epoch has passed; its offsets are not in the transaction yet.
    Sealing {
        epoch: u64,
        /// Taken when they are on their way.
        shares: Option<Vec<Share>>,
    },
    /// Everything is in the transaction.
    Sealed(u64),
    Committing(u64),
}

/// The transactions of a sink.
pub(super) struct Transactions {
    pub name: String,
    mark: Arc<Mark>,
    /// What the mark says; the outer `None`: nobody has asked yet.
    truth: Option<Option<u64>>,
    cluster: String,
    steps: Option<Background<Step, Result<(), String>>>,
    phase: Phase,
    begun: bool,
    /// Answers still to come that nobody waits for any more.
    stale: usize,
    failed: Option<String>,
}

/// The offset that holds the number of the last true epoch.
struct Mark {
    topic: String,
    group: BaseConsumer,
}

impl Mark {
    fn read(&self) -> Option<Option<u64>> {
        let mut question = TopicPartitionList::new();
        question.add_partition(&self.topic, 0);
        let answer = self.group.committed_offsets(question, QUESTION).ok()?;
        let element = answer.find_partition(&self.topic, 0)?;
        element.error().ok()?;
        match element.offset() {
            Offset::Offset(n) => Some(u64::try_from(n).ok()),
            _ => Some(None),
        }
    }

    /// Puts offsets and number into the open transaction. `None`: not yet.
    fn seal(&self, producer: &Client, epoch: u64, shares: &[Share]) -> Option<Result<(), String>> {
        for share in shares.iter().filter(|share| !share.next.is_empty()) {
            let Some(member) = share.reader.membership() else {
                return Some(Err("a source is gone".into()));
            };
            let mut offsets = TopicPartitionList::new();
            for (partition, next) in &share.next {
                // Fails for negative numbers only, and there are none.
                let _ =
                    offsets.add_partition_offset(&share.topic, *partition, Offset::Offset(*next));
            }
            if let Err(e) =
                settled(producer.send_offsets_to_transaction(&offsets, &member, QUESTION))?
            {
                return Some(Err(e));
            }
        }
        let Some(member) = self.group.group_metadata() else {
            return Some(Err("the group of the epochs has no name".into()));
        };
        let mut number = TopicPartitionList::new();
        let Ok(n) = i64::try_from(epoch) else {
            return Some(Err(format!("epoch {epoch} is no offset")));
        };
        let _ = number.add_partition_offset(&self.topic, 0, Offset::Offset(n));
        let sealed = settled(producer.send_offsets_to_transaction(&number, &member, QUESTION))?;
        if sealed.is_ok() {
            shares.iter().for_each(|share| share.reader.seal(epoch));
        }
        Some(sealed)
    }
}

/// `None`: the call is to be repeated.
fn settled(result: Result<(), KafkaError>) -> Option<Result<(), String>> {
    match result {
        Ok(()) => Some(Ok(())),
        Err(KafkaError::Flush(_)) => None,
        Err(KafkaError::Transaction(e)) => {
            let again = e.is_retriable() && !e.txn_requires_abort() && !e.is_fatal();
            (!again).then(|| Err(words(e.code(), &e.string())))
        }
        Err(e) => Some(Err(e.to_string())),
    }
}

/// What to say of an error.
pub(super) fn words(code: RDKafkaErrorCode, text: &str) -> String {
    match code {
        RDKafkaErrorCode::Fenced
        | RDKafkaErrorCode::ProducerFenced
        | RDKafkaErrorCode::InvalidProducerEpoch => format!(
            "{text}; another instance writes by this name, or it took longer than `transaction.timeout.ms`: \
             hosts that run at a time need a `transactional_id` each"
        ),
        _ => text.to_owned(),
    }
}

impl Transactions {
    pub fn new(sink: &KafkaSink) -> Result<Self, StageError> {
        if sink.ctx.workers() > 1 {
            return Err(StageError::config(
                "/exactly_once",
                "transactions need one writer: leave `workers` at 1",
            ));
        }
        let name = match &sink.options.transactional_id {
            Some(name) => name.clone(),
            None => format!("{}.{}", sink.ctx.host(), sink.ctx.stage()),
        };
        let group = bystander(
            &sink.options,
            &sink.address,
            sink.ctx.stage(),
            &format!("{name}.epoch"),
        )?
        .create()
        .map_err(|e| crate::connect::refused(&e))?;
        Ok(Self {
            name,
            mark: Arc::new(Mark {
                topic: sink.options.topic.clone(),
                group,
            }),
            truth: None,
            cluster: String::new(),
            steps: None,
            phase: Phase::Idle,
            begun: false,
            stale: 0,
            failed: None,
        })
    }

    /// Whether records may be written now; begins a transaction if none is open.
    pub fn admits(&mut self, producer: &Client) -> Result<bool, StageError> {
        if let Phase::Idle = self.phase {
            self.begin(producer)?;
            self.phase = Phase::Open;
        }
        Ok(matches!(self.phase, Phase::Open))
    }

    fn begin(&mut self, producer: &Client) -> Result<(), StageError> {
        if !self.begun {
            producer
                .begin_transaction()
                .map_err(|e| self.fail(e.to_string()))?;
            self.begun = true;
        }
        Ok(())
    }

    /// Nothing goes on: the error that every call answers with from now on.
    pub fn fail(&mut self, why: String) -> StageError {
        let why = self.failed.get_or_insert(why);
        StageError::fatal(format!(
            "the transaction `{}` failed: {why}; going back to the last checkpoint",
            self.name
        ))
    }

    /// Hears how far the thread is.
    pub fn hear(&mut self) -> Result<(), StageError> {
        if let Some(why) = self.failed.clone() {
            return Err(self.fail(why));
        }
        while let Some(answer) = self.steps.as_mut().and_then(Background::answer) {
            if let Err(why) = answer {
                return Err(self.fail(why));
            }
            if self.stale > 0 {
                self.stale -= 1;
                continue;
            }
            match self.phase {
                Phase::Sealing { epoch, .. } => self.phase = Phase::Sealed(epoch),
                Phase::Committing(epoch) => {
                    self.phase = Phase::Idle;
                    self.begun = false;
                    self.truth = Some(Some(epoch));
                }
                Phase::Idle | Phase::Open | Phase::Sealed(_) => {}
            }
        }
        Ok(())
    }

    /// The barrier passes: nothing is written until its epoch is committed or aborted.
    pub fn barrier(&mut self, epoch: u64, upstream: &[Upstream]) -> Result<(), StageError> {
        let wrong = |why: String| StageError::config("/exactly_once", why);
        if upstream.is_empty() {
            return Err(wrong("no source tells where it stands".into()));
        }
        let mut shares = Vec::new();
        for source in upstream {
            let stage = &source.stage;
            let snapshot = Snapshot::read(&source.state);
            let Some((snapshot, at)) = snapshot.and_then(|mut s| s.reader.take().map(|r| (s, r)))
            else {
                return Err(wrong(format!(
                    "source `{stage}` is no kafka source with `exactly_once = true`, so nobody can tell what of \
                     it is in a transaction"
                )));
            };
            if differ(&snapshot.cluster, &self.cluster) {
                return Err(wrong(format!(
                    "source `{stage}` reads from another cluster; a transaction holds within one"
                )));
            }
            let Some(reader) = Reader::find(&at.id) else {
                return Err(wrong(format!(
                    "source `{stage}` runs in another process: leave `isolate` off for both"
                )));
            };
            shares.push(Share {
                reader,
                topic: snapshot.topic,
                next: at.next,
            });
        }
        self.phase = Phase::Sealing {
            epoch,
            shares: Some(shares),
        };
        Ok(())
    }

    /// All records are delivered: puts in what belongs to them. True: it is done.
    pub fn sealed(&mut self, epoch: u64, producer: &Client) -> Result<bool, StageError> {
        if let Phase::Sealing { shares, .. } = &mut self.phase
            && let Some(shares) = shares.take()
        {
            self.begin(producer)?;
            self.ask(Step::Seal { epoch, shares });
        }
        self.hear()?;
        Ok(matches!(self.phase, Phase::Sealed(sealed) if sealed == epoch))
    }

    pub fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        match self.phase {
            Phase::Sealed(sealed) if sealed == epoch => {
                self.phase = Phase::Committing(epoch);
                self.ask(Step::Commit);
            }
            Phase::Committing(_) => self.hear()?,
            // A repetition: what is true here was found out when we started.
            _ => return Ok(Commit::Done),
        }
        Ok(match self.phase {
            Phase::Committing(_) => Commit::Pending,
            _ => Commit::Done,
        })
    }

    /// The transaction stays open: what is in it belongs to the next epoch.
    pub fn abort(&mut self, aborted: u64) {
        match self.phase {
            Phase::Sealing { epoch, .. } | Phase::Sealed(epoch) if epoch == aborted => {
                self.stale = self.steps.as_ref().map_or(0, Background::waiting);
                self.phase = if self.begun { Phase::Open } else { Phase::Idle };
            }
            _ => {}
        }
    }

    /// Lets readers go on that would wait for the end of an open transaction.
    pub fn close(&mut self, producer: &Client) {
        let waiting = self.steps.as_ref().map_or(0, Background::waiting);
        if self.begun && waiting == 0 {
            // Otherwise the successor or a time-out does it.
            let _ = producer.abort_transaction(QUESTION);
        }
    }

    fn ask(&mut self, step: Step) {
        if let Some(steps) = &mut self.steps {
            steps.ask(step);
        }
    }
}

impl KafkaSink {
    /// Ends what a former instance left, shuts it out, and learns which epoch is true.
    fn truth(&mut self) -> Result<Option<u64>, StageError> {
        if let Some(truth) = self.transactions.as_ref().and_then(|t| t.truth) {
            return Ok(truth);
        }
        let until = Instant::now() + PATIENCE;
        while !self.ready {
            self.listen()?;
            if let Some(producer) = &self.producer {
                producer.poll(Duration::from_millis(20));
            }
            self.in_time(until)?;
        }
        let producer = self
            .producer
            .clone()
            .ok_or_else(|| StageError::fatal("the sink is closed"))?;
        while settled(producer.init_transactions(QUESTION))
            .transpose()
            .map_err(|why| StageError::fatal(format!("cannot begin transactions: {why}")))?
            .is_none()
        {
            self.in_time(until)?;
        }
        let cluster = producer.client().fetch_cluster_id(QUESTION);
        let Some(transactions) = &self.transactions else {
            return Ok(None);
        };
        let mark = transactions.mark.clone();
        let truth = loop {
            if let Some(truth) = mark.read() {
                break truth;
            }
            self.in_time(until)?;
        };
        let steps = Background::spawn(move |step: &Step| match step {
            Step::Seal { epoch, shares } => mark.seal(&producer, *epoch, shares),
            Step::Commit => settled(producer.commit_transaction(QUESTION)),
        })
        .map_err(|e| StageError::fatal(format!("cannot start a thread: {e}")))?;
        if let Some(transactions) = &mut self.transactions {
            transactions.steps = Some(steps);
            transactions.cluster = cluster.unwrap_or_default();
            transactions.truth = Some(truth);
        }
        Ok(truth)
    }

    fn in_time(&self, until: Instant) -> Result<(), StageError> {
        if Instant::now() < until && !self.ctx.cancelled() {
            return Ok(());
        }
        Err(StageError::transient(format!(
            "{} does not answer: waiting to learn which epoch is true",
            self.events.whom()
        )))
    }

    pub(super) fn true_epoch(&mut self, epochs: &[u64]) -> Result<Recover, StageError> {
        let Some(truth) = self.truth()? else {
            if !epochs.is_empty() {
                self.ctx.warn(format!(
                    "no transaction of this sink is known to {}: going on from the last checkpoint",
                    self.events.whom()
                ));
                return Ok(Recover::NotMine);
            }
            return Ok(Recover::Epoch(0));
        };
        if truth == 0 || epochs.is_empty() {
            return Ok(Recover::Epoch(0));
        }
        if epochs.contains(&truth) {
            return Ok(Recover::Epoch(truth));
        }
        Err(StageError::fatal(format!(
            "the last transaction is of epoch {truth}, and the checkpoints are of {epochs:?}: they are another \
             host's or an old copy; bring back the right ones, or remove them to go on from the group's offsets"
        )))
    }

    /// The epoch restored is the true one from here on; says so to the cluster if it is news.
    pub(super) fn set_truth(&mut self, epoch: u64) -> Result<(), StageError> {
        if self.truth()? == Some(epoch) {
            return Ok(());
        }
        let (Some(producer), Some(transactions)) = (self.producer.clone(), &self.transactions)
        else {
            return Ok(());
        };
        let mark = transactions.mark.clone();
        let until = Instant::now() + PATIENCE;
        let failed =
            |why: String| StageError::fatal(format!("cannot set the epoch to {epoch}: {why}"));
        producer
            .begin_transaction()
            .map_err(|e| failed(e.to_string()))?;
        let attempts: [&dyn Fn() -> Option<Result<(), String>>; 2] =
            [&|| mark.seal(&producer, epoch, &[]), &|| {
                settled(producer.commit_transaction(QUESTION))
            }];
        for attempt in attempts {
            while attempt().transpose().map_err(failed)?.is_none() {
                self.in_time(until)?;
            }
        }
        if let Some(transactions) = &mut self.transactions {
            transactions.truth = Some(Some(epoch));
        }
        Ok(())
    }
}
