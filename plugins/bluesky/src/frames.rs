//! From a frame of the websocket to a record: inflated, read, known or new, wanted or not.

use plugin_api::{Batch, BatchBuilder, Context, StageError};

use crate::config::{Emit, Options};
use crate::event::Event;
use crate::inflate::{Deflated, Inflate, is_compressed};
use crate::ledger::Ledger;
use crate::past::{Age, News, Past};
use crate::selection::Selection;

/// A frame that was read.
#[derive(Debug)]
pub(crate) struct Read<'f> {
    /// What the stage is to learn of it, unless it was had before.
    pub news: Option<News>,
    pub fate: Fate<'f>,
}

/// What becomes of a frame.
#[derive(Debug)]
pub(crate) enum Fate<'f> {
    /// A record to hand on.
    Record(Found<'f>),
    /// An event that is not wanted, or was had before.
    Filtered,
    /// It cannot be used.
    Rejected(&'f [u8], String),
    /// It was made with the dictionary of this number: none of this server's can be used.
    OtherDictionary(u32),
}

/// An event that goes on.
#[derive(Debug)]
pub(crate) struct Found<'f> {
    pub json: &'f [u8],
    time_us: i64,
    address: &'f [u8],
}

impl Found<'_> {
    /// Sets what goes with the record that was pushed last.
    pub fn label(&self, builder: &mut BatchBuilder) {
        builder
            .ts_us(Some(self.time_us))
            .header("id", Some(self.address));
    }
}

/// Takes frames apart.
pub(crate) struct Frames {
    pub past: Past,
    inflate: Option<Inflate>,
    selection: Selection,
    max: usize,
    address: Vec<u8>,
    counts: Counts,
}

impl Frames {
    pub fn new(options: &Options, ledger: Ledger) -> Result<Self, StageError> {
        let max = options.max_message_bytes.bytes();
        let dictionary = options.dictionary.as_ref();
        Ok(Self {
            past: Past::new(ledger),
            inflate: dictionary
                .map(|path| Inflate::open(path, max))
                .transpose()?,
            selection: Selection::new(options)?,
            max,
            address: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// Whether events may come compressed.
    pub fn inflates(&self) -> bool {
        self.inflate.is_some()
    }

    /// Takes a frame.
    pub fn read<'f>(&'f mut self, frame: &'f [u8]) -> Read<'f> {
        let Self {
            past,
            inflate,
            selection,
            max,
            address,
            counts,
        } = self;
        let reject = |past: &mut Past, counts: &mut Counts, bytes, why| match past.garbage(bytes) {
            Age::Known => counts.duplicate(),
            Age::New(news) | Age::Late(news) => Read {
                news: Some(news),
                fate: Fate::Rejected(bytes, why),
            },
        };
        if frame.len() > *max {
            let why = format!("longer than max_message_bytes = {max}; only its beginning is kept");
            return reject(past, counts, frame, why);
        }
        let json = match inflate {
            Some(inflate) if is_compressed(frame) => match inflate.inflate(frame) {
                Ok(json) => json,
                Err(Deflated::Unusable(why)) => return reject(past, counts, frame, why),
                Err(Deflated::OtherDictionary(number)) => {
                    return Read {
                        news: None,
                        fate: Fate::OtherDictionary(number),
                    };
                }
            },
            _ => frame,
        };
        let event = match Event::read(json) {
            Ok(event) => event,
            Err(why) => return reject(past, counts, json, why),
        };
        event.address(address);
        let news = match past.event(&event, address) {
            Age::Known => return counts.duplicate(),
            Age::New(news) => news,
            Age::Late(news) => {
                counts.add(LATE);
                news
            }
        };
        counts.add(kind(event.kind));
        let fate = match selection.wants(&event) {
            Ok(true) => Fate::Record(Found {
                json,
                time_us: event.time_us,
                address,
            }),
            Ok(false) => {
                counts.add(UNWANTED);
                Fate::Filtered
            }
            Err(error) => Fate::Rejected(json, error.to_string()),
        };
        Read {
            news: Some(news),
            fate,
        }
    }

    /// Adds what was counted to the metrics.
    pub fn count(&mut self, ctx: &Context) {
        for (name, count) in NAMES.iter().zip(&mut self.counts.0) {
            if *count > 0 {
                ctx.counter(name, std::mem::take(count));
            }
        }
    }
}

/// Counters between two visits of the metrics.
#[derive(Debug, Default)]
struct Counts([u64; NAMES.len()]);

const NAMES: [&str; 9] = [
    "bluesky_create",
    "bluesky_update",
    "bluesky_delete",
    "bluesky_identity",
    "bluesky_account",
    "bluesky_unknown",
    "bluesky_unwanted",
    "bluesky_duplicates",
    "bluesky_late",
];
const UNWANTED: usize = 6;
const DUPLICATES: usize = 7;
const LATE: usize = 8;

fn kind(kind: Option<Emit>) -> usize {
    match kind {
        Some(Emit::Create) => 0,
        Some(Emit::Update) => 1,
        Some(Emit::Delete) => 2,
        Some(Emit::Identity) => 3,
        Some(Emit::Account) => 4,
        None => 5,
    }
}

impl Counts {
    fn add(&mut self, what: usize) {
        self.0[what] += 1;
    }

    fn duplicate<'f>(&mut self) -> Read<'f> {
        self.add(DUPLICATES);
        Read {
            news: None,
            fate: Fate::Filtered,
        }
    }
}

/// Batches of frames' events, as the source makes them: for measuring and for fuzzing.
#[doc(hidden)]
pub struct Converter {
    frames: Frames,
    builder: BatchBuilder,
}

#[doc(hidden)]
impl Converter {
    /// For these options, in JSON.
    ///
    /// # Errors
    /// If they are not the source's.
    pub fn new(options: &str) -> Result<Self, StageError> {
        let options: Options = serde_json::from_str(options)
            .map_err(|e| StageError::config("", format!("not the options of `bluesky`: {e}")))?;
        let ledger = Ledger::new(options.rewind_us());
        Ok(Self {
            frames: Frames::new(&options, ledger)?,
            builder: BatchBuilder::new(),
        })
    }

    /// Takes a frame; false: it is no record.
    pub fn take(&mut self, frame: &[u8]) -> bool {
        let Fate::Record(found) = self.frames.read(frame).fate else {
            return false;
        };
        self.builder.push(Some(found.json));
        found.label(&mut self.builder);
        true
    }

    /// What was taken since the last time.
    pub fn batch(&mut self) -> Batch {
        self.builder.finish()
    }
}
