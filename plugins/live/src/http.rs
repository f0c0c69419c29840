//! Streams of HTTP: connects, reads, and undoes gzip; what bytes mean is the network's.

use std::time::Duration;

use plugin_api::{StageError, options};
use reqwest::{RequestBuilder, Response, StatusCode, header::CONTENT_ENCODING};

use crate::{
    client::reason,
    inflate::Inflate,
    intake::Intake,
    keep::{self, Brought, End, Line, Network},
    refusal::{Refusal, Verdict},
    stage::Shared,
};

options! {
    /// What to do when the stream ends.
    #[derive(Copy, Default)]
    pub enum OnClose {
        /// Connect again.
        #[default]
        Reconnect,
        /// Be finished.
        Finish,
    }
}

/// A network's stream: what to ask for, and what its bytes mean.
#[expect(
    async_fn_in_trait,
    reason = "awaited on the thread that owns the stream"
)]
pub trait Stream {
    /// The place in the stream that the stage keeps, if it does.
    type Mark: Send + 'static;
    /// The plugin's name, with which the names of its metrics begin.
    const NAME: &'static str;

    /// The server's name, for messages.
    fn host(&self) -> &str;
    /// Silence after which a connection is dead.
    fn stall_timeout(&self) -> Duration;
    /// Whether the source is finished when the server ends the stream in good order.
    fn finishes(&self) -> bool {
        false
    }
    /// The request for the stream, made anew for each attempt. What must come before it can be
    /// asked for here, too: that has the stream's stall timeout in all.
    ///
    /// # Errors
    /// How the attempt ended before it began.
    async fn request(&mut self, intake: &mut Intake<Self::Mark>) -> Result<RequestBuilder, End>;
    /// There was no connection: the request did not reach the server.
    fn unsent(&mut self) {}
    /// A body begins.
    fn begin(&mut self);
    /// Takes bytes of the body, and notes what they bring.
    ///
    /// # Errors
    /// If the stream is to be left, and why.
    fn take(
        &mut self,
        bytes: &[u8],
        intake: &mut Intake<Self::Mark>,
        brought: &mut Brought,
    ) -> Result<(), End>;
    /// Bytes that came together with those on which the stream was left.
    fn spill(&mut self, _bytes: &[u8]) {}
    /// The body has ended: what is left of it.
    ///
    /// # Errors
    /// As of [`Stream::take`].
    fn end(&mut self, intake: &mut Intake<Self::Mark>, brought: &mut Brought) -> Result<(), End>;
    /// What an answer that is no stream means.
    fn verdict(&self, refusal: &Refusal) -> Verdict;
    /// The attempt is over: see [`Network::left`].
    ///
    /// # Errors
    /// How it ended rather.
    fn left(&mut self, _intake: &mut Intake<Self::Mark>, _end: &End) -> Result<(), End> {
        Ok(())
    }
}

/// Keeps the stream: see [`keep::keep`].
///
/// # Errors
/// Why there is no use in going on.
pub fn keep<S: Stream>(
    stream: &mut S,
    intake: &mut Intake<S::Mark>,
    shared: &Shared,
) -> Result<(), StageError> {
    keep::keep(&mut Http(stream), intake, shared)
}

struct Http<'a, S>(&'a mut S);

impl<S: Stream> Network for Http<'_, S> {
    type Mark = S::Mark;
    const NAME: &'static str = S::NAME;

    fn host(&self) -> &str {
        self.0.host()
    }

    fn stall_timeout(&self) -> Duration {
        self.0.stall_timeout()
    }

    fn finishes(&self) -> bool {
        self.0.finishes()
    }

    fn verdict(&self, refusal: &Refusal) -> Verdict {
        self.0.verdict(refusal)
    }

    fn left(&mut self, intake: &mut Intake<S::Mark>, end: &End) -> Result<(), End> {
        self.0.left(intake, end)
    }

    async fn attempt(&mut self, line: &mut Line<'_, S::Mark>) -> End {
        let asked = line.connect(async |intake| {
            let request = self.0.request(intake).await?;
            request.send().await.map_err(|error| {
                if error.is_connect() {
                    self.0.unsent();
                }
                End::Unreachable(reason(&error))
            })
        });
        match asked.await {
            Ok(response) if response.status() == StatusCode::OK => {
                line.connected();
                line.ctx.info(format!("connected to {}", self.host()));
                self.read(response, line).await.unwrap_or_else(|end| end)
            }
            Ok(response) => End::Refused(Refusal::read(response, &line.ctx).await),
            Err(end) => end,
        }
    }
}

impl<S: Stream> Http<'_, S> {
    /// Reads the body to its end; an error is an end, too.
    async fn read(
        &mut self,
        mut response: Response,
        line: &mut Line<'_, S::Mark>,
    ) -> Result<End, End> {
        let is_gzip = response
            .headers()
            .get(CONTENT_ENCODING)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"));
        let mut inflate = if is_gzip {
            Inflate::gzip()
        } else {
            Inflate::Plain
        };
        self.0.begin();
        let end = loop {
            let chunk = match line.wait(response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break End::Closed,
                Ok(Err(error)) => break End::Dropped(reason(&error)),
                Err(end @ End::Stalled(_)) => break end,
                Err(end) => return Err(end),
            };
            let mut taken = Ok(());
            let fed = inflate.feed(&chunk, |bytes| match taken {
                Ok(()) => taken = self.0.take(bytes, line.intake, &mut line.brought),
                Err(_) => self.0.spill(bytes),
            });
            taken?;
            if let Err(error) = fed {
                break End::Dropped(format!("not gzip: {error}"));
            }
            line.came()?;
        };
        self.0.end(line.intake, &mut line.brought)?;
        Ok(end)
    }
}
