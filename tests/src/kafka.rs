//! Apache Kafka, one node in KRaft mode, in a folder of its own.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use crate::{
    parts,
    process::{From, Process},
};

/// A broker that is this process's own, gone when dropped.
pub struct Kafka {
    jars: PathBuf,
    folder: tempfile::TempDir,
    brokers: String,
    node: Option<Process>,
}

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
            let Err(why) = kafka.launch(forget_data.then_some(&*scratch)) else {
                return Some(kafka);
            };
            tries += 1;
            assert!(tries < 5 && why.contains("Address already in use"), "{why}");
        }
    }

    fn formatted(jars: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [client, controller] = free_ports();
        let settings = settings(folder.path(), client, controller);
        fs::write(folder.path().join("server.properties"), settings).expect("settings");
        let kafka = Self {
            jars,
            folder,
            brokers: format!("127.0.0.1:{client}"),
            node: None,
        };
        let format = kafka
            .java()
            .args([
                "kafka.tools.StorageTool",
                "format",
                "-t",
                "ZTJlLXRlc3RzLWNsdXN0ZQ",
                "-c",
            ])
            .arg(kafka.settings())
            .output()
            .expect("java runs");
        let said = String::from_utf8_lossy(&format.stderr);
        assert!(
            format.status.success(),
            "Kafka's storage was not formatted: {said}"
        );
        kafka
    }

    /// `host:port` for clients.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Ends the broker at once; its data stays.
    pub fn stop(&mut self) {
        self.node = None;
    }

    /// Starts it again, on the same port with the same data, and waits until it serves.
    ///
    /// # Panics
    /// If it does not start within a minute.
    pub fn resume(&mut self) {
        self.launch(None).unwrap_or_else(|why| panic!("{why}"));
    }

    fn launch(&mut self, scratch: Option<&Path>) -> Result<(), String> {
        let mut java = self.java();
        java.arg("kafka.Kafka").arg(self.settings());
        let mut node = Process::start_leashed(&java, scratch);
        let serves = |_: From, line: &str| line.ends_with("Kafka Server started").then_some(());
        node.try_wait_for(Duration::from_secs(60), serves)
            .ok_or_else(|| format!("the broker does not serve: {}", node.said()))?;
        self.node = Some(node);
        Ok(())
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("server.properties")
    }

    fn java(&self) -> Command {
        let log = crate::root().join("tests/kafka/log4j2.properties");
        let mut java = Command::new("java");
        // A broker that lives for a minute: a small heap, quick to start.
        java.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dlog4j2.configurationFile={}", log.display()))
            .arg("-cp")
            .arg(self.jars.join("*"));
        java
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

fn settings(folder: &Path, client: u16, controller: u16) -> String {
    let data = folder.join("data");
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{client}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         auto.create.topics.enable=false\n\
         log.cleaner.dedupe.buffer.size=10485760\n",
        data.display()
    )
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
