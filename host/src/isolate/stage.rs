//! A stage that forwards its calls to its process.

use std::{io, path::Path};

use plugin_api::{
    StageError,
    abi::{
        services::{HostServices, OutApi as _, OutHandle},
        shim::Verbs,
        stage::answer,
    },
    stage::{Checkpoint, Commit, Drain, Input, Poll, Progress, Recover},
};

use super::{
    Hello,
    frame::{self, Head, Incoming, MAX_BODY, Outgoing, broken, op},
    process::Process,
};

/// A stage in a process of its own.
pub struct Remote {
    process: Process,
    out: Outgoing,
    /// The next deadline, where it came along with the answer to a batch.
    ticked: Option<u64>,
}

/// Numbers and bytes that a call answered with.
struct Answer {
    a: u64,
    b: u64,
    body: Vec<u8>,
}

impl Remote {
    /// Starts a process and has it make the stage.
    ///
    /// # Errors
    /// It does not start, refuses the plugin, or ends.
    pub fn start(program: &Path, hello: &Hello) -> Result<Self, StageError> {
        let told = serde_json::to_vec(hello)
            .map_err(|e| StageError::fatal(format!("its plugin cannot be named: {e}")))?;
        let process = Process::start(program, hello).map_err(|e| {
            // Too many processes, or too little memory, now.
            StageError::transient(format!("its process cannot be started: {e}"))
        })?;
        let mut remote = Self {
            process,
            out: Outgoing::default(),
            ticked: None,
        };
        remote.call("create", None, |out| {
            out.push(op::HELLO, [0; 3], &[&told]);
        })?;
        Ok(remote)
    }

    /// One call: the request, what it puts out, the answer.
    fn call(
        &mut self,
        name: &str,
        handle: Option<&mut OutHandle<'_>>,
        request: impl FnOnce(&mut Outgoing),
    ) -> Result<Answer, StageError> {
        request(&mut self.out);
        match self.exchange(handle) {
            Ok(answered) => answered,
            Err(e) => Err(self.process.story(name, &e)),
        }
    }

    fn exchange(
        &mut self,
        mut handle: Option<&mut OutHandle<'_>>,
    ) -> io::Result<Result<Answer, StageError>> {
        self.out.send(&self.process.calls)?;
        let incoming = &mut self.process.incoming;
        let mut left = MAX_BODY;
        loop {
            let head = incoming.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            match (head.op, handle.as_deref_mut()) {
                (op::DONE, _) => {
                    let (a, b) = (head.a, head.b);
                    let body = incoming.body(&head, MAX_BODY)?;
                    return Ok(Ok(Answer { a, b, body }));
                }
                (op::FAILED, _) => return Ok(Err(frame::error(&head, incoming)?)),
                (_, Some(handle)) => put_out(&head, incoming, handle, &mut left)?,
                (other, None) => {
                    return Err(broken(format!(
                        "a frame {other} that does not belong there"
                    )));
                }
            }
        }
    }

    /// An answer of which only these are possible.
    fn one_of<T: Copy>(&mut self, call: &str, n: u64, known: &[(u32, T)]) -> Result<T, StageError> {
        let found = known.iter().find(|(code, _)| u64::from(*code) == n);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let e = broken(format!("{n}, which is no answer"));
            self.process.story(call, &e)
        })
    }
}

/// Passes on what a call puts out; `left` bytes of it are still taken.
fn put_out(
    head: &Head,
    incoming: &mut Incoming,
    handle: &mut OutHandle<'_>,
    left: &mut usize,
) -> io::Result<()> {
    let mut take = |bytes: usize| {
        *left = left
            .checked_sub(bytes)
            .ok_or_else(|| broken(format!("more than {MAX_BODY} bytes in one call")))?;
        Ok::<_, io::Error>(())
    };
    let port = |n: u64| u32::try_from(n).map_err(|_| broken(format!("port {n}")));
    match head.op {
        op::EMIT => {
            let batch = incoming.batch(head)?;
            take(batch.pinned_bytes())?;
            handle.emit(port(head.a)?, batch.into_raw());
        }
        op::CONSUMED => handle.consumed(head.a, head.b),
        op::FILTERED => handle.filtered(head.a, head.b),
        op::REJECT => {
            let index = u32::try_from(head.b).map_err(|_| broken("an index beyond a batch"))?;
            let ([reason], pointer) = incoming.texts(head, [head.c])?;
            handle.reject(head.a, index, &reason, &pointer);
        }
        op::REJECT_RAW => {
            let ([reason, pointer], _) = incoming.texts(head, [head.a, head.b])?;
            let raw = incoming
                .head()?
                .filter(|raw| raw.op == op::REJECT_RAW)
                .ok_or_else(|| broken("a rejected record without its bytes"))?;
            let bytes = incoming.body(&raw, MAX_BODY)?;
            take(bytes.len())?;
            handle.reject_raw(&bytes, &reason, &pointer);
        }
        other => {
            return Err(broken(format!(
                "a frame {other} that does not belong there"
            )));
        }
    }
    Ok(())
}

impl Verbs for Remote {
    fn plan(&mut self, options: &[u8], inputs: &[u8]) -> Result<Vec<u8>, StageError> {
        let answer = self.call("plan", None, |out| {
            out.push(op::PLAN, [options.len() as u64, 0, 0], &[options, inputs]);
        })?;
        Ok(answer.body)
    }

    fn open(&mut self, host: HostServices, start: &[u8]) -> Result<(), StageError> {
        self.process.lend(host).map_err(|e| {
            StageError::transient(format!("its process cannot be listened to: {e}"))
        })?;
        self.call("open", None, |out| out.push(op::OPEN, [0; 3], &[start]))?;
        Ok(())
    }

