//! Sinks: the real files, one whose fates come late, one with transactions, and the disk edge.

use std::{path::Path, sync::Arc};

use plugin_api::{
    Checkpoint, Commit, Context, Input, Out, Record, Recover, Reject, Sink, StageError,
    files::{FileFormat, FileWriter, Roll},
};

use super::{NoOptions, list_state, state_list};
use crate::{graph::OUT, mistake::Mistake, records::is_refused, world};

/// First and last line of a finished file.
pub const HEAD: &[u8] = b"head\n";
/// See [`HEAD`].
pub const TAIL: &[u8] = b"tail\n";

/// Once in a while a sink takes nothing, or not all.
fn takes(all: usize) -> usize {
    world::with(|w| match w.rough && w.rng.u8(0..4) == 0 {
        true => w.rng.usize(0..=all),
        false => all,
    })
}

fn refuse() -> Reject {
    Reject::new("it is refused")
}

/// A line for each record.
struct Lines;

impl FileFormat for Lines {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        out.extend_from_slice(HEAD);
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        let id = record.text()?;
        if is_refused(id) {
            return Err(refuse());
        }
        out.extend_from_slice(id.as_bytes());
        out.push(b'\n');
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        out.extend_from_slice(TAIL);
        Ok(())
    }
}

/// The real files on the simulated disk.
pub struct Files(FileWriter<Lines>);

impl Sink for Files {
    const NAME: &'static str = "files";
    type Options = NoOptions;

    fn open(_: NoOptions, ctx: &Context) -> Result<Self, StageError> {
        let (disk, max_records) = world::with(|w| (w.disk.clone(), w.graph.roll));
        let roll = Roll {
            max_records: Some(max_records),
            ..Roll::default()
        };
        let path = format!("{OUT}/{{stage}}.txt");
        let writer = FileWriter::open_on(Arc::new(disk), Path::new(&path), roll, Lines, ctx)?;
        Ok(Self(writer))
    }

    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        if let (true, Some(state)) = (world::mistaken(Mistake::NumberReused), state) {
            return self.0.restore(epoch, Some(&without_number(state)));
        }
        self.0.restore(epoch, state)
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        self.0.write(input, from, out)
    }

    fn tick(&mut self, now_ns: u64, _: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        self.0.tick(now_ns)
    }

    fn checkpoint(&mut self, epoch: u64, last: bool) -> Result<(), StageError> {
        self.0.checkpoint(epoch, last)
    }

    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        _: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        self.0.checkpoint_poll(epoch)
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        self.0.commit(epoch)
    }

    fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
        self.0.abort(epoch);
        Ok(())
    }
}

/// A state of files that has forgotten which numbers were given.
fn without_number(state: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(state);
    let Some((before, rest)) = text.split_once("\"next\":") else {
        return state.to_vec();
    };
    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}\"next\":1{after}").into_bytes()
}

struct Taken {
    seq: u64,
    index: u32,
    id: String,
    behind: bool,
}

/// A sink that knows what became of a record only later.
pub struct Late {
    instance: String,
    waiting: Vec<Taken>,
    /// With whether it came behind the barrier in flight.
    delivered: Vec<(String, bool)>,
    prepared: Option<(u64, Vec<String>)>,
}

impl Late {
    /// Settles one record.
    fn settle(&mut self, out: &mut Out<'_, '_>) {
        if self.waiting.is_empty() {
            return;
        }
        let at = world::with(|w| w.rng.usize(0..self.waiting.len()));
        let taken = self.waiting.swap_remove(at);
        if is_refused(&taken.id) {
            out.reject_at(taken.seq, taken.index, &refuse());
        } else {
            out.consumed_at(taken.seq, 1);
            self.delivered.push((taken.id, taken.behind));
        }
    }

    fn merge(&mut self) {
        self.waiting.iter_mut().for_each(|t| t.behind = false);
        self.delivered.iter_mut().for_each(|d| d.1 = false);
    }
}

impl Sink for Late {
    const NAME: &'static str = "late";
    const LATE: bool = true;
    type Options = NoOptions;

