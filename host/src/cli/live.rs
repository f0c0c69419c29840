//! The log on stderr, and on a terminal a line for each stage below it: records, rate, queue.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

use super::{Format, output};
use crate::engine::{
    View,
    shared::{Phase, StageShared},
};

/// How often the lines are drawn.
const EVERY: Duration = Duration::from_millis(500);

/// The log, and room for lines below it.
pub struct Live {
    lines: Option<MultiProgress>,
}

impl Live {
    /// Sets up the log of the process. `prints`: a stage writes records to stdout.
    pub fn start(format: Format, prints: bool) -> Self {
        let shared = prints && io::stdout().is_terminal();
        let terminal = io::stderr().is_terminal() && format == Format::Text && !shared;
        let lines = terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let writer = LogWriter(lines.clone());
        let builder = tracing_subscriber::fmt()
            .with_target(false)
            // It would say on stderr that stderr is closed, by a panic: whoever collected the log is
            // gone, which is no reason to stop.
            .log_internal_errors(false)
            .with_ansi(output::stderr_color());
        // A second log in one process, as in tests, is of no use and no harm.
        let _ = match format {
            Format::Text => builder.with_writer(writer).try_init(),
            Format::Json => builder
                .json()
                .flatten_event(true)
                .with_writer(writer)
                .try_init(),
        };
        Self { lines }
    }

    /// Draws until the answer is dropped.
    pub fn watch(&self, view: View) -> Option<Watch> {
        let multi = self.lines.clone()?;
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("lines".into())
            .spawn(move || {
                let mut rows: Vec<Row> = Vec::new();
                let width = view
                    .hosts
                    .iter()
                    .flat_map(|(h, s)| s.iter().map(|s| h.len() + 1 + s.name.len()))
                    .max();
                for stage in view.hosts.iter().flat_map(|(_, stages)| stages) {
                    rows.push(Row::new(&multi, stage, width.unwrap_or(0)));
                }
                while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    rows.iter_mut().for_each(Row::draw);
                }
                for row in &rows {
                    row.bar.finish_and_clear();
                }
            });
        thread.ok().map(|thread| Watch {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// Lines that are drawn while this lives.
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has drawn its last line.
            let _ = thread.join();
        }
    }
}

struct Row {
    stage: Arc<StageShared>,
    bar: ProgressBar,
    width: usize,
    before: u64,
    at: Instant,
}

impl Row {
    fn new(multi: &MultiProgress, stage: &Arc<StageShared>, width: usize) -> Self {
        let bar = multi.add(ProgressBar::new_spinner());
        bar.set_style(
            ProgressStyle::with_template("{msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self {
            stage: stage.clone(),
            bar,
            width,
            before: 0,
            at: Instant::now(),
        }
    }

    fn draw(&mut self) {
        let account = self.stage.account();
        let rate =
            (account.received - self.before) as f64 / self.at.elapsed().as_secs_f64().max(0.001);
        (self.before, self.at) = (account.received, Instant::now());
        let name = format!("{}/{}", self.stage.host, self.stage.name);
        let phase = match self.stage.phase() {
            Phase::Running => String::new(),
            other => format!("  {other:?}").to_lowercase(),
        };
        let (n, queued, w) = (account.received, self.stage.queued(), self.width);
        self.bar.set_message(format!(
            "{name:w$}  {n:>12} records  {rate:>10.0}/s  {queued:>7} queued{phase}"
        ));
    }
}

/// Writes log lines above the stages' lines.
#[derive(Clone)]
struct LogWriter(Option<MultiProgress>);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Some(lines) => lines.suspend(|| io::stderr().write_all(bytes))?,
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
