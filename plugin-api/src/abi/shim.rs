//! From the calls of the boundary to the safe traits: checks what comes in, catches panics.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use abi_stable::{
    sabi_trait::TD_Opaque,
    std_types::{ROption, RSlice, RVec},
};

use super::{
    batch::RawBatch,
    services::{HostServices, OutHandle},
    stage::{IntoRaw, Raw, RawError, Recovered, Stage, Stage_TO, StageBox, answer},
};
use crate::{
    Batch, Code, StageError,
    stage::{Checkpoint, Commit, Drain, Input, Poll, Progress, Recover},
};

pub use crate::verbs::Verbs;

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps the words and place of a panic for the error, instead of printing them: a plugin has a
/// standard library, and so a panic hook, of its own.
pub(super) fn remember_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if GUARDED.with(|g| g.get()) == 0 {
                return before(info);
            }
            let what = words(info.payload());
            let place = info
                .location()
                .map(|l| format!(" at {l}"))
                .unwrap_or_default();
            LAST_PANIC.with(|p| *p.borrow_mut() = Some(format!("{what}{place}")));
        }));
    });
}

fn words(payload: &dyn std::any::Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}

thread_local! {
    static GUARDED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Runs author's code; a panic becomes an error.
pub(super) fn guard<T>(
    call: &str,
    f: impl FnOnce() -> Result<T, StageError>,
) -> Result<T, StageError> {
    GUARDED.with(|g| g.set(g.get() + 1));
    let result = catch_unwind(AssertUnwindSafe(f));
    GUARDED.with(|g| g.set(g.get() - 1));
    result.unwrap_or_else(|payload| {
        // Its own Drop may panic.
        std::mem::forget(payload);
        let what = LAST_PANIC
            .with(|p| p.borrow_mut().take())
            .unwrap_or_else(|| "a panic".into());
        Err(StageError {
            code: Code::PANIC,
            ..StageError::fatal(format!("panicked in {call}: {what}"))
        })
    })
}

impl From<StageError> for RawError {
    fn from(e: StageError) -> Self {
        Self {
            code: e.code.0,
            retry_after_ms: e
                .retry_after
                .map_or(0, |d| d.as_millis().try_into().unwrap_or(u64::MAX)),
            pointer: e.pointer.into(),
            message: e.message.into(),
        }
    }
}

impl From<RawError> for StageError {
    fn from(e: RawError) -> Self {
        Self {
            code: Code(e.code),
            retry_after: (e.retry_after_ms > 0)
                .then(|| std::time::Duration::from_millis(e.retry_after_ms)),
            pointer: e.pointer.into(),
            message: e.message.into(),
        }
    }
}

/// A stage behind the boundary.
struct Shim {
    verbs: Option<Box<dyn Verbs>>,
    poisoned: bool,
}

/// A stage as the host calls it. A panic of `verbs` becomes an error, and after one only its
/// destructor runs.
pub fn boxed(verbs: Box<dyn Verbs>) -> StageBox {
    Stage_TO::from_value(
        Shim {
            verbs: Some(verbs),
            poisoned: false,
        },
        TD_Opaque,
    )
}

impl Shim {
    fn call<T>(
        &mut self,
        name: &str,
        f: impl FnOnce(&mut dyn Verbs) -> Result<T, StageError>,
    ) -> Result<T, StageError> {
        let verbs = match &mut self.verbs {
            Some(v) if !self.poisoned => v,
            _ => {
                return Err(StageError::fatal(format!(
                    "{name} was called after a panic"
                )));
            }
        };
        let result = guard(name, || f(&mut **verbs));
        if matches!(&result, Err(e) if e.code == Code::PANIC) {
            self.poisoned = true;
        }
        result
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let verbs = self.verbs.take();
        // A panic in an author's Drop has no reader left.
        let _ = guard("drop", || {
            drop(verbs);
            Ok(())
        });
    }
}

/// A batch that comes in. The host has checked it when it left the stage that made it: once is
/// enough, and reading stays inside the bytes in any case. Debug builds look again, at the host.
fn entered(batch: &RawBatch) -> Result<Batch, StageError> {
    if cfg!(debug_assertions) {
        batch.check().map_err(StageError::fatal)?;
    }
    Ok(Batch::checked(batch.clone()))
}

fn progress(p: Progress) -> u32 {
    match p {
        Progress::More => answer::MORE,
        Progress::Done => answer::IDLE,
    }
}

impl Stage for Shim {
    fn plan(&mut self, options: RSlice<'_, u8>, inputs: RSlice<'_, u8>) -> Raw<RVec<u8>> {
        self.call("plan", |v| {
            v.plan(options.as_slice(), inputs.as_slice())
                .map(RVec::from)
        })
        .into_raw()
    }
    fn open(&mut self, host: HostServices, start: RSlice<'_, u8>) -> Raw<()> {
        self.call("open", |v| v.open(host, start.as_slice()))
            .into_raw()
    }
    fn recover(&mut self, epochs: RSlice<'_, u64>) -> Raw<Recovered> {
        self.call("recover", |v| v.recover(epochs.as_slice()))
            .map(|r| match r {
                Recover::NotMine => Recovered {
                    mine: false,
                    epoch: 0,
                },
                Recover::Epoch(epoch) => Recovered { mine: true, epoch },
            })
            .into_raw()
    }
    fn restore(&mut self, epoch: u64, version: u32, state: ROption<RSlice<'_, u8>>) -> Raw<()> {
        let state = state.into_option();
        self.call("restore", |v| {
            v.restore(epoch, version, state.as_ref().map(|s| s.as_slice()))
        })
        .into_raw()
    }
    fn poll(&mut self, budget: usize, deadline_ns: u64, out: &mut OutHandle<'_>) -> Raw<u32> {
        self.call("poll", |v| v.poll(budget, deadline_ns, out))
            .map(|p| match p {
                Poll::More => answer::MORE,
                Poll::Idle => answer::IDLE,
                Poll::Finished => answer::FINISHED,
            })
            .into_raw()
    }
    fn drain(&mut self) -> Raw<u32> {
        self.call("drain", |v| {
            Ok(match v.drain()? {
                Drain::Stop => answer::DRAIN_STOP,
                Drain::ToEnd => answer::DRAIN_TO_END,
            })
        })
        .into_raw()
    }
    fn process(
        &mut self,
        input: u32,
        seq: u64,
        batch: &RawBatch,
        out: &mut OutHandle<'_>,
    ) -> Raw<u32> {
        self.call("process", |v| {
            let batch = entered(batch)?;
            v.process(
                Input {
                    port: input,
                    seq,
                    batch: &batch,
                },
                out,
            )
            .map(progress)
        })
        .into_raw()
    }
    fn resume(&mut self, out: &mut OutHandle<'_>) -> Raw<u32> {
        self.call("resume", |v| v.resume(out).map(progress))
            .into_raw()
    }
    fn write(
        &mut self,
        input: u32,
        seq: u64,
        batch: &RawBatch,
        from: usize,
        out: &mut OutHandle<'_>,
    ) -> Raw<usize> {
        self.call("write", |v| {
            let batch = entered(batch)?;
            v.write(
                Input {
                    port: input,
                    seq,
                    batch: &batch,
                },
                from,
                out,
            )
        })
        .into_raw()
    }
    fn end(&mut self, input: u32, out: &mut OutHandle<'_>) -> Raw<()> {
        self.call("end", |v| v.end(input, out)).into_raw()
    }
    fn tick(&mut self, now_ns: u64, out: &mut OutHandle<'_>) -> Raw<u64> {
        self.call("tick", |v| v.tick(now_ns, out))
            .map(|t| t.unwrap_or(answer::NEVER))
            .into_raw()
    }
    fn checkpoint(
        &mut self,
        epoch: u64,
        upstream: RSlice<'_, u8>,
        last: bool,
    ) -> Raw<ROption<RVec<u8>>> {
        self.call("checkpoint", |v| {
            v.checkpoint(epoch, upstream.as_slice(), last)
        })
        .map(|s| s.map(RVec::from).into())
        .into_raw()
    }
    fn checkpoint_poll(&mut self, epoch: u64, out: &mut OutHandle<'_>) -> Raw<ROption<RVec<u8>>> {
        self.call("checkpoint_poll", |v| v.checkpoint_poll(epoch, out))
            .map(|c| match c {
                Checkpoint::Pending => ROption::RNone,
                Checkpoint::Ready(state) => ROption::RSome(state.into()),
            })
            .into_raw()
    }
    fn commit(&mut self, epoch: u64) -> Raw<bool> {
        self.call("commit", |v| v.commit(epoch))
            .map(|c| c == Commit::Done)
            .into_raw()
    }
    fn abort(&mut self, epoch: u64) -> Raw<()> {
        self.call("abort", |v| v.abort(epoch)).into_raw()
    }
    fn close(&mut self) -> Raw<()> {
        self.call("close", |v| v.close()).into_raw()
    }
}
