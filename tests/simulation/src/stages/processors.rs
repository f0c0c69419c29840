//! Processors: with a count, one into two, and many into one.

use plugin_api::{
    BatchBuilder, Checkpoint, Context, Input, Out, Processor, Progress, Reject, StageError,
};

use super::{NoOptions, list_state, send, state_list, state_number};
use crate::records::{is_filtered, is_unfit};

/// Records that a window holds at most.
const WIDTH: usize = 4;

/// Passes over some records, rejects others, and counts all.
pub struct Map {
    count: u64,
    at_barrier: u64,
}

impl Processor for Map {
    const NAME: &'static str = "map";
    type Options = NoOptions;

    fn open(_: NoOptions, _: &Context) -> Result<Self, StageError> {
        Ok(Self {
            count: 0,
            at_barrier: 0,
        })
    }

    fn restore(&mut self, _: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        self.count = state_number(state);
        Ok(())
    }

    fn process(&mut self, input: Input<'_>, out: &mut Out<'_, '_>) -> Result<Progress, StageError> {
        let mut builder = BatchBuilder::new();
        for record in input.batch.iter() {
            self.count += 1;
            let id = record.text().unwrap_or_default();
            if is_unfit(id) {
                out.reject(record.index(), &Reject::new("it is unfit"));
            } else if is_filtered(id) {
                out.filtered(1);
            } else {
                builder.record_like(&record).push(record.value());
            }
        }
        send(&mut builder, out);
        Ok(Progress::Done)
    }

    fn checkpoint(&mut self, _: u64, _: bool) -> Result<(), StageError> {
        self.at_barrier = self.count;
        Ok(())
    }

    fn checkpoint_poll(&mut self, _: u64, _: &mut Out<'_, '_>) -> Result<Checkpoint, StageError> {
        Ok(Checkpoint::Ready(self.at_barrier.to_string().into_bytes()))
    }
}

/// Makes two records of one.
pub struct Split;

impl Processor for Split {
    const NAME: &'static str = "split";
    type Options = NoOptions;

    fn open(_: NoOptions, _: &Context) -> Result<Self, StageError> {
        Ok(Self)
    }

    fn process(&mut self, input: Input<'_>, out: &mut Out<'_, '_>) -> Result<Progress, StageError> {
        let mut builder = BatchBuilder::new();
        for record in input.batch.iter() {
            let id = record.text().unwrap_or_default();
            for part in 0..2 {
                let value = format!("{id}/{part}");
                builder.record_like(&record).push(Some(value.as_bytes()));
            }
        }
        send(&mut builder, out);
        Ok(Progress::Done)
    }
}

/// Gathers records, and sends them joined.
pub struct Window {
    held: Vec<String>,
    at_barrier: Vec<u8>,
}

impl Window {
    fn join(&mut self, builder: &mut BatchBuilder) {
        if !self.held.is_empty() {
            builder.push(Some(self.held.join(",").as_bytes()));
            self.held.clear();
        }
    }
}

impl Processor for Window {
    const NAME: &'static str = "window";
    type Options = NoOptions;

    fn open(_: NoOptions, _: &Context) -> Result<Self, StageError> {
        Ok(Self {
            held: Vec::new(),
            at_barrier: Vec::new(),
        })
    }

    fn restore(&mut self, _: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        self.held = state_list(state);
        Ok(())
    }

    fn process(&mut self, input: Input<'_>, out: &mut Out<'_, '_>) -> Result<Progress, StageError> {
        let mut builder = BatchBuilder::new();
        for record in input.batch.iter() {
            self.held.push(record.text().unwrap_or_default().to_owned());
            if self.held.len() == WIDTH {
                self.join(&mut builder);
            }
        }
        send(&mut builder, out);
        Ok(Progress::Done)
    }

    fn end(&mut self, input: u32, out: &mut Out<'_, '_>) -> Result<(), StageError> {
        let mut builder = BatchBuilder::new();
        self.join(&mut builder);
        builder.push(Some(format!("end{input}").as_bytes()));
        send(&mut builder, out);
        Ok(())
    }

    fn checkpoint(&mut self, _: u64, _: bool) -> Result<(), StageError> {
        self.at_barrier = list_state(&self.held);
        Ok(())
    }

    fn checkpoint_poll(&mut self, _: u64, _: &mut Out<'_, '_>) -> Result<Checkpoint, StageError> {
        Ok(Checkpoint::Ready(self.at_barrier.clone()))
    }
}
