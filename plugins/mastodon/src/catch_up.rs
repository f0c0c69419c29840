//! What was missed is fetched from the timelines, beside the stream: of one timeline after the
//! other, first its newest id, then pages upwards from the last id that was read, up to that one.
//! What is above it came after the subscription, and so by the stream.
//!
//! A server does not say when a subscription begins; it is given a moment. Where streams end before
//! all is fetched, time after time, what was missed is fetched at once, and what may have come in
//! that moment after it.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use live::{Backoff, End, Gone, Intake, Refusal, Verdict};
use plugin_api::Context;

use crate::config::Options;
use crate::id::Id;
use crate::rest::{Failure, PAGE, Page, Rest, statuses};
use crate::sorter::Sorter;
use crate::timeline::Feed;
use crate::verdict::{Asked, verdict};

/// So many streams in a row that end too early, and the next waits no more.
const IMPATIENT: u32 = 2;
/// From subscribing to the first question.
const SETTLE: Duration = Duration::from_secs(2);
/// A request that takes longer has failed.
const REQUEST_TIME: Duration = Duration::from_secs(60);

/// What is to be fetched of a timeline.
#[derive(Debug, Clone, Copy)]
struct Task {
    timeline: usize,
    /// On the host's clock; 0: at once, and so another task for the same comes behind it.
    not_before_ns: u64,
    /// The id above which to ask; none: nothing was ever read of it, and nothing is to be fetched.
    from: Option<Id>,
    /// The newest id of the timeline, once it is known.
    to: Option<Id>,
    /// Pages that may still bring news. How many may bring none is bounded by what is remembered.
    pages_left: u32,
}

type Asking = Pin<Box<dyn Future<Output = Result<Page, Failure>> + Send>>;

pub(crate) struct CatchUp {
    ctx: Context,
    rewind: Duration,
    max_pages: u32,
    max_bytes: usize,
    tasks: VecDeque<Task>,
    asking: Option<(Asking, u64)>,
    /// Posts to ask for at a time: fewer, if they are so long that a page would be too long.
    limit: u32,
    not_before_ns: u64,
    backoff: Backoff,
    /// Streams in a row that ended before all was fetched.
    cut_short: u32,
}

impl CatchUp {
    pub fn new(options: &Options, ctx: Context) -> Self {
        Self {
            ctx,
            rewind: options.rewind.duration(),
            max_pages: options.catch_up_pages,
            max_bytes: options.max_message_bytes.bytes(),
            tasks: VecDeque::new(),
            asking: None,
            limit: PAGE,
            not_before_ns: 0,
            backoff: Backoff::default(),
            cut_short: 0,
        }
    }

    /// The stream was subscribed to: whatever came before that is to be fetched.
    pub fn begin(&mut self, sorter: &mut Sorter) {
        for timeline in 0..sorter.timelines.len() {
            if !sorter.begin(timeline) {
                count_gap(&self.ctx, None);
                self.ctx.warn(format!(
                    "what was written to {} since the last connection is lost, as that one ended \
                     before it was known where the timeline stood",
                    sorter.timelines[timeline].name()
                ));
            }
        }
        let settled_ns = self.ctx.monotonic_ns().saturating_add(nanos(SETTLE));
        let at_once = (self.cut_short >= IMPATIENT).then_some(0);
        for not_before_ns in at_once.into_iter().chain([settled_ns]) {
            for timeline in 0..sorter.timelines.len() {
                let from = sorter.read[timeline].to;
                if from.is_some() {
                    sorter.behind(timeline);
                } else if not_before_ns == 0 {
                    continue;
                }
                self.tasks.push_back(Task {
                    timeline,
                    not_before_ns,
                    from,
                    to: None,
                    pages_left: self.max_pages,
                });
            }
        }
        self.say();
    }

    /// The stream has ended, and will be subscribed to anew.
    pub fn stop(&mut self) {
        self.cut_short = match self.tasks.is_empty() {
            true => 0,
            false => self.cut_short.saturating_add(1),
        };
        self.tasks.clear();
        self.asking = None;
        self.limit = PAGE;
    }

