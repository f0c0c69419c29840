//! What must hold: at each epoch, at each crash, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use host::checkpoint::{
    epoch::{Epoch, Tally},
    shape,
};

use crate::{
    graph::{Graph, OUT, Role},
    records,
    wiring::Wired,
    world,
};

/// What a run knows that a host cannot know.
#[derive(Default)]
pub struct Known {
    /// The epoch that is true of each region.
    truth: BTreeMap<usize, Epoch>,
    /// Accounts of runs that ended, by region and number of their last epoch.
    told: BTreeMap<(usize, u64), BTreeMap<String, Tally>>,
    /// Records of live sources that died with a process.
    lost: BTreeSet<(String, u64)>,
}

/// Something with what is known.
pub fn ask<T>(f: impl FnOnce(&mut Known) -> T) -> T {
    let mut known = world::with(|w| std::mem::take(&mut w.known));
    let answer = f(&mut known);
    world::with(|w| w.known = known);
    answer
}

fn number_of(state: &[u8]) -> u64 {
    let text = std::str::from_utf8(state).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

impl Known {
    /// A run ended with this epoch: its accounts are told.
    pub fn tell(&mut self, region: usize, epoch: &Epoch) {
        self.told.entry((region, epoch.number)).or_insert_with(|| {
            let tallies = epoch.instances.iter();
            tallies.map(|(name, s)| (name.clone(), s.tally)).collect()
        });
    }

    /// A region starts from this epoch. `fresh`: in a new process; `counts_on`: its accounts go on.
    pub fn decided(&mut self, wired: &Wired, region: usize, epoch: Option<&Epoch>, start: Start) {
        if let (false, Some(epoch)) = (start.counts_on, epoch) {
            self.tell(region, epoch);
        }
        if start.fresh {
            let live = wired.graph.stages.iter().filter(|s| s.role == Role::Live);
            for stage in live.filter(|s| s.region == region) {
                let snapshot =
                    epoch.and_then(|e| e.instances.get(&shape::instance(&stage.name, 0)));
                let from = snapshot.map_or(0, |s| number_of(&s.state));
                let read = world::with(|w| w.live.get(&stage.name).copied().unwrap_or(0));
                self.lost
                    .extend((from..read).map(|n| (stage.name.clone(), n)));
            }
        }
        match epoch {
            Some(epoch) => self.truth.insert(region, epoch.clone()),
            None => self.truth.remove(&region),
        };
        self.nothing_unfinished(&wired.graph);
    }

    /// All have passed a barrier: the accounts of this epoch balance along each edge.
    pub fn made(&self, wired: &Wired, region: usize, epoch: &Epoch) {
        let tally = |stage: &str| sum(epoch, stage);
        for stage in wired.graph.stages.iter().filter(|s| s.region == region) {
            let own = tally(&stage.name);
            if let Some(limit) = stage.limit
                && own.emitted > limit
            {
                let name = &stage.name;
                world::broken(|| format!("{name} sent {} of {limit} records", own.emitted));
            }
            if stage.inputs.is_empty() {
                continue;
            }
            let sent = stage.inputs.iter().map(|from| {
                let from = &wired.graph.stages[*from];
                tally(&from.name).emitted
            });
            let sent: u64 = sent.sum();
            if sent != own.received {
                world::broken(|| {
                    let (name, number) = (&stage.name, epoch.number);
                    format!(
                        "epoch {number}: {name} received {} of {sent} records",
                        own.received
                    )
                });
            }
            for worker in (0..stage.workers as usize).filter(|_| stage.role == Role::Map) {
                let name = shape::instance(&stage.name, worker);
                let Some(snapshot) = epoch.instances.get(&name) else {
                    continue;
                };
                let before: u64 = self.told(region, |n| n == name).received;
                let counted = number_of(&snapshot.state);
                if counted != before + snapshot.tally.received {
                    world::broken(|| {
                        format!(
                            "epoch {}: {name} counted {counted}, received {before} + {}",
                            epoch.number, snapshot.tally.received
                        )
                    });
                }
            }
        }
    }

    /// The true epoch of a region, unless it ended a run whose accounts are told.
    fn untold(&self, region: usize) -> Option<&Epoch> {
        let epoch = self.truth.get(&region)?;
        (!self.told.contains_key(&(region, epoch.number))).then_some(epoch)
    }

    fn told(&self, region: usize, which: impl Fn(&str) -> bool) -> Tally {
        let runs = self.told.iter().filter(|((r, _), _)| *r == region);
        let tallies = runs.flat_map(|(_, tallies)| tallies);
        add(tallies.filter(|(name, _)| which(name)).map(|(_, t)| *t))
    }

    /// An epoch is kept.
    pub fn is_true(&mut self, region: usize, epoch: &Epoch) {
        let letters: u64 = epoch
            .instances
            .values()
            .map(|s| s.tally.dead_lettered)
            .sum();
        if letters != epoch.letters.count {
            world::broken(|| {
                let (number, count) = (epoch.number, epoch.letters.count);
                format!("epoch {number}: {letters} records rejected, {count} letters")
            });
        }
        self.truth.insert(region, epoch.clone());
    }

    /// No finished file holds anything of an epoch that is not true.
    pub fn nothing_unfinished(&self, graph: &Graph) {
        let rows = world::with(|w| w.edge.rows.clone());
        for stage in graph.stages.iter().filter(|s| s.inputs.is_empty()) {
            let truth = self.truth.get(&stage.region);
            let snapshot = truth.and_then(|e| e.instances.get(&shape::instance(&stage.name, 0)));
            let position = snapshot.map_or(0, |s| number_of(&s.state));
            let covered: BTreeSet<&str> = match stage.role {
                Role::EdgeOut => {
                    let read = rows.iter().take(position as usize);
                    read.flat_map(|row| row.split(',')).collect()
                }
                _ => BTreeSet::new(),
            };
            let sinks = graph.stages.iter().filter(|s| {
                s.region == stage.region
                    && matches!(s.role, Role::Files | Role::Late | Role::Transaction)
            });
            for id in sinks.flat_map(|sink| delivered(&sink.name, sink.role)) {
                let outside = match stage.role {
                    Role::EdgeOut => !covered.contains(id.as_str()),
                    _ => id.starts_with(&stage.name) && records::number(&id) >= position,
                };
                if outside {
                    let region = stage.region;
                    world::broken(|| {
                        format!("{id} is out, but its epoch in region {region} is not true")
                    });
                }
            }
        }
    }

    /// Everything is over: each record is once where it belongs.
    pub fn at_the_end(&self, graph: &Graph) {
        for (name, _) in world::with(|w| w.disk.contents(OUT)) {
            // What a stage that was given up left stays: nobody owns it.
            let owned = graph
                .stages
                .iter()
                .any(|s| name.contains(&format!(".{}.", s.name)));
            if owned && name.ends_with(".inprogress") {
                world::broken(|| format!("{name} is left"));
            }
        }
        let letters = letters();
        let mut flow = Vec::new();
        for region in 0..graph.regions() {
            flow = self.check_region(graph, region, &letters, &flow);
        }
        let all: usize = letters.len();
        let mut told = 0;
        for region in 0..graph.regions() {
            let last = self.untold(region).map(|e| e.letters.count);
            told += self.told(region, |_| true).dead_lettered + last.unwrap_or(0);
        }
        if told != all as u64 {
            world::broken(|| format!("{told} letters were counted, {all} are there"));
        }
    }

    fn check_region(
        &self,
        graph: &Graph,
        region: usize,
        letters: &[(String, String)],
        rows: &[String],
    ) -> Vec<String> {
        let stages = || graph.stages.iter().filter(|s| s.region == region);
        let has = |role| stages().find(move |s| s.role == role);
        let Some(last) = self.truth.get(&region) else {
            world::broken(|| format!("region {region} ended without an epoch"));
            return Vec::new();
        };
        let mut flow: Vec<String> = Vec::new();
        let mut wanted_letters: BTreeMap<(String, String), i64> = BTreeMap::new();
        for source in stages().filter(|s| s.inputs.is_empty()) {
            let name = &source.name;
            let snapshot = last.instances.get(&shape::instance(name, 0));
            let position = snapshot.map_or(0, |s| number_of(&s.state));
            if !snapshot.is_some_and(|s| s.finished) {
                world::broken(|| format!("{name} did not come to its end"));
            }
            let own = shape::instance(name, 0);
            let before = self.told(region, |n| n == own).emitted;
            let emitted = before + snapshot.map_or(0, |s| s.tally.emitted);
            let end = match source.role {
                Role::EdgeOut => rows.len() as u64,
                _ => graph.total,
            };
            if position != end && source.limit.is_none_or(|limit| emitted < limit) {
                world::broken(|| format!("{name} ended at {position} of {end}"));
            }
            match source.role {
                Role::EdgeOut => flow.extend_from_slice(rows),
                Role::Live => {
                    for n in (0..position).filter(|n| !self.lost.contains(&(name.clone(), *n))) {
                        let id = records::id(name, n);
                        match records::is_garbled(n) {
                            true => *wanted_letters.entry((name.clone(), id)).or_default() += 1,
                            false => flow.push(id),
                        }
                    }
                }
                _ => flow.extend((0..position).map(|n| records::id(name, n))),
            }
        }
        if let Some(map) = has(Role::Map) {
            let (unfit, fit): (Vec<_>, Vec<_>) =
                flow.into_iter().partition(|id| records::is_unfit(id));
            for id in unfit {
                *wanted_letters.entry((map.name.clone(), id)).or_default() += 1;
            }
            flow = fit
                .into_iter()
                .filter(|id| !records::is_filtered(id))
                .collect();
        }
        if has(Role::Split).is_some() {
            flow = flow
                .iter()
                .flat_map(|id| [format!("{id}/0"), format!("{id}/1")])
                .collect();
        }
        if has(Role::Window).is_some() {
            flow.push("end0".into());
        }
        let expected = count(flow.iter().flat_map(|id| id.split(',')));
        let own = |(stage, _): &&(String, String)| stages().any(|s| same_stage(&s.name, stage));
        let mut found_letters: BTreeMap<(String, String), i64> = BTreeMap::new();
        for (stage, id) in letters.iter().filter(own) {
            let base = stages()
                .find(|s| same_stage(&s.name, stage))
                .map(|s| s.name.clone());
            *found_letters
                .entry((base.unwrap_or_default(), id.clone()))
                .or_default() += 1;
        }
        let mut next = Vec::new();
        for sink in stages().filter(|s| s.role.kind() == plugin_api::manifest::StageKind::Sink) {
            let mut out = match sink.role {
                Role::EdgeIn => world::with(|w| w.edge.rows[..w.edge.readable].to_vec()),
                role => delivered_whole(&sink.name, role),
            };
            if sink.role == Role::EdgeIn {
                next = out.clone();
            } else if let Some(id) = out.iter().find(|id| records::is_refused(id)) {
                world::broken(|| format!("{id} is out though {} refuses it", sink.name));
            }
            let delivered = out.len() as u64;
            found_letters.retain(|(stage, id), n| {
                if *stage == sink.name {
                    out.extend((0..*n).map(|_| id.clone()));
                }
                *stage != sink.name
            });
            let got = count(out.iter().flat_map(|id| id.split(',')));
            let name = &sink.name;
            let told = self.told(region, |n| {
                n.rsplit_once('#')
                    .is_some_and(|(stage, _)| same_stage(name, stage))
            });
            let rest = self
                .untold(region)
                .map_or_else(Tally::default, |e| sum(e, name));
            let tally = add([told, rest]);
            if tally.consumed != delivered {
                world::broken(|| {
                    format!(
                        "{name} counts {} delivered, {delivered} are",
                        tally.consumed
                    )
                });
            }
            let mut missing = 0;
            for (id, n) in &expected {
                let there = got.get(id).copied().unwrap_or(0);
                missing += (n - there).max(0);
                if there > *n || (there < *n && tally.dropped == 0) {
                    world::broken(|| format!("{id} is {there} times at {name} instead of {n}"));
                }
            }
            if let Some(id) = got.keys().find(|id| !expected.contains_key(*id)) {
                world::broken(|| format!("{id} is at {name}, where it should not be"));
            }
            let whole = has(Role::Window).is_none();
            if whole && missing != i64::try_from(tally.dropped).unwrap_or(0) {
                world::broken(|| {
                    format!("{missing} are missing at {name}, {} counted", tally.dropped)
                });
            }
        }
        if found_letters != wanted_letters {
            let differs = found_letters.iter().chain(&wanted_letters);
            let mut differs =
                differs.filter(|(k, _)| found_letters.get(*k) != wanted_letters.get(*k));
            let first = differs.next().map(|(k, _)| k.clone()).unwrap_or_default();
            world::broken(|| {
                let (got, want) = (found_letters.get(&first), wanted_letters.get(&first));
                format!("letters of {first:?}: {got:?} instead of {want:?}")
            });
        }
        next
    }
}

/// How a region starts.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// For the first time in its process.
    pub fresh: bool,
    /// The accounts go on.
    pub counts_on: bool,
}

