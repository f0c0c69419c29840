//! One node of Apache Kafka: a Java process and its folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    kafka::USER,
    process::{From, Process},
};

/// A node whose storage is ready, running or not.
pub(crate) struct Node {
    jars: PathBuf,
    settings: PathBuf,
    process: Option<Process>,
}

impl Node {
    /// Writes the settings into a folder and formats the storage that they name.
    pub(crate) fn formatted(jars: PathBuf, folder: &Path, settings: &str) -> Self {
        let path = folder.join("server.properties");
        fs::write(&path, settings).expect("settings");
        let node = Self {
            jars,
            settings: path,
            process: None,
        };
        let format = node
            .java()
            .args([
                "kafka.tools.StorageTool",
                "format",
                "-t",
                "ZTJlLXRlc3RzLWNsdXN0ZQ",
                "-c",
            ])
            .arg(&node.settings)
            .args(["256", "512"].map(scram))
            .output()
            .expect("java runs");
        let said = String::from_utf8_lossy(&format.stderr);
        assert!(
            format.status.success(),
            "Kafka's storage was not formatted: {said}"
        );
        node
    }

    /// Starts it and waits until it serves; `scratch` is removed when it has ended.
    pub(crate) fn launch(&mut self, scratch: Option<&Path>) -> Result<(), String> {
        self.begin(scratch);
        self.serves()
    }

    /// Starts it; nodes that need one another are all begun before one is waited for.
    pub(crate) fn begin(&mut self, scratch: Option<&Path>) {
        let mut java = self.java();
        java.arg("kafka.Kafka").arg(&self.settings);
        self.process = Some(Process::start_leashed(&java, scratch));
    }

    /// Waits until it serves.
    pub(crate) fn serves(&mut self) -> Result<(), String> {
        let process = self.process.as_mut().expect("the node was begun");
        let serves = |_: From, line: &str| line.ends_with("Kafka Server started").then_some(());
        let served = process.try_wait_for(Duration::from_secs(60), serves);
        served.ok_or_else(|| format!("the broker does not serve: {}", process.said()))
    }

    /// Ends it at once; its data stays.
    pub(crate) fn stop(&mut self) {
        self.process = None;
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

fn scram(bits: &str) -> String {
    let (name, password) = USER;
    format!("--add-scram=SCRAM-SHA-{bits}=[name={name},password={password}]")
}
