//! From options to a librdkafka configuration. Checks offline what can be checked offline.

use std::time::Duration;

use plugin_api::prelude::*;
use rdkafka::{
    config::{ClientConfig, RDKafkaLogLevel},
    error::KafkaError,
    types::RDKafkaConfRes,
};

use crate::{
    config::{FETCH_BYTES, Mechanism, Protocol, QUEUED_KIB, Security, SinkOptions, SourceOptions},
    properties::Properties,
};

/// Which cluster is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cluster {
    /// The broker inside this process.
    Embedded,
    /// `host:port,…`
    Remote(String),
}

impl Cluster {
    pub fn parse(brokers: &str) -> Self {
        match brokers.trim() {
            "embedded" => Self::Embedded,
            other => Self::Remote(other.to_owned()),
        }
    }

    /// As it is called in messages.
    pub fn name(&self) -> &str {
        match self {
            Self::Embedded => "the embedded broker",
            Self::Remote(brokers) => brokers,
        }
    }
}

/// Properties that would undo what this plugin promises, with what to use instead.
const RESERVED: &[(&str, &str)] = &[
    ("acks", "nothing: all replicas in sync acknowledge a record"),
    ("auto.offset.reset", "the option `start`"),
    ("bootstrap.servers", "the option `brokers`"),
    (
        "enable.auto.commit",
        "nothing: offsets are committed with the host's epochs",
    ),
    (
        "enable.auto.offset.store",
        "nothing: offsets are committed with the host's epochs",
    ),
    ("enable.idempotence", "nothing: the producer is idempotent"),
    ("enable.partition.eof", "nothing"),
    ("group.id", "the option `group`"),
    ("log.queue", "nothing"),
    ("metadata.broker.list", "the option `brokers`"),
    ("offset.store.method", "nothing"),
    (
        "request.required.acks",
        "nothing: all replicas in sync acknowledge a record",
    ),
    (
        "plugin.library.paths",
        "nothing: code is loaded by the host only",
    ),
    (
        "queue.buffering.max.kbytes",
        "the option `max_in_flight_bytes`",
    ),
    ("queue.buffering.max.messages", "the option `max_in_flight`"),
    ("statistics.interval.ms", "the metrics of the stage"),
    ("test.mock.num.brokers", "`brokers = \"embedded\"`"),
    (
        "transactional.id",
        "the options `exactly_once` and `transactional_id`",
    ),
];

/// Checks what source and sink have in common; pure.
pub(crate) fn check(
    brokers: &str,
    topic: &str,
    security: Option<&Security>,
    properties: &Properties,
) -> Result<(), StageError> {
    check_topic(topic).map_err(|e| StageError::config("/topic", e))?;
    let cluster = Cluster::parse(brokers);
    match &cluster {
        Cluster::Embedded => {
            if security.is_some() {
                return Err(StageError::config(
                    "/security",
                    "the embedded broker has neither TLS nor SASL",
                ));
            }
        }
        Cluster::Remote(list) => {
            check_brokers(list).map_err(|e| StageError::config("/brokers", e))?
        }
    }
    for (name, value) in properties.iter() {
        let pointer = format!("/properties/{}", name.replace('~', "~0").replace('/', "~1"));
        if let Some((_, instead)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
            return Err(StageError::config(
                &pointer,
                format!("`{name}` is set by the plugin; use {instead}"),
            ));
        }
        let of_security = ["security.", "sasl.", "ssl."]
            .iter()
            .any(|p| name.starts_with(p));
        if cluster == Cluster::Embedded && of_security {
            return Err(StageError::config(
                &pointer,
                "the embedded broker has neither TLS nor SASL",
            ));
        }
        // The value may be a secret, and librdkafka's own words quote it.
        let message = match ClientConfig::new().set(name, value).create_native_config() {
            Ok(_) => continue,
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                format!("librdkafka has no property `{name}`")
            }
            Err(_) => format!("librdkafka refuses this value of `{name}`"),
        };
        return Err(StageError::config(&pointer, message));
    }
    security.map_or(Ok(()), |s| protocol(s).map(|_| ()))
}