fn add(tallies: impl IntoIterator<Item = Tally>) -> Tally {
    tallies.into_iter().fold(Tally::default(), |a, b| Tally {
        received: a.received + b.received,
        emitted: a.emitted + b.emitted,
        consumed: a.consumed + b.consumed,
        filtered: a.filtered + b.filtered,
        dead_lettered: a.dead_lettered + b.dead_lettered,
        dropped: a.dropped + b.dropped,
    })
}

fn sum(epoch: &Epoch, stage: &str) -> Tally {
    let own = epoch
        .instances
        .iter()
        .filter(|(name, _)| name.rsplit_once('#').is_some_and(|(s, _)| s == stage));
    add(own.map(|(_, s)| s.tally))
}

/// A sink of files that was renamed is still the same to the oracle.
fn same_stage(stage: &str, other: &str) -> bool {
    stage == other || (stage.starts_with("files") && other.starts_with("files"))
}

fn count<'a>(ids: impl Iterator<Item = &'a str>) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(id.to_owned()).or_default() += 1;
    }
    counts
}

/// Ids at a sink, with joined ones apart.
fn delivered(name: &str, role: Role) -> Vec<String> {
    let whole = delivered_whole(name, role);
    whole
        .iter()
        .flat_map(|id| id.split(','))
        .map(str::to_owned)
        .collect()
}