    fn open(_: NoOptions, ctx: &Context) -> Result<Self, StageError> {
        Ok(Self {
            instance: format!("{}#{}", ctx.stage(), ctx.worker()),
            waiting: Vec::new(),
            delivered: Vec::new(),
            prepared: None,
        })
    }

    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        let list = state_list(state);
        self.delivered = list.iter().map(|id| (id.clone(), false)).collect();
        self.prepared = Some((epoch, list));
        Ok(())
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        let taken = takes(input.batch.len() - from);
        let behind = self.prepared.as_ref().is_some_and(|p| p.0 == u64::MAX);
        for index in from..from + taken {
            let record = input.batch.record(index);
            self.waiting.push(Taken {
                seq: input.seq,
                index: record.index(),
                id: record.text().unwrap_or_default().to_owned(),
                behind,
            });
        }
        if world::with(|w| w.rng.bool()) {
            self.settle(out);
        }
        Ok(taken)
    }

    fn tick(&mut self, now_ns: u64, out: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        self.settle(out);
        Ok(Some(now_ns + 1_000_000))
    }

    fn checkpoint(&mut self, _: u64, _: bool) -> Result<(), StageError> {
        self.merge();
        // Until it is ready, what comes is behind the barrier.
        self.prepared = Some((u64::MAX, Vec::new()));
        Ok(())
    }

    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        self.settle(out);
        if self.waiting.iter().any(|t| !t.behind) {
            return Ok(Checkpoint::Pending);
        }
        let before = self.delivered.iter().filter(|d| !d.1);
        let list: Vec<String> = before.map(|d| d.0.clone()).collect();
        let state = list_state(&list);
        self.prepared = Some((epoch, list));
        self.merge();
        Ok(Checkpoint::Ready(state))
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        if let Some((_, list)) = self.prepared.take_if(|p| p.0 == epoch) {
            world::with(|w| w.late.insert(self.instance.clone(), list));
        }
        Ok(Commit::Done)
    }
}

/// A sink whose broker says which epoch is true.
pub struct Transaction {
    name: String,
    current: Vec<String>,
    sealed: bool,
}

impl Sink for Transaction {
    const NAME: &'static str = "transaction";
    type Options = NoOptions;

    fn open(_: NoOptions, ctx: &Context) -> Result<Self, StageError> {
        Ok(Self {
            name: ctx.stage().to_owned(),
            current: Vec::new(),
            sealed: false,
        })
    }

    fn recover(&mut self, _: &[u64]) -> Result<Recover, StageError> {
        let epoch = world::with(|w| w.brokers.entry(self.name.clone()).or_default().epoch);
        Ok(Recover::Epoch(epoch))
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        if self.sealed {
            // A transaction holds one epoch: what comes behind its barrier waits for the commit.
            return Ok(0);
        }
        let taken = takes(input.batch.len() - from);
        for index in from..from + taken {
            let id = input.batch.record(index).text().unwrap_or_default();
            if is_refused(id) {
                out.reject(index as u32, &refuse());
            } else {
                self.current.push(id.to_owned());
            }
        }
        Ok(taken)
    }

    fn checkpoint(&mut self, _: u64, _: bool) -> Result<(), StageError> {
        self.sealed = true;
        Ok(())
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        world::with(|w| {
            let broker = w.brokers.entry(self.name.clone()).or_default();
            if broker.epoch < epoch {
                broker.epoch = epoch;
                broker.records.append(&mut self.current);
            }
        });
        self.sealed = false;
        Ok(Commit::Done)
    }

    fn abort(&mut self, _: u64) -> Result<(), StageError> {
        self.sealed = false;
        Ok(())
    }
}

/// The end of a disk edge where it is written.
pub struct EdgeIn {
    pending: Vec<String>,
    /// Of those, what came before the barrier.
    before: usize,
    ended: bool,
    ended_at_barrier: bool,
    prepared: Option<(u64, usize, bool)>,
}

impl Sink for EdgeIn {
    const NAME: &'static str = "edge-in";
    type Options = NoOptions;

    fn open(_: NoOptions, _: &Context) -> Result<Self, StageError> {
        Ok(Self {
            pending: Vec::new(),
            before: 0,
            ended: false,
            ended_at_barrier: false,
            prepared: None,
        })
    }

    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        let list = state_list(state);
        let rows = list.first().and_then(|n| n.parse().ok()).unwrap_or(0);
        self.ended = list.len() > 1;
        self.prepared = Some((epoch, rows, self.ended));
        let readable = world::with(|w| {
            w.edge.rows.truncate(rows);
            w.edge.readable
        });
        if rows < readable {
            world::broken(|| format!("{readable} rows were readable of an edge that holds {rows}"));
        }
        Ok(())
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        _: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        let taken = takes(input.batch.len() - from);
        for index in from..from + taken {
            let record = input.batch.record(index);
            self.pending
                .push(record.text().unwrap_or_default().to_owned());
        }
        Ok(taken)
    }

    fn end(&mut self, _: u32, _: &mut Out<'_, '_>) -> Result<(), StageError> {
        self.ended = true;
        Ok(())
    }

    fn checkpoint(&mut self, _: u64, _: bool) -> Result<(), StageError> {
        self.before = self.pending.len();
        self.ended_at_barrier = self.ended;
        Ok(())
    }

    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        _: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        let before = self.pending.drain(..self.before);
        let rows = world::with(|w| {
            w.edge.rows.extend(before);
            w.edge.rows.len()
        });
        self.before = 0;
        self.prepared = Some((epoch, rows, self.ended_at_barrier));
        let end = if self.ended_at_barrier { "end\n" } else { "" };
        Ok(Checkpoint::Ready(format!("{rows}\n{end}").into_bytes()))
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        if let Some((_, rows, ended)) = self.prepared.filter(|p| p.0 == epoch) {
            world::with(|w| {
                w.edge.readable = w.edge.readable.max(rows);
                w.edge.ended |= ended;
            });
        }
        Ok(Commit::Done)
    }
}
