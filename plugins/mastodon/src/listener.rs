//! The stream, as the loop that keeps it sees it: one attempt connects, reads, and fetches
//! meanwhile what was missed.

use std::future::pending;
use std::time::Duration;

use live::{Brought, End, Line, Network, Refusal, Verdict};
use plugin_api::{Context, StageError};
use reqwest::Url;

use crate::catch_up::{CatchUp, count_gap};
use crate::config::Options;
use crate::ledger::{Notes, Standing};
use crate::rest::{Failure, Page, Rest};
use crate::socket::{Heard, Socket};
use crate::sorter::Sorter;
use crate::timeline::Timeline;
use crate::verdict::{Asked, verdict};

/// How often it is looked whether the next page is due. Longer than the line's own tick, which
/// looks for silence.
const TICK: Duration = Duration::from_millis(150);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(200);

pub(crate) struct Listener {
    rest: Rest,
    sorter: Sorter,
    /// None: what is missed is lost.
    catch_up: Option<CatchUp>,
    /// Where the server streams, once it has said so.
    place: Option<Url>,
    stall_timeout: Duration,
    max_message_bytes: usize,
    /// Whether it read before, so that whatever came since is missing.
    goes_on: bool,
}

/// What is waited for.
enum Next {
    Heard(Heard),
    Page(Result<Page, Failure>),
    Tick,
}

impl Listener {
    pub fn new(
        options: &Options,
        ctx: &Context,
        timelines: Vec<Timeline>,
        standing: Standing,
        notes: Notes,
    ) -> Result<Self, StageError> {
        Ok(Self {
            rest: Rest::new(options)?,
            goes_on: standing.goes_on,
            sorter: Sorter::new(options, timelines, standing, notes)?,
            catch_up: options.catch_up.then(|| CatchUp::new(options, ctx.clone())),
            place: None,
            stall_timeout: options.stall_timeout.duration(),
            max_message_bytes: options.max_message_bytes.bytes(),
        })
    }

    async fn connect(&mut self, line: &mut Line<'_, u64>) -> Result<Socket, End> {
        let ctx = line.ctx.clone();
        line.connect(async |_| {
            let url = match &self.place {
                Some(url) => url.clone(),
                None => self.rest.streaming(&ctx).await?,
            };
            // Until it has worked: the server may have moved.
            self.place = None;
            let timelines = &self.sorter.timelines;
            let max = self.max_message_bytes;
            let socket = Socket::open(&self.rest, url.clone(), timelines, max, &ctx).await?;
            self.place = Some(url);
            Ok(socket)
        })
        .await
    }

    /// What came since the last connection is fetched, or lost.
    fn begin(&mut self, line: &mut Line<'_, u64>) {
        let ctx = &line.ctx;
        match &mut self.catch_up {
            Some(catch_up) => {
                catch_up.begin(&mut self.sorter);
                line.intake.mark(self.sorter.notes.last());
            }
            None if self.goes_on => {
                count_gap(ctx, None);
                ctx.warn(
                    "what was written since the last connection is lost, as catch_up is false",
                );
            }
            None => {}
        }
        self.goes_on = true;
    }

    /// Reads to the end.
    async fn read(&mut self, socket: &mut Socket, line: &mut Line<'_, u64>) -> End {
        loop {
            let step = self.step(socket, line).await;
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn step(&mut self, socket: &mut Socket, line: &mut Line<'_, u64>) -> Result<(), End> {
        if let Some(catch_up) = &mut self.catch_up {
            catch_up.go_on(&self.rest, &mut self.sorter);
        }
        let catch_up = &mut self.catch_up;
        let next = line.wait(async {
            let answer = async {
                match catch_up {
                    Some(catch_up) => catch_up.answer().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                heard = socket.next() => Next::Heard(heard),
                page = answer => Next::Page(page),
                () = tokio::time::sleep(TICK) => Next::Tick,
            }
        });
        match next.await? {
            Next::Heard(heard) => self.take(heard, line)?,
            Next::Page(page) => {
                if let Some(catch_up) = &mut self.catch_up {
                    let (rest, sorter) = (&self.rest, &mut self.sorter);
                    line.aside(|intake| catch_up.take(page, rest, sorter, intake))?;
                }
            }
            Next::Tick => {}
        }
        Ok(())
    }

    fn take(&mut self, heard: Heard, line: &mut Line<'_, u64>) -> Result<(), End> {
        match heard {
            Heard::Message(bytes) => {
                line.brought.messages = true;
                if let Some(refusal) = self.sorter.message(&bytes, line.intake)? {
                    // Such a connection is none, whatever else it brought.
                    line.brought = Brought::default();
                    return Err(self.refused(refusal));
                }
            }
            Heard::KeepAlive => line.brought.keep_alives = true,
            Heard::TooLong(size) => {
                let max = self.max_message_bytes;
                let why = format!("{size} bytes, more than max_message_bytes = {max}");
                // What it was, its timeline may show.
                let unread = match self.catch_up {
                    Some(_) => self.sorter.oversized.replace(why.clone()),
                    None => Some(why.clone()),
                };
                if let Some(why) = unread {
                    line.intake.reject(b"", why)?;
                }
                return Err(End::Dropped(format!("it sent a message of {why}")));
            }
            Heard::End(end) => return Err(end),
        }
        line.came()
    }

    /// The server refuses one of the subscriptions.
    fn refused(&self, refusal: Refusal) -> End {
        match verdict(&refusal, self.rest.host(), Asked::Subscription) {
            Verdict::Never(error) => End::Failed(error),
            Verdict::Later | Verdict::CalmDown => End::Refused(refusal),
        }
    }
}

impl Network for Listener {
    type Mark = u64;
    const NAME: &'static str = "mastodon";

    fn host(&self) -> &str {
        self.rest.host()
    }

    fn stall_timeout(&self) -> Duration {
        self.stall_timeout
    }

    fn verdict(&self, refusal: &Refusal) -> Verdict {
        verdict(refusal, self.rest.host(), Asked::Stream)
    }

    async fn attempt(&mut self, line: &mut Line<'_, u64>) -> End {
        let mut socket = match self.connect(line).await {
            Ok(socket) => socket,
            Err(end) => return end,
        };
        self.begin(line);
        line.connected();
        line.ctx.info(format!("connected to {}", self.rest.host()));
        let end = self.read(&mut socket, line).await;
        if let Some(catch_up) = &mut self.catch_up {
            catch_up.stop();
        }
        if matches!(end, End::Stop | End::Failed(_))
            && let Some(why) = self.sorter.oversized.take()
            && line.intake.reject(b"", why).is_err()
        {
            return End::Stop;
        }
        if matches!(end, End::Stop) {
            // Whether it is heard does not matter.
            let _ = tokio::time::timeout(GOODBYE, socket.close()).await;
        }
        end
    }
}
