//! Apache Kafka of several nodes, each broker and controller, with plain listeners; for trials that
//! end nodes or put something between them and their clients.

use std::fs;

use crate::{kafka::free_ports, node::Node, parts};

/// A cluster that is this process's own, gone when dropped.
pub struct Cluster {
    nodes: Vec<Node>,
    brokers: String,
    listens: Vec<u16>,
    // Removed when the nodes have ended, which stand first.
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// A started cluster, or `None` after saying that its jars or Java are missing. Where
    /// `advertised` names a port for a node, clients are sent there in place of the node's own.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start<const N: usize>(advertised: [Option<u16>; N]) -> Option<Self> {
        let jars = parts::part("kafka")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listens: [u16; N] = free_ports();
        let controllers: [u16; N] = free_ports();
        let voters: Vec<_> = (1..)
            .zip(controllers)
            .map(|(id, port)| format!("{id}@127.0.0.1:{port}"))
            .collect();
        let nodes = (0..N).map(|n| {
            let home = folder.path().join(n.to_string());
            fs::create_dir(&home).expect("a folder");
            let settings = format!(
                "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{listens},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={home}/data
default.replication.factor={N}
offsets.topic.replication.factor={N}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={N}
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={N}
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=3000
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=10485760
",
                id = n + 1,
                voters = voters.join(","),
                listens = listens[n],
                controller = controllers[n],
                advertised = advertised[n].unwrap_or(listens[n]),
                home = home.display(),
            );
            Node::formatted(jars.clone(), &home, &settings)
        });
        let brokers: Vec<_> = (0..N)
            .map(|n| format!("127.0.0.1:{}", advertised[n].unwrap_or(listens[n])))
            .collect();
        let mut cluster = Self {
            nodes: nodes.collect(),
            brokers: brokers.join(","),
            listens: listens.to_vec(),
            _folder: folder,
        };
        cluster.resume_all();
        Some(cluster)
    }

    /// `host:port,host:port` for clients.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The ports that the nodes themselves listen on.
    #[must_use]
    pub fn listens(&self) -> &[u16] {
        &self.listens
    }

    /// How many nodes it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Ends all nodes at once; their data stays.
    pub fn stop_all(&mut self) {
        self.nodes.iter_mut().for_each(Node::stop);
    }

    /// Starts all nodes, on the same ports with the same data, and waits until they serve.
    ///
    /// # Panics
    /// If they do not start within a minute.
    pub fn resume_all(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.begin(None));
        for node in &mut self.nodes {
            node.serves().unwrap_or_else(|why| panic!("{why}"));
        }
    }

    /// Ends one node at once; its data stays.
    pub fn stop(&mut self, node: usize) {
        self.nodes[node].stop();
    }

    /// Starts it again, on the same port with the same data, and waits until it serves.
    ///
    /// # Panics
    /// If it does not start within a minute.
    pub fn resume(&mut self, node: usize) {
        self.nodes[node]
            .launch(None)
            .unwrap_or_else(|why| panic!("{why}"));
    }
}
