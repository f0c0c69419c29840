//! Apache Kafka, one node in KRaft mode, in a folder of its own: a plain listener, one with
//! passwords (SASL over TLS) and one with certificates on both sides (mTLS).

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::SystemTime,
};

use crate::{node::Node, parts};

/// A broker that is this process's own, gone when dropped.
pub struct Kafka {
    node: Node,
    folder: tempfile::TempDir,
    brokers: String,
    secure: String,
}

/// The name and the password that the listener with passwords knows.
pub(crate) const USER: (&str, &str) = ("e2e", "e2e-secret");

impl Kafka {
    /// A started broker, or `None` after saying that its jars or Java are missing.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::launched(false)
    }

    fn launched(forget_data: bool) -> Option<Self> {
        let jars = parts::part("kafka")?;
        // Between the kernel's answer and the broker's start another process may take a port.
        let mut tries = 0;
        loop {
            let mut kafka = Self::formatted(jars.clone());
            let scratch = kafka.folder.path().to_path_buf();
            let Err(why) = kafka.node.launch(forget_data.then_some(&*scratch)) else {
                return Some(kafka);
            };
            tries += 1;
            assert!(tries < 5 && why.contains("Address already in use"), "{why}");
        }
    }

    fn formatted(jars: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports = free_ports();
        certificates(folder.path());
        let node = Node::formatted(jars, folder.path(), &settings(folder.path(), ports));
        Self {
            node,
            brokers: format!("127.0.0.1:{}", ports[0]),
            secure: secure(folder.path(), ports).to_string(),
            folder,
        }
    }

    /// `host:port` for clients.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The listeners that want to know who comes, as a JSON list of `{"brokers", "security"}`
    /// with the options of the plugin `kafka`.
    #[must_use]
    pub fn secure(&self) -> &str {
        &self.secure
    }

    /// Ends the broker at once; its data stays.
    pub fn stop(&mut self) {
        self.node.stop();
    }

    /// Starts it again, on the same port with the same data, and waits until it serves.
    ///
    /// # Panics
    /// If it does not start within a minute.
    pub fn resume(&mut self) {
        self.node.launch(None).unwrap_or_else(|why| panic!("{why}"));
    }
}

/// The brokers that the tests of this process share: those of `KAFKA_BROKERS`, else one broker,
/// started once. `None` after saying what is missing.
#[must_use]
pub fn shared() -> Option<&'static str> {
    static SHARED: OnceLock<Option<String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        if let Ok(brokers) = std::env::var("KAFKA_BROKERS") {
            return Some(brokers);
        }
        let kafka = Kafka::launched(true)?;
        let brokers = kafka.brokers.clone();
        // It lives as long as this process; its leash ends it and removes the folder.
        std::mem::forget(kafka);
        Some(brokers)
    });
    shared.as_deref()
}

fn settings(folder: &Path, ports: [u16; 4]) -> String {
    let [plain, sasl, tls, controller] = ports;
    let (name, password) = USER;
    let folder = folder.display();
    let login = "org.apache.kafka.common.security";
    let listeners =
        format!("PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{tls}");
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{name}=\"{password}\";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=10485760
"
    )
}

/// Writes an authority of the broker's own, and what it signed for the broker and for a client.
fn certificates(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    let key = || KeyPair::generate().expect("a key");
    let params = |common: &str, names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names that a certificate may have");
        // OpenSSL takes a certificate for its own issuer where both have the same name.
        params.distinguished_name.push(DnType::CommonName, common);
        params
    };
    let mut authority = params("e2e authority", &[]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, key()).expect("a certificate");
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("a file");
    write("ca.pem", authority.pem());
    let (server, client) = (key(), key());
    let signed = |names: &[&str], key: &KeyPair| {
        params(names[0], names)
            .signed_by(key, &authority)
            .expect("a certificate")
            .pem()
    };
    write(
        "server.pem",
        server.serialize_pem() + &signed(&["localhost", "127.0.0.1"], &server),
    );
    write("client.pem", signed(&["client"], &client));
    write("client.key", client.serialize_pem());
}

fn secure(folder: &Path, [_, sasl, tls, _]: [u16; 4]) -> serde_json::Value {
    let (username, password) = USER;
    let file = |name: &str| folder.join(name).display().to_string();
    let with_password = |mechanism: &str| {
        serde_json::json!({
            "brokers": format!("127.0.0.1:{sasl}"),
            "security": {
                "protocol": "SASL_SSL",
                "mechanism": mechanism,
                "username": username,
                "password": password,
                "ca_file": file("ca.pem"),
            },
        })
    };
    serde_json::json!([
        with_password("SCRAM-SHA-512"),
        with_password("SCRAM-SHA-256"),
        with_password("PLAIN"),
        {
            "brokers": format!("127.0.0.1:{tls}"),
            "security": {
                "protocol": "SSL",
                "ca_file": file("ca.pem"),
                "cert_file": file("client.pem"),
                "key_file": file("client.key"),
            },
        },
    ])
}

/// Ports that nothing listens on, asked from the kernel together so that they differ.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("a bound address").port())
}

/// A topic's name that no earlier run against the same brokers has used.
#[must_use]
pub fn fresh(name: &str) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{name}-{}-{}", std::process::id(), now.as_millis())
}
