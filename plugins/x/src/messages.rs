//! Sorts messages into posts that are wanted, others, and what X says about the stream.

use live::{Gone, Intake, printable};
use plugin_api::{Context, StageError};
use serde::Deserialize;
use track::{Scratch, Track};

use crate::document::{Message, Post, entities, strings};
use crate::rules::Origin;
use crate::source::Mark;
use crate::sync::InForce;
use crate::window::Window;

/// What X says may come with each message: each kind is logged this often.
const LOG_NS: u64 = 60_000_000_000;

/// What a message means for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// X sent a post, or what may be one, and charges for it.
    Post,
    /// Something about the stream.
    Note,
    /// The app has too many connections.
    TooManyConnections,
    /// X has something against this client.
    Refused,
}

/// What X says in place of a post.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    message: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    disconnect_type: Option<String>,
    connection_issue: Option<String>,
}

/// A problem, or several.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problems {
    errors: Vec<Problem>,
    #[serde(flatten)]
    alone: Problem,
}

/// When what X says was last logged, by kind.
#[derive(Debug, Default)]
struct Logged {
    disconnect_ns: Option<u64>,
    error_ns: Option<u64>,
}

/// Why a post is not for anyone.
enum Unwanted {
    /// It was here before.
    Duplicate,
    /// Only rules of others brought it.
    OfOthers,
    /// X matched it, `track` does not.
    Untracked,
}

pub(crate) struct Messages {
    in_force: InForce,
    track: Option<Track>,
    looked_at: track::Post,
    scratch: Scratch,
    known: Window,
    document: Vec<u8>,
    text: Vec<u8>,
    logged: Logged,
}

impl Messages {
    pub fn new(track: &[String], known: Window) -> Result<Self, StageError> {
        Ok(Self {
            in_force: InForce::new(),
            track: live::track(track)?,
            looked_at: track::Post::default(),
            scratch: Scratch::default(),
            known,
            document: Vec::new(),
            text: Vec::new(),
            logged: Logged::default(),
        })
    }

    pub fn set_rules(&mut self, in_force: InForce) {
        self.in_force = in_force;
    }

    /// A post that went on in an earlier run.
    pub fn know(&mut self, id: u64) {
        self.known.insert(id);
    }

    /// Takes one message.
    pub fn take(&mut self, bytes: &[u8], intake: &mut Intake<Mark>) -> Result<Meaning, Gone> {
        let message = match Message::read(bytes) {
            Ok(message) => message,
            Err(why) => {
                intake.reject(bytes, why)?;
                return Ok(Meaning::Post);
            }
        };
        let Some(post) = message.post() else {
            intake.filtered(1);
            return Ok(note(bytes, &mut self.logged, intake.ctx()));
        };
        let unwanted = self.unwanted(&message, post);
        if let Some(unwanted) = unwanted {
            intake.ctx().counter(unwanted.metric(), 1);
            intake.filtered(1);
            return Ok(Meaning::Post);
        }
        self.document.clear();
        message.write(post, &mut self.document);
        let id = post.id().map(|id| id.text(&mut self.text));
        let record = intake.record(&self.document);
        record.ts_us(time_us(post, id));
        if let Some(id) = id {
            record.header("id", Some(id));
        }
        intake.flush_if_full()?;
        Ok(Meaning::Post)
    }

    fn unwanted(&mut self, message: &Message<'_>, post: Post<'_>) -> Option<Unwanted> {
        match self.origin(message) {
            None => return Some(Unwanted::OfOthers),
            Some(Origin::Own(_)) => {}
            Some(Origin::Track) => {
                self.look_at(message, post);
                let track = self.track.as_ref()?;
                if !track.finds(&self.looked_at, &mut self.scratch) {
                    return Some(Unwanted::Untracked);
                }
            }
        }
        let id = post.id().map(|id| id.text(&mut self.text)).and_then(number);
        let is_new = id.is_none_or(|id| self.known.insert(id));
        (!is_new).then_some(Unwanted::Duplicate)
    }

    /// Which of our rules brought it: an own one before `track`. A server that does not say has
    /// only ours.
    fn origin(&self, message: &Message<'_>) -> Option<Origin> {
        let Some(rules) = message.matching_rules.filter(|rules| rules.is_array()) else {
            let own = self.in_force.values().find(|o| **o != Origin::Track);
            return Some(own.copied().unwrap_or(Origin::Track));
        };
        let mut text = Vec::new();
        let mut found = None;
        for id in strings(rules, "id") {
            match self.in_force.get(id.text(&mut text)) {
                Some(own @ Origin::Own(_)) => return Some(*own),
                Some(Origin::Track) => found = Some(Origin::Track),
                None => {}
            }
        }
        found
    }

