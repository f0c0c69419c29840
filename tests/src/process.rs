//! A child process whose lines and end can be waited for, and that never outlives its test.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

/// Which of its two outputs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Runs its arguments, kills them when its standard input closes, removes `$0` when they have ended.
const LEASH: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{ read -r _; kill -9 $child; } <&3 >/dev/null 2>&1 &
watch=$!
wait $child
code=$?
kill $watch 2>/dev/null
rm -rf "$0"
exit $code
"#;

enum Event {
    Line(From, String),
    Exit(ExitStatus),
}

/// A running child.
pub struct Process {
    name: String,
    pid: u32,
    events: Receiver<Event>,
    lines: Vec<(From, String)>,
    exit: Option<ExitStatus>,
    leash: Option<ChildStdin>,
}

/// What a child left behind.
#[derive(Debug)]
pub struct Finished {
    /// Exit code, `None` after a signal that it did not handle.
    pub code: Option<i32>,
    /// Lines of standard output.
    pub stdout: Vec<String>,
    /// Standard error, whole.
    pub stderr: String,
}

impl Process {
    /// Starts a command with both outputs read line by line and nothing to read.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        Self::spawn(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        )
    }

    /// Starts a command with its inputs and outputs as they were set; those that are pipes to this
    /// process are read line by line.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        Self::watch(name, child)
    }

    /// Starts a command that is killed when this value is dropped and also when this process ends
    /// without dropping it, as it does for what is kept in a `static`. Then `scratch` is removed.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_leashed(command: &Command, scratch: Option<&Path>) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(LEASH)
            .arg(scratch.unwrap_or(Path::new("")));
        shell.arg(command.get_program()).args(command.get_args());
        shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = shell
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        Self::watch(name, child)
    }

    fn watch(name: String, mut child: Child) -> Self {
        let (pid, leash) = (child.id(), child.stdin.take());
        let (send, events) = channel();
        let out = child
            .stdout
            .take()
            .map(|pipe| read(pipe, From::Out, send.clone()));
        let err = child
            .stderr
            .take()
            .map(|pipe| read(pipe, From::Err, send.clone()));
        thread::spawn(move || {
            let status = child.wait();
            // The end comes after the last line.
            for reader in [out, err].into_iter().flatten() {
                let _ = reader.join();
            }
            if let Ok(status) = status {
                let _ = send.send(Event::Exit(status));
            }
        });
        Self {
            name,
            pid,
            events,
            lines: Vec::new(),
            exit: None,
            leash,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for a line for which `pick` gives something; lines seen before count too.
    ///
    /// # Panics
    /// If the process ends or `within` passes without it; the message shows what was said last.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        within: Duration,
        pick: impl FnMut(From, &str) -> Option<T>,
    ) -> T {
        self.try_wait_for(within, pick)
            .unwrap_or_else(|| panic!("{}: no {what}; {}", self.name, self.said()))
    }

    /// The same, for what may not come: `None` when the process ends or the time passes.
    pub fn try_wait_for<T>(
        &mut self,
        within: Duration,
        mut pick: impl FnMut(From, &str) -> Option<T>,
    ) -> Option<T> {
        let mut seen = 0;
        let deadline = Instant::now() + within;
        loop {
            while let Some((from, line)) = self.lines.get(seen) {
                if let Some(found) = pick(*from, line) {
                    return Some(found);
                }
                seen += 1;
            }
            if self.exit.is_some() || !self.next(deadline) {
                return None;
            }
        }
    }

    /// Sends a signal by name (`INT`, `TERM`, …).
    ///
    /// # Panics
    /// If the process has ended already.
    pub fn signal(&mut self, name: &str) {
        while self.exit.is_none() && self.next(Instant::now()) {}
        assert!(
            self.exit.is_none(),
            "{} had ended before SIG{name}; {}",
            self.name,
            self.said()
        );
        kill(self.pid, name);
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If it does not come within that time.
    #[must_use]
    pub fn finish(mut self, within: Duration) -> Finished {
        if !self.ends(within) {
            // What it says when it is asked to stop tells where it stood.
            kill(self.pid, "INT");
            let _ = self.ends(Duration::from_secs(40));
            panic!("{} did not end by itself; {}", self.name, self.said());
        }
        let code = self.exit.and_then(|status| status.code());
        let (mut stdout, mut stderr) = (Vec::new(), String::new());
        for (from, line) in self.lines.drain(..) {
            match from {
                From::Out => stdout.push(line),
                From::Err => {
                    stderr.push_str(&line);
                    stderr.push('\n');
                }
            }
        }
        Finished {
            code,
            stdout,
            stderr,
        }
    }

    /// What it has said so far, both outputs together.
    pub fn lines(&mut self) -> impl Iterator<Item = &str> {
        while self.exit.is_none() && self.next(Instant::now()) {}
        self.lines.iter().map(|(_, line)| line.as_str())
    }

    /// Waits for the end; false if it did not come in time.
    #[must_use]
    pub fn ends(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.exit.is_none() {
            if !self.next(deadline) {
                return false;
            }
        }
        true
    }

    /// Takes in one event; false if none came in time.
    fn next(&mut self, deadline: Instant) -> bool {
        match self
            .events
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            Ok(Event::Line(from, line)) => self.lines.push((from, line)),
            Ok(Event::Exit(status)) => self.exit = Some(status),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => panic!("{} was lost", self.name),
        }
        true
    }

    /// How it stands and what it said last, for a message.
    #[must_use]
    pub fn said(&self) -> String {
        let end = self
            .exit
            .map_or_else(|| "still running".to_owned(), |status| status.to_string());
        let skipped = self.lines.len().saturating_sub(100);
        let mut said = format!("{end}; its last lines:");
        for (from, line) in &self.lines[skipped..] {
            let line: String = line.chars().take(4000).collect();
            said.push_str(&format!("\n  {from:?}: {line}"));
        }
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let leashed = self.leash.take().is_some();
        let patience = if leashed {
            Duration::from_secs(10)
        } else {
            Duration::ZERO
        };
        let deadline = Instant::now() + patience;
        while self.exit.is_none() {
            match self
                .events
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(Event::Exit(status)) => self.exit = Some(status),
                Ok(Event::Line(..)) => {}
                Err(_) => return kill(self.pid, "KILL"),
            }
        }
    }
}

fn read(
    pipe: impl Read + Send + 'static,
    from: From,
    send: Sender<Event>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches(['\r', '\n'])
                .to_owned();
            line.clear();
            if send.send(Event::Line(from, text)).is_err() {
                return;
            }
        }
    })
}

/// Sends a signal to one process, by its id.
fn kill(pid: u32, name: &str) {
    // It may have ended in the meantime.
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .stderr(Stdio::null())
        .status();
}
