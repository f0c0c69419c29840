//! The host's services as a stage in its own process sees them: log, metrics and wishes go over a
//! socket of their own, cancellation comes by it, and the clocks are the machine's.

use std::{
    io,
    os::unix::net::UnixStream,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use plugin_api::{
    abi::services::{HostApi, Level, MetricKind},
    batch::monotonic_ns,
};
use rustix::process::{Signal, getpid, kill_process};

use super::frame::{Incoming, Outgoing, clipped, op};

/// Longest name of a metric.
pub const MAX_NAME: usize = 256;

/// Lent to the stage for as long as the process lives.
pub struct Services {
    side: Mutex<(UnixStream, Outgoing)>,
    cancelled: Mutex<bool>,
    changed: Condvar,
}

impl Services {
    /// Starts to listen. The process ends when the host does, whatever it does then.
    pub fn start(side: UnixStream) -> io::Result<&'static Self> {
        let mut incoming = Incoming::new(side.try_clone()?);
        let services: &'static Self = Box::leak(Box::new(Self {
            side: Mutex::new((side, Outgoing::default())),
            cancelled: Mutex::new(false),
            changed: Condvar::new(),
        }));
        thread::Builder::new().name("host".into()).spawn(move || {
            while let Ok(Some(head)) = incoming.head() {
                if head.op == op::CANCEL {
                    *guard(&services.cancelled) = true;
                    services.changed.notify_all();
                }
            }
            // Not `exit`: destructors of a library may hang, and nobody is left to end them.
            let _ = kill_process(getpid(), Signal::KILL);
        })?;
        Ok(services)
    }

    fn send(&self, op: u32, numbers: [u64; 3], body: &[u8]) {
        let mut side = guard(&self.side);
        let (socket, out) = &mut *side;
        out.push(op, numbers, &[body]);
        // The host is gone, and so will be this process.
        let _ = out.send(socket);
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostApi for Services {
    fn log(&self, level: Level, message: &str) {
        let message = clipped(message).as_bytes();
        self.send(op::LOG, [level as u64, 0, 0], message);
    }
    fn now_us(&self) -> i64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
    }
    fn monotonic_ns(&self) -> u64 {
        monotonic_ns()
    }
    fn sleep_until(&self, until_ns: u64) -> bool {
        let mut cancelled = guard(&self.cancelled);
        loop {
            if *cancelled {
                return false;
            }
            let now = monotonic_ns();
            if now >= until_ns {
                return true;
            }
            let wait = Duration::from_nanos(until_ns - now);
            let waited = self.changed.wait_timeout(cancelled, wait);
            cancelled = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
    fn cancelled(&self) -> bool {
        *guard(&self.cancelled)
    }
    fn request_checkpoint(&self) {
        self.send(op::WANT_CHECKPOINT, [0; 3], &[]);
    }
    fn metric(&self, name: &str, kind: MetricKind, value: f64) {
        let name = &name[..name.floor_char_boundary(MAX_NAME)];
        let numbers = [kind as u64, value.to_bits(), 0];
        self.send(op::METRIC, numbers, name.as_bytes());
    }
}