    fn recover(&mut self, epochs: &[u64]) -> Result<Recover, StageError> {
        let bytes: Vec<u8> = epochs.iter().flat_map(|e| e.to_le_bytes()).collect();
        let answer = self.call("recover", None, |out| {
            out.push(op::RECOVER, [0; 3], &[&bytes]);
        })?;
        Ok(match answer.a {
            0 => Recover::NotMine,
            _ => Recover::Epoch(answer.b),
        })
    }

    fn restore(
        &mut self,
        epoch: u64,
        version: u32,
        state: Option<&[u8]>,
    ) -> Result<(), StageError> {
        let numbers = [epoch, u64::from(version), u64::from(state.is_some())];
        self.call("restore", None, |out| {
            out.push(op::RESTORE, numbers, &[state.unwrap_or_default()]);
        })?;
        Ok(())
    }

    fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        handle: &mut OutHandle<'_>,
    ) -> Result<Poll, StageError> {
        let answer = self.call("poll", Some(handle), |out| {
            out.push(op::POLL, [budget as u64, deadline_ns, 0], &[]);
        })?;
        let known = [
            (answer::MORE, Poll::More),
            (answer::IDLE, Poll::Idle),
            (answer::FINISHED, Poll::Finished),
        ];
        self.one_of("poll", answer.a, &known)
    }

    fn drain(&mut self) -> Result<Drain, StageError> {
        let answer = self.call("drain", None, |out| out.push(op::DRAIN, [0; 3], &[]))?;
        let known = [
            (answer::DRAIN_STOP, Drain::Stop),
            (answer::DRAIN_TO_END, Drain::ToEnd),
        ];
        self.one_of("drain", answer.a, &known)
    }

    fn process(
        &mut self,
        input: Input<'_>,
        handle: &mut OutHandle<'_>,
    ) -> Result<Progress, StageError> {
        let answer = self.call("process", Some(handle), |out| {
            let numbers = [u64::from(input.port), input.seq, 0];
            out.push_batch(op::PROCESS, numbers, input.batch.clone());
        })?;
        self.ticked = Some(answer.b);
        self.one_of("process", answer.a, &PROGRESS)
    }

    fn resume(&mut self, handle: &mut OutHandle<'_>) -> Result<Progress, StageError> {
        let answer = self.call("resume", Some(handle), |out| {
            out.push(op::RESUME, [0; 3], &[]);
        })?;
        self.one_of("resume", answer.a, &PROGRESS)
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        handle: &mut OutHandle<'_>,
    ) -> Result<usize, StageError> {
        let answer = self.call("write", Some(handle), |out| {
            let numbers = [u64::from(input.port), input.seq, from as u64];
            out.push_batch(op::WRITE, numbers, input.batch.clone());
        })?;
        self.ticked = Some(answer.b);
        let left = input.batch.len().saturating_sub(from);
        usize::try_from(answer.a)
            .ok()
            .filter(|taken| *taken <= left)
            .ok_or_else(|| {
                let e = broken(format!("that it took {} of {left} records", answer.a));
                self.process.story("write", &e)
            })
    }

    fn end(&mut self, input: u32, handle: &mut OutHandle<'_>) -> Result<(), StageError> {
        self.call("end", Some(handle), |out| {
            out.push(op::END, [u64::from(input), 0, 0], &[]);
        })?;
        Ok(())
    }

    fn tick(&mut self, now_ns: u64, handle: &mut OutHandle<'_>) -> Result<Option<u64>, StageError> {
        // Still to come: the stage has nothing to do now.
        if let Some(next) = self.ticked.take().filter(|next| *next > now_ns) {
            return Ok(Some(next).filter(|next| *next != answer::NEVER));
        }
        let answer = self.call("tick", Some(handle), |out| {
            out.push(op::TICK, [now_ns, 0, 0], &[]);
        })?;
        Ok(Some(answer.a).filter(|next| *next != answer::NEVER))
    }

    fn checkpoint(
        &mut self,
        epoch: u64,
        upstream: &[u8],
        last: bool,
    ) -> Result<Option<Vec<u8>>, StageError> {
        let answer = self.call("checkpoint", None, |out| {
            out.push(op::CHECKPOINT, [epoch, u64::from(last), 0], &[upstream]);
        })?;
        Ok((answer.a != 0).then_some(answer.body))
    }

    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        handle: &mut OutHandle<'_>,
    ) -> Result<Checkpoint, StageError> {
        let answer = self.call("checkpoint_poll", Some(handle), |out| {
            out.push(op::CHECKPOINT_POLL, [epoch, 0, 0], &[]);
        })?;
        Ok(match answer.a {
            0 => Checkpoint::Pending,
            _ => Checkpoint::Ready(answer.body),
        })
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        let answer = self.call("commit", None, |out| {
            out.push(op::COMMIT, [epoch, 0, 0], &[]);
        })?;
        Ok(match answer.a {
            0 => Commit::Pending,
            _ => Commit::Done,
        })
    }

    fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
        self.call("abort", None, |out| {
            out.push(op::ABORT, [epoch, 0, 0], &[]);
        })?;
        Ok(())
    }

    fn close(&mut self) -> Result<(), StageError> {
        self.call("close", None, |out| out.push(op::CLOSE, [0; 3], &[]))?;
        // Now, so that what it said last is heard before the run is summed up.
        self.process.finish();
        if let Some(how) = self.process.ended_badly() {
            self.process
                .warn(&format!("{how}, after it had closed well"));
        }
        Ok(())
    }
}

/// Answers of `process` and `resume`.
const PROGRESS: [(u32, Progress); 2] = [
    (answer::MORE, Progress::More),
    (answer::IDLE, Progress::Done),
];
