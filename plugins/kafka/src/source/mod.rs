//! The source: messages in, batches out, as a member of a consumer group.

mod assignment;
mod client;
mod commit;
mod fetch;
mod questions;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use plugin_api::prelude::*;
use rdkafka::consumer::Consumer;

pub(crate) use self::client::Client;
use self::{
    commit::{Commits, commits},
    questions::{Answer, Begin, Question, questions},
};
use crate::{
    background::{Background, QUESTION},
    config::SourceOptions,
    connect::{self, Cluster},
    embedded::{self, Topic},
    events::Events,
    groups::Member,
    positions::Positions,
    readers::Reader,
    snapshot::{ReaderAt, Snapshot},
    start::Start,
    topic::{self, Wanted},
};

/// Revoked partitions, to be released after an epoch.
#[derive(Default)]
struct Releasing {
    partitions: Vec<i32>,
    /// When the group will not wait any longer.
    until_ns: u64,
}

/// See [`SourceOptions`].
pub struct KafkaSource {
    ctx: Context,
    options: SourceOptions,
    whom: String,
    events: Arc<Events>,
    consumer: Option<Arc<Client>>,
    questions: Option<Background<Question, Answer>>,
    /// The broker inside this process: its topic, and our membership once we have joined.
    embedded: Option<Arc<Topic>>,
    member: Option<Member>,
    /// The topic was seen; we have joined the group.
    ready: bool,
    joined: bool,
    positions: Positions,
    /// Assigned, but where to begin is not known yet: by which question it will be.
    resolving: BTreeMap<i32, u64>,
    /// Such questions so far.
    asked: u64,
    releasing: Option<Releasing>,
    /// After so long without a poll the group goes on without us.
    patience: Duration,
    polled_at: Instant,
    /// Why nothing goes on but a restart.
    lost: Option<String>,
    /// The cluster that the positions are of; empty: not known yet.
    cluster: String,
    /// A sink's transaction commits our offsets.
    reader: Option<Arc<Reader>>,
    /// A question about out-of-range positions is under way.
    ranging: bool,
    /// Messages were thrown away: go back to the positions first.
    rewind: bool,
    commits: Option<Commits>,
    commit_again_at: Option<Instant>,
    /// The run ends: read up to these offsets.
    draining: bool,
    ends: Option<BTreeMap<i32, i64>>,
    builder: BatchBuilder,
    id: String,
    id_prefix: usize,
    lag_at_ns: u64,
    said_skipped: bool,
    said_topic: bool,
}

impl Source for KafkaSource {
    const NAME: &'static str = "kafka";
    type Options = SourceOptions;

    fn plan(options: &SourceOptions) -> Result<Planned, StageError> {
        options.plan()
    }