fn check_topic(topic: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match topic {
        "" | "." | ".." => Err(format!("`{topic}` is no name for a topic")),
        long if long.len() > 249 => Err("a topic's name has at most 249 characters".into()),
        _ => match topic.chars().find(|c| !legal(*c)) {
            Some(c) => Err(format!(
                "`{c}` in `{topic}`: a topic's name consists of letters, digits, `.`, `_` and `-`"
            )),
            None => Ok(()),
        },
    }
}

fn check_brokers(list: &str) -> Result<(), String> {
    for broker in list.split(',').map(str::trim) {
        let (host, port) = broker.rsplit_once(':').unwrap_or((broker, "9092"));
        if host.is_empty()
            || host.contains(char::is_whitespace)
            || port.parse::<u16>().map_or(true, |p| p == 0)
        {
            return Err(format!(
                "`{broker}` is no broker: expected `host:port`, several separated by commas, or `embedded`"
            ));
        }
    }
    Ok(())
}

/// The protocol that the options ask for, and whether it is SASL.
fn protocol(security: &Security) -> Result<(&'static str, bool), StageError> {
    let sasl =
        security.username.is_some() || security.password.is_some() || security.mechanism.is_some();
    let protocol = security.protocol.unwrap_or(if sasl {
        Protocol::SaslSsl
    } else {
        Protocol::Ssl
    });
    let (name, wants_sasl, tls) = match protocol {
        Protocol::Plaintext => ("plaintext", false, false),
        Protocol::Ssl => ("ssl", false, true),
        Protocol::SaslPlaintext => ("sasl_plaintext", true, false),
        Protocol::SaslSsl => ("sasl_ssl", true, true),
    };
    let wrong = |pointer: &str, message: &str| Err(StageError::config(pointer, message));
    if wants_sasl && security.username.is_none() {
        return wrong("/security", "SASL needs `username`");
    }
    if wants_sasl && security.password.is_none() {
        return wrong("/security", "SASL needs `password`");
    }
    if sasl && !wants_sasl {
        return wrong(
            "/security/protocol",
            "user name, password and mechanism belong to SASL_SSL or SASL_PLAINTEXT",
        );
    }
    if security.cert_file.is_some() != security.key_file.is_some() {
        return wrong("/security", "`cert_file` and `key_file` belong together");
    }
    if security.key_password.is_some() && security.key_file.is_none() {
        return wrong(
            "/security/key_password",
            "there is no `key_file` that it could open",
        );
    }
    if !tls && (security.ca_file.is_some() || security.cert_file.is_some()) {
        return wrong(
            "/security/protocol",
            "certificates belong to SSL or SASL_SSL",
        );
    }
    Ok((name, wants_sasl))
}

fn base(
    address: &str,
    stage: &str,
    security: Option<&Security>,
    embedded: bool,
) -> Result<ClientConfig, StageError> {
    let mut config = ClientConfig::new();
    config
        .set_log_level(RDKafkaLogLevel::Warning)
        .set("bootstrap.servers", address)
        .set("client.id", stage)
        // Only the plugin creates topics, and says with how many partitions.
        .set("allow.auto.create.topics", "false")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.ms", "50")
        .set(
            "reconnect.backoff.max.ms",
            if embedded { "200" } else { "2000" },
        );
    let Some(security) = security else {
        return Ok(config);
    };
    let (protocol, sasl) = protocol(security)?;
    config.set("security.protocol", protocol);
    if sasl {
        config.set(
            "sasl.mechanism",
            match security.mechanism.unwrap_or(Mechanism::ScramSha512) {
                Mechanism::Plain => "PLAIN",
                Mechanism::ScramSha256 => "SCRAM-SHA-256",
                Mechanism::ScramSha512 => "SCRAM-SHA-512",
            },
        );
        config.set(
            "sasl.username",
            security.username.as_deref().unwrap_or_default(),
        );
        config.set(
            "sasl.password",
            security
                .password
                .as_ref()
                .map(Secret::expose)
                .unwrap_or_default(),
        );
    }
    if protocol.ends_with("ssl") {
        // OpenSSL is linked statically and knows no folder of this machine.
        let ca = security
            .ca_file
            .as_deref()
            .map_or_else(|| "probe".into(), |p| p.to_string_lossy());
        config.set("ssl.ca.location", ca);
    }
    if let Some(cert) = security.cert_file.as_deref() {
        config.set("ssl.certificate.location", cert.to_string_lossy());
    }
    if let Some(key) = security.key_file.as_deref() {
        config.set("ssl.key.location", key.to_string_lossy());
    }
    if let Some(password) = &security.key_password {
        config.set("ssl.key.password", password.expose());
    }
    Ok(config)
}

