//! A sink that is nothing but files of a format.

use super::format::{FileFormat, FileWriter};
use super::rolling::Roll;
use crate::{Checkpoint, Commit, ContentType, Context, Input, Out, Planned, Sink, StageError};
use serde::de::DeserializeOwned;
use std::path::Path;

/// What is special about a sink of files: name a type of this in
/// [`export_plugin!`](crate::export_plugin) as `FileSink<Type>`.
pub trait FileSpec: 'static {
    /// The name that `plugin = "…"` uses.
    const NAME: &'static str;
    /// Options, declared with [`options!`](crate::options).
    type Options: DeserializeOwned + schemars::JsonSchema + Clone + Send;
    /// How records become bytes.
    type Format: FileFormat + 'static;

    /// Checks options and input types. Pure: called at plan time, too.
    ///
    /// # Errors
    /// [`StageError::config`] with the pointer to the option at fault; `/inputs` stands for the
    /// stage's inputs.
    fn format(options: &Self::Options, inputs: &[ContentType]) -> Result<Self::Format, StageError>;

    /// The path of the files, with placeholders (the option `path`), and when a new one is begun.
    fn target(options: &Self::Options) -> (&Path, &Roll);
}

/// A sink of files, exactly once: see [`FileWriter`].
pub struct FileSink<S: FileSpec> {
    files: FileWriter<S::Format>,
}

impl<S: FileSpec> Sink for FileSink<S> {
    const NAME: &'static str = S::NAME;
    type Options = S::Options;

    fn plan(options: &S::Options, inputs: &[ContentType]) -> Result<Planned, StageError> {
        FileWriter::<S::Format>::plan(S::target(options).0)?;
        S::format(options, inputs)?;
        Ok(Planned::sink())
    }

    fn open(options: S::Options, ctx: &Context) -> Result<Self, StageError> {
        let format = S::format(&options, ctx.inputs())?;
        let (path, roll) = S::target(&options);
        let files = FileWriter::open(path, roll.clone(), format, ctx)?;
        Ok(Self { files })
    }

    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        self.files.restore(epoch, state)
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        self.files.write(input, from, out)
    }

    fn tick(&mut self, now_ns: u64, _: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        self.files.tick(now_ns)
    }

    fn checkpoint(&mut self, epoch: u64, last: bool) -> Result<(), StageError> {
        self.files.checkpoint(epoch, last)
    }

    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        _: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        self.files.checkpoint_poll(epoch)
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        self.files.commit(epoch)
    }

    fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
        self.files.abort(epoch);
        Ok(())
    }
}
