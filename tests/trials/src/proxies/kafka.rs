//! Onto a topic and off it again, all through the proxy.

use e2e::cluster::Cluster;

use super::misbehave;
use crate::{
    flow::Tweets,
    frame::Run,
    tcp::{Fault, Proxy},
    topic::Topic,
};

/// A cluster that is reached through the proxy only.
pub struct Kafka {
    proxy: Proxy,
    cluster: Cluster,
    tweets: Tweets,
}

impl Kafka {
    pub fn start() -> Option<Self> {
        let proxy = Proxy::open();
        let cluster = Cluster::start([Some(proxy.port())])?;
        proxy.aim(cluster.listens()[0]);
        Some(Self {
            proxy,
            cluster,
            tweets: Tweets::known(4_000, Some(1_500)),
        })
    }

    pub fn run(&self, run: &mut Run) -> Result<(), String> {
        let fault = Fault::random(&mut run.rng);
        let topic = Topic::begin(&run.folder, self.cluster.brokers(), &self.tweets);
        misbehave(run, &self.proxy, fault);
        topic
            .complete(self.tweets.ids())
            .map_err(|why| format!("{fault:?}: {why}"))
    }
}