/// Records at a sink.
fn delivered_whole(name: &str, role: Role) -> Vec<String> {
    match role {
        Role::Transaction => world::with(|w| {
            w.brokers
                .get(name)
                .map_or_else(Vec::new, |b| b.records.clone())
        }),
        Role::Late => world::with(|w| {
            let own = w.late.iter().filter(|(instance, _)| {
                instance
                    .rsplit_once('#')
                    .is_some_and(|(stage, _)| stage == name)
            });
            own.flat_map(|(_, list)| list.clone()).collect()
        }),
        _ => {
            let mut lines = Vec::new();
            for (file, bytes) in world::with(|w| w.disk.contents(OUT)) {
                let stem = file.rsplit_once('/').map_or(&*file, |(_, name)| name);
                let base = stem.split(['.', '-']).next().unwrap_or_default();
                if stem.ends_with(".inprogress") || !same_stage(name, base) {
                    continue;
                }
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let body = text
                    .strip_prefix("head\n")
                    .and_then(|t| t.strip_suffix("tail\n"));
                match body {
                    Some(body) => lines.extend(body.lines().map(str::to_owned)),
                    None => world::broken(|| format!("{file} is finished and holds {text:?}")),
                }
            }
            lines
        }
    }
}

/// Stage and payload of all dead letters.
fn letters() -> Vec<(String, String)> {
    use apache_avro::types::Value;
    let mut all = Vec::new();
    for (file, bytes) in world::with(|w| w.disk.contents("h/dead-letters")) {
        let reader = match apache_avro::Reader::new(&bytes[..]) {
            Ok(reader) => reader,
            Err(e) => {
                world::broken(|| format!("{file} does not read: {e}"));
                continue;
            }
        };
        for value in reader {
            let Ok(Value::Record(fields)) = value else {
                world::broken(|| format!("{file} does not read to its end"));
                break;
            };
            let (mut stage, mut payload) = (String::new(), String::new());
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("stage", Value::String(s)) => stage = s,
                    ("payload", Value::Union(_, inner)) => {
                        if let Value::Bytes(b) = *inner {
                            payload = String::from_utf8_lossy(&b).into_owned();
                        }
                    }
                    _ => {}
                }
            }
            all.push((stage, payload));
        }
    }
    all
}
