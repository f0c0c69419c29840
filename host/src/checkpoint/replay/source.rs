//! The source that sends a stage's dead letters to it again.

use std::path::{Path, PathBuf};

use plugin_api::{
    BatchBuilder, Context, Emit, Out, Planned, Poll, Source, StageError, abi::root::Plugin,
    manifest::StageEntry, options,
};
use serde::{Deserialize, Serialize};

use super::{Done, NAME};
use crate::checkpoint::letters::{Letter, LetterFile, Letters};

/// The plugin around it.
pub struct ReplayPlugin;

impl Plugin for ReplayPlugin {
    const NAME: &'static str = "host";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const LICENSE: &'static str = env!("CARGO_PKG_LICENSE");
    const DESCRIPTION: &'static str = "Stages of the host itself";
    fn stages() -> Vec<StageEntry> {
        vec![plugin_api::export::source::<DeadLetters>()]
    }
}

/// A file, as far as it is replayed.
#[derive(Debug, Clone, Serialize, Deserialize, plugin_api::schemars::JsonSchema)]
#[schemars(crate = "plugin_api::schemars")]
pub struct Portion {
    name: String,
    path: PathBuf,
    length: u64,
}

impl From<&LetterFile> for Portion {
    fn from(file: &LetterFile) -> Self {
        Self {
            name: file.name.clone(),
            path: file.path.clone(),
            length: file.length,
        }
    }
}

options! {
    /// Sends the dead letters of a stage to it again.
    #[derive(Serialize)]
    pub struct Options {
        /// The stage.
        pub stage: String,
        /// The files, in order.
        pub files: Vec<Portion>,
    }
}

pub struct DeadLetters {
    options: Options,
    ctx: Context,
    done: Done,
    /// The file that is next, or in hand.
    file: usize,
    reader: Option<Letters>,
    builder: BatchBuilder,
    /// Output of what is in the builder.
    port: u32,
}

impl Source for DeadLetters {
    const NAME: &'static str = NAME;
    type Options = Options;

    fn plan(_: &Options) -> Result<Planned, StageError> {
        // One output for each input of the stage, as the host has planned.
        Ok(Planned::default())
    }

    fn open(options: Options, ctx: &Context) -> Result<Self, StageError> {
        Ok(Self {
            options,
            ctx: ctx.clone(),
            done: Done::default(),
            file: 0,
            reader: None,
            builder: BatchBuilder::new(),
            port: 0,
        })
    }

    fn restore(&mut self, _: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        if let Some(state) = state {
            self.done = Done::read(state)?;
        }
        // Files that somebody has cleared away do not come back.
        let folder = self.options.files.first().and_then(|f| f.path.parent());
        let folder = folder.map(Path::to_owned);
        self.done
            .0
            .retain(|name, _| folder.as_ref().is_some_and(|f| f.join(name).exists()));
        Ok(())
    }

    fn poll(&mut self, budget: usize, _: u64, out: &mut Out<'_, '_>) -> Result<Poll, StageError> {
        let limits = self.ctx.batch_limits();
        let mut room = budget.min(limits.max_records);
        while room > 0 && !self.builder.is_full(&limits) {
            let Some((port, letter)) = self.next() else {
                self.send(out);
                return Ok(Poll::Finished);
            };
            if port != self.port && self.send(out) == Emit::Full {
                // It still goes out, and is the last one.
                room = 1;
            }
            self.add(port, &letter);
            room -= 1;
        }
        self.send(out);
        Ok(Poll::More)
    }

    fn checkpoint(&mut self, _: u64, _: bool) -> Result<Vec<u8>, StageError> {
        serde_json::to_vec(&self.done).map_err(|e| StageError::fatal(e.to_string()))
    }
}

impl DeadLetters {
    fn send(&mut self, out: &mut Out<'_, '_>) -> Emit {
        out.emit(self.port, self.builder.finish())
    }

    fn add(&mut self, port: u32, letter: &Letter) {
        self.port = port;
        let builder = self.builder.push(letter.payload.as_deref());
        builder.key(letter.key.as_deref()).ts_us(letter.ts_us);
        for (name, value) in &letter.headers {
            builder.header(name, value.as_deref());
        }
    }

    /// The next letter of the stage, with the input that rejected it.
    fn next(&mut self) -> Option<(u32, Letter)> {
        loop {
            let file = self.options.files.get(self.file)?;
            let before = self.done.of(&file.name);
            if self.reader.is_none() {
                match Letters::open(&file.path, file.length) {
                    Ok(letters) => self.reader = Some(letters),
                    Err(e) => self.ctx.error(e),
                }
                let skip = usize::try_from(before).unwrap_or(usize::MAX);
                if let (Some(reader), Some(last)) = (&mut self.reader, skip.checked_sub(1)) {
                    reader.nth(last);
                }
            }
            match self.reader.as_mut().and_then(Iterator::next) {
                Some(Ok(letter)) => {
                    self.done.0.insert(file.name.clone(), before + 1);
                    if letter.stage == self.options.stage
                        && let Some(input) = letter.input
                    {
                        return Some((input, letter));
                    }
                }
                ended => {
                    if let Some(Err(e)) = ended {
                        self.ctx.error(e);
                    }
                    self.reader = None;
                    self.file += 1;
                }
            }
        }
    }
}
