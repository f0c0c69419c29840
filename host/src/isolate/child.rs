//! The process of a stage: makes the stage that the host asks for and serves its calls until the
//! host closes the socket.

use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, atomic::AtomicBool},
};

use abi_stable::std_types::{ROption, RVec};
use plugin_api::{
    Batch, StageError,
    abi::{
        batch::RawBatch,
        root::{bytes, plain},
        services::{HostServices, OutApi, OutHandle},
        stage::{StageBox, answer},
    },
    batch::monotonic_ns,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{
    EMIT_BATCHES, EMIT_BYTES, Hello,
    frame::{Head, Incoming, MAX_BODY, Outgoing, broken, clipped, op},
    services::Services,
};
use crate::loader;

/// Bytes of reports that are kept back at most during a call.
const KEPT_BYTES: usize = 1 << 20;

/// Serves one stage, over the sockets that are this process's standard input and output.
///
/// # Errors
/// These are no sockets, or nobody is there who speaks as a host does.
pub fn serve() -> io::Result<()> {
    let calls = socket(io::stdin())?;
    let side = socket(io::stdout())?;
    // A plugin that reads or prints finds nothing, and the log.
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    // Who ends a whole group or service means the host, which drains its stages.
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let services = HostServices::new(Services::start(side)?);
    let mut server = Server {
        incoming: Incoming::new(calls.try_clone()?),
        out: Outgoing::default(),
        calls,
        services,
        tick_failed: None,
    };
    let Some(head) = server.incoming.head()? else {
        return Ok(());
    };
    if head.op != op::HELLO {
        return Err(broken("it is not greeted first"));
    }
    let hello = server.incoming.body(&head, MAX_BODY)?;
    let made = make(&hello);
    server.answer(
        made.as_ref()
            .map(|_| Answer::default())
            .map_err(Clone::clone),
    )?;
    let Ok(mut stage) = made else {
        return Ok(());
    };
    while let Some(head) = server.incoming.head()? {
        let answered = server.call(&mut stage, &head)?;
        server.answer(answered)?;
    }
    Ok(())
}

fn socket(standard: impl AsFd) -> io::Result<UnixStream> {
    let socket = UnixStream::from(standard.as_fd().try_clone_to_owned()?);
    socket.peer_addr()?;
    Ok(socket)
}

/// Vets and opens the plugin's file, and makes the stage.
fn make(hello: &[u8]) -> Result<StageBox, StageError> {
    let hello: Hello = serde_json::from_slice(hello)
        .map_err(|e| StageError::fatal(format!("the host's greeting does not read: {e}")))?;
    if let Some(memory) = hello.memory {
        let limit = Rlimit {
            current: Some(memory),
            maximum: Some(memory),
        };
        setrlimit(Resource::As, limit)
            .map_err(|e| StageError::fatal(format!("its memory cannot be limited: {e}")))?;
    }
    let entry = loader::load_same(&hello.file, &hello.sha256).map_err(|refusal| {
        let hint = refusal.hint.map_or_else(String::new, |h| format!("; {h}"));
        let file = hello.file.display();
        StageError::fatal(format!("{file} is refused: {}{hint}", refusal.reason))
    })?;
    entry.planner.create(hello.kind, &hello.name)
}

/// Numbers and bytes that a call answers with.
#[derive(Default)]
struct Answer {
    a: u64,
    b: u64,
    body: RVec<u8>,
}

impl Answer {
    fn number(a: impl Into<u64>) -> Self {
        Self {
            a: a.into(),
            ..Self::default()
        }
    }

    fn bytes(body: RVec<u8>) -> Self {
        Self {
            body,
            ..Self::default()
        }
    }

    fn maybe(body: ROption<RVec<u8>>) -> Self {
        Self {
            a: u64::from(body.is_some()),
            body: body.into_option().unwrap_or_default(),
            ..Self::default()
        }
    }
}

struct Server {
    calls: UnixStream,
    incoming: Incoming,
    out: Outgoing,
    services: HostServices,
    /// What went wrong in `tick` after a batch; the host, which was given no deadline, asks again.
    tick_failed: Option<StageError>,
}

impl Server {
    fn answer(&mut self, answer: Result<Answer, StageError>) -> io::Result<()> {
        match answer {
            Ok(Answer { a, b, body }) => self.out.push(op::DONE, [a, b, 0], &[&body]),
            Err(e) => self.out.push_error(&e),
        }
        self.out.send(&self.calls)
    }

    /// One call of the stage. The outer error: the host cannot be understood.
    fn call(
        &mut self,
        stage: &mut StageBox,
        head: &Head,
    ) -> io::Result<Result<Answer, StageError>> {
        let Head { op, a, b, c, .. } = *head;
        let port = |n: u64| u32::try_from(n).map_err(|_| broken("a port beyond all ports"));
        let size = |n: u64| usize::try_from(n).map_err(|_| broken("a size beyond all sizes"));
        if op == op::PROCESS || op == op::WRITE {
            let (port, batch) = (port(a)?, self.incoming.batch(head)?);
            let from = size(c)?;
            let mut ticked = None;
            let answered = self.with_out(|out| {
                let (a, done) = if op == op::PROCESS {
                    let progress = plain(stage.process(port, b, batch.raw(), out))?;
                    (u64::from(progress), progress == answer::IDLE)
                } else {
                    let taken = plain(stage.write(port, b, batch.raw(), from, out))?;
                    (taken as u64, from.saturating_add(taken) == batch.len())
                };
                // After a batch the host asks for this at once: it goes along.
                let tick = done.then(|| plain(stage.tick(monotonic_ns(), out)));
                let next = tick.as_ref().and_then(|t| t.as_ref().ok()).copied();
                ticked = tick;
                Ok(Answer {
                    a,
                    b: next.unwrap_or(0),
                    ..Answer::default()
                })
            })?;
            self.tick_failed = ticked.and_then(Result::err);
            return Ok(answered);
        }
        let body = self.incoming.body(head, MAX_BODY)?;
        Ok(match op {
            op::PLAN => {
                let (options, inputs) = body
                    .split_at_checked(size(a)?)
                    .ok_or_else(|| broken("options longer than their frame"))?;
                plain(stage.plan(bytes(options), bytes(inputs))).map(Answer::bytes)
            }
            op::OPEN => plain(stage.open(self.services, bytes(&body))).map(|()| Answer::default()),
            op::RECOVER => {
                let (epochs, _) = body.as_chunks::<8>();
                let epochs: Vec<u64> = epochs.iter().map(|e| u64::from_le_bytes(*e)).collect();
                plain(stage.recover(epochs.as_slice().into())).map(|r| Answer {
                    a: u64::from(r.mine),
                    b: r.epoch,
                    ..Answer::default()
                })
            }
            op::RESTORE => {
                let state = (c != 0).then(|| bytes(&body));
                let version = port(b)?;
                plain(stage.restore(a, version, state.into())).map(|()| Answer::default())
            }
            op::POLL => {
                let budget = size(a)?;
                self.with_out(|out| plain(stage.poll(budget, b, out)).map(Answer::number))?
            }
            op::DRAIN => plain(stage.drain()).map(Answer::number),
            op::RESUME => self.with_out(|out| plain(stage.resume(out)).map(Answer::number))?,
            op::END => {
                let port = port(a)?;
                self.with_out(|out| plain(stage.end(port, out)).map(|()| Answer::default()))?
            }
            op::TICK => match self.tick_failed.take() {
                Some(e) => Err(e),
                None => self.with_out(|out| plain(stage.tick(a, out)).map(Answer::number))?,
            },
            op::CHECKPOINT => plain(stage.checkpoint(a, bytes(&body), b != 0)).map(Answer::maybe),
            op::CHECKPOINT_POLL => {
                self.with_out(|out| plain(stage.checkpoint_poll(a, out)).map(Answer::maybe))?
            }
            op::COMMIT => plain(stage.commit(a)).map(Answer::number),
            op::ABORT => plain(stage.abort(a)).map(|()| Answer::default()),
            op::CLOSE => plain(stage.close()).map(|()| Answer::default()),
            other => return Err(broken(format!("a call {other} that is not known"))),
        })
    }

    /// A call whose reports go out with its answer, or before it where there are many.
    fn with_out(
        &mut self,
        call: impl FnOnce(&mut OutHandle<'_>) -> Result<Answer, StageError>,
    ) -> io::Result<Result<Answer, StageError>> {
        let mut reports = Reports {
            calls: &self.calls,
            out: &mut self.out,
            emitted: (0, 0),
            fault: None,
            failed: None,
        };
        let answer = OutHandle::with(&mut reports, call);
        let (fault, failed) = (reports.fault, reports.failed);
        match failed {
            Some(e) => Err(e),
            None => Ok(fault.map_or(answer, Err)),
        }
    }
}

/// What a call puts out.
struct Reports<'a> {
    calls: &'a UnixStream,
    out: &'a mut Outgoing,
    /// Batches and bytes of this call.
    emitted: (usize, usize),
    fault: Option<StageError>,
    failed: Option<io::Error>,
}

impl Reports<'_> {
    fn send_if_many(&mut self) {
        if self.out.bytes() >= KEPT_BYTES
            && let Err(e) = self.out.send(self.calls)
        {
            self.failed.get_or_insert(e);
        }
    }
}

