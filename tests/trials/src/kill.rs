//! `kill -9` at a chosen moment: after a time, or right behind a rename, where what is durable and
//! what is committed differ.

use std::{
    fs,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use e2e::process::{Finished, Process};
use fastrand::Rng;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::{
    flow::{self, Outputs},
    frame::Run,
};

/// Longest wait for a rename.
const MOMENT: Duration = Duration::from_millis(1500);

/// When a host is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after its start.
    After(Duration),
    /// So long after the n-th rename of a file in the watched folders.
    Rename(u32, Duration),
}

impl Moment {
    /// Half of them anywhere from the start to 800 ms after `start_up`, half of them right behind
    /// a rename.
    fn random(rng: &mut Rng, start_up: Duration) -> Self {
        let micros =
            |range: std::ops::Range<u64>, rng: &mut Rng| Duration::from_micros(rng.u64(range));
        if rng.bool() {
            let most = start_up.as_micros() as u64 + 800_000;
            Self::After(micros(10_000..most, rng))
        } else {
            let behind = if rng.bool() { 0..300 } else { 0..20_000 };
            Self::Rename(rng.u32(1..12), micros(behind, rng))
        }
    }
}

/// Renames in some folders.
struct Watch(OwnedFd);

impl Watch {
    /// Watches folders, which are made where they are missing.
    fn on(folders: &[PathBuf]) -> Self {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let watch = inotify::init(flags).expect("inotify");
        for folder in folders {
            fs::create_dir_all(folder).expect("a folder");
            inotify::add_watch(&watch, folder, inotify::WatchFlags::MOVED_TO).expect("a watch");
        }
        Self(watch)
    }

    /// Waits for the n-th rename, no longer than [`MOMENT`].
    fn wait(&self, n: u32) {
        let deadline = Instant::now() + MOMENT;
        let mut seen = 0;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.0, &mut buffer);
        while seen < n {
            while seen < n && events.next().is_ok() {
                seen += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if seen < n {
                let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
                let left = Timespec::try_from(left).expect("a short time");
                if poll(&mut fds, Some(&left)) != Ok(1) {
                    return;
                }
            }
        }
    }
}

/// Starts hosts.toml and kills it, at most so often, until it ends by itself; looks at the outputs
/// each time. How many kills there were.
pub fn again_and_again(
    run: &mut Run,
    most: u64,
    start_up: Duration,
    watched: &[&str],
    outputs: &mut Outputs,
) -> Result<u64, String> {
    let watched: Vec<_> = watched.iter().map(|name| run.folder.path(name)).collect();
    let mut kills = 0;
    while kills < most.min(run.most) {
        let watch = Watch::on(&watched);
        let moment = Moment::random(&mut run.rng, start_up);
        let ended = strike(flow::start(&run.folder, "hosts.toml"), moment, &watch);
        outputs
            .look()
            .map_err(|why| format!("after kill {}, {moment:?}: {why}", kills + 1))?;
        if ended.code.is_some() {
            flow::ended_well(&ended)
                .map_err(|why| format!("started after {kills} kills, {why}"))?;
            break;
        }
        kills += 1;
        if flow::is_complete(&run.folder.path("state"))? {
            break;
        }
    }
    // One run, even if nothing was left to be killed.
    Ok(kills.max(1))
}

/// Kills a host at that moment, unless it ends before; `watch` began before the host did.
fn strike(host: Process, moment: Moment, watch: &Watch) -> Finished {
    let pid = Pid::from_raw(host.pid().cast_signed()).expect("a process id");
    // It names this process even when it has ended by itself.
    let handle = pidfd_open(pid, PidfdFlags::empty());
    match moment {
        Moment::After(time) => std::thread::sleep(time),
        Moment::Rename(n, then) => {
            watch.wait(n);
            std::thread::sleep(then);
        }
    }
    if let Ok(handle) = handle {
        // It may have ended.
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
    host.finish(Duration::from_secs(30))
}