    /// Asks the next question, if it is time, and gives up one that takes too long.
    pub fn go_on(&mut self, rest: &Rest, sorter: &mut Sorter) {
        let now = self.ctx.monotonic_ns();
        if self.asking.as_ref().is_some_and(|(_, until)| now >= *until) {
            self.asking = None;
            let wait = self.backoff.network();
            self.later("it does not answer", wait, rest);
        }
        let Some(task) = self.tasks.front_mut() else {
            return;
        };
        if self.asking.is_some() || now < self.not_before_ns.max(task.not_before_ns) {
            return;
        }
        // Of what is above, all that came is remembered: what is fetched there is not doubled.
        let known_above = task.from.and(sorter.forgotten());
        let read_to = sorter.read[task.timeline].to.max(task.from);
        if known_above > task.from && known_above <= read_to {
            task.from = known_above;
        }
        let task = *task;
        if known_above > read_to {
            self.give_up(task, sorter, "so much came meanwhile");
            self.say();
            return;
        }
        let timeline = sorter.timelines[task.timeline].clone();
        let (above, limit) = match task.to {
            None => (None, 1),
            Some(_) => (task.from, self.limit),
        };
        let page = rest.clone().page(timeline, above, limit, self.ctx.clone());
        self.asking = Some((Box::pin(page), now + nanos(REQUEST_TIME)));
    }

    /// The answer to the question; without one, for ever.
    pub async fn answer(&mut self) -> Result<Page, Failure> {
        match &mut self.asking {
            Some((asking, _)) => asking.await,
            None => pending().await,
        }
    }

    /// Takes the answer.
    pub fn take(
        &mut self,
        answer: Result<Page, Failure>,
        rest: &Rest,
        sorter: &mut Sorter,
        intake: &mut Intake<u64>,
    ) -> Result<(), End> {
        self.answered(answer, rest, sorter, intake)?;
        intake.mark(sorter.notes.last());
        if self.tasks.is_empty() {
            if let Some(why) = sorter.oversized.take() {
                intake.reject(b"", why)?;
            }
            // Whoever sees that nothing is missing shall find it handed on.
            intake.flush()?;
        }
        self.say();
        Ok(())
    }

    fn answered(
        &mut self,
        answer: Result<Page, Failure>,
        rest: &Rest,
        sorter: &mut Sorter,
        intake: &mut Intake<u64>,
    ) -> Result<(), End> {
        self.asking = None;
        let Some(task) = self.tasks.front().copied() else {
            return Ok(());
        };
        let page = match answer {
            Ok(page) => page,
            Err(Failure::Refused(refusal)) if is_unused(&refusal, task, sorter) => Page::default(),
            Err(failure) => return self.failed(failure, task, rest, sorter),
        };
        let Ok(statuses) = statuses(&page.body) else {
            let wait = self.backoff.http(None);
            self.later("its timeline is no list of posts", wait, rest);
            return Ok(());
        };
        self.backoff.reset();
        if let Some(pause) = page.pause {
            self.wait(pause);
        }
        let newest = statuses.iter().filter_map(|status| id_of(status)).max();
        match task.to {
            None => self.begin_task(task, newest, sorter),
            Some(to) => self.take_page(task, to, &statuses, sorter, intake)?,
        }
        Ok(())
    }

    /// The newest id of a timeline is known.
    fn begin_task(&mut self, task: Task, newest: Option<Id>, sorter: &mut Sorter) {
        // An earlier task may have gone on from there.
        let from = task.from.and(sorter.read[task.timeline].to);
        let from = from.map(|from| from.earlier(self.rewind));
        match (from, newest) {
            (Some(from), Some(newest)) if from < newest => {
                if let Some(task) = self.tasks.front_mut() {
                    (task.from, task.to) = (Some(from), Some(newest));
                }
            }
            _ => self.finish(task.timeline, newest.or(Some(Id::LOWEST)), sorter),
        }
    }

    fn take_page(
        &mut self,
        task: Task,
        to: Id,
        statuses: &[&str],
        sorter: &mut Sorter,
        intake: &mut Intake<u64>,
    ) -> Result<(), Gone> {
        self.ctx.counter("mastodon_pages", 1);
        // The newest stand first.
        let mut ordered: Vec<_> = statuses.iter().map(|json| (id_of(json), *json)).collect();
        ordered.sort_by_key(|(id, _)| *id);
        let mut has_news = false;
        for (id, json) in &ordered {
            if *id > Some(to) {
                break;
            }
            if json.len() <= self.max_bytes {
                has_news |= sorter.fetched(json.as_bytes(), intake)?;
            } else {
                sorter.too_long(*id, json.as_bytes(), self.max_bytes, intake)?;
            }
        }
        let last = ordered.last().and_then(|(id, _)| *id);
        if ordered.is_empty() || last >= Some(to) {
            self.finish(task.timeline, Some(to), sorter);
            return Ok(());
        }
        let Some(last) = last.filter(|last| Some(*last) > task.from) else {
            self.give_up(task, sorter, "the server's pages lead nowhere");
            return Ok(());
        };
        sorter.read_to(task.timeline, last);
        let next = Task {
            from: Some(last),
            pages_left: task.pages_left - u32::from(has_news),
            ..task
        };
        if next.pages_left == 0 {
            self.give_up(next, sorter, "catch_up_pages allows no more");
        } else if let Some(front) = self.tasks.front_mut() {
            *front = next;
        }
        Ok(())
    }

