//! A message of the websocket: `{"stream": ["hashtag", "rust"], "event": "update", "payload": "…"}`,
//! whose payload is a document of its own, or `{"error": "…", "status": 401}`. Pleroma refuses by an
//! event: `{"event": "pleroma:respond", "payload": "{\"result\": \"error\", \"error\": \"…\"}"}`.

use json_walk::{Malformed, Value, members, parse};

/// What a message says.
#[derive(Debug, PartialEq)]
pub(crate) enum Message<'a> {
    /// Something has happened.
    Event {
        /// Its kind, such as `update`.
        name: &'a str,
        /// What it is about, if it is about something.
        payload: Option<&'a [u8]>,
    },
    /// A subscription is refused.
    Refused {
        /// In the server's words.
        said: &'a str,
        /// As of HTTP; older servers name none.
        status: Option<u16>,
    },
    /// Something else.
    Other,
}

/// The event by which Pleroma answers a subscription.
const RESPONSE: &[u8] = b"pleroma:respond";

/// Reads messages; its memory is kept from one to the next.
#[derive(Debug, Default)]
pub(crate) struct MessageReader {
    name: Vec<u8>,
    payload: Vec<u8>,
}

impl MessageReader {
    /// Reads one.
    pub fn read(&mut self, json: &[u8]) -> Result<Message<'_>, Malformed> {
        let (mut has_name, mut has_payload, mut has_error) = (false, false, false);
        let mut status = None;
        for member in members(parse(json)?) {
            let (key, value) = member?;
            match key {
                b"event" | b"error" if value.is_string() => {
                    has_name = key == b"event";
                    has_error = !has_name;
                    refill(&mut self.name, value);
                }
                b"payload" if !value.is_null() => {
                    has_payload = true;
                    refill(&mut self.payload, value);
                }
                b"status" => status = value.as_i64().and_then(|n| u16::try_from(n).ok()),
                _ => {}
            }
        }
        if has_name && has_payload && self.name == RESPONSE {
            let mut error = None;
            for member in members(parse(&self.payload)?) {
                match member? {
                    (b"result", value) => has_error = value.raw() == b"\"error\"",
                    (b"error", value) if value.is_string() => error = Some(value),
                    _ => {}
                }
            }
            if has_error {
                self.name.clear();
                if let Some(error) = error {
                    error.push_text(&mut self.name);
                }
            }
        }
        let name = std::str::from_utf8(&self.name).unwrap_or_default();
        Ok(if has_error {
            Message::Refused { said: name, status }
        } else if has_name {
            Message::Event {
                name,
                payload: has_payload.then_some(&*self.payload),
            }
        } else {
            Message::Other
        })
    }
}

fn refill(buffer: &mut Vec<u8>, value: Value<'_>) {
    buffer.clear();
    value.push_text(buffer);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> String {
        match MessageReader::default().read(json.as_bytes()) {
            Ok(Message::Event { name, payload }) => {
                let payload = payload.map(|p| String::from_utf8_lossy(p).into_owned());
                format!("{name} {payload:?}")
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn events_are_taken_apart() {
        assert_eq!(
            read(
                r#"{"stream":["hashtag","\u65e5本"],"event":"update","payload":"{\"id\":\"1\"}"}"#
            ),
            r#"update Some("{\"id\":\"1\"}")"#
        );
        assert_eq!(
            read(r#"{"event":"delete","payload":"109","stream":["public"]}"#),
            r#"delete Some("109")"#
        );
        assert_eq!(
            read(r#"{"stream":["user"],"event":"filters_changed"}"#),
            "filters_changed None"
        );
        assert_eq!(
            read(r#"{"event":"update","payload":{"id":"1"}}"#),
            r#"update Some("{\"id\":\"1\"}")"#,
            "a payload that is no string is taken as it is"
        );
    }

    #[test]
    fn refusals_and_others() {
        assert_eq!(
            read(r#"{"error":"No","status":401}"#),
            r#"Ok(Refused { said: "No", status: Some(401) })"#
        );
        assert_eq!(
            read(r#"{"error":"No"}"#),
            r#"Ok(Refused { said: "No", status: None })"#
        );
        let response = |payload: &str| {
            read(&serde_json::json!({"event": "pleroma:respond", "payload": payload}).to_string())
        };
        assert_eq!(
            response(r#"{"type":"subscribe","result":"error","error":"bad_topic"}"#),
            r#"Ok(Refused { said: "bad_topic", status: None })"#
        );
        assert_eq!(
            response(r#"{"type":"subscribe","result":"error"}"#),
            r#"Ok(Refused { said: "", status: None })"#
        );
        for result in ["success", "ignored"] {
            let payload = format!(r#"{{"type":"subscribe","result":"{result}"}}"#);
            assert!(response(&payload).starts_with("pleroma:respond Some"));
        }
        assert!(response("{").starts_with("Err"));
        for json in ["{}", "[]", "1", r#"{"event":1}"#] {
            assert_eq!(read(json), "Ok(Other)", "{json}");
        }
        for json in ["", "{", r#"{"event":"update""#, "nonsense"] {
            assert!(read(json).starts_with("Err"), "{json}");
        }
    }
}
