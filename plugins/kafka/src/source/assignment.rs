//! Which partitions are ours, and from where on they are read.

use plugin_api::prelude::*;
use rdkafka::{
    Offset,
    consumer::{Consumer, RebalanceProtocol},
};

use super::{
    Client, KafkaSource, Releasing,
    questions::{Answer, Question, Resolved, Restored, list},
};
use crate::{events::Change, snapshot::differ, topic::Found};

impl KafkaSource {
    pub(super) fn answered(&mut self, consumer: &Client, answer: Answer) -> Result<(), StageError> {
        match answer {
            Answer::Topic(Found::Partitions(_)) => {
                self.ready = true;
                self.events.alive();
            }
            Answer::Topic(Found::Missing) => {
                let (topic, whom) = (&self.options.topic, &self.whom);
                return Err(StageError::unavailable(format!(
                    "topic `{topic}` does not exist on {whom}"
                )));
            }
            Answer::Topic(Found::Refused(why)) => return Err(StageError::unavailable(why)),
            Answer::Topic(Found::Unknown(_)) => {}
            Answer::Resolved(Resolved {
                number,
                partitions,
                cluster,
            }) => {
                self.on_cluster(cluster);
                // Some may have been revoked in the meantime, and assigned once more.
                let found: Vec<_> = partitions
                    .into_iter()
                    .filter(|(p, ..)| self.resolving.get(p) == Some(&number))
                    .collect();
                if found.is_empty() {
                    return Ok(());
                }
                self.resolving.retain(|_, by| *by != number);
                for (partition, next, committed) in &found {
                    self.positions.assign(*partition, *next, *committed);
                }
                self.assign(
                    consumer,
                    found.iter().map(|(p, next, _)| (*p, *next)).collect(),
                )?;
                self.tell_flow();
            }
            Answer::Range(ranges) => {
                self.ranging = false;
                for (partition, low, high) in ranges {
                    self.check_range(partition, low, high);
                }
                self.rewind = true;
            }
            Answer::Ends(ends) => self.ends = Some(ends),
        }
        Ok(())
    }

    /// The broker had nothing at our position: it is gone, or it never was.
    fn check_range(&mut self, partition: i32, low: i64, high: i64) {
        let Some((_, next)) = self
            .positions
            .active()
            .into_iter()
            .find(|(p, _)| *p == partition)
        else {
            return;
        };
        let topic = &self.options.topic;
        if next < low {
            let lost = low - next;
            self.ctx.counter("kafka_lost_records", lost.unsigned_abs());
            self.ctx.warn(format!(
                "{lost} records of `{topic}` partition {partition} were deleted before they could be read: \
                 offsets {next} to {}",
                low - 1
            ));
            self.positions.jump(partition, low);
        } else if next > high {
            self.ctx.counter("kafka_truncations", 1);
            self.ctx.warn(format!(
                "`{topic}` partition {partition} ends at offset {high}, before our position {next}: it was cut off \
                 or made anew; reading it from its beginning, {low}"
            ));
            self.positions.jump(partition, low);
        }
    }

    pub(super) fn changed(&mut self, consumer: &Client, change: Change) -> Result<(), StageError> {
        match change {
            Change::Assign(partitions) if partitions.is_empty() => {
                self.assign(consumer, Vec::new())
            }
            Change::Assign(partitions) => {
                self.ctx.debug(format!(
                    "assigned partitions {partitions:?} of `{}`",
                    self.options.topic
                ));
                self.asked += 1;
                let number = self.asked;
                self.resolving
                    .extend(partitions.iter().map(|p| (*p, number)));
                let partitions = partitions
                    .iter()
                    .map(|p| (*p, self.positions.restored(*p)))
                    .collect();
                self.ask(Question::Resolve(Restored {
                    number,
                    partitions,
                    cluster: self.cluster.clone(),
                }));
                Ok(())
            }
            Change::Revoke {
                partitions,
                lost: true,
            } => {
                self.lose(consumer, &partitions);
                Ok(())
            }
            // While draining, everyone reads to the end what is theirs.
            Change::Revoke { .. } if self.draining => Ok(()),
            Change::Revoke {
                partitions,
                lost: false,
            } => {
                self.ctx.debug(format!(
                    "partitions {partitions:?} of `{}` are revoked",
                    self.options.topic
                ));
                self.resolving.retain(|p, _| !partitions.contains(p));
                if self.positions.leave(&partitions).is_empty() {
                    self.unassign(consumer, &partitions);
                    return Ok(());
                }
                // Half of what the group waits: it is not to learn from our silence.
                let wait_ns = u64::try_from(self.patience.as_nanos() / 2).unwrap_or(u64::MAX);
                let until_ns = self.ctx.monotonic_ns().saturating_add(wait_ns);
                self.releasing
                    .get_or_insert_with(|| Releasing {
                        partitions: Vec::new(),
                        until_ns,
                    })
                    .partitions
                    .extend(&partitions);
                self.ctx.request_checkpoint();
                Ok(())
            }
        }
    }

    /// Revoked partitions wait for an epoch, but not for ever: the group waits for us.
    pub(super) fn release_in_time(&mut self, consumer: &Client) {
        // On the embedded broker nobody takes what was not released.
        let Some(releasing) = self.releasing.as_ref().filter(|_| self.member.is_none()) else {
            return;
        };
        let late = self.ctx.monotonic_ns() >= releasing.until_ns;
        if !late && !consumer.assignment_lost() {
            return;
        }
        let partitions = self.releasing.take().unwrap_or_default().partitions;
        self.lose(consumer, &partitions);
    }

