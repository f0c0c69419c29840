//! Offsets go to the group here, and only here: with an epoch that is true.
//!
//! rdkafka 0.39 never says what became of an asynchronous commit, so a thread commits and waits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use plugin_api::prelude::*;
use rdkafka::{
    Offset,
    consumer::{CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{Client, KafkaSource, questions::list};
use crate::background::Background;

/// Pause between two attempts.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Partitions with the offsets to commit.
pub(super) type Offsets = Vec<(i32, i64)>;
/// The thread that commits.
pub(super) type Commits = Background<Offsets, (Offsets, Result<(), RDKafkaErrorCode>)>;

pub(super) fn commits(consumer: &Arc<Client>, topic: &str) -> Result<Commits, StageError> {
    let (consumer, topic) = (consumer.clone(), topic.to_owned());
    Background::spawn(move |offsets: &Offsets| {
        let request = list(
            &topic,
            offsets.iter().map(|(p, next)| (*p, Offset::Offset(*next))),
        );
        let result = match consumer.commit(&request, CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
            Err(e) => Err(e.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
        };
        Some((offsets.clone(), result))
    })
    .map_err(|e| StageError::fatal(format!("cannot start a thread: {e}")))
}

/// What becomes of a commit that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is made once more.
    Again,
    /// It is not ours to make any more: someone else commits.
    Lost,
    Forbidden,
}

/// By the reason; `lost`: the group has gone on without us.
fn fate(code: RDKafkaErrorCode, lost: bool) -> Fate {
    match code {
        // While its members agree on who reads what, the group may be a generation ahead of what
        // we have heard, and all is ours still: librdkafka calls it no loss.
        RDKafkaErrorCode::IllegalGeneration if !lost => Fate::Again,
        RDKafkaErrorCode::IllegalGeneration
        | RDKafkaErrorCode::UnknownMemberId
        | RDKafkaErrorCode::Fatal
        | RDKafkaErrorCode::FencedMemberEpoch
        | RDKafkaErrorCode::FencedInstanceId
        | RDKafkaErrorCode::UnknownTopicOrPartition => Fate::Lost,
        RDKafkaErrorCode::GroupAuthorizationFailed => Fate::Forbidden,
        _ => Fate::Again,
    }
}

impl KafkaSource {
    /// One step of committing an epoch.
    pub(super) fn commit_step(&mut self, epoch: u64) -> Result<Commit, StageError> {
        if let Some(reader) = &self.reader {
            // Committed already, in the sink's transaction.
            if self.positions.knows(epoch) && !reader.is_sealed(epoch) {
                return Err(StageError::config(
                    "/exactly_once",
                    "no sink has put the offsets into its transaction: a kafka sink with \
                     `exactly_once = true` must be the only one behind this source",
                ));
            }
            for (partition, offset) in self.positions.to_commit(epoch) {
                self.positions.committed(partition, offset);
            }
            return self.committed(epoch);
        }
        if let Some((offsets, result)) = self.commits.as_mut().and_then(Background::answer) {
            self.commit_answered(&offsets, result)?;
        }
        let under_way = self.commits.as_ref().is_some_and(|c| c.waiting() > 0);
        if under_way || self.commit_again_at.is_some_and(|at| Instant::now() < at) {
            return Ok(Commit::Pending);
        }
        self.commit_again_at = None;
        // Asked for anew at each attempt: what was lost meanwhile must not be committed.
        let offsets = self.positions.to_commit(epoch);
        if offsets.is_empty() {
            return self.committed(epoch);
        }
        if let Some(commits) = &mut self.commits {
            commits.ask(offsets);
        }
        Ok(Commit::Pending)
    }

    fn commit_answered(
        &mut self,
        offsets: &Offsets,
        result: Result<(), RDKafkaErrorCode>,
    ) -> Result<(), StageError> {
        let topic = &self.options.topic;
        if let Err(code) = result {
            match fate(code, self.is_lost()?) {
                Fate::Again => {
                    self.ctx.debug(format!(
                        "committing offsets of `{topic}`: {code}; trying again"
                    ));
                    self.commit_again_at = Some(Instant::now() + AGAIN_AFTER);
                    return Ok(());
                }
                Fate::Lost => self.ctx.warn(format!(
                    "offsets of `{topic}` were not committed: {code}; the group went on without us"
                )),
                Fate::Forbidden => {
                    return Err(StageError::unavailable(format!(
                        "{} does not allow the group `{}` to commit",
                        self.whom, self.options.group
                    )));
                }
            }
        }
        for (partition, offset) in offsets {
            self.positions.committed(*partition, *offset);
        }
        Ok(())
    }

    fn committed(&mut self, epoch: u64) -> Result<Commit, StageError> {
        self.positions.end(epoch);
        if self
            .releasing
            .as_ref()
            .is_some_and(|r| self.positions.may_release(&r.partitions, epoch))
        {
            let partitions = self.releasing.take().unwrap_or_default().partitions;
            let consumer = self.client()?;
            self.unassign(&consumer, &partitions);
        }
        Ok(Commit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_given_up_only_where_it_is_not_ours_to_make() {
        use RDKafkaErrorCode as Code;
        for passing in [
            Code::RebalanceInProgress,
            Code::StaleMemberEpoch,
            Code::CoordinatorNotAvailable,
            Code::RequestTimedOut,
        ] {
            assert_eq!(fate(passing, false), Fate::Again, "{passing}");
        }
        let ahead = Code::IllegalGeneration;
        assert_eq!(
            (fate(ahead, false), fate(ahead, true)),
            (Fate::Again, Fate::Lost)
        );
        for over in [Code::UnknownMemberId, Code::Fatal] {
            assert_eq!(fate(over, false), Fate::Lost, "{over}");
        }
        assert_eq!(fate(Code::GroupAuthorizationFailed, false), Fate::Forbidden);
    }
}
