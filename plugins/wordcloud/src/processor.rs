//! The stage: text in, words into the window, frames out on a timer.

use hashbrown::HashSet;
use plugin_api::prelude::*;

use crate::config::{Checked, Options, Output};
use crate::draw::{self, Drawing};
use crate::font::{self, Book};
use crate::frame::{self, Frame, Look};
use crate::input::Reader;
use crate::layout::{Layout, Word};
use crate::token::Tokenizer;
use crate::window::{Added, Window};

/// A record from further ahead of the clock than this counts as of now: one wrong timestamp must
/// not empty a window of time.
const AHEAD_US: i64 = 60_000_000;

/// Bytes of a character, at most.
const CHARACTER_BYTES: u64 = 4;
/// Bytes of a known word besides its characters: its text's header, its count, its place in the
/// index.
const WORD_BYTES: u64 = 40;
/// Bytes of a word of the window, at most: a record of one word takes a link and an entry.
const TOKEN_BYTES: u64 = 76;

/// The processor `wordcloud`.
pub struct WordCloud {
    options: Options,
    ctx: Context,
    readers: Vec<Reader>,
    tokenizer: Tokenizer,
    window: Window,
    layout: Layout,
    fonts: Book,
    /// Characters of which it was said that no font has them.
    lacked: HashSet<char>,
    builder: BatchBuilder,
    text: String,
    seq: u64,
    changed: bool,
    next_ns: u64,
    /// Monotonic time of the newest record, to know how long the stream has been quiet.
    fed_ns: u64,
    warned: (u64, u64),
    /// As of the barrier that passed last.
    state: Vec<u8>,
}

impl Processor for WordCloud {
    const NAME: &'static str = "wordcloud";
    type Options = Options;

    fn plan(options: &Options, inputs: &[ContentType]) -> Result<Planned, StageError> {
        options.check()?;
        for input in inputs {
            Reader::new(input, &options.text)?;
        }
        let content = ContentType::new(match options.format {
            Output::Json => Format::Json,
            Output::Svg => Format::Svg,
            Output::Png => Format::Png,
        });
        let word = options.max_length as u64 * CHARACTER_BYTES + WORD_BYTES;
        Ok(Planned::new(content)
            .memory("different words", u64::from(options.max_words) * word)
            .memory(
                "words of the window",
                u64::from(options.max_tokens) * TOKEN_BYTES,
            )
            .memory("fonts of the machine", font::MOST_BYTES as u64))
    }

    fn open(options: Options, ctx: &Context) -> Result<Self, StageError> {
        if ctx.workers() > 1 {
            return Err(StageError::fatal(
                "a word cloud counts all records in one place: leave `workers` out, or 1",
            ));
        }
        let Checked {
            bounds,
            rules,
            settings,
        } = options.check()?;
        let readers = ctx
            .inputs()
            .iter()
            .map(|input| Reader::new(input, &options.text))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            readers,
            tokenizer: Tokenizer::new(rules),
            window: Window::new(bounds),
            fonts: settings.fonts.clone(),
            lacked: HashSet::new(),
            layout: Layout::new(settings),
            builder: BatchBuilder::new(),
            text: String::new(),
            seq: 0,
            changed: false,
            next_ns: 0,
            fed_ns: 0,
            warned: (0, 0),
            state: Vec::new(),
            options,
            ctx: ctx.clone(),
        })
    }

    fn restore(&mut self, _epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        let Some(state) = state.filter(|state| !state.is_empty()) else {
            return Ok(());
        };
        let torn = || StageError::fatal("its state of the last run does not read");
        let (seq, rest) = state.split_first_chunk().ok_or_else(torn)?;
        let (changed, window) = rest.split_first().ok_or_else(torn)?;
        let bounds = self.options.check()?.bounds;
        self.window = Window::load(bounds, window).ok_or_else(torn)?;
        self.seq = u64::from_le_bytes(*seq);
        self.changed = *changed != 0;
        self.warned = (self.window.refused(), self.window.cut());
        self.fed_ns = self.ctx.monotonic_ns();
        // As if the last frame had just gone out: crashes in a row make no burst of frames.
        self.next_ns = self.fed_ns + self.options.interval.nanos();
        Ok(())
    }

    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<(), StageError> {
        self.state.clear();
        self.state.extend(self.seq.to_le_bytes());
        self.state.push(u8::from(self.changed));
        self.window.save(&mut self.state);
        Ok(())
    }

    fn checkpoint_poll(
        &mut self,
        _epoch: u64,
        _: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        Ok(Checkpoint::Ready(std::mem::take(&mut self.state)))
    }

    fn process(&mut self, input: Input<'_>, out: &mut Out<'_, '_>) -> Result<Progress, StageError> {
        let Some(reader) = self.readers.get_mut(input.port as usize) else {
            return Err(StageError::fatal(format!(
                "there is no input {}",
                input.port
            )));
        };
        let now_us = self.ctx.now_us();
        let newest = self.window.newest_us();
        let mut late = 0;
        for record in input.batch.iter() {
            if let Err(why) = reader.text(&record, &mut self.text) {
                out.reject(record.index(), &why);
                continue;
            }
            let window = &mut self.window;
            self.tokenizer.words(&self.text, |word| window.word(word));
            let time = record
                .ts_us()
                .map_or(now_us, |time| time.min(now_us.saturating_add(AHEAD_US)));
            match self.window.end_record(time) {
                Added::Counted => self.changed = true,
                Added::Late => late += 1,
            }
        }
        out.filtered(late);
        if self.window.newest_us() > newest {
            self.fed_ns = self.ctx.monotonic_ns();
        }
        Ok(Progress::Done)
    }

    fn end(&mut self, _: u32, out: &mut Out<'_, '_>) -> Result<(), StageError> {
        self.emit(out)
    }

    fn tick(&mut self, now_ns: u64, out: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        if now_ns >= self.next_ns {
            if self.window.records() > 0 {
                let quiet_us = (now_ns.saturating_sub(self.fed_ns) / 1000) as i64;
                self.changed |= self
                    .window
                    .expire(self.window.newest_us().saturating_add(quiet_us));
            }
            self.emit(out)?;
            self.next_ns = now_ns + self.options.interval.nanos();
        }
        Ok(Some(self.next_ns))
    }
}