    /// These are taken from us.
    fn lose(&mut self, consumer: &Client, partitions: &[i32]) {
        self.count_lost(partitions, self.positions.any_assigned(partitions));
        self.unassign(consumer, partitions);
    }

    /// These may be read by someone else already. If they are `needed`, nothing goes on from here
    /// but a restart from the last epoch: what was read of them since must not become part of the
    /// next one.
    fn count_lost(&mut self, partitions: &[i32], needed: bool) {
        self.ctx
            .counter("kafka_partitions_lost", partitions.len() as u64);
        self.resolving.retain(|p, _| !partitions.contains(p));
        self.releasing = None;
        if needed {
            self.lost = Some(format!(
                "partitions {partitions:?} of `{}` are lost: the group `{}` went on without us; \
                 reading them again from the last checkpoint",
                self.options.topic, self.options.group
            ));
        }
    }

    /// Whether the group has given up on us. librdkafka does not call that a loss in the middle of
    /// a rebalance.
    pub(super) fn overslept(&self) -> bool {
        self.joined && self.member.is_none() && self.polled_at.elapsed() >= self.patience
    }

    /// Whether the group has gone on without us, also where the news of it waits for the next poll.
    pub(super) fn is_lost(&self) -> Result<bool, StageError> {
        Ok(self.member.is_none() && (self.client()?.assignment_lost() || self.overslept()))
    }

    /// The group has gone on without us, with all that is ours. librdkafka is told nothing that it
    /// did not ask for: it would take that for the answer to what it asks next.
    pub(super) fn lose_all(&mut self) {
        let assigned = self.positions.assigned().into_iter().map(|(p, _)| p);
        let all: Vec<i32> = assigned.chain(self.resolving.keys().copied()).collect();
        if all.is_empty() {
            return;
        }
        self.count_lost(&all, true);
        self.positions.forget(&all);
    }

    /// An error once partitions are lost.
    pub(super) fn undiminished(&self) -> Result<(), StageError> {
        match &self.lost {
            Some(why) => Err(StageError::fatal(why.clone())),
            None => Ok(()),
        }
    }

    /// We read from this cluster; what an epoch left of another one is forgotten.
    fn on_cluster(&mut self, cluster: String) {
        if cluster.is_empty() {
            return;
        }
        let before = std::mem::replace(&mut self.cluster, cluster);
        if !differ(&before, &self.cluster) {
            return;
        }
        self.positions.forget_restored();
        let topic = &self.options.topic;
        if self.embedded.is_some() {
            self.ctx.info(format!(
                "the embedded broker that the stored position in `{topic}` was of is gone: starting anew"
            ));
        } else {
            self.ctx.warn(format!(
                "the stored position in `{topic}` is of another cluster: going on from the group's offsets"
            ));
        }
    }

    fn assign(&mut self, consumer: &Client, partitions: Vec<(i32, i64)>) -> Result<(), StageError> {
        let topic = &self.options.topic;
        let at = |list_of: Vec<(i32, i64)>| {
            list(
                topic,
                list_of
                    .into_iter()
                    .map(|(p, next)| (p, Offset::Offset(next))),
            )
        };
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Eager => consumer.assign(&at(self.positions.assigned())),
            _ => consumer.incremental_assign(&at(partitions)),
        };
        assigned.map_err(|e| {
            StageError::fatal(format!("cannot take over partitions of `{topic}`: {e}"))
        })?;
        consumer.answered();
        Ok(())
    }

    pub(super) fn unassign(&mut self, consumer: &Client, partitions: &[i32]) {
        let topic = &self.options.topic;
        let active = self.positions.assigned();
        self.positions.forget(partitions);
        let result = match (&self.member, consumer.rebalance_protocol()) {
            (Some(member), _) => {
                // Only what was handed to librdkafka can be taken from it.
                let ours = active
                    .iter()
                    .filter(|(p, _)| partitions.contains(p))
                    .map(|(p, _)| (*p, Offset::Invalid));
                let result = consumer.incremental_unassign(&list(topic, ours));
                member.release(partitions);
                result
            }
            (None, RebalanceProtocol::Eager) => consumer.unassign(),
            (None, _) => {
                // It refuses a list with one that it was never given, and an empty one is an answer.
                let given = consumer.assignment();
                let was_given = |p: &&i32| {
                    given
                        .as_ref()
                        .is_ok_and(|given| given.find_partition(topic, **p).is_some())
                };
                let ours = partitions.iter().filter(was_given);
                consumer.incremental_unassign(&list(topic, ours.map(|p| (*p, Offset::Invalid))))
            }
        };
        match result {
            Ok(()) => consumer.answered(),
            Err(e) => self
                .ctx
                .debug(format!("giving up partitions of `{topic}`: {e}")),
        }
    }

    /// Fetches again from the positions on.
    pub(super) fn restart(&mut self, consumer: &Client) -> Result<(), StageError> {
        let topic = &self.options.topic;
        let active = self.positions.active();
        if active.is_empty() {
            return Ok(());
        }
        if !matches!(consumer.rebalance_protocol(), RebalanceProtocol::Eager) {
            let without = list(topic, active.iter().map(|(p, _)| (*p, Offset::Invalid)));
            consumer
                .incremental_unassign(&without)
                .map_err(|e| StageError::fatal(e.to_string()))?;
        }
        self.assign(consumer, active)
    }

    pub(super) fn at_end(&self) -> bool {
        let (true, Some(ends)) = (self.draining, &self.ends) else {
            return false;
        };
        let settled = self.resolving.is_empty()
            && self.member.as_ref().is_some_and(|m| !m.has_more_to_take());
        settled
            && self
                .positions
                .active()
                .iter()
                .all(|(p, next)| ends.get(p).is_none_or(|end| next >= end))
    }
}
