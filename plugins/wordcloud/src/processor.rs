//! The stage: text in, words into the window, frames out on a timer.

use hashbrown::HashSet;
use plugin_api::prelude::*;

use crate::check::Checked;
use crate::config::{Options, Output};
use crate::draw::{self, Drawing};
use crate::font::{self, Book};
use crate::frame::{self, Frame, Look};
use crate::input::{Item, Reader};
use crate::layout::{Layout, Settings, Word};
use crate::token::Tokenizer;
use crate::window::Counted;
use crate::window::groups::{Admitted, Group, Groups, Losses};

/// Time after which a call that makes frames lets the host have its turn.
const TURN_NS: u64 = 50_000_000;

/// Bytes of a character, at most.
const CHARACTER_BYTES: u64 = 4;
/// Bytes of a known word besides its characters: its form, its count, its place in the index.
const WORD_BYTES: u64 = 96;
/// Bytes of a word of the window, at most: see the window's `RECORD`.
const TOKEN_BYTES: u64 = 76;

/// The processor `wordcloud`.
pub struct WordCloud {
    options: Options,
    ctx: Context,
    readers: Vec<Reader>,
    tokenizer: Tokenizer,
    groups: Groups<Layout>,
    settings: Settings,
    fonts: Book,
    /// Characters of which it was said that no font has them.
    lacked: HashSet<char>,
    /// Whether it was said that the padding gives way.
    crowded: bool,
    builder: BatchBuilder,
    item: Item,
    seq: u64,
    /// When frames go out again, and the group that is next in this turn.
    next_ns: u64,
    turn: usize,
    /// Monotonic time of the newest record, to know how long the stream has been quiet.
    fed_ns: u64,
    told: Losses,
    /// As of the barrier that passed last.
    state: Vec<u8>,
}

impl Processor for WordCloud {
    const NAME: &'static str = "wordcloud";
    const STATE_VERSION: u32 = 3;
    type Options = Options;

