//! Options of the sink and what they mean.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use plugin_api::prelude::*;

use crate::hub::Bounds;

options! {
    /// Serves a page that shows word clouds (or any JSON or text records) live, over a websocket.
    ///
    /// The page needs nothing from elsewhere, reconnects by itself and never reloads. `/feed` is
    /// the websocket, for other readers too: each record is one text message. Readers that are too
    /// slow get the newest record instead of all.
    pub struct Options {
        /// Address to listen on; port 0 takes a free one, which the log names. Whoever reaches it
        /// sees the page, unless `token` is set. Default: `127.0.0.1:3000`.
        #[serde(default = "listen")]
        pub listen: String,
        /// Title of the page. Default: `Word cloud`.
        #[serde(default = "title")]
        pub title: String,
        /// Number of records kept for readers who come later or fall behind, 1 to 1000, as far as
        /// 8 MiB hold them. Default: 50.
        #[serde(default = "history")]
        #[schemars(range(min = 1, max = 1000))]
        pub history: usize,
        /// What a reader can ask for apart from the rest. Default: `none`.
        #[serde(default)]
        pub topics: Topics,
        /// Most readers at a time, 1 to 100000; further ones are told to come back. Default: 1000.
        #[serde(default = "max_clients")]
        #[schemars(range(min = 1, max = 100_000))]
        pub max_clients: usize,
        /// Most readers of one address, 1 to 100000, lest one take the seats of all; of IPv6 the
        /// first 64 bits count. Behind a proxy all readers have its address. Default: as many as
        /// `max_clients`.
        #[serde(default)]
        #[schemars(range(min = 1, max = 100_000))]
        pub max_clients_per_address: Option<usize>,
        /// Largest record; larger ones are rejected. Default: 1 MiB.
        #[serde(default = "max_record")]
        pub max_record: ByteSize,
        /// Other sites whose pages may read the feed, such as `https://example.com`. Pages of all
        /// sites but the sink's own and these get 403. Also the names under which the sink may be
        /// reached: without a `token` others than `localhost` and plain addresses get 403, lest a
        /// site point its own name here. Default: none.
        #[serde(default)]
        pub allow_origins: Vec<String>,
        /// How often a reader is asked whether it is still there, at least 100ms; one that is
        /// silent three times as long is let go. Default: 20s.
        #[serde(default = "ping")]
        pub ping: Span,
        /// What readers must show: programs as `Authorization: Bearer TOKEN`, the page asks for it,
        /// or takes it from the address `/#token=TOKEN`. At least 16 characters. Default: the feed
        /// is open to whoever reaches it.
        #[serde(default)]
        pub token: Option<Secret>,
        /// Speak HTTPS. Default: HTTP.
        #[serde(default)]
        pub tls: Option<Tls>,
    }
}

options! {
    /// How to speak HTTPS.
    pub struct Tls {
        /// PEM file of the certificate chain. Read at start.
        pub cert: FilePath,
        /// PEM file of the private key. Read at start.
        pub key: FilePath,
    }
}

options! {
    /// What a record's topic is.
    #[derive(Default, Copy)]
    pub enum Topics {
        /// There is one feed of all records.
        #[default]
        None,
        /// The record's key, such as the group of a word cloud: the page shows one topic at a time,
        /// and `/feed?topic=NAME` sends only its records. The 100 that had records last are kept.
        Key,
    }
}

fn listen() -> String {
    "127.0.0.1:3000".into()
}
fn title() -> String {
    "Word cloud".into()
}
fn history() -> usize {
    50
}
fn max_clients() -> usize {
    1000
}
fn max_record() -> ByteSize {
    ByteSize(1 << 20)
}
fn ping() -> Span {
    Span::secs(20)
}

/// Most topics kept.
const TOPICS: usize = 100;
/// Shortest token: shorter ones can be guessed.
const TOKEN: usize = 16;
/// Bytes that a reader takes, idle or not: its buffers are bounded, and records are shared.
pub const READER_BYTES: u64 = 12 << 10;
/// Bytes more that TLS takes.
pub const TLS_BYTES: u64 = 40 << 10;
/// Most bytes that the kept records take, whatever their number; those of topics as much again.
pub const HISTORY_BYTES: usize = 8 << 20;

impl Options {
    /// Checks what the types do not; answers the address.
    ///
    /// # Errors
    /// The option at fault, by its pointer.
    pub fn check(&self) -> Result<SocketAddr, StageError> {
        let address = match self.listen.strip_prefix("localhost:") {
            Some(port) => port
                .parse()
                .ok()
                .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            None => self.listen.parse().ok(),
        };
        let Some(address) = address else {
            let message = format!(
                "`{}` is no address: expected such as \"127.0.0.1:3000\" or \"[::1]:3000\"",
                self.listen
            );
            return Err(StageError::config("/listen", message));
        };
        if !(1..=1000).contains(&self.history) {
            return Err(StageError::config(
                "/history",
                format!("history is {}: expected 1 to 1000", self.history),
            ));
        }
        for (name, clients) in [
            ("max_clients", Some(self.max_clients)),
            ("max_clients_per_address", self.max_clients_per_address),
        ] {
            if let Some(clients) = clients.filter(|clients| !(1..=100_000).contains(clients)) {
                let message = format!("{name} is {clients}: expected 1 to 100000");
                return Err(StageError::config(&format!("/{name}"), message));
            }
        }
        if !(1..=HISTORY_BYTES).contains(&self.max_record.bytes()) {
            return Err(StageError::config(
                "/max_record",
                "max_record is out of range: expected 1 B to 8 MiB",
            ));
        }
        if self.ping.nanos() < 100_000_000 {
            return Err(StageError::config(
                "/ping",
                "ping is too short: expected at least 100ms",
            ));
        }
        if let Some(token) = &self.token {
            let token = token.expose();
            if token.len() < TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                let message = format!(
                    "the token is no good: expected at least {TOKEN} visible characters of ASCII"
                );
                return Err(StageError::config("/token", message));
            }
        }
        for (position, origin) in self.allow_origins.iter().enumerate() {
            let host = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"));
            if host
                .is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', '@', '*', ' ']))
            {
                let message =
                    format!("`{origin}` is no origin: expected such as `https://example.com`");
                return Err(StageError::config(
                    &format!("/allow_origins/{position}"),
                    message,
                ));
            }
        }
        Ok(address)
    }

    /// How much is kept of the records.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            records: self.history,
            bytes: HISTORY_BYTES,
            topics: match self.topics {
                Topics::None => 0,
                Topics::Key => TOPICS,
            },
        }
    }
}
