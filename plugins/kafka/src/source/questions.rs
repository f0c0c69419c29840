//! What a source asks brokers, in a thread of its own: where partitions begin and end, what the
//! group has committed.

use std::{collections::BTreeMap, sync::Arc};

use plugin_api::prelude::*;
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};

use super::Client;
use crate::{
    background::{Background, QUESTION},
    snapshot::differ,
    start::Start,
    topic::{Found, Patience, Wanted},
};

/// How to find out where a partition begins.
pub(super) struct Begin {
    pub start: Start,
    /// The group's offset counts, whatever an epoch says.
    pub group_alone: bool,
    /// Which embedded broker it is.
    pub incarnation: Option<String>,
}

/// A question to the brokers.
pub(super) enum Question {
    /// Is the topic there?
    Topic,
    /// Where do these begin? With the positions that an epoch left.
    Resolve(Restored),
    /// What is there of these?
    Range(Vec<i32>),
    /// Where do these end?
    Ends(Vec<i32>),
}

pub(super) enum Answer {
    Topic(Found),
    Resolved(Resolved),
    /// Partition, first offset, end.
    Range(Vec<(i32, i64, i64)>),
    Ends(BTreeMap<i32, i64>),
}

/// Partitions with the positions that an epoch left, and of which cluster those are.
pub(super) struct Restored {
    /// Which question it is.
    pub number: u64,
    pub partitions: Vec<(i32, Option<i64>)>,
    pub cluster: String,
}

pub(super) struct Resolved {
    /// Of the question.
    pub number: u64,
    /// Partition, where to begin, what the group has committed.
    pub partitions: Vec<(i32, i64, Option<i64>)>,
    /// The cluster that we read from; empty: it does not say.
    pub cluster: String,
}

/// A thread that asks the brokers.
pub(super) fn questions(
    consumer: &Arc<Client>,
    wanted: &Wanted,
    begin: Begin,
    ctx: &Context,
) -> Result<Background<Question, Answer>, StageError> {
    let (consumer, wanted, ctx) = (consumer.clone(), wanted.clone(), ctx.clone());
    let mut patience = Patience::default();
    Background::spawn(move |question| match question {
        Question::Topic => patience
            .settled(wanted.ensure(consumer.client(), QUESTION))
            .map(Answer::Topic),
        Question::Resolve(restored) => {
            resolve(&consumer, &wanted.topic, restored, &begin, &ctx).map(Answer::Resolved)
        }
        Question::Range(partitions) => {
            let low = offsets(&consumer, &wanted.topic, partitions, Offset::Beginning)?;
            let high = offsets(&consumer, &wanted.topic, partitions, Offset::End)?;
            Some(Answer::Range(
                low.iter()
                    .filter_map(|(p, l)| Some((*p, *l, *high.get(p)?)))
                    .collect(),
            ))
        }
        Question::Ends(partitions) => {
            offsets(&consumer, &wanted.topic, partitions, Offset::End).map(Answer::Ends)
        }
    })
    .map_err(|e| StageError::fatal(format!("cannot start a thread: {e}")))
}

pub(super) fn list(
    topic: &str,
    partitions: impl IntoIterator<Item = (i32, Offset)>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        // Fails for negative numbers only, and there are none.
        let _ = list.add_partition_offset(topic, partition, offset);
    }
    list
}

/// Offsets of a time, of the beginning or of the end; none where there is no record of that time.
fn offsets(
    consumer: &Client,
    topic: &str,
    partitions: &[i32],
    at: Offset,
) -> Option<BTreeMap<i32, i64>> {
    if partitions.is_empty() {
        return Some(BTreeMap::new());
    }
    let question = list(topic, partitions.iter().map(|p| (*p, at)));
    let answer = consumer.offsets_for_times(question, QUESTION).ok()?;
    let mut found = BTreeMap::new();
    for element in answer.elements() {
        element.error().ok()?;
        if let Offset::Offset(offset) = element.offset() {
            found.insert(element.partition(), offset);
        }
    }
    Some(found)
}

/// Where each partition begins: the further of epoch and group, else `start`. Where a transaction
/// moves the group's offsets the group alone says it, once it says anything.
fn resolve(
    consumer: &Client,
    topic: &str,
    restored: &Restored,
    begin: &Begin,
    ctx: &Context,
) -> Option<Resolved> {
    let partitions = &restored.partitions;
    let question = list(topic, partitions.iter().map(|(p, _)| (*p, Offset::Invalid)));
    let answer = consumer.committed_offsets(question, QUESTION).ok()?;
    let mut committed = BTreeMap::new();
    for element in answer.elements() {
        element.error().ok()?;
        if let Offset::Offset(offset) = element.offset() {
            committed.insert(element.partition(), offset);
        }
    }
    // The question before was answered, so the cluster's name has come along.
    let cluster = match &begin.incarnation {
        Some(incarnation) => incarnation.clone(),
        None => consumer
            .client()
            .fetch_cluster_id(QUESTION)
            .unwrap_or_default(),
    };
    let foreign = differ(&restored.cluster, &cluster);
    let known = |p: i32, restored: Option<i64>| {
        let group = committed.get(&p).copied();
        let restored = restored.filter(|_| !foreign);
        if begin.group_alone {
            group.or(restored)
        } else {
            restored.max(group)
        }
    };
    let fresh: Vec<i32> = partitions
        .iter()
        .filter(|(p, r)| known(*p, *r).is_none())
        .map(|(p, _)| *p)
        .collect();
    let mut first = match begin.start {
        Start::Earliest => offsets(consumer, topic, &fresh, Offset::Beginning)?,
        Start::Latest => offsets(consumer, topic, &fresh, Offset::End)?,
        Start::Timestamp(ms) => offsets(consumer, topic, &fresh, Offset::Offset(ms))?,
        Start::Offset(wanted) => {
            let low = offsets(consumer, topic, &fresh, Offset::Beginning)?;
            let high = offsets(consumer, topic, &fresh, Offset::End)?;
            let within = |p: &i32, low: i64| {
                let high = high.get(p).copied().unwrap_or(low);
                let at = wanted.clamp(low, high);
                if at != wanted {
                    ctx.warn(format!(
                        "partition {p} of `{topic}` holds offsets {low} to {high}: starting at {at}"
                    ));
                }
                (*p, at)
            };
            low.iter().map(|(p, low)| within(p, *low)).collect()
        }
    };
    let missing: Vec<i32> = fresh
        .iter()
        .filter(|p| !first.contains_key(p))
        .copied()
        .collect();
    first.extend(offsets(consumer, topic, &missing, Offset::End)?);
    let start_of = |(p, restored): &(i32, Option<i64>)| {
        let next = known(*p, *restored).or_else(|| first.get(p).copied())?;
        Some((*p, next, committed.get(p).copied()))
    };
    let partitions = partitions.iter().map(start_of).collect::<Option<_>>()?;
    Some(Resolved {
        number: restored.number,
        partitions,
        cluster,
    })
}