    fn plan(options: &Options, inputs: &[ContentType]) -> Result<Planned, StageError> {
        let Checked {
            bounds, settings, ..
        } = options.check()?;
        for input in inputs {
            Reader::new(input, options.wanted())?;
        }
        let content = ContentType::new(match options.format {
            Output::Json => Format::Json,
            Output::Svg => Format::Svg,
            Output::Png => Format::Png,
        });
        // A pair is two words.
        let words = 1 + u64::from(options.bigrams);
        let word = options.max_length as u64 * CHARACTER_BYTES * words + WORD_BYTES;
        Ok(Planned::new(content)
            .memory("different words", u64::from(options.max_words) * word)
            .memory(
                "words of the windows",
                u64::from(options.max_tokens) * TOKEN_BYTES,
            )
            .memory("samples", (bounds.samples * options.groups()) as u64)
            .memory(
                "layouts",
                (Layout::bytes(&settings, options.words as usize) * options.groups()) as u64,
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
            .map(|input| Reader::new(input, options.wanted()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            readers,
            tokenizer: Tokenizer::new(rules),
            groups: Groups::new(bounds, options.groups()),
            fonts: settings.fonts.clone(),
            settings,
            lacked: HashSet::new(),
            crowded: false,
            builder: BatchBuilder::new(),
            item: Item::default(),
            seq: 0,
            next_ns: 0,
            turn: 0,
            fed_ns: 0,
            told: Losses::default(),
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
        let bounds = self.options.check()?.bounds;
        let settings = &self.settings;
        let layout = |from: &[u8]| Layout::load(settings.clone(), from);
        let most = self.options.groups();
        self.groups = Groups::load(bounds, most, layout, rest).ok_or_else(torn)?;
        self.seq = u64::from_le_bytes(*seq);
        self.told = self.groups.losses();
        self.fed_ns = self.ctx.monotonic_ns();
        // As if the last frame had just gone out: crashes in a row make no burst of frames.
        self.next_ns = self.fed_ns + self.options.interval_ns().unwrap_or(0);
        Ok(())
    }

    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<(), StageError> {
        self.state.clear();
        self.state.extend(self.seq.to_le_bytes());
        let (words, each) = (self.options.words, self.options.samples);
        self.groups
            .save(words as usize, each as usize, Layout::save, &mut self.state);
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
        let latest_us = now_us.saturating_add(self.groups.ahead_us());
        let newest = self.groups.newest_us();
        let grouped = self.options.group_by.is_some();
        let (groups, item) = (&mut self.groups, &mut self.item);
        let mut passed = 0;
        for record in input.batch.iter() {
            if let Err(why) = reader.read(&record, item) {
                out.reject(record.index(), &why);
                continue;
            }
            let group = match &item.group {
                Some(group) => group,
                None if grouped => {
                    passed += 1;
                    continue;
                }
                None => "",
            };
            let time_us = record.ts_us().filter(|time| *time <= latest_us);
            let time_us = time_us.unwrap_or(now_us);
            match groups.admit(group, time_us, item.origin) {
                Admitted::Late => passed += 1,
                Admitted::Repeated(_) => {}
                Admitted::Counted(slot) => {
                    self.tokenizer
                        .words(&item.text, |text, key| groups.word(slot, text, key));
                    groups.end_record(slot, time_us, item.origin, &item.text);
                }
            }
        }
        out.filtered(passed);
        if self.groups.newest_us() > newest {
            self.fed_ns = self.ctx.monotonic_ns();
        }
        Ok(Progress::Done)
    }

    fn end(&mut self, _: u32, out: &mut Out<'_, '_>) -> Result<(), StageError> {
        self.groups.expire(i64::MIN);
        self.report();
        for slot in 0..self.groups.slots() {
            self.emit(slot, out)?;
        }
        Ok(())
    }

    fn tick(&mut self, now_ns: u64, out: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        let Some(interval) = self.options.interval_ns() else {
            return Ok(None);
        };
        if self.turn == 0 {
            if now_ns < self.next_ns {
                return Ok(Some(self.next_ns));
            }
            self.next_ns = now_ns + interval;
            let quiet_us = (now_ns.saturating_sub(self.fed_ns) / 1000) as i64;
            let newest = self.groups.newest_us();
            if newest > i64::MIN {
                self.groups.expire(newest.saturating_add(quiet_us));
            }
            self.groups.shrink();
            self.report();
        }
        let began = self.ctx.monotonic_ns();
        while self.turn < self.groups.slots() {
            self.emit(self.turn, out)?;
            self.turn += 1;
            if self.ctx.monotonic_ns() > began + TURN_NS && self.turn < self.groups.slots() {
                return Ok(Some(now_ns));
            }
        }
        self.turn = 0;
        Ok(Some(self.next_ns))
    }
}

impl WordCloud {
    /// Emits a frame of a group if its counts have changed since its last. A group that has become
    /// empty goes.
    fn emit(&mut self, slot: usize, out: &mut Out<'_, '_>) -> Result<(), StageError> {
        let newest = self.groups.newest_us();
        let Some(group) = self.groups.group(slot) else {
            return Ok(());
        };
        let mut undrawn = Vec::new();
        if std::mem::take(&mut group.changed) {
            self.seq += 1;
            let now_us = self.ctx.now_us();
            let (options, fonts) = (&self.options, &self.fonts);
            let layout = group
                .own
                .get_or_insert_with(|| Layout::new(self.settings.clone()));
            let most = options.words as usize;
            // Some more than are shown, so that those about the last rank need not come and go.
            let top = group.window.top(most + most / 4, options.min_count);
            let ranked: Vec<Word<'_>> = top
                .iter()
                .map(|word| Word {
                    key: word.key,
                    text: word.text,
                    count: word.count,
                })
                .collect();
            let chosen = layout.choose(&ranked, most);
            let top: Vec<Counted<'_>> = chosen.iter().map(|at| top[*at]).collect();
            let words: Vec<Word<'_>> = chosen.iter().map(|at| ranked[*at]).collect();
            let places = layout.arrange(&words);
            let said = layout.said();
            if said.crowded && !std::mem::replace(&mut self.crowded, true) {
                self.ctx.warn(format!(
                    "{} words fit on {} x {} pixels at no size with a padding of {}: they stand closer; take fewer words, less `padding` or more pixels",
                    words.len(), options.width, options.height, options.padding
                ));
            }
            let keys: Vec<&str> = top.iter().map(|word| word.key).collect();
            let pictured = options.format != Output::Json;
            let each = if pictured {
                0
            } else {
                options.samples as usize
            };
            let mut samples = group.window.samples(&keys, each);
            let mut gone: Vec<&str> = group.shown.keys().map(|key| &**key).collect();
            gone.retain(|key| !keys.contains(key));
            gone.sort_unstable();
            let named = options.group_by.is_some();
            let frame = Frame {
                kind: "wordcloud",
                group: named.then_some(&*group.name),
                seq: self.seq,
                time_ms: now_us / 1000,
                newest_ms: Some(newest)
                    .filter(|time| *time != i64::MIN)
                    .map(|time| time / 1000),
                width: options.width,
                height: options.height,
                look: Look::new(said, options.palette),
                records: group.window.records(),
                tokens: group.window.tokens(),
                distinct: group.window.distinct(),
                words: frame::items(&top, &places, &mut samples, &group.shown, options.seed),
                gone,
                samples: samples.texts,
            };
            if pictured {
                undrawn =
                    fonts.lend(|fonts| draw::undrawn(words.iter().map(|word| word.text), fonts));
            }
            let picture = || Drawing {
                width: options.width,
                height: options.height,
                background: options.background,
                colors: options.palette.colors(options.background),
                title: format!("{} words of {} records", words.len(), frame.records),
                words: words
                    .iter()
                    .zip(&places)
                    .zip(&keys)
                    .map(|((word, place), key)| (*word, *place, frame::color(key, options.seed)))
                    .collect(),
            };
            let record = self
                .builder
                .write(|buffer| match options.format {
                    Output::Json => frame.write_json(buffer).map_err(|error| error.to_string()),
                    Output::Svg => {
                        fonts.lend(|fonts| picture().svg(fonts, buffer));
                        Ok(())
                    }
                    Output::Png => fonts.lend(|fonts| picture().png(fonts, buffer)),
                })
                .map_err(|error| StageError::fatal(format!("cannot write a frame: {error}")))?
                .ts_us(Some(now_us));
            if named {
                record.key(Some(group.name.as_bytes()));
            }
            out.emit(0, self.builder.finish());
            group.shown = top
                .iter()
                .map(|word| (word.key.into(), word.count))
                .collect();
        }
        if group.window.records() == 0 {
            self.groups.remove(slot);
        }
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
        let sum = |count: fn(&Group<Layout>) -> u64| self.groups.iter().map(count).sum::<u64>();
        let gauge = |name, value| self.ctx.gauge(name, value as f64);
        gauge("wordcloud_records", sum(|group| group.window.records()));
        gauge(
            "wordcloud_distinct_words",
            sum(|group| group.window.distinct() as u64),
        );
        gauge("wordcloud_groups", self.groups.len() as u64);
        let (losses, told) = (self.groups.losses(), self.told);
        for (name, lost, before, why) in [
            (
                "wordcloud_words_refused",
                losses.words,
                told.words,
                "as many different words are known as max_words allows: new ones are not counted until others leave",
            ),
            (
                "wordcloud_records_cut",
                losses.records,
                told.records,
                "the windows hold the most words that max_tokens allows: the oldest records leave early",
            ),
            (
                "wordcloud_groups_cut",
                losses.groups,
                told.groups,
                "there are as many clouds as max_groups allows: for a new one the one that has been quiet longest goes",
            ),
            ("wordcloud_records_late", losses.late, told.late, ""),
        ] {
            if lost > before {
                if before == 0 && !why.is_empty() {
                    self.ctx.warn(why);
                }
                self.ctx.counter(name, lost - before);
            }
        }
        self.told = losses;
    }
}
