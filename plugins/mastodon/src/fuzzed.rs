//! Messages as the source reads them, for fuzzing.

use plugin_api::StageError;

use crate::config::Options;
use crate::event::{Message, MessageReader};
use crate::status::StatusReader;

/// Reads messages of the websocket.
pub struct Reader {
    messages: MessageReader,
    statuses: StatusReader,
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// A post: its document, its address, its time in microseconds since 1970, and whether the
    /// filters let it through.
    Post {
        json: Vec<u8>,
        uri: Vec<u8>,
        time_us: Option<i64>,
        passes: bool,
    },
    /// Another event, a refusal, or why it is none of them.
    Other(String),
}

impl Reader {
    /// For these options, in JSON.
    ///
    /// # Errors
    /// If they are not the source's.
    pub fn new(options: &str) -> Result<Self, StageError> {
        let options: Options = serde_json::from_str(options)
            .map_err(|e| StageError::config("", format!("not the options of `mastodon`: {e}")))?;
        Ok(Self {
            messages: MessageReader::default(),
            statuses: StatusReader::new(&options)?,
        })
    }

    /// Reads a message, which is UTF-8.
    pub fn read(&mut self, message: &str) -> Said {
        let json = match self.messages.read(message.as_bytes()) {
            Ok(Message::Event {
                name: "update" | "status.update",
                payload: Some(json),
            }) => json,
            other => return Said::Other(format!("{other:?}")),
        };
        match self.statuses.read(json) {
            Ok(status) => Said::Post {
                json: json.to_vec(),
                uri: status.uri.to_vec(),
                time_us: status.time_us,
                passes: status.passes,
            },
            Err(why) => Said::Other(why.to_string()),
        }
    }
}
