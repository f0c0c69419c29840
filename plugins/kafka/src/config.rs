//! Options of both stages, and what can be said of them without a connection.

use plugin_api::prelude::*;

use crate::{
    connect::{self, Cluster},
    properties::Properties,
    start::Start,
};

options! {
    /// How the client talks to the brokers.
    #[derive(Copy)]
    pub enum Protocol {
        /// Neither encrypted nor authenticated.
        #[serde(rename = "PLAINTEXT")]
        Plaintext,
        /// TLS; with `cert_file` and `key_file` the client shows a certificate of its own (mTLS).
        #[serde(rename = "SSL")]
        Ssl,
        /// SASL without TLS: the password crosses the network readably with `PLAIN`.
        #[serde(rename = "SASL_PLAINTEXT")]
        SaslPlaintext,
        /// SASL over TLS.
        #[serde(rename = "SASL_SSL")]
        SaslSsl,
    }
}

options! {
    /// SASL mechanism.
    #[derive(Copy)]
    pub enum Mechanism {
        /// User name and password.
        #[serde(rename = "PLAIN")]
        Plain,
        /// Salted challenge and response with SHA-256.
        #[serde(rename = "SCRAM-SHA-256")]
        ScramSha256,
        /// Salted challenge and response with SHA-512.
        #[serde(rename = "SCRAM-SHA-512")]
        ScramSha512,
    }
}

options! {
    /// Encryption and authentication.
    #[derive(Default)]
    pub struct Security {
        /// Protocol. Default: what the other keys ask for (`SASL_SSL` with a user name, else `SSL`).
        #[serde(default)]
        pub protocol: Option<Protocol>,
        /// SASL mechanism. Default: `SCRAM-SHA-512`.
        #[serde(default)]
        pub mechanism: Option<Mechanism>,
        /// SASL user name.
        #[serde(default)]
        pub username: Option<String>,
        /// SASL password.
        #[serde(default)]
        pub password: Option<Secret>,
        /// Certificates to trust, PEM. Default: those of the operating system.
        #[serde(default)]
        pub ca_file: Option<FilePath>,
        /// The client's own certificate, PEM, for mTLS.
        #[serde(default)]
        pub cert_file: Option<FilePath>,
        /// The private key that belongs to it, PEM.
        #[serde(default)]
        pub key_file: Option<FilePath>,
        /// Password of that key. Default: it has none.
        #[serde(default)]
        pub key_password: Option<Secret>,
    }
}

