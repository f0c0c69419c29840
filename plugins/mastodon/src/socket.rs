//! The websocket that carries all streams.

use futures_util::{SinkExt, StreamExt};
use live::{End, Handshake, reason};
use plugin_api::Context;
use reqwest::{StatusCode, Upgraded, Url};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{
    Bytes, Error, Message,
    error::CapacityError,
    protocol::{Role, WebSocketConfig},
};

use crate::rest::{Rest, refusal};
use crate::timeline::Timeline;

/// What came.
pub(crate) enum Heard {
    /// A message.
    Message(Bytes),
    /// A sign of life.
    KeepAlive,
    /// A message that is longer than it may be, and with which the connection ends.
    TooLong(usize),
    /// The end, for this reason.
    End(End),
}

pub(crate) struct Socket(WebSocketStream<Upgraded>);

impl Socket {
    /// Connects, and subscribes to all timelines.
    pub async fn open(
        rest: &Rest,
        url: Url,
        timelines: &[Timeline],
        max_message_bytes: usize,
        ctx: &Context,
    ) -> Result<Self, End> {
        // The answer may name the token as the protocol that was chosen. There is but this one, and
        // it means nothing: not to name it is as well.
        let (request, handshake) = Handshake::ask(rest.websocket(url));
        let sent = request.send().await;
        let response = sent.map_err(|error| End::Unreachable(reason(&error)))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(End::Refused(refusal(response, ctx).await));
        }
        let upgraded = handshake.complete(response).await?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes));
        let mut socket =
            WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await;
        for timeline in timelines {
            let subscription = timeline.subscription().to_string();
            socket
                .feed(Message::text(subscription))
                .await
                .map_err(|error| End::Unreachable(error.to_string()))?;
        }
        socket
            .flush()
            .await
            .map_err(|error| End::Unreachable(error.to_string()))?;
        Ok(Self(socket))
    }

    /// The next that comes. May be dropped and called again: nothing is lost.
    pub async fn next(&mut self) -> Heard {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => Heard::Message(text.into()),
            Some(Ok(Message::Binary(bytes))) => Heard::Message(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Heard::KeepAlive,
            Some(Ok(Message::Close(Some(close)))) => {
                let how = live::farewell(close.code.into(), &close.reason);
                Heard::End(End::Dropped(format!("the server ended it {how}")))
            }
            Some(Ok(Message::Close(None)) | Err(Error::ConnectionClosed)) | None => {
                Heard::End(End::Closed)
            }
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { size, .. }))) => {
                Heard::TooLong(size)
            }
            Some(Err(error)) => Heard::End(End::Dropped(live::printable(&error.to_string()))),
        }
    }

    /// Says goodbye; that it cannot be said is no trouble.
    pub async fn close(&mut self) {
        let _ = self.0.close(None).await;
    }
}
