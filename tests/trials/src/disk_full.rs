//! Output and state on a disk that is full for a while: the host says so, waits, and goes on.

use std::{fs, path::PathBuf, time::Duration};

use e2e::{host::Folder, parts, process::Process};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::{
    flow::{self, Outputs, PATIENCE, Tweets},
    frame::{Job, Run, Trial},
};

pub const TRIAL: Trial = Trial {
    name: "disk-full",
    about: "output and state on a full tmpfs: says so, waits, goes on when there is room again",
    ci: 5,
    long: Some(20),
    begin: || {
        let folder = Folder::new();
        if let Err(error) = Tmpfs::mounted(folder.path("disk")) {
            parts::skip(&format!("no tmpfs can be mounted: {error}"));
            return None;
        }
        Some(Box::new(DiskFull {
            tweets: Tweets::known(2_000, Some(4_000)),
        }))
    },
};

const SIZE: u64 = 16 << 20;

/// What the system says of a full disk.
const FULL: &str = "No space left on device";

struct DiskFull {
    tweets: Tweets,
}

impl Job for DiskFull {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        let disk = Tmpfs::mounted(run.folder.path("disk")).map_err(|e| e.to_string())?;
        // What is on the full disk: all, or the output only.
        let state = if run.rng.bool() { "state" } else { "../state" };
        run.folder.write("disk/hosts.toml", &self.hosts(state));
        run.folder.write("disk/t.avsc", flow::SCHEMA);
        let mut outputs = Outputs::in_folders(
            &run.folder,
            &["disk/out/avro", "disk/out/csv", "disk/out/lines"],
        );
        let room = run.rng.u64(64 << 10..2 << 20);
        let filler = vec![0; usize::try_from(SIZE - room).map_err(|e| e.to_string())?];
        fs::write(run.folder.path("disk/filler"), filler).map_err(|e| e.to_string())?;

        let mut host = flow::start(&run.folder, "disk/hosts.toml");
        let pause = Duration::from_millis(run.rng.u64(100..1500));
        waits(&mut host, pause).map_err(|why| format!("{room} bytes free, {why}"))?;
        outputs
            .look()
            .map_err(|why| format!("while the disk is full: {why}"))?;
        let killed = run.rng.bool();
        if killed {
            drop(host);
            fs::remove_file(run.folder.path("disk/filler")).map_err(|e| e.to_string())?;
            host = flow::start(&run.folder, "disk/hosts.toml");
        } else {
            fs::remove_file(run.folder.path("disk/filler")).map_err(|e| e.to_string())?;
        }
        flow::ended_well(&host.finish(PATIENCE))?;
        let result = outputs.close(self.tweets.ids());
        if result.is_err() {
            // The disk goes with this run; what is on it stays to be looked at.
            let _ = std::process::Command::new("cp")
                .arg("-r")
                .args([run.folder.path("disk"), run.folder.path("kept")])
                .status();
        }
        drop(disk);
        result.map_err(|why| {
            format!("{room} bytes free, state in {state}, killed {killed}: {why}")
        })?;
        Ok(1)
    }
}

/// It says that the disk is full, and goes on waiting.
fn waits(host: &mut Process, pause: Duration) -> Result<(), String> {
    let said = host.try_wait_for(PATIENCE, |_, line| line.contains(FULL).then_some(()));
    if said.is_none() {
        return Err(format!("it never said so; {}", host.said()));
    }
    if host.ends(pause) {
        return Err(format!("it did not wait for room; {}", host.said()));
    }
    Ok(())
}

impl DiskFull {
    fn hosts(&self, state: &str) -> String {
        let source = self.tweets.source("flow", "tweets");
        let sinks = flow::sinks("flow", "tweets");
        format!(
            r#"
version = 1
state_dir = "{state}"
[hosts.flow]
checkpoint_interval = "50ms"
{source}
{sinks}
"#
        )
    }
}

/// A file system in memory; unmounted when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mounted(path: PathBuf) -> std::io::Result<Self> {
        fs::create_dir_all(&path)?;
        let size = std::ffi::CString::new(format!("size={SIZE},mode=0700"))?;
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), &*size)?;
        Ok(Self(path))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Detached, so that it goes even while something on it is open.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
