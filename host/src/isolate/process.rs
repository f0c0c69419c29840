//! The process of a stage, as the host holds it: started, listened to, ended, and its end told in
//! words.

use std::{
    collections::{HashSet, VecDeque},
    io::{self, BufRead as _, BufReader, Read as _},
    net::Shutdown,
    os::{
        fd::OwnedFd,
        unix::{
            net::UnixStream,
            process::{CommandExt as _, ExitStatusExt as _},
        },
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use plugin_api::{
    Code, StageError,
    abi::services::{HostApi as _, HostServices, Level, MetricKind},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use super::{
    COMMAND, Hello,
    frame::{Head, Incoming, MAX_TEXT, Outgoing, broken, op},
    services::MAX_NAME,
};

/// How long a process may take for its destructors after it was asked to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// How long a process may take to be gone when its socket has closed.
const GONE_WITHIN: Duration = Duration::from_secs(2);
/// How often a thread that waits for cancellation looks whether there is still someone to tell.
const LOOK_NS: u64 = 1_000_000_000;
/// Lines of standard error that an error repeats, and the most of each that is kept.
const TAIL_LINES: usize = 8;
const LINE_BYTES: u64 = 512;
/// Most names of metrics of one stage.
const MAX_METRICS: usize = 1_000;

/// A running process and its sockets.
pub struct Process {
    child: Child,
    pidfd: Arc<OwnedFd>,
    pub calls: UnixStream,
    pub incoming: Incoming,
    side: UnixStream,
    stderr: UnixStream,
    shared: Arc<Shared>,
    listeners: Vec<JoinHandle<()>>,
    ended: Option<ExitStatus>,
}

/// What the threads that listen to a process share.
#[derive(Default)]
struct Shared {
    services: OnceLock<HostServices>,
    /// The last lines of its standard error.
    tail: Mutex<VecDeque<String>>,
    gone: AtomicBool,
    /// What it sent on the side that it should not have.
    fault: OnceLock<String>,
}

impl Process {
    /// Starts a host's executable for a stage.
    pub fn start(program: &Path, hello: &Hello) -> io::Result<Self> {
        let (calls, its_calls) = UnixStream::pair()?;
        let (side, its_side) = UnixStream::pair()?;
        let (stderr, its_stderr) = UnixStream::pair()?;
        let incoming = Incoming::new(calls.try_clone()?);
        let handed = |socket: UnixStream| Stdio::from(OwnedFd::from(socket));
        let mut child = Command::new(program)
            .arg0("host")
            .args([COMMAND, hello.kind.as_str(), &hello.name])
            .stdin(handed(its_calls))
            .stdout(handed(its_side))
            .stderr(handed(its_stderr))
            // Signals of the terminal are for the host, which drains.
            .process_group(0)
            .spawn()?;
        let pidfd = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("a process without a number"))
            .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?))
            .inspect_err(|_| {
                let _ = child.kill();
                let _ = child.wait();
            })?;
        let mut process = Self {
            child,
            pidfd: Arc::new(pidfd),
            calls,
            incoming,
            side,
            stderr,
            shared: Arc::default(),
            listeners: Vec::new(),
            ended: None,
        };
        process.listen()?;
        Ok(process)
    }

    fn listen(&mut self) -> io::Result<()> {
        let (shared, stderr) = (self.shared.clone(), self.stderr.try_clone()?);
        self.listeners
            .push(named("stage's stderr", move || lines(&shared, stderr))?);
        let (shared, pidfd) = (self.shared.clone(), self.pidfd.clone());
        let mut incoming = Incoming::new(self.side.try_clone()?);
        self.listeners.push(named("stage's side", move || {
            if let Err(e) = beside(&shared, &mut incoming)
                && e.kind() == io::ErrorKind::InvalidData
            {
                let _ = shared.fault.set(e.to_string());
                let _ = pidfd_send_signal(&*pidfd, Signal::KILL);
            }
        })?);
        Ok(())
    }

    /// From now on what the stage asks of its host reaches these services, and their cancellation
    /// reaches the stage, in the middle of a call too.
    pub fn lend(&mut self, services: HostServices) -> io::Result<()> {
        if self.shared.services.set(services).is_err() {
            return Ok(());
        }
        let (shared, side) = (self.shared.clone(), self.side.try_clone()?);
        // Not waited for: it sleeps until it is cancelled, and looks up now and then.
        named("stage's cancel", move || {
            while services.sleep_until(services.monotonic_ns().saturating_add(LOOK_NS)) {
                if shared.gone.load(Ordering::Relaxed) {
                    return;
                }
            }
            let mut out = Outgoing::default();
            out.push(op::CANCEL, [0; 3], &[]);
            // It may be gone.
            let _ = out.send(&side);
        })?;
        Ok(())
    }

    /// Lets it run its destructors, and waits for its end.
    pub fn finish(&mut self) {
        self.end(ENDS_WITHIN);
    }

    /// Why a call failed: what became of the process. It has ended after this.
    pub fn story(&mut self, call: &str, e: &io::Error) -> StageError {
        let lied = e.kind() == io::ErrorKind::InvalidData;
        if lied {
            let _ = pidfd_send_signal(&*self.pidfd, Signal::KILL);
        }
        let status = self.end(GONE_WITHIN);
        let mut story = match (self.shared.fault.get(), status) {
            (Some(fault), _) => format!("its process was ended: it sent {fault}"),
            (None, _) if lied => format!("its process was ended: it sent {e}"),
            (None, Some(status)) => how(status),
            (None, None) => format!("its process cannot be reached: {e}"),
        };
        story.push_str(&format!(" (in `{call}`)"));
        let tail = self.shared.tail();
        if !tail.is_empty() {
            let tail: Vec<&str> = tail.iter().map(String::as_str).collect();
            story.push_str(&format!("; it said last: {}", tail.join(" | ")));
        }
        StageError {
            code: Code::PANIC,
            ..StageError::fatal(story)
        }
    }

    /// Says something in the stage's log.
    pub fn warn(&self, message: &str) {
        if let Some(services) = self.shared.services.get() {
            services.log(Level::Warn, message);
        }
    }

    /// How it ended, if it did by itself and not well.
    pub fn ended_badly(&self) -> Option<String> {
        self.ended.filter(|s| !s.success()).map(how)
    }

    /// Ends it, by force if it is not gone in time; it is reaped, and its last words are heard.
    fn end(&mut self, within: Duration) -> Option<ExitStatus> {
        if self.shared.gone.swap(true, Ordering::Relaxed) {
            return self.ended;
        }
        let _ = self.calls.shutdown(Shutdown::Write);
        if !self.gone(within) {
            let _ = pidfd_send_signal(&*self.pidfd, Signal::KILL);
        }
        self.ended = self.child.wait().ok();
        // What it has said is still read. Someone to whom it gave its sockets is not waited for.
        for socket in [&self.side, &self.stderr] {
            let _ = socket.shutdown(Shutdown::Read);
        }
        for listener in self.listeners.drain(..) {
            let _ = listener.join();
        }
        self.ended
    }

    /// Waits for its end; false if it did not come in time.
    fn gone(&self, within: Duration) -> bool {
        let timeout = Timespec {
            tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(&*self.pidfd, PollFlags::IN)];
        let ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout)));
        ready.is_ok_and(|n| n > 0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Shared {
    fn tail(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(run)
}

/// Whether a line is one of a backtrace: `  12: name` or `      at file`. There are so many that the
/// reason before them would not be among the last lines.
fn of_backtrace(line: &str) -> bool {
    let rest = line.trim_start();
    let frame = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = frame.len() < rest.len() && frame.starts_with(": ");
    rest.len() < line.len() && (numbered || rest.starts_with("at "))
}

/// Logs what the process writes to its standard output and error, and keeps the last lines.
fn lines(shared: &Shared, stderr: UnixStream) {
    let mut stderr = BufReader::new(stderr);
    let mut bytes = Vec::new();
    let mut skipped = false;
    loop {
        // A long line comes in pieces.
        let begins = !matches!(bytes.last(), Some(last) if *last != b'\n');
        bytes.clear();
        let read = stderr
            .by_ref()
            .take(LINE_BYTES)
            .read_until(b'\n', &mut bytes);
        if !read.is_ok_and(|n| n > 0) {
            return;
        }
        let text = String::from_utf8_lossy(&bytes);
        let line: String = text
            .trim_end()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if line.trim().is_empty() {
            continue;
        }
        if let Some(services) = shared.services.get() {
            services.log(Level::Info, &line);
        }
        if begins {
            skipped = of_backtrace(&line);
        }
        if skipped {
            continue;
        }
        let mut tail = shared.tail();
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

/// Passes on what may come at any time, until the process closes.
fn beside(shared: &Shared, incoming: &mut Incoming) -> io::Result<()> {
    let mut metrics = HashSet::new();
    while let Some(head) = incoming.head()? {
        let services = shared
            .services
            .get()
            .ok_or_else(|| broken("words before it was opened"))?;
        match head.op {
            op::LOG => {
                let message = incoming.body(&head, MAX_TEXT)?;
                services.log(level(&head), &String::from_utf8_lossy(&message));
            }
            op::METRIC => {
                let name = incoming.body(&head, MAX_NAME)?;
                let name = String::from_utf8_lossy(&name).into_owned();
                let kind = if head.a == MetricKind::Counter as u64 {
                    MetricKind::Counter
                } else {
                    MetricKind::Gauge
                };
                services.metric(&name, kind, f64::from_bits(head.b));
                metrics.insert(name);
                if metrics.len() > MAX_METRICS {
                    return Err(broken(format!("more than {MAX_METRICS} metrics")));
                }
            }
            op::WANT_CHECKPOINT => services.request_checkpoint(),
            other => {
                return Err(broken(format!(
                    "a frame {other} that does not belong there"
                )));
            }
        }
    }
    Ok(())
}

fn level(head: &Head) -> Level {
    [Level::Error, Level::Warn, Level::Info]
        .into_iter()
        .find(|level| *level as u64 == head.a)
        .unwrap_or(Level::Debug)
}

/// The end of a process in words.
fn how(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        let code = status.code().unwrap_or_default();
        return format!("its process ended by itself with exit code {code}");
    };
    let name = signal_hook::low_level::signal_name(signal).unwrap_or("unknown");
    let guess = if name == "SIGKILL" {
        ", perhaps because memory ran out"
    } else {
        ""
    };
    format!("its process was killed by signal {signal} ({name}){guess}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_backtrace_are_known_from_others() {
        for line in [
            "   0: __rustc::rust_begin_unwind",
            "  12: <unknown>",
            "             at /x/lib.rs:7:5",
        ] {
            assert!(of_backtrace(line), "{line}");
        }
        for line in [
            "  left: 1",
            " right: 2",
            "12: twelve",
            "at noon",
            "   ",
            "  12 : no",
            "error: at 5",
        ] {
            assert!(!of_backtrace(line), "{line}");
        }
    }
}
