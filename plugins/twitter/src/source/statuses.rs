//! A v1.1 stream, as the loop that keeps it sees it: the request, and what bytes mean.

use std::time::Duration;

use live::{
    Brought, End, Framing, Intake, Piece, Refusal, Trouble, Verdict,
    http::{OnClose, Stream},
};
use plugin_api::StageError;
use reqwest::{RequestBuilder, Url};

use super::config::{Delimited, Options};
use super::messages::{CONNECTION_LIMIT, Meaning, Messages};
use super::request::Requests;
use super::verdict::verdict;

pub(crate) struct Statuses {
    requests: Requests,
    messages: Messages,
    framing: Framing,
}

impl Statuses {
    pub fn new(options: Options, base: &Url) -> Result<Self, StageError> {
        Ok(Self {
            framing: framing(&options),
            requests: Requests::new(options, base)?,
            messages: Messages::new(),
        })
    }
}

fn framing(options: &Options) -> Framing {
    Framing::new(
        options.max_message_bytes.bytes(),
        options.delimited == Delimited::Length,
    )
}

impl Stream for Statuses {
    type Mark = ();
    const NAME: &'static str = "twitter";

    fn host(&self) -> &str {
        self.requests.host()
    }

    fn stall_timeout(&self) -> Duration {
        self.requests.options().stall_timeout.duration()
    }

    fn finishes(&self) -> bool {
        self.requests.options().on_close == OnClose::Finish
    }

    async fn request(&mut self, intake: &mut Intake) -> Result<RequestBuilder, End> {
        Ok(self.requests.sign(intake.ctx()))
    }

    fn begin(&mut self) {
        self.framing = framing(self.requests.options());
    }

    fn take(
        &mut self,
        bytes: &[u8],
        intake: &mut Intake,
        brought: &mut Brought,
    ) -> Result<(), End> {
        self.framing.push(bytes);
        self.take_all(intake, brought)
    }

    /// What has no line end was cut: a dead letter, unless the server only spoke plainly.
    fn end(&mut self, intake: &mut Intake, brought: &mut Brought) -> Result<(), End> {
        self.framing.end();
        self.take_all(intake, brought)?;
        let Some((head, total)) = self.framing.finish() else {
            return Ok(());
        };
        if head.starts_with(CONNECTION_LIMIT) {
            self.messages.take(head, intake)?;
            brought.trouble = Some(Trouble::CalmDown);
            return Ok(());
        }
        brought.messages = true;
        let why = format!("the connection ended within this message, after {total} bytes");
        Ok(intake.reject(head, why)?)
    }

    fn verdict(&self, refusal: &Refusal) -> Verdict {
        verdict(refusal, self.host())
    }
}

impl Statuses {
    fn take_all(&mut self, intake: &mut Intake, brought: &mut Brought) -> Result<(), End> {
        while let Some(piece) = self.framing.next_piece() {
            brought.messages |= piece != Piece::KeepAlive;
            let bytes = match piece {
                Piece::KeepAlive => {
                    brought.keep_alives = true;
                    continue;
                }
                Piece::Message(bytes) => bytes,
                Piece::Miscounted(bytes) => {
                    intake.ctx().counter("twitter_wrong_lengths", 1);
                    bytes
                }
                Piece::TooLong { head, total } => {
                    let max = self.requests.options().max_message_bytes.0;
                    let why = format!(
                        "{total} bytes, more than max_message_bytes = {max}; only the beginning is kept"
                    );
                    intake.reject(head, why)?;
                    continue;
                }
            };
            match self.messages.take(bytes, intake)? {
                // The same credentials were used again, or have lost their right.
                Meaning::Disconnect(2 | 6 | 7) => brought.trouble = Some(Trouble::Http),
                Meaning::Data | Meaning::Disconnect(_) => {}
                Meaning::ConnectionLimit => brought.trouble = Some(Trouble::CalmDown),
            }
        }
        Ok(())
    }
}