impl OutApi for Reports<'_> {
    fn emit(&mut self, port: u32, batch: RawBatch) -> bool {
        let batch = match Batch::try_from(batch) {
            Ok(batch) => batch,
            Err(e) => {
                let message = format!("it emitted a batch that is not sound: {e}");
                self.fault.get_or_insert(StageError::fatal(message));
                return false;
            }
        };
        self.emitted.0 += 1;
        self.emitted.1 += batch.pinned_bytes();
        self.out
            .push_batch(op::EMIT, [u64::from(port), 0, 0], batch);
        self.send_if_many();
        self.emitted.0 < EMIT_BATCHES && self.emitted.1 < EMIT_BYTES
    }
    fn consumed(&mut self, seq: u64, n: u64) {
        self.out.push(op::CONSUMED, [seq, n, 0], &[]);
        self.send_if_many();
    }
    fn filtered(&mut self, seq: u64, n: u64) {
        self.out.push(op::FILTERED, [seq, n, 0], &[]);
        self.send_if_many();
    }
    fn reject(&mut self, seq: u64, index: u32, reason: &str, pointer: &str) {
        let (reason, pointer) = (clipped(reason), clipped(pointer));
        let numbers = [seq, u64::from(index), reason.len() as u64];
        self.out.push(
            op::REJECT,
            numbers,
            &[reason.as_bytes(), pointer.as_bytes()],
        );
        self.send_if_many();
    }
    fn reject_raw(&mut self, bytes: &[u8], reason: &str, pointer: &str) {
        let (reason, pointer) = (clipped(reason), clipped(pointer));
        let numbers = [reason.len() as u64, pointer.len() as u64, 0];
        let texts = [reason.as_bytes(), pointer.as_bytes()];
        self.out.push(op::REJECT_RAW, numbers, &texts);
        self.out.push(op::REJECT_RAW, [0; 3], &[bytes]);
        self.send_if_many();
    }
}
