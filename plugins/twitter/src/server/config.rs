//! Options of the sink `twitter-server`.

use std::net::SocketAddr;

use plugin_api::prelude::*;

use crate::config::{Credentials, meeting_place};

options! {
    /// Serves what it is fed as a v1.1 stream of Twitter would be: `POST` or `GET`
    /// `/1.1/statuses/filter.json` and `/1.1/statuses/sample.json`, over HTTP or HTTPS, with
    /// OAuth signatures checked and `track`, `follow` and `locations` applied for each client.
    /// For demos and tests, and to re-serve archives to old clients. Does not speak HTTP/2.
    ///
    /// A tweet that no client asked for counts as filtered. Messages without a tweet (deletes and
    /// the like) go to all clients; what is no JSON, only to those of `sample`. A tweet whose
    /// clients all left before it was sent becomes a dead letter.
    pub struct Options {
        /// Address and port to listen on; port 0 takes a free one. The log says which. Default
        /// `127.0.0.1:0`.
        #[serde(default = "any_port")]
        pub listen: String,
        /// The credentials that clients must have.
        pub credentials: Credentials,
        /// Speak HTTPS. Default: HTTP.
        #[serde(default)]
        pub tls: Option<Tls>,
        /// Hold the input until so many clients have connected, and whenever none is left. 0:
        /// never hold it. Default 1.
        #[serde(default = "one")]
        pub min_clients: u32,
        /// The most clients at a time; one more is answered 420. Default 64.
        #[serde(default = "sixty_four")]
        pub max_clients: u32,
        /// What happens to the connections when the input has ended and everything was sent.
        /// Default `close`.
        #[serde(default)]
        pub at_end: AtEnd,
        /// A client to which nothing was sent for so long gets an empty line. Default 30 s.
        #[serde(default = "thirty_seconds")]
        pub keep_alive: Span,
        /// How much may wait for one client, 4 KiB to 64 MiB. Default 256 KiB.
        #[serde(default = "buffer")]
        pub client_buffer: ByteSize,
        /// What to do when more would wait for a client. Default `wait`.
        #[serde(default)]
        pub when_slow: WhenSlow,
        /// How far a client's clock may be off. Default 5 min.
        #[serde(default = "five_minutes")]
        pub timestamp_window: Span,
        /// Faults for tests: what the first, second, … request meets, once it is found valid.
        /// Those after the last are served well. Default: none.
        #[serde(default)]
        pub faults: Vec<Fault>,
    }
}

options! {
    /// How to speak HTTPS. With neither `cert` nor `key`, a certificate for localhost and the
    /// `listen` address is made at each start.
    #[derive(Default)]
    pub struct Tls {
        /// PEM file of the certificate chain. Default: made at start.
        #[serde(default)]
        pub cert: Option<FilePath>,
        /// PEM file of the private key. Default: made at start.
        #[serde(default)]
        pub key: Option<FilePath>,
        /// Where to write the certificate (PEM) that signed the one made at start, for clients
        /// to trust; an existing file is replaced. Default: nowhere.
        #[serde(default)]
        pub ca_out: Option<FilePath>,
    }
}

options! {
    /// What happens to connections at the end of the input.
    #[derive(Copy, Default)]
    pub enum AtEnd {
        /// The streams end in good order.
        #[default]
        Close,
        /// They stay open, with keep-alives, until the host stops.
        Idle,
    }
}

options! {
    /// What to do about a slow client.
    #[derive(Copy, Default)]
    pub enum WhenSlow {
        /// Wait: all clients are as fast as the slowest.
        #[default]
        Wait,
        /// Leave tweets out for that client, counted, and tell it how many with a `limit` message.
        Drop,
    }
}

options! {
    /// A fault on demand.
    #[derive(Copy)]
    pub enum Fault {
        /// None: this request is served well.
        None,
        /// A keep-alive, then silence.
        Stall,
        /// The connection breaks within a message.
        Cut,
        /// 401, as if the signature were wrong.
        #[serde(rename = "401")]
        Unauthorized,
        /// 420, Twitter's own status for too many requests.
        #[serde(rename = "420")]
        CalmDown,
        /// 429, too many requests.
        #[serde(rename = "429")]
        TooMany,
        /// 503, overloaded.
        #[serde(rename = "503")]
        Overloaded,
        /// The first message's length is wrong (with `delimited=length`).
        WrongLength,
        /// The first message is no JSON.
        Garbage,
    }
}

fn any_port() -> String {
    "127.0.0.1:0".into()
}

fn one() -> u32 {
    1
}

fn sixty_four() -> u32 {
    64
}

fn thirty_seconds() -> Span {
    Span::secs(30)
}