/// Configuration of a source's client.
pub(crate) fn consumer(
    options: &SourceOptions,
    address: &str,
    stage: &str,
) -> Result<ClientConfig, StageError> {
    let embedded = options.cluster() == Cluster::Embedded;
    let mut config = base(address, stage, options.security.as_ref(), embedded)?;
    config
        .set("group.id", &options.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Where to go on is decided here, so that what was lost on the way is counted.
        .set("auto.offset.reset", "error")
        .set("statistics.interval.ms", "5000")
        .set("queued.max.messages.kbytes", QUEUED_KIB.to_string())
        .set("fetch.max.bytes", FETCH_BYTES.to_string())
        .set("fetch.queue.backoff.ms", "20")
        // The mock answers an empty fetch only when the wait is over, whatever arrives meanwhile.
        .set("fetch.wait.max.ms", if embedded { "10" } else { "100" });
    if options.properties.get("group.protocol") != Some("consumer") {
        config.set("partition.assignment.strategy", "cooperative-sticky");
    }
    pass_through(&mut config, &options.properties);
    Ok(config)
}

/// How long the group waits for a member that is not polled, or does not give up what it should.
pub(crate) fn patience_of_group(options: &SourceOptions) -> Duration {
    let property = options.properties.get("max.poll.interval.ms");
    Duration::from_millis(property.and_then(|ms| ms.parse().ok()).unwrap_or(300_000))
}

/// A client for the offsets of a group that it never joins.
pub(crate) fn bystander(
    options: &SinkOptions,
    address: &str,
    stage: &str,
    group: &str,
) -> Result<ClientConfig, StageError> {
    let mut config = base(address, stage, options.security.as_ref(), false)?;
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false");
    // What a connection needs; the rest is a producer's.
    let of_connection = ["security.", "sasl.", "ssl.", "socket.", "broker."];
    for (name, value) in options.properties.iter() {
        if of_connection.iter().any(|p| name.starts_with(p)) {
            config.set(name, value);
        }
    }
    Ok(config)
}

/// Configuration of a sink's client. `max_message`: the largest record that the topic takes.
pub(crate) fn producer(
    options: &SinkOptions,
    address: &str,
    stage: &str,
    max_message: Option<u32>,
) -> Result<ClientConfig, StageError> {
    let embedded = options.cluster() == Cluster::Embedded;
    let mut config = base(address, stage, options.security.as_ref(), embedded)?;
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // For ever: a broker that is away is no reason to give up a record.
        .set("message.timeout.ms", "0")
        .set(
            "linger.ms",
            (options.linger.duration().as_micros() as f64 / 1000.0).to_string(),
        )
        .set("compression.type", options.compression.name())
        // As Kafka's Java client does, so that a key stays with its partition.
        .set("partitioner", "murmur2_random")
        // The sink counts itself what is on its way: librdkafka would never take a record that is
        // larger than its whole queue.
        .set(
            "queue.buffering.max.messages",
            (options.max_in_flight + 1).to_string(),
        )
        .set("queue.buffering.max.kbytes", "2097151")
        .set("batch.num.messages", "100000");
    match max_message {
        Some(max) if embedded => {
            config
                .set("message.max.bytes", max.to_string())
                .set("batch.size", "262144");
        }
        Some(max) => {
            // A batch beyond the topic's limit would be refused whole, its records blameless.
            let max = max.clamp(1000, 1_000_000_000);
            config
                .set("message.max.bytes", max.to_string())
                .set("batch.size", max.min(1_000_000).to_string());
        }
        None => {}
    }
    pass_through(&mut config, &options.properties);
    Ok(config)
}

fn pass_through(config: &mut ClientConfig, properties: &Properties) {
    for (name, value) in properties.iter() {
        if matches!(name, "debug" | "log_level") {
            config.set_log_level(RDKafkaLogLevel::Debug);
        }
        config.set(name, value);
    }
}

/// A client could not be made: its files or its combination of properties are at fault.
pub(crate) fn refused(error: &KafkaError) -> StageError {
    match error {
        KafkaError::ClientCreation(why) if why.contains("ssl.") || why.contains("SSL") => {
            StageError::config("/security", why.clone())
        }
        KafkaError::ClientCreation(why) => StageError::config("/properties", why.clone()),
        KafkaError::ClientConfig(_, why, name, _) => {
            StageError::config("/properties", format!("{name}: {why}"))
        }
        other => StageError::fatal(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(
        brokers: &str,
        topic: &str,
        security: Option<&Security>,
        properties: &[(&str, &str)],
    ) -> (String, String) {
        let properties = properties.iter().copied().collect();
        let e = check(brokers, topic, security, &properties).unwrap_err();
        (e.pointer, e.message)
    }

    #[test]
    fn names_and_addresses_are_checked() {
        assert!(check("a:9092, b:9093", "tweets.v1", None, &Properties::default()).is_ok());
        assert_eq!(wrong("a:0", "t", None, &[]).0, "/brokers");
        assert_eq!(wrong("", "t", None, &[]).0, "/brokers");
        assert_eq!(wrong("a:9092", "two words", None, &[]).0, "/topic");
        assert_eq!(wrong("a:9092", "..", None, &[]).0, "/topic");
    }

    #[test]
    fn properties_are_checked_and_their_values_never_shown() {
        let ok = [("linger.ms", "3"), ("socket.keepalive.enable", "true")]
            .into_iter()
            .collect();
        assert!(check("a:1", "t", None, &ok).is_ok());
        let (at, why) = wrong("a:1", "t", None, &[("linger.mss", "hunter2")]);
        assert_eq!(
            (at.as_str(), why.as_str()),
            (
                "/properties/linger.mss",
                "librdkafka has no property `linger.mss`"
            )
        );
        let (at, why) = wrong("a:1", "t", None, &[("linger.ms", "hunter2")]);
        assert_eq!(at, "/properties/linger.ms");
        assert!(why.contains("refuses") && !why.contains("hunter2"), "{why}");
        let (at, why) = wrong("a:1", "t", None, &[("group.id", "x")]);
        assert_eq!(
            (at.as_str(), why.as_str()),
            (
                "/properties/group.id",
                "`group.id` is set by the plugin; use the option `group`"
            )
        );
    }

    #[test]
    fn the_embedded_broker_has_no_security() {
        let security = Security {
            username: Some("u".into()),
            ..Security::default()
        };
        assert_eq!(wrong("embedded", "t", Some(&security), &[]).0, "/security");
        assert_eq!(
            wrong("embedded", "t", None, &[("ssl.ca.location", "x")]).0,
            "/properties/ssl.ca.location"
        );
        assert_eq!(
            wrong("embedded", "t", None, &[("transactional.id", "x")]).0,
            "/properties/transactional.id"
        );
    }

    #[test]
    fn security_must_be_whole() {
        let with = |f: &dyn Fn(&mut Security)| {
            let mut s = Security::default();
            f(&mut s);
            s
        };
        assert_eq!(protocol(&Security::default()).unwrap(), ("ssl", false));
        let scram = with(&|s| {
            s.username = Some("u".into());
            s.password = Some(Secret::new("p"));
        });
        assert_eq!(protocol(&scram).unwrap(), ("sasl_ssl", true));
        let half = with(&|s| s.username = Some("u".into()));
        assert_eq!(
            protocol(&half).unwrap_err().message,
            "SASL needs `password`"
        );
        let half = with(&|s| s.cert_file = Some(FilePath::new("c.pem")));
        assert_eq!(
            protocol(&half).unwrap_err().message,
            "`cert_file` and `key_file` belong together"
        );
        let mixed = with(&|s| {
            s.protocol = Some(Protocol::Plaintext);
            s.ca_file = Some(FilePath::new("ca.pem"));
        });
        assert_eq!(protocol(&mixed).unwrap_err().pointer, "/security/protocol");
    }
}