impl WordCloud {
    /// Emits a frame if counts have changed since the last.
    fn emit(&mut self, out: &mut Out<'_, '_>) -> Result<(), StageError> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        self.report();
        let most = self.options.words as usize;
        // Some more than are shown, so that those about the last rank need not come and go.
        let top = self.window.top(most + most / 4, self.options.min_count);
        let ranked: Vec<Word<'_>> = top
            .into_iter()
            .map(|(text, count)| Word { text, count })
            .collect();
        let chosen = self.layout.choose(&ranked, most);
        let words: Vec<Word<'_>> = chosen.into_iter().map(|at| ranked[at]).collect();
        let places = self.layout.arrange(&words);
        self.seq += 1;
        let now_us = self.ctx.now_us();
        let frame = Frame {
            kind: "wordcloud",
            seq: self.seq,
            time_ms: now_us / 1000,
            newest_ms: Some(self.window.newest_us())
                .filter(|time| *time != i64::MIN)
                .map(|time| time / 1000),
            width: self.options.width,
            height: self.options.height,
            look: Look::new(self.layout.said(), self.options.palette),
            records: self.window.records(),
            tokens: self.window.tokens(),
            distinct: self.window.distinct(),
            words: frame::items(&words, &places, self.options.seed),
        };
        let undrawn = match self.options.format {
            Output::Json => Vec::new(),
            Output::Svg | Output::Png => self
                .fonts
                .lend(|fonts| draw::undrawn(words.iter().map(|word| word.text), fonts)),
        };
        let picture = || Drawing {
            width: self.options.width,
            height: self.options.height,
            background: self.options.background,
            colors: self.options.palette.colors(self.options.background),
            title: format!("{} words of {} records", words.len(), frame.records),
            words: words
                .iter()
                .zip(&places)
                .map(|(word, place)| (*word, *place, frame::color(word.text, self.options.seed)))
                .collect(),
        };
        let (format, fonts) = (self.options.format, &self.fonts);
        self.builder
            .write(|buffer| match format {
                Output::Json => frame.write_json(buffer).map_err(|error| error.to_string()),
                Output::Svg => {
                    fonts.lend(|fonts| picture().svg(fonts, buffer));
                    Ok(())
                }
                Output::Png => fonts.lend(|fonts| picture().png(fonts, buffer)),
            })
            .map_err(|error| StageError::fatal(format!("cannot write a frame: {error}")))?
            .ts_us(Some(now_us));
        out.emit(0, self.builder.finish());
        self.lacking(&undrawn);
        Ok(())
    }

    /// Says once for each character that it could not be drawn.
    fn lacking(&mut self, undrawn: &[char]) {
        let new: String = undrawn
            .iter()
            .filter(|letter| self.lacked.insert(**letter))
            .collect();
        if !new.is_empty() {
            self.ctx.warn(format!(
                "no font has {new}: discs stand for them; give fonts by the option `fonts`, or install some"
            ));
        }
    }

    /// Gauges, and a warning the first time that a bound on memory was reached.
    fn report(&mut self) {
        self.ctx
            .gauge("wordcloud_records", self.window.records() as f64);
        self.ctx
            .gauge("wordcloud_distinct_words", self.window.distinct() as f64);
        let (refused, cut) = (self.window.refused(), self.window.cut());
        if refused > self.warned.0 {
            if self.warned.0 == 0 {
                self.ctx.warn(format!(
                    "{} different words are known, the most that max_words allows: new ones are not counted until others leave",
                    self.window.distinct()
                ));
            }
            self.ctx
                .counter("wordcloud_words_refused", refused - self.warned.0);
        }
        if cut > self.warned.1 {
            if self.warned.1 == 0 {
                self.ctx.warn("the window holds the most words that max_tokens allows: its oldest records leave early");
            }
            self.ctx
                .counter("wordcloud_records_cut", cut - self.warned.1);
        }
        self.warned = (refused, cut);
    }
}
