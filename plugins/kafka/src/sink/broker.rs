//! A sink's connection: made, found again, and whether the topic is there.

use std::{sync::Arc, time::Duration};

use plugin_api::prelude::*;
use rdkafka::producer::{BaseProducer, Producer};

use super::{Client, KafkaSink};
use crate::{
    background::{Background, QUESTION},
    connect,
    delivery::ProducerEvents,
    topic::{self, Found, Limits, Patience, Wanted},
};

/// What librdkafka takes without being told, and what a topic takes by default.
const USUAL_MESSAGE: std::ops::RangeInclusive<u32> = 1_000_000..=1_048_588;

/// The thread that looks for the topic; with it comes what it takes.
pub(super) type Questions = Background<(), (Found, Limits)>;

/// Starts it: asked, it looks again and again until it knows.
pub(super) fn questions(wanted: &Wanted) -> Result<Questions, StageError> {
    let wanted = wanted.clone();
    let (mut client, mut patience) = (None::<BaseProducer>, Patience::default());
    Background::spawn(move |()| {
        if client.is_none() {
            client = wanted.config.create().ok();
        }
        let found = patience.settled(wanted.ensure(client.as_ref()?.client(), QUESTION))?;
        client = None;
        Some((found, wanted.limits(QUESTION)))
    })
    .map_err(|e| StageError::fatal(format!("cannot start a thread: {e}")))
}

impl KafkaSink {
    pub(super) fn connect(&mut self) -> Result<(), StageError> {
        let mut config = connect::producer(
            &self.options,
            &self.address,
            self.ctx.stage(),
            self.max_message,
        )?;
        if let Some(transactions) = &self.transactions {
            config.set("transactional.id", &transactions.name);
            // A transaction ends in any case; librdkafka then gives a record as long as that.
            if self.options.properties.get("message.timeout.ms").is_none() {
                config.remove("message.timeout.ms");
            }
        }
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

    /// Looks for the topic while opening. A broker that is away is waited for later.
    pub(super) fn find_topic(&mut self, wanted: &Wanted) -> Result<(), StageError> {
        let Some(producer) = self.producer.clone() else {
            return Ok(());
        };
        if self.embedded.is_some() {
            // An idempotent producer gets its number with metadata, if a connection is up by then:
            // hence twice. Otherwise half a second passes before the first record.
            for _ in 0..2 {
                let _ = topic::look(producer.client(), &wanted.topic, QUESTION);
                std::thread::sleep(Duration::from_millis(4));
            }
            return Ok(());
        }
        if wanted.find(producer.client(), &self.ctx, &self.events, || {
            producer.poll(Duration::ZERO)
        })? {
            self.ready = true;
            return self.limit(wanted.limits(QUESTION));
        }
        self.questions.ask(());
        Ok(())
    }

    /// The topic takes only such records.
    fn limit(&mut self, limits: Limits) -> Result<(), StageError> {
        let max_message = limits.max_message;
        self.wants_keys = limits.wants_keys;
        if max_message.is_none_or(|n| USUAL_MESSAGE.contains(&n)) || !self.window.is_empty() {
            return Ok(());
        }
        self.max_message = max_message;
        self.connect()
    }

    /// Asks whether brokers that were away are back, and hears the answer.
    pub(super) fn listen(&mut self) -> Result<(), StageError> {
        if self.embedded.is_some() {
            return Ok(());
        }
        if let Some((found, limits)) = self.questions.answer() {
            match found {
                Found::Partitions(_) => {
                    self.events.alive();
                    if !std::mem::replace(&mut self.ready, true) {
                        self.limit(limits)?;
                    }
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
}
