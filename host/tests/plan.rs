//! Plans of files without mistakes.

mod common;

use host::config::{OnError, WhenFull};
use host::diag::Severity;
use host::plan::{Plan, StageRef, memory};
use plugin_api::Format;

fn good(text: &str, hosts: &[&str]) -> Plan {
    let prepared = common::plan(text, hosts, false);
    let shown = host::diag::render::render(&prepared.report, false);
    prepared.plan.unwrap_or_else(|| panic!("no plan:\n{shown}"))
}

fn options(plan: &Plan, host: usize, stage: &str) -> serde_json::Value {
    let stage = plan.hosts[host]
        .stages
        .iter()
        .find(|s| s.name == stage)
        .expect("the plan has the stage");
    serde_json::from_slice(&stage.options.0).expect("options are JSON")
}

const RELAY: &str = r#"
version = 1
state_dir = "run/state"

[admin]
listen = "localhost:9100"

# Written against the flow on purpose.
[hosts.page.sources.clouds]
plugin = "kafka"
with = { brokers = "embedded", topic = "clouds", group = "page" }

[hosts.page.sinks.print]
plugin = "console"
inputs = ["clouds"]
buffer = { max_bytes = "1 MiB", when_full = "drop-oldest" }
on_error = "drop"
with.path = "out/print.txt"

[hosts.cloud.sinks.publish]
plugin = "kafka"
inputs = ["count"]
with = { brokers = "embedded", topic = "clouds" }

[hosts.cloud.processors.count]
plugin = "wordcloud"
inputs = ["split.matched"]
workers = 2

[hosts.cloud.processors.split]
plugin = "route"
inputs = ["tweets"]
with.contains = "env:TOPIC?rust"

[hosts.cloud.sources.tweets]
plugin = "kafka"
with = { brokers = "embedded", topic = "tweets", group = "cloud" }

[hosts.listener.sources.made]
plugin = "generate"
limit = 1000
with = { seed = "env:NUMBER", rate = 5 }

[hosts.listener.sinks.publish]
plugin = "kafka"
inputs = ["made"]
with = { brokers = "embedded", topic = "tweets", password = "env:KEY", batch_bytes = "2 MiB" }
"#;

#[test]
fn stages_stand_behind_what_feeds_them_and_hosts_drain_upstream_first() {
    let plan = good(RELAY, &[]);
    let names: Vec<Vec<&str>> = plan
        .hosts
        .iter()
        .map(|h| h.stages.iter().map(|s| s.name.as_str()).collect())
        .collect();
    assert_eq!(
        names,
        [
            vec!["clouds", "print"],
            vec!["tweets", "split", "count", "publish"],
            vec!["made", "publish"]
        ]
    );
    assert_eq!(plan.drain_order, [vec![2], vec![1], vec![0]]);
    assert_eq!(
        plan.hosts[0].stages[0].upstream,
        [StageRef { host: 1, stage: 3 }]
    );
    assert_eq!(
        plan.hosts[1].stages[0].upstream,
        [StageRef { host: 2, stage: 1 }]
    );
    assert_eq!(plan.hosts[2].stages[0].upstream, []);
    let count = &plan.hosts[1].stages[2];
    assert_eq!(
        (
            count.inputs[0].from,
            count.inputs[0].from_port,
            count.inputs[0].to_port
        ),
        (1, 0, 0)
    );
    assert_eq!(count.input_types[0].format, Format::Json);
    assert_eq!(count.workers, 2);
    assert_eq!(plan.hosts[1].stages[1].ports, ["matched", "unmatched"]);
}

#[test]
fn values_are_resolved_and_paths_start_at_the_file() {
    let plan = good(RELAY, &[]);
    assert_eq!(plan.state_dir.to_str(), Some("/nowhere/config/run/state"));
    assert_eq!(plan.admin.unwrap().to_string(), "127.0.0.1:9100");
    assert_eq!(
        options(&plan, 2, "made"),
        serde_json::json!({"seed": 42, "rate": 5})
    );
    assert_eq!(options(&plan, 2, "publish")["password"], "open-sesame");
    assert_eq!(options(&plan, 2, "publish")["batch_bytes"], "2 MiB");
    assert_eq!(
        options(&plan, 1, "split"),
        serde_json::json!({"contains": "rust"})
    );
    assert_eq!(
        options(&plan, 0, "print")["path"],
        "/nowhere/config/out/print.txt"
    );
    let print = &plan.hosts[0].stages[1];
    assert_eq!(print.buffer.max_bytes, 1 << 20);
    assert_eq!(print.buffer.when_full, WhenFull::DropOldest);
    assert_eq!(print.on_error, OnError::Drop);
    assert_eq!(plan.hosts[2].stages[0].limit, Some(1000));
    assert!(!format!("{plan:?}").contains("open-sesame"));
}

