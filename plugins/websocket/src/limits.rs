//! Descriptors: each reader takes one, and many systems begin with 1,024 for a process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for all else that the process does.
const OTHERS: u64 = 512;

/// Raises the limit as far as `readers` need it and the system lets us; says so where it does not.
pub fn descriptors(readers: usize) -> Option<String> {
    let wanted = readers as u64 + OTHERS;
    let now = getrlimit(Resource::Nofile);
    let current = now.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return None;
    }
    let most = now.maximum.unwrap_or(u64::MAX);
    let raised = Rlimit {
        current: Some(wanted.min(most)),
        maximum: now.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) if most >= wanted => None,
        Ok(()) => Some(format!(
            "this process may open {most} files, too few for {readers} readers"
        )),
        Err(_) => Some(format!(
            "this process may open {current} files, too few for {readers} readers"
        )),
    }
}