    fn open(options: SourceOptions, ctx: &Context) -> Result<Self, StageError> {
        let cluster = options.cluster();
        let whom = cluster.name().to_owned();
        let events = Events::new(ctx, &whom);
        let (address, embedded, incarnation) = match &cluster {
            Cluster::Embedded => {
                let broker = embedded::broker(ctx)?;
                let topic = broker.topic(ctx, &options.topic, options.partitions)?;
                let incarnation = broker.incarnation().to_owned();
                (broker.address().to_owned(), Some(topic), Some(incarnation))
            }
            Cluster::Remote(brokers) => (brokers.clone(), None, None),
        };
        let config = connect::consumer(&options, &address, ctx.stage())?;
        let consumer = Client::new(&config, &events).map_err(|e| connect::refused(&e))?;
        let consumer = Arc::new(consumer);
        let wanted = Wanted {
            topic: options.topic.clone(),
            partitions: options.partitions,
            replication: options.replication,
            config,
            whom: whom.clone(),
        };
        let begin = Begin {
            start: Start::parse(&options.start).map_err(|e| StageError::config("/start", e))?,
            group_alone: options.exactly_once,
            incarnation,
        };
        let group = &options.group;
        if let Some(topic) = &embedded {
            topic.flow.joined(group);
        }
        let id = format!("{}/", options.topic);
        let mut source = Self {
            ctx: ctx.clone(),
            whom,
            commits: Some(commits(&consumer, &options.topic)?),
            questions: Some(questions(&consumer, &wanted, begin, ctx)?),
            consumer: Some(consumer.clone()),
            ready: embedded.is_some(),
            embedded,
            member: None,
            joined: false,
            positions: Positions::default(),
            resolving: BTreeMap::new(),
            asked: 0,
            releasing: None,
            patience: connect::patience_of_group(&options),
            polled_at: Instant::now(),
            lost: None,
            cluster: String::new(),
            reader: options.exactly_once.then(|| Reader::enter(&consumer)),
            ranging: false,
            rewind: false,
            commit_again_at: None,
            draining: false,
            ends: None,
            builder: BatchBuilder::new(),
            id_prefix: id.len(),
            id,
            lag_at_ns: 0,
            said_skipped: false,
            said_topic: false,
            events,
            options,
        };
        source.find_topic(&consumer, &wanted)?;
        Ok(source)
    }

    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        let Some(state) = state.filter(|_| epoch > 0) else {
            return Ok(());
        };
        match Snapshot::read(state).filter(|s| s.topic == self.options.topic) {
            Some(snapshot) => {
                self.cluster = snapshot.cluster;
                self.positions.restore(snapshot.next);
            }
            None => self
                .ctx
                .warn("the stored position is of another topic: starting from the group's offsets"),
        }
        Ok(())
    }

    fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        self.listen()?;
        self.undiminished()?;
        if self.at_end() {
            return Ok(Poll::Finished);
        }
        if budget == 0 {
            return Ok(Poll::Idle);
        }
        self.fetch(budget, deadline_ns, out)
    }

    fn drain(&mut self) -> Drain {
        if self.embedded.is_none() {
            return Drain::Stop;
        }
        self.draining = true;
        // Whoever reads a partition now reads it to its end: a hand-over would wait for an epoch.
        if self.releasing.take().is_some() {
            self.positions.stay();
            self.rewind = true;
        }
        let partitions = self.embedded.as_ref().map_or(0, |t| t.partitions);
        self.ask(Question::Ends((0..partitions).collect()));
        Drain::ToEnd
    }

    fn checkpoint(&mut self, epoch: u64, _last: bool) -> Result<Vec<u8>, StageError> {
        self.undiminished()?;
        let (next, assigned) = self.positions.begin(epoch);
        let reader = self.reader.as_ref().map(|reader| ReaderAt {
            id: reader.id().to_owned(),
            next: assigned,
        });
        Ok(Snapshot {
            cluster: self.cluster.clone(),
            topic: self.options.topic.clone(),
            next,
            reader,
        }
        .to_bytes())
    }

    fn checkpoint_poll(&mut self, epoch: u64) -> Result<(), StageError> {
        self.undiminished()?;
        if self.positions.stands(epoch) && !self.is_lost()? {
            return Ok(());
        }
        Err(StageError::fatal(format!(
            "partitions of `{}` that epoch {epoch} covers are not ours any more",
            self.options.topic
        )))
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        self.commit_step(epoch)
    }

    fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
        self.positions.abort(epoch);
        Ok(())
    }

    fn close(&mut self) -> Result<(), StageError> {
        self.events.close();
        self.questions = None;
        self.commits = None;
        self.consumer = None;
        self.reader = None;
        self.member = None;
        if let Some(topic) = self.embedded.take() {
            topic.flow.left(&self.options.group);
        }
        Ok(())
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        // Closed or not, nobody is held up by a reader that is gone. Idempotent; cannot fail.
        let _ = self.close();
    }
}

impl KafkaSource {
    fn ask(&mut self, question: Question) {
        if let Some(questions) = &mut self.questions {
            questions.ask(question);
        }
    }

    fn client(&self) -> Result<Arc<Client>, StageError> {
        self.consumer
            .clone()
            .ok_or_else(|| StageError::fatal("the source is closed"))
    }

    /// Looks for the topic while opening. A broker that is away is waited for later.
    fn find_topic(&mut self, consumer: &Client, wanted: &Wanted) -> Result<(), StageError> {
        if self.embedded.is_some() {
            // Questions about offsets wait 50 ms unless the partitions' leaders are known.
            let _ = topic::look(consumer.client(), &wanted.topic, QUESTION);
            return Ok(());
        }
        // No topic is subscribed to: polling serves callbacks only.
        let serve = || drop(consumer.poll(Duration::ZERO));
        self.ready = wanted.find(consumer.client(), &self.ctx, &self.events, serve)?;
        if !self.ready {
            self.ask(Question::Topic);
        }
        Ok(())
    }

    /// Joins the group, takes in changes of the assignment and answers of the brokers.
    fn listen(&mut self) -> Result<(), StageError> {
        let consumer = self.client()?;
        if self.ready && !self.joined {
            self.joined = true;
            match &self.embedded {
                Some(topic) => {
                    self.member = Some(Member::join(
                        &self.options.topic,
                        &self.options.group,
                        topic.partitions,
                    ));
                }
                None => consumer
                    .subscribe(&[&self.options.topic])
                    .map_err(|e| StageError::fatal(e.to_string()))?,
            }
        }
        while let Some(answer) = self.questions.as_mut().and_then(Background::answer) {
            self.answered(&consumer, answer)?;
        }
        let local = self
            .member
            .as_mut()
            .map(Member::changes)
            .unwrap_or_default();
        for change in local {
            self.changed(&consumer, change)?;
        }
        while let Some(change) = self.events.next_change() {
            self.changed(&consumer, change)?;
        }
        self.release_in_time(&consumer);
        if self.overslept() {
            self.lose_all();
        }
        self.polled_at = Instant::now();
        let waiting = self.questions.as_ref().map_or(0, Background::waiting);
        if self.embedded.is_none() && (self.events.is_down() || !self.ready) && waiting == 0 {
            self.ask(Question::Topic);
        }
        // What waits for an answer would take this for one.
        if self.rewind && !consumer.owes() && !self.is_lost()? {
            self.rewind = false;
            self.restart(&consumer)?;
        }
        Ok(())
    }
}
