//! `host run`: prepares, runs the engine, turns signals into draining, and reports.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use plugin_api::Code;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{
    Format, Plugins, RunOptions, live, output,
    prepare::{Prepared, prepare},
};
use crate::{
    admin,
    checkpoint::replay::Replay,
    config::{ConfigSource, Pin, reference::ProcessEnvironment},
    diag::{Diagnostic, EXIT_CLOSED, EXIT_CONFIG, EXIT_OK, EXIT_PLUGIN, EXIT_UNAVAILABLE, Report},
    engine::{self, Engine, Stop},
    loader::{self, Search},
    plan::{Plan, PluginEntry, Refused, Registry, Request},
};

/// Plugins as the loader finds them.
#[derive(Debug, Default)]
pub struct Found {
    /// Only plugins with one of these stages; `None`: all.
    wanted: Option<BTreeSet<String>>,
}

impl Plugins for Found {
    fn find(&self, dirs: &[PathBuf], pins: &[Pin]) -> Registry {
        loader::search(&Search {
            bundled: loader::bundled_dir(),
            dirs: dirs.to_vec(),
            pins: pins
                .iter()
                .map(|p| (p.plugin.value.clone(), p.sha256.value.clone()))
                .collect(),
            wanted: self.wanted.clone(),
        })
    }

    fn open(&self, file: &Path) -> Result<PluginEntry, Refused> {
        loader::load_file(file).map_err(|r| Refused {
            file: file.to_owned(),
            reason: r.reason,
            hint: r.hint,
        })
    }
}

/// Runs a configuration, or replays dead letters of it, and answers with the exit code.
pub fn run(options: &RunOptions, source: &ConfigSource, replay: Option<&Replay>) -> u8 {
    let prepared = prepared(options, source);
    output::show(&prepared.report);
    let Some(mut plan) = prepared.plan else {
        return prepared.report.exit();
    };
    limit(&mut plan, options.limit);
    let live = live::Live::start(options.log_format, prints(&plan));
    for double in &prepared.registry.doubles {
        let (used, unused) = (double.used.display(), double.unused.display());
        tracing::warn!(
            "{} is in {used} and in {unused}; the former is used",
            double.what
        );
    }
    let engine_options = engine::Options {
        run_for: options.run_for,
        grace: options.grace,
        drop_state: options.drop_state.iter().cloned().collect(),
        replay: replay.cloned(),
    };
    let engine = match Engine::new(&plan, &prepared.registry, engine_options) {
        Ok(engine) => engine,
        Err(e) => {
            let exit = match e.code {
                Code::CONFIG => EXIT_CONFIG,
                Code::UNAVAILABLE => EXIT_UNAVAILABLE,
                _ => EXIT_PLUGIN,
            };
            return refuse(e.message, exit);
        }
    };
    let view = engine.view();
    let _admin = match plan
        .admin
        .map(|at| admin::serve(at, view.clone()))
        .transpose()
    {
        Ok(admin) => admin,
        Err(e) => return refuse(format!("[admin] cannot listen: {e}"), EXIT_UNAVAILABLE),
    };
    let signalled = match on_signals(engine.stop_handle()) {
        Ok(signalled) => signalled,
        Err(e) => return refuse(format!("signals cannot be watched: {e}"), EXIT_PLUGIN),
    };
    if prints(&plan)
        && let Err(e) = on_closed_stdout(engine.stop_handle(), signalled.clone())
    {
        return refuse(
            format!("standard output cannot be watched: {e}"),
            EXIT_PLUGIN,
        );
    }
    let lines = live.watch(view);
    let report = engine.run();
    drop(lines);
    finish(options, &report, signalled.load(Ordering::SeqCst))
}

/// Whether a stage writes records to stdout, by its plan: lines drawn between them would be torn.
fn prints(plan: &Plan) -> bool {
    let stages = plan.hosts.iter().flat_map(|h| &h.stages);
    stages
        .flat_map(|s| &s.writes)
        .any(|place| place == plugin_api::content::STDOUT)
}

