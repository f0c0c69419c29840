//! Sorts what comes into posts that are wanted, and what is passed over, and counts it.

use live::{Gone, Intake, Refusal};
use plugin_api::StageError;

use crate::config::{Edits, Options};
use crate::event::{Message, MessageReader};
use crate::id::Id;
use crate::ledger::{Notes, Read, Standing};
use crate::status::StatusReader;
use crate::timeline::Timeline;
use crate::verdict;
use crate::window::{Dead, Novelty, Window};

/// Kinds of events that are no posts, and what counts them.
const KINDS: [(&str, &str); 10] = [
    ("delete", "mastodon_delete"),
    ("notification", "mastodon_notification"),
    ("filters_changed", "mastodon_filters_changed"),
    ("conversation", "mastodon_conversation"),
    ("announcement", "mastodon_announcement"),
    ("announcement.reaction", "mastodon_announcement_reaction"),
    ("announcement.delete", "mastodon_announcement_delete"),
    ("encrypted_message", "mastodon_encrypted_message"),
    ("notifications_merged", "mastodon_notifications_merged"),
    ("pleroma:respond", "mastodon_responses"),
];

/// How a post came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As an event `update`.
    Update,
    /// As an event `status.update`.
    Edit,
    /// Fetched from a timeline.
    Fetched,
}

pub(crate) struct Sorter {
    pub timelines: Vec<Timeline>,
    messages: MessageReader,
    statuses: StatusReader,
    edits: Edits,
    seen: Window,
    /// Up to where each timeline is read.
    pub read: Vec<Read>,
    /// The newest id that a stream brought.
    newest: Option<Id>,
    pub notes: Notes,
    /// Why a message was not read, until a timeline shows what it was, or does not.
    pub oversized: Option<String>,
}

impl Sorter {
    pub fn new(
        options: &Options,
        timelines: Vec<Timeline>,
        standing: Standing,
        notes: Notes,
    ) -> Result<Self, StageError> {
        Ok(Self {
            timelines,
            messages: MessageReader::default(),
            statuses: StatusReader::new(options)?,
            edits: options.edits,
            newest: standing.read.iter().filter_map(|read| read.to).max(),
            seen: standing.seen,
            read: standing.read,
            notes,
            oversized: None,
        })
    }

    /// Takes a message of the websocket. The server may refuse a subscription in one.
    pub fn message(
        &mut self,
        bytes: &[u8],
        intake: &mut Intake<u64>,
    ) -> Result<Option<Refusal>, Gone> {
        if std::str::from_utf8(bytes).is_err() {
            intake.reject(bytes, "not UTF-8")?;
            return Ok(None);
        }
        let message = match self.messages.read(bytes) {
            Ok(message) => message,
            Err(error) => {
                intake.reject(bytes, error.to_string())?;
                return Ok(None);
            }
        };
        match message {
            Message::Event {
                name: name @ ("update" | "status.update"),
                payload,
            } => {
                let Some(payload) = payload else {
                    intake.reject(bytes, "an event without the post that it is about")?;
                    return Ok(None);
                };
                let way = match name {
                    "update" => Way::Update,
                    _ => Way::Edit,
                };
                let one = One {
                    edits: self.edits,
                    seen: &mut self.seen,
                    notes: &mut self.notes,
                };
                let taken = one.take(payload, way, &mut self.statuses, intake)?;
                if let (Some(id), Way::Update) = (taken.id, way) {
                    self.reached(id);
                }
            }
            Message::Event { name, .. } => {
                intake.ctx().counter(counter_of(name), 1);
                intake.filtered(1);
            }
            Message::Refused { said, status } => {
                intake.filtered(1);
                return Ok(Some(verdict::refused_subscription(said, status)));
            }
            Message::Other => {
                intake.ctx().counter("mastodon_unknown", 1);
                intake.filtered(1);
            }
        }
        intake.mark(self.notes.last());
        intake.flush_if_full()?;
        Ok(None)
    }

    /// Takes a post of a timeline. Whether it is news.
    pub fn fetched(&mut self, json: &[u8], intake: &mut Intake<u64>) -> Result<bool, Gone> {
        let one = One {
            edits: self.edits,
            seen: &mut self.seen,
            notes: &mut self.notes,
        };
        let taken = one.take(json, Way::Fetched, &mut self.statuses, intake)?;
        intake.mark(self.notes.last());
        intake.flush_if_full()?;
        Ok(taken.novelty != Novelty::Known)
    }