/// Declares options with those that source and sink share in front.
macro_rules! with_connection {
    ($(#[$attr:meta])* pub struct $name:ident { $($rest:tt)* }) => {
        options! {
            $(#[$attr])*
            pub struct $name {
                /// `host:port`, several separated by commas; or `embedded`: a broker inside this
                /// process, in memory, that all its stages share.
                pub brokers: String,
                /// Topic.
                pub topic: String,
                /// Creates a missing topic with so many partitions. Left out: a missing topic is an
                /// error (exit code 69); on the embedded broker it is created with 1.
                #[serde(default)]
                #[schemars(range(min = 1, max = 10_000))]
                pub partitions: Option<i32>,
                /// Replicas of each partition of a topic created here. Default: the cluster's own.
                #[serde(default)]
                #[schemars(range(min = 1, max = 100))]
                pub replication: Option<i32>,
                /// Encryption and authentication. Default: none.
                #[serde(default)]
                pub security: Option<Security>,
                /// Any property of librdkafka, by its own name, such as
                /// `{ "socket.keepalive.enable" = true }`. Default: none.
                #[serde(default)]
                pub properties: Properties,
                $($rest)*
            }
        }
        impl $name {
            pub(crate) fn cluster(&self) -> Cluster {
                Cluster::parse(&self.brokers)
            }
            fn check_connection(&self) -> Result<(), StageError> {
                connect::check(&self.brokers, &self.topic, self.security.as_ref(), &self.properties)?;
                if self.partitions.is_some_and(|n| n < 1) {
                    return Err(StageError::config("/partitions", "a topic has at least 1 partition"));
                }
                if self.replication.is_some_and(|n| n < 1) {
                    return Err(StageError::config("/replication", "a partition has at least 1 replica"));
                }
                Ok(())
            }
        }
    };
}

options! {
    /// What the values of a topic are.
    #[derive(Copy)]
    pub enum ValueFormat {
        /// One JSON value a record.
        Json,
        /// One Avro datum a record, without a container and without a registry's prefix; wants `schema`.
        Avro,
        /// UTF-8 text.
        Text,
        /// Anything.
        Bytes,
    }
}

with_connection! {
    /// Reads a topic as a member of a consumer group.
    ///
    /// The group's offsets move only when everything that was read is safe behind the sinks.
    /// Records carry key, headers, time and, unless they have one, a header `id` of the form
    /// `topic/partition/offset`. Offsets that were deleted before they could be read are counted
    /// as lost and reported.
    pub struct SourceOptions {
        /// Consumer group. Sources of one group share the partitions; each group reads everything.
        pub group: String,
        /// Where to begin in a partition for which the group has no offset yet: `earliest`,
        /// `latest`, `offset:N`, or `timestamp:` with milliseconds since 1970 or an RFC 3339 time.
        /// A committed offset wins over it. Default: `latest`.
        #[serde(default = "latest")]
        pub start: String,
        /// Leaves the group's offsets to a sink with `exactly_once`, which must be the only sink
        /// behind this source. Default: false.
        #[serde(default)]
        pub exactly_once: bool,
        /// What the values are. Default: `bytes`.
        #[serde(default = "bytes")]
        pub format: ValueFormat,
        /// Avro schema file of the values; with `format = "avro"` only.
        #[serde(default)]
        pub schema: Option<FilePath>,
    }
}

fn latest() -> String {
    "latest".into()
}

fn bytes() -> ValueFormat {
    ValueFormat::Bytes
}

options! {
    /// Compression of what is sent.
    #[derive(Copy)]
    pub enum Compression {
        /// None.
        None,
        /// gzip.
        Gzip,
        /// Snappy.
        Snappy,
        /// LZ4.
        Lz4,
        /// Zstandard.
        Zstd,
    }
}

impl Compression {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

with_connection! {
    /// Writes records to a topic: idempotent, acknowledged by all in-sync replicas, never awaited
    /// one by one.
    ///
    /// Keys, headers and times are carried over; a record without a time, or with one before 1970,
    /// gets the time of sending. Partitions are chosen by key as Kafka's Java client does. While a
    /// broker is away the sink waits; only a record that the broker refuses for good (too large,
    /// invalid) is rejected.
    pub struct SinkOptions {
        /// Compression. Default: `lz4`.
        #[serde(default = "lz4")]
        pub compression: Compression,
        /// Key of each message: `record` (the record's own), `none`, or `header:NAME` (the value of
        /// that header). Default: `record`.
        #[serde(default = "record")]
        pub key: String,
        /// Most records sent and not yet acknowledged. Default: 10000.
        #[serde(default = "ten_thousand")]
        #[schemars(range(min = 1, max = 1_000_000))]
        pub max_in_flight: u32,
        /// Most bytes sent and not yet acknowledged. Default: 16 MiB.
        #[serde(default = "sixteen_mib")]
        pub max_in_flight_bytes: ByteSize,
        /// How long a record waits for company before it is sent. Default: 5 ms.
        #[serde(default = "five_ms")]
        pub linger: Span,
        /// Writes each epoch in one transaction, with the offsets of the kafka sources in front,
        /// which need `exactly_once` as well and the same cluster. Must be the only sink behind
        /// them. Readers of the topic see an epoch when it is complete. Default: false.
        #[serde(default)]
        pub exactly_once: bool,
        /// The name that the transactions go by, for `exactly_once`. It stays the same when a host
        /// starts again; two hosts that run at a time must not share it. Default: `HOST.STAGE`.
        #[serde(default)]
        pub transactional_id: Option<String>,
    }
}

fn lz4() -> Compression {
    Compression::Lz4
}

fn record() -> String {
    "record".into()
}

fn ten_thousand() -> u32 {
    10_000
}

fn sixteen_mib() -> ByteSize {
    ByteSize(16 << 20)
}

fn five_ms() -> Span {
    Span::millis(5)
}

/// Where the key of a message comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyFrom {
    Record,
    None,
    Header(String),
}

impl SinkOptions {
    pub(crate) fn key_from(&self) -> Result<KeyFrom, StageError> {
        match self.key.as_str() {
            "record" => Ok(KeyFrom::Record),
            "none" => Ok(KeyFrom::None),
            other => match other.strip_prefix("header:") {
                Some(name) if !name.is_empty() => Ok(KeyFrom::Header(name.into())),
                _ => Err(StageError::config(
                    "/key",
                    format!("`{other}` is not a key: expected `record`, `none` or `header:NAME`"),
                )),
            },
        }
    }

    pub(crate) fn plan(&self) -> Result<Planned, StageError> {
        self.check_connection()?;
        self.key_from()?;
        if self.max_in_flight == 0 || self.max_in_flight > 1_000_000 {
            return Err(StageError::config(
                "/max_in_flight",
                "expected 1 to 1000000 records",
            ));
        }
        if self.max_in_flight_bytes.0 < 1 << 10 {
            return Err(StageError::config(
                "/max_in_flight_bytes",
                "expected at least 1 KiB",
            ));
        }
        check_exactly_once(self.exactly_once, &self.cluster())?;
        if self.transactional_id.is_some() && !self.exactly_once {
            return Err(StageError::config(
                "/transactional_id",
                "only `exactly_once = true` writes in transactions",
            ));
        }
        if self.transactional_id.as_deref() == Some("") {
            return Err(StageError::config("/transactional_id", "expected a name"));
        }
        if self.linger.duration().as_secs() >= 60 {
            return Err(StageError::config("/linger", "expected less than a minute"));
        }
        let held = self.max_in_flight_bytes.0 + u64::from(self.max_in_flight) * IN_FLIGHT_BYTES;
        let planned = Planned::sink().memory("records on their way", held);
        let planned = if self.exactly_once {
            planned.alone()
        } else {
            planned
        };
        Ok(match self.cluster() {
            Cluster::Embedded => embedded_line(planned).writes(place(&self.topic)),
            Cluster::Remote(_) => planned,
        })
    }
}

impl SourceOptions {
    pub(crate) fn plan(&self) -> Result<Planned, StageError> {
        self.check_connection()?;
        if self.group.is_empty() {
            return Err(StageError::config(
                "/group",
                "a consumer group needs a name",
            ));
        }
        check_exactly_once(self.exactly_once, &self.cluster())?;
        let isolation = self.properties.get("isolation.level");
        if self.exactly_once && isolation.is_some_and(|level| level != "read_committed") {
            return Err(StageError::config(
                "/properties/isolation.level",
                "exactly once reads committed records only: leave this out",
            ));
        }
        let start = Start::parse(&self.start).map_err(|e| StageError::config("/start", e))?;
        let property = |name, default| {
            let value = self.properties.get(name).and_then(|v| v.parse().ok());
            value.unwrap_or(default)
        };
        let queued: u64 = property("queued.max.messages.kbytes", QUEUED_KIB);
        let fetch: u64 = property("fetch.max.bytes", FETCH_BYTES);
        let ahead = queued.saturating_mul(1 << 10).saturating_add(fetch);
        let planned = Planned::new(self.content_type()?).memory("records fetched ahead", ahead);
        Ok(match self.cluster() {
            Cluster::Embedded => {
                if matches!(start, Start::Timestamp(_)) {
                    return Err(StageError::config(
                        "/start",
                        "the embedded broker cannot look up times: use earliest, latest or offset:N, or a cluster",
                    ));
                }
                embedded_line(planned).reads(place(&self.topic))
            }
            Cluster::Remote(_) => planned,
        })
    }

    fn content_type(&self) -> Result<ContentType, StageError> {
        match (self.format, &self.schema) {
            (ValueFormat::Avro, Some(path)) => Ok(ContentType::avro(read_schema(path)?)),
            (ValueFormat::Avro, None) => Err(StageError::config(
                "/format",
                "format `avro` needs `schema`, a file",
            )),
            (_, Some(_)) => Err(StageError::config(
                "/schema",
                "a schema belongs to format `avro`",
            )),
            (ValueFormat::Json, None) => Ok(ContentType::json()),
            (ValueFormat::Text, None) => Ok(ContentType::text()),
            (ValueFormat::Bytes, None) => Ok(ContentType::bytes()),
        }
    }
}

/// Bytes that librdkafka takes for a record on its way besides the record's own.
const IN_FLIGHT_BYTES: u64 = 512;
/// KiB of records that are fetched ahead (`queued.max.messages.kbytes`).
pub(crate) const QUEUED_KIB: u64 = 16 << 10;
/// Bytes of a fetch that may come on top (`fetch.max.bytes`).
pub(crate) const FETCH_BYTES: u64 = 16 << 20;

/// The largest schema file read.
const MAX_SCHEMA: u64 = 4 << 20;

fn read_schema(path: &std::path::Path) -> Result<String, StageError> {
    let wrong =
        |e: String| StageError::config("/schema", format!("cannot read {}: {e}", path.display()));
    let size = std::fs::metadata(path)
        .map_err(|e| wrong(e.to_string()))?
        .len();
    if size > MAX_SCHEMA {
        return Err(wrong(format!("{size} bytes are too many for a schema")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    serde_json::from_str::<serde_json::Value>(&text)
        .map_err(|e| wrong(format!("not JSON: {e}")))?;
    Ok(text)
}

fn check_exactly_once(wanted: bool, cluster: &Cluster) -> Result<(), StageError> {
    if wanted && *cluster == Cluster::Embedded {
        return Err(StageError::config(
            "/exactly_once",
            "the embedded broker has no transactions: set `brokers` to a cluster",
        ));
    }
    Ok(())
}

fn embedded_line(planned: Planned) -> Planned {
    planned.warn(
        "broker `embedded`: in memory, gone with the process, keeps the newest 5 MiB of a partition; \
         set `brokers` to a cluster for anything that must last",
    )
}

fn place(topic: &str) -> String {
    format!("kafka://embedded/{topic}")
}
