//! A proxy that misbehaves between the host and Apache Kafka, between a Twitter server and its
//! client, and between the page's feed and a reader.

mod kafka;
mod twitter;
mod websocket;

use std::{thread, time::Duration};

use crate::{
    flow::Tweets,
    frame::{Job, Run, Trial},
    tcp::{Fault, Proxy},
};

pub const TRIAL: Trial = Trial {
    name: "proxy",
    about: "latency, resets, half-open, cuts, 1 byte a second to Kafka, Twitter and websocket: nothing lost",
    ci: 40,
    long: Some(400),
    begin: || {
        Some(Box::new(Proxies {
            kafka: kafka::Kafka::start()?,
            stream: twitter::tweets(),
            feed: websocket::tweets(),
        }))
    },
};

struct Proxies {
    kafka: kafka::Kafka,
    stream: Tweets,
    feed: Tweets,
}

impl Job for Proxies {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        match run.seed % 3 {
            0 => self.kafka.run(run).map_err(|why| format!("Kafka, {why}"))?,
            1 => twitter::run(&self.stream, run).map_err(|why| format!("Twitter, {why}"))?,
            _ => websocket::run(&self.feed, run).map_err(|why| format!("websocket, {why}"))?,
        }
        Ok(1)
    }
}

/// Lets a proxy misbehave once, a while after now and for a while.
fn misbehave(run: &mut Run, proxy: &Proxy, fault: Fault) {
    let mut pause = |range| thread::sleep(Duration::from_millis(run.rng.u64(range)));
    pause(100..800);
    proxy.set(fault);
    pause(match fault {
        // Long enough to be noticed by those that wait for a sign of life.
        Fault::Trickle | Fault::HalfOpen => 2_500..3_500,
        _ => 200..1_500,
    });
    proxy.set(Fault::None);
}