fn refuse(message: String, exit: u8) -> u8 {
    output::show(&Report::of(Diagnostic::error(message).exit(exit)));
    exit
}

/// Prepares with the plugins that the file names; if something is wrong, with all, so that the
/// hints know them.
fn prepared(options: &RunOptions, source: &ConfigSource) -> Prepared {
    let request = Request {
        hosts: &options.hosts,
        environment: &ProcessEnvironment,
        allow_missing: false,
        check_all: false,
    };
    let (config, _) = source.load();
    let named = config.map(|config| {
        let stages = config.hosts.iter().flat_map(|h| &h.stages);
        stages
            .filter_map(|s| s.plugin.as_ref().map(|p| p.value.clone()))
            .collect()
    });
    let few = Found { wanted: named };
    let prepared = prepare(source, &|dirs, pins| few.find(dirs, pins), &request);
    if !prepared.report.has_errors() {
        return prepared;
    }
    prepare(
        source,
        &|dirs, pins| Found::default().find(dirs, pins),
        &request,
    )
}

/// `--limit` holds for the sources that nothing in this process feeds; the others read what
/// these bring.
fn limit(plan: &mut Plan, limit: Option<u64>) {
    let Some(limit) = limit else { return };
    let sources = plan
        .hosts
        .iter_mut()
        .flat_map(|h| &mut h.stages)
        .filter(|s| s.inputs.is_empty());
    for stage in sources.filter(|s| s.upstream.is_empty()) {
        stage.limit = Some(stage.limit.map_or(limit, |own| own.min(limit)));
    }
}

/// The first signal drains, a second one ends the process at once. Holds the exit code.
fn on_signals(stop: Stop) -> std::io::Result<Arc<AtomicU8>> {
    let code = Arc::new(AtomicU8::new(EXIT_OK));
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let seen = code.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                let exit = 128 + u8::try_from(signal).unwrap_or(0);
                // Ctrl-C also ends the reader of a pipe: that is not the first of two signals.
                let before = seen.swap(exit, Ordering::SeqCst);
                if before != EXIT_OK && before != EXIT_CLOSED {
                    std::process::exit(i32::from(exit));
                }
                tracing::info!("stopping; a second signal stops at once");
                stop.stop();
            }
        })?;
    Ok(code)
}

/// A reader of standard output that has gone (`host … | head`) ends the run like a first signal,
/// also while nothing is printed.
fn on_closed_stdout(stop: Stop, code: Arc<AtomicU8>) -> std::io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    std::thread::Builder::new()
        .name("stdout".into())
        .spawn(move || {
            let stdout = std::io::stdout();
            // Without events that are asked for, only the other end's going is told.
            let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
            while let Err(rustix::io::Errno::INTR) = poll(&mut watched, None) {}
            let gone = PollFlags::ERR | PollFlags::HUP;
            if !watched[0].revents().intersects(gone) {
                return;
            }
            let first =
                code.compare_exchange(EXIT_OK, EXIT_CLOSED, Ordering::SeqCst, Ordering::SeqCst);
            if first.is_ok() {
                tracing::debug!("standard output was closed by its reader; stopping");
                stop.stop();
            }
        })?;
    Ok(())
}

fn finish(options: &RunOptions, report: &engine::Report, signalled: u8) -> u8 {
    let mut said = Report::default();
    for failure in &report.failures {
        let message = format!("{}/{}: {}", failure.host, failure.stage, failure.error);
        said.push(Diagnostic::error(message).exit(report.exit()));
    }
    output::show(&said);
    match options.summary {
        Format::Text => output::note(&report.text()),
        Format::Json => {
            let printed = output::data(&report.json());
            if printed != EXIT_OK {
                return printed;
            }
        }
    }
    match report.exit() {
        EXIT_OK if signalled != EXIT_OK => signalled,
        exit if signalled != EXIT_OK && report.failures.is_empty() => exit.max(signalled),
        exit => exit,
    }
}