fn five_minutes() -> Span {
    Span::secs(300)
}

fn buffer() -> ByteSize {
    ByteSize(256 << 10)
}

/// Checks the options.
pub(crate) fn plan(options: &Options, inputs: &[ContentType]) -> Result<Planned, StageError> {
    if let Some(input) = inputs
        .iter()
        .find(|input| !matches!(input.format, Format::Json | Format::Text | Format::Bytes))
    {
        return Err(wrong(
            "/inputs",
            format!("twitter-server serves JSON, but is fed {input}"),
        ));
    }
    let address = address(options)?;
    if !(4 << 10..=64 << 20).contains(&options.client_buffer.0) {
        return Err(wrong(
            "/client_buffer",
            "client_buffer must be between 4 KiB and 64 MiB",
        ));
    }
    if options.max_clients < options.min_clients.max(1) {
        return Err(wrong(
            "/max_clients",
            "max_clients must be at least 1, and not below min_clients",
        ));
    }
    if options.keep_alive.duration().is_zero() {
        return Err(wrong(
            "/keep_alive",
            "keep_alive must be longer than nothing; Twitter's is 30s",
        ));
    }
    if let Some(tls) = &options.tls {
        match (&tls.cert, &tls.key, &tls.ca_out) {
            (Some(_), None, _) => return Err(wrong("/tls", "`cert` needs `key` beside it")),
            (None, Some(_), _) => return Err(wrong("/tls", "`key` needs `cert` beside it")),
            (Some(_), _, Some(_)) => {
                return Err(wrong(
                    "/tls/ca_out",
                    "ca_out is for a certificate made at start; leave it out beside `cert`",
                ));
            }
            _ => {}
        }
    }
    let clients = u64::from(options.max_clients) * options.client_buffer.0;
    let mut planned = Planned::sink().memory("what waits for clients", clients);
    if address.port() != 0 {
        planned = planned.writes(meeting_place(&address.ip().to_string(), address.port()));
    }
    Ok(planned)
}

fn wrong(pointer: &str, why: impl Into<String>) -> StageError {
    StageError::config(pointer, why)
}

/// The address to listen on.
pub(crate) fn address(options: &Options) -> Result<SocketAddr, StageError> {
    let text = options.listen.replacen("localhost", "127.0.0.1", 1);
    text.parse().map_err(|_| {
        StageError::config(
            "/listen",
            format!(
                "`{}` is no address and port, such as 127.0.0.1:8080 or [::1]:0",
                options.listen
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn planned(change: Value, input: ContentType) -> Result<Planned, StageError> {
        let mut options = json!({
            "credentials": {"consumer_key": "a", "consumer_secret": "b", "token": "c", "token_secret": "d"},
        });
        for (key, value) in change.as_object().unwrap() {
            options[key] = value.clone();
        }
        plan(&serde_json::from_value(options).unwrap(), &[input])
    }

    #[test]
    fn wrong_options_are_named() {
        let wrong = |change| planned(change, ContentType::json()).unwrap_err().pointer;
        assert_eq!(wrong(json!({"listen": "8080"})), "/listen");
        assert_eq!(wrong(json!({"client_buffer": 1})), "/client_buffer");
        assert_eq!(wrong(json!({"min_clients": 65})), "/max_clients");
        assert_eq!(wrong(json!({"keep_alive": "0s"})), "/keep_alive");
        assert_eq!(wrong(json!({"tls": {"cert": "x"}})), "/tls");
        assert_eq!(wrong(json!({"tls": {"key": "x"}})), "/tls");
        assert_eq!(
            wrong(json!({"tls": {"cert": "x", "key": "y", "ca_out": "z"}})),
            "/tls/ca_out"
        );
        let csv = ContentType::new(Format::Csv);
        assert_eq!(planned(json!({}), csv).unwrap_err().pointer, "/inputs");
    }

    #[test]
    fn a_fixed_port_is_a_meeting_place() {
        let writes = |listen: &str| {
            planned(json!({"listen": listen}), ContentType::text())
                .unwrap()
                .writes
        };
        assert_eq!(writes("localhost:8080"), ["twitter://127.0.0.1:8080"]);
        assert!(writes("127.0.0.1:0").is_empty());
    }

    #[test]
    fn faults_are_named_by_their_status() {
        let faults: Vec<Fault> = serde_json::from_value(json!([
            "none",
            "stall",
            "cut",
            "401",
            "420",
            "429",
            "503",
            "wrong-length",
            "garbage"
        ]))
        .unwrap();
        assert_eq!(faults.len(), 9);
        assert_eq!(faults[5], Fault::TooMany);
    }
}