    /// Everything that `track` looks at: the post, what it repeats and quotes, and what is quoted
    /// in what it repeats.
    fn look_at(&mut self, message: &Message<'_>, post: Post<'_>) {
        self.looked_at.clear();
        let retweeted = message.referenced(post, "retweeted");
        self.look_at_one(post, retweeted.is_some());
        let quoted = message.referenced(post, "quoted");
        let within = retweeted.and_then(|post| message.referenced(post, "quoted"));
        for post in [retweeted, quoted, within].into_iter().flatten() {
            self.look_at_one(post, false);
        }
    }

    fn look_at_one(&mut self, post: Post<'_>, may_be_cut: bool) {
        let (text, marks) = post.text();
        let Self {
            looked_at,
            text: scratch,
            ..
        } = self;
        if let Some(text) = text {
            let mut text = utf8(text.text(scratch));
            // The last word of a repeated text that was cut is nobody's.
            if may_be_cut && let Some(whole) = text.strip_suffix('…') {
                text = whole.rsplit_once(' ').map_or("", |(words, _)| words);
            }
            looked_at.escaped_text(text);
        }
        for tag in entities(marks, "hashtags", "tag") {
            looked_at.hashtag(utf8(tag.text(scratch)));
        }
        for name in entities(marks, "mentions", "username") {
            looked_at.mention(utf8(name.text(scratch)));
        }
        for address in entities(marks, "urls", "expanded_url") {
            looked_at.link(utf8(address.text(scratch)));
        }
    }
}

impl Unwanted {
    fn metric(&self) -> &'static str {
        match self {
            Self::Duplicate => "x_duplicates",
            Self::OfOthers => "x_of_others",
            Self::Untracked => "x_untracked",
        }
    }
}

/// When the post was written: `created_at`, else from its id.
fn time_us(post: Post<'_>, id: Option<&[u8]>) -> Option<i64> {
    let mut scratch = Vec::new();
    let created = post.created_at().and_then(|at| {
        let at: jiff::Timestamp = utf8(at.text(&mut scratch)).parse().ok()?;
        Some(at.as_microsecond())
    });
    let of_id = || track::snowflake_ms(id.and_then(number)?)?.checked_mul(1000);
    created.or_else(of_id)
}

fn number(digits: &[u8]) -> Option<u64> {
    utf8(digits).parse().ok()
}

/// What was checked when the message was read.
fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Counts what X says about the stream, and logs it now and then.
fn note(bytes: &[u8], logged: &mut Logged, ctx: &Context) -> Meaning {
    let problems: Problems = serde_json::from_slice(bytes).unwrap_or_default();
    let problem = problems.errors.into_iter().next().unwrap_or(problems.alone);
    let title = problem.title.as_deref().unwrap_or_default();
    let is = |kind: &str| problem.kind.as_deref().is_some_and(|k| k.ends_with(kind));
    let said = [&problem.detail, &problem.message, &problem.title];
    let said = said
        .into_iter()
        .flatten()
        .next()
        .map(|text| printable(text));
    let Some(said) = said else {
        ctx.counter("x_unknown", 1);
        return Meaning::Note;
    };
    if title == "operational-disconnect" || is("/operational-disconnect") {
        ctx.counter("x_disconnect", 1);
        if is_due(&mut logged.disconnect_ns, ctx) {
            let kind = problem
                .disconnect_type
                .map(|kind| format!(" ({})", printable(&kind)));
            let kind = kind.unwrap_or_default();
            ctx.warn(format!("the server disconnects{kind}: {said}"));
        }
        return Meaning::Note;
    }
    ctx.counter("x_error", 1);
    if is_due(&mut logged.error_ns, ctx) {
        ctx.warn(format!("the server says: {said}"));
    }
    if problem.connection_issue.as_deref() == Some("TooManyConnections") {
        return Meaning::TooManyConnections;
    }
    Meaning::Refused
}

fn is_due(logged_ns: &mut Option<u64>, ctx: &Context) -> bool {
    let now = ctx.monotonic_ns();
    let is_due = logged_ns.is_none_or(|last| now - last >= LOG_NS);
    if is_due {
        *logged_ns = Some(now);
    }
    is_due
}
