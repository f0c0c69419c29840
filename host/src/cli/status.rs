//! `host status`: what hosts left in their folders of state, whether they run or not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use super::state::{self, HostFolder};
use super::{Format, StatusArgs, output};
use crate::checkpoint::{
    epoch::Tally,
    letters::Newest,
    replay,
    status::{self, HostStatus},
};
use crate::diag::{Diagnostic, EXIT_OK, EXIT_UNAVAILABLE};

pub(super) fn status(args: &StatusArgs) -> u8 {
    let hosts = match state::hosts(args.config.as_ref(), &args.hosts) {
        Ok(hosts) => hosts,
        Err(exit) => return exit,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_us = now.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
    let (mut text, mut all, mut exit) = (String::new(), Vec::new(), EXIT_OK);
    for host in &hosts {
        let found = match status::look(&host.folder) {
            Ok(found) => found,
            Err(e) => return state::unreadable(host, &e),
        };
        match args.format {
            Format::Text => text.push_str(&as_text(host, found.as_ref(), now_us)),
            Format::Json => all.push(as_json(host, found.as_ref(), now_us)),
        }
        for why in found.iter().flat_map(|f| &f.damaged) {
            exit = state::refuse(Diagnostic::error(why.as_str()).exit(EXIT_UNAVAILABLE));
        }
    }
    let printed = match args.format {
        Format::Text => output::data(&text),
        Format::Json => output::json(&json!({ "hosts": all })),
    };
    if exit == EXIT_OK { printed } else { exit }
}

/// How the run of a region's newest epoch ended.
fn ended(found: &HostStatus, region: &Newest) -> &'static str {
    let complete = found
        .complete
        .ended_with(&region.region, region.epoch.number);
    match (found.running, region.is_final) {
        _ if complete => "complete",
        // Other regions of the host are not.
        (_, true) if region.epoch.complete => "at its end",
        (_, true) => "stopped",
        (true, false) => "running",
        (false, false) => "broken off",
    }
}

/// State and accounts of a stage over its instances.
#[derive(Default)]
struct Stage {
    instances: u64,
    state_bytes: u64,
    tally: Tally,
}

fn stages(region: &Newest) -> BTreeMap<&str, Stage> {
    let mut stages: BTreeMap<&str, Stage> = BTreeMap::new();
    for (name, snapshot) in &region.epoch.instances {
        if replay::stage_of(name).is_some() {
            continue;
        }
        let name = name
            .rsplit_once('#')
            .map_or(name.as_str(), |(stage, _)| stage);
        let stage = stages.entry(name).or_default();
        stage.instances += 1;
        stage.state_bytes += snapshot.state.len() as u64;
        let (sum, more) = (&mut stage.tally, &snapshot.tally);
        sum.received += more.received;
        sum.emitted += more.emitted;
        sum.consumed += more.consumed;
        sum.filtered += more.filtered;
        sum.dead_lettered += more.dead_lettered;
        sum.dropped += more.dropped;
    }
    stages
}

fn as_text(host: &HostFolder, found: Option<&HostStatus>, now_us: i64) -> String {
    let Some(found) = found else {
        return format!("host {} has left no state\n", host.name);
    };
    let runs = if found.running {
        "runs"
    } else {
        "does not run"
    };
    let mut text = format!("host {} {runs}\n", host.name);
    for region in &found.regions {
        let epoch = &region.epoch;
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "  region {}: {}, epoch {} of {} ({:.1} s ago), {}, took {:.1} ms",
            region.region,
            ended(found, region),
            epoch.number,
            state::time(epoch.at_us),
            age_s(epoch.at_us, now_us),
            state::size(region.bytes),
            epoch.took_us as f64 / 1_000.0,
        );
        let stages = stages(region);
        let width = stages.keys().map(|n| n.len()).max().unwrap_or(0);
        for (name, stage) in &stages {
            let t = &stage.tally;
            let _ = writeln!(
                text,
                "    {name:width$}  received {}, emitted {}, consumed {}, filtered {}, dead {}, \
                 dropped {}; state {}",
                t.received,
                t.emitted,
                t.consumed,
                t.filtered,
                t.dead_lettered,
                t.dropped,
                state::size(stage.state_bytes),
            );
        }
    }
    if let (files @ 1.., bytes) = found.letters {
        let _ = writeln!(
            text,
            "  dead letters: {}, in {files} files; see `host dlq list -n {}`",
            state::size(bytes),
            host.name
        );
    }
    text
}

fn age_s(at_us: i64, now_us: i64) -> f64 {
    now_us.saturating_sub(at_us).max(0) as f64 / 1e6
}

fn as_json(host: &HostFolder, found: Option<&HostStatus>, now_us: i64) -> Json {
    let Some(found) = found else {
        return json!({"host": host.name, "running": false, "regions": []});
    };
    let region = |region: &Newest| {
        let stages: Vec<Json> = stages(region)
            .iter()
            .map(|(name, stage)| {
                json!({
                    "stage": name,
                    "instances": stage.instances,
                    "state_bytes": stage.state_bytes,
                    "account": stage.tally,
                })
            })
            .collect();
        json!({
            "region": region.region,
            "ended": ended(found, region),
            "epoch": region.epoch.number,
            "at": state::time(region.epoch.at_us),
            "age_seconds": age_s(region.epoch.at_us, now_us),
            "bytes": region.bytes,
            "took_seconds": region.epoch.took_us as f64 / 1e6,
            "dead_letters": region.epoch.letters.count,
            "stages": stages,
        })
    };
    json!({
        "host": host.name,
        "running": found.running,
        "regions": found.regions.iter().map(region).collect::<Vec<_>>(),
        "dead_letters": {"files": found.letters.0, "bytes": found.letters.1},
        "damaged": found.damaged,
    })
}