    fn failed(
        &mut self,
        failure: Failure,
        task: Task,
        rest: &Rest,
        sorter: &mut Sorter,
    ) -> Result<(), End> {
        let (why, wait) = match failure {
            Failure::Unreachable(why) => (why, self.backoff.network()),
            // For the newest id one post is asked for.
            Failure::TooLong if self.limit == 1 || task.to.is_none() => {
                self.give_up(task, sorter, "a post is longer than any page may be");
                return Ok(());
            }
            Failure::TooLong => {
                self.limit /= 2;
                return Ok(());
            }
            Failure::Refused(refusal) => {
                let asked = Asked::Timeline(&sorter.timelines[task.timeline]);
                let wait = match verdict(&refusal, rest.host(), asked) {
                    Verdict::Never(error) => return Err(End::Failed(error)),
                    Verdict::Later => self.backoff.http(refusal.retry_after),
                    Verdict::CalmDown => self.backoff.calm_down(refusal.retry_after),
                };
                let why = format!("it answered {}{}", refusal.status, refusal.said());
                (why, wait)
            }
        };
        self.later(&why, wait, rest);
        Ok(())
    }

    /// Nothing of the timeline is missing any more.
    fn finish(&mut self, timeline: usize, read_to: Option<Id>, sorter: &mut Sorter) {
        self.tasks.pop_front();
        self.limit = PAGE;
        if let Some(id) = read_to {
            sorter.read_to(timeline, id);
        }
        if self.tasks.iter().all(|task| task.timeline != timeline) {
            sorter.caught_up(timeline);
        }
    }

    /// What is left of it will not be fetched.
    fn give_up(&mut self, task: Task, sorter: &mut Sorter, why: &str) {
        let name = sorter.timelines[task.timeline].name();
        let to = task.to.or(task.from);
        count_gap(&self.ctx, task.from.zip(to));
        self.ctx.warn(format!(
            "posts of {name} were missed and are not fetched, as {why}: {}",
            match (task.from, task.to) {
                (Some(from), Some(to)) => format!("those after id {from}, up to {to}"),
                _ => "those since the last connection".into(),
            }
        ));
        self.finish(task.timeline, to, sorter);
    }

    fn later(&mut self, why: &str, wait: Duration, rest: &Rest) {
        self.ctx.warn(format!(
            "what was missed is not fetched yet: {}: {why}; asking again in {wait:?}",
            rest.host()
        ));
        self.wait(wait);
    }

    fn wait(&mut self, wait: Duration) {
        let until_ns = self.ctx.monotonic_ns().saturating_add(nanos(wait));
        self.not_before_ns = self.not_before_ns.max(until_ns);
    }

    fn say(&self) {
        self.ctx
            .gauge("mastodon_catching_up", self.tasks.len() as f64);
    }
}

/// Counts posts that are lost: a gap, and how long it is where ids tell.
pub(crate) fn count_gap(ctx: &Context, between: Option<(Id, Id)>) {
    ctx.counter("mastodon_gaps", 1);
    let ms = between.and_then(|(from, to)| Some(to.ms()?.saturating_sub(from.ms()?)));
    if let Some(ms) = ms {
        ctx.counter("mastodon_gap_seconds", ms.div_ceil(1_000));
    }
}

/// Some servers know no hashtag before its first post.
fn is_unused(refusal: &Refusal, task: Task, sorter: &Sorter) -> bool {
    let feed = &sorter.timelines[task.timeline].feed;
    refusal.status == 404 && matches!(feed, Feed::Hashtag { .. })
}

fn id_of(status: &str) -> Option<Id> {
    let status = json_walk::parse(status.as_bytes()).ok()?;
    let mut members = json_walk::members(status).flatten();
    let (_, id) = members.find(|(key, _)| *key == b"id")?;
    Id::of(id)
}

pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