#[test]
fn a_chosen_host_runs_alone_and_hears_of_the_others() {
    let prepared = common::plan(RELAY, &["cloud"], false);
    assert_eq!(prepared.plan.unwrap().hosts.len(), 1);
    let lines: Vec<String> = prepared
        .report
        .sorted()
        .iter()
        .filter(|d| d.message.contains("nothing in this process"))
        .flat_map(|d| d.hints.clone())
        .collect();
    assert_eq!(
        lines,
        [
            "`page` of this file does: add -n page",
            "`listener` of this file does: add -n listener"
        ]
    );
}

#[test]
fn secrets_of_hosts_that_do_not_run_are_not_asked_for() {
    let text = RELAY
        .replace(
            "[hosts.listener.sources.made]",
            "[hosts.listener]\nautostart = false\n\n[hosts.listener.sources.made]",
        )
        .replace("env:KEY", "env:NOT_SET");
    assert!(common::plan(&text, &[], false).plan.is_some());
    let asked = common::plan(&text, &["listener"], false);
    assert!(asked.plan.is_none());
    assert_eq!(asked.report.count(Severity::Error), 1);
    assert!(common::plan(&text, &["listener"], true).plan.is_some());
}

#[test]
fn a_circle_through_topics_has_an_order_nevertheless() {
    let text = r#"
version = 1
[hosts.a.sources.in]
plugin = "kafka"
with = { brokers = "embedded", topic = "x", group = "g" }
[hosts.a.sinks.out]
plugin = "kafka"
inputs = ["in"]
with = { brokers = "embedded", topic = "y" }
[hosts.b.sources.in]
plugin = "kafka"
with = { brokers = "embedded", topic = "y", group = "g" }
[hosts.b.sinks.out]
plugin = "kafka"
inputs = ["in"]
with = { brokers = "embedded", topic = "x" }
"#;
    let plan = good(text, &[]);
    assert_eq!(plan.drain_order, [vec![0, 1]]);
    assert!(plan.hosts.iter().all(|h| h.stages[0].upstream.is_empty()));
}

const WIDE: &str = r#"
version = 1
[hosts.a.sources.made]
plugin = "generate"
[hosts.a.sources.live]
plugin = "twitter"
with.credentials = { consumer_key = "env:KEY", consumer_secret = "env:KEY" }
[hosts.a.processors.split]
plugin = "route"
inputs = ["made", "live"]
workers = 2
with.contains = "rust"
[hosts.a.sinks.print]
plugin = "console"
inputs = ["split.matched"]
workers = 3
buffer.max_bytes = "1 MiB"
"#;

#[test]
fn memory_multiplies_workers_and_fan_in() {
    let plan = good(WIDE, &[]);
    let parts = memory::parts(&plan.hosts[0]);
    let of = |stage: &str| -> Vec<(&str, u64, u64)> {
        let own = parts.iter().filter(|p| p.stage.as_deref() == Some(stage));
        own.map(|p| (p.what.as_str(), p.times, p.bytes >> 20))
            .collect()
    };
    assert_eq!(of("made"), [("batches in hand", 1, 4)]);
    assert_eq!(
        of("live"),
        [
            ("batches in hand", 1, 4),
            ("kept until an epoch holds it", 1, 64),
            ("messages read ahead", 1, 6)
        ]
    );
    // Both sources into each of two instances; each of those into each of three.
    assert_eq!(
        of("split"),
        [("edges into it", 4, 8), ("batches in hand", 2, 4)]
    );
    assert_eq!(of("print"), [("edges into it", 6, 1)]);
    let letters = 2 * 64 + 1;
    let sum = 4 + (4 + 64 + 6) + (32 + 8) + 6 + letters;
    assert_eq!(memory::sum(&parts), sum << 20);
}