    /// A post of a timeline that is too long to be taken becomes a dead letter, once.
    pub fn too_long(
        &mut self,
        id: Option<Id>,
        json: &[u8],
        max: usize,
        intake: &mut Intake<u64>,
    ) -> Result<(), Gone> {
        let dead = Dead::new(id, json);
        if self.seen.see_dead(dead) != Novelty::Known {
            self.oversized = None;
            let len = json.len();
            let why = format!(
                "{len} bytes, more than max_message_bytes = {max}; only the beginning is kept"
            );
            bury(dead, json, why, &mut self.notes, intake)?;
        }
        Ok(())
    }

    /// Everything that came above this id is remembered.
    pub fn forgotten(&self) -> Option<Id> {
        self.seen.forgotten()
    }

    /// A timeline is subscribed to. False: it was before, and ever since it is not known where it
    /// stood, so that nobody can say what was missed.
    pub fn begin(&mut self, timeline: usize) -> bool {
        let read = &mut self.read[timeline];
        if read.to.is_some() {
            return true;
        }
        let was_begun = std::mem::replace(&mut read.is_begun, true);
        self.notes.begun(timeline);
        !was_begun
    }

    /// What was missed of a timeline is about to be fetched.
    pub fn behind(&mut self, timeline: usize) {
        self.read[timeline].is_behind = true;
        self.notes.behind(timeline);
    }

    /// It is fetched up to there.
    pub fn read_to(&mut self, timeline: usize, id: Id) {
        self.read[timeline].on_to(id);
        self.notes.read(timeline, id);
    }

    /// Nothing of it is missing any more, or ever will be fetched.
    pub fn caught_up(&mut self, timeline: usize) {
        self.read[timeline].is_behind = false;
        self.notes.caught_up(timeline);
        if let Some(newest) = self.newest {
            self.read_to(timeline, newest);
        }
    }

    fn reached(&mut self, id: Id) {
        if self.newest >= Some(id) {
            return;
        }
        self.newest = Some(id);
        self.notes.reached(id);
        for read in self.read.iter_mut().filter(|read| !read.is_behind) {
            read.on_to(id);
        }
    }
}

/// Makes a dead letter. It goes apart from records, with its mark: a snapshot holds both or neither.
fn bury(
    dead: Dead,
    bytes: &[u8],
    why: String,
    notes: &mut Notes,
    intake: &mut Intake<u64>,
) -> Result<(), Gone> {
    intake.flush()?;
    intake.reject(bytes, why)?;
    notes.dead(dead);
    intake.mark(notes.last());
    intake.flush()
}

/// What became of a post.
struct Taken {
    /// If it has one.
    id: Option<Id>,
    novelty: Novelty,
}

/// One post on its way.
struct One<'a> {
    edits: Edits,
    seen: &'a mut Window,
    notes: &'a mut Notes,
}

impl One<'_> {
    /// Takes it.
    fn take(
        self,
        json: &[u8],
        way: Way,
        statuses: &mut StatusReader,
        intake: &mut Intake<u64>,
    ) -> Result<Taken, Gone> {
        let status = match statuses.read(json) {
            Ok(status) => status,
            Err(error) => {
                let dead = Dead::new(None, json);
                let novelty = self.seen.see_dead(dead);
                if novelty == Novelty::Known {
                    intake.ctx().counter("mastodon_duplicates", 1);
                    intake.filtered(1);
                } else {
                    bury(dead, json, error.to_string(), self.notes, intake)?;
                }
                return Ok(Taken { id: None, novelty });
            }
        };
        let novelty = self.seen.see(status.version);
        let taken = Taken {
            id: Some(status.version.id),
            novelty,
        };
        if novelty == Novelty::Known {
            intake.ctx().counter("mastodon_duplicates", 1);
            intake.filtered(1);
            return Ok(taken);
        }
        let is_edit = way == Way::Edit || novelty == Novelty::Edit;
        if is_edit {
            intake.ctx().counter("mastodon_edits", 1);
        }
        if is_edit && self.edits == Edits::Drop || !status.passes {
            intake.filtered(1);
            return Ok(taken);
        }
        if way == Way::Fetched {
            intake.ctx().counter("mastodon_caught_up", 1);
        }
        let record = intake.record(json.trim_ascii());
        record.ts_us(status.time_us).header("id", Some(status.uri));
        if let Some(edited_at) = status.edited_at {
            record.header("edit", Some(edited_at));
        }
        self.notes.record(status.version);
        Ok(taken)
    }
}

/// What counts an event that is no post.
fn counter_of(event: &str) -> &'static str {
    let known = KINDS.iter().find(|(name, _)| *name == event);
    known.map_or("mastodon_unknown", |(_, counter)| counter)
}
