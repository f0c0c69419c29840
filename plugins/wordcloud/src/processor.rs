//! The stage: text in, words into the window, frames out on a timer.

use plugin_api::{Emit, prelude::*};

use crate::bytes::{array, put, text_of, u64_of};
use crate::check::Checked;
use crate::config::{Case, Options, Output};
use crate::font;
use crate::input::{Item, Reader};
use crate::layout::{Layout, Settings};
use crate::maker::Maker;
use crate::token::Tokenizer;
use crate::window::Bounds;
use crate::window::groups::{Admitted, Group, Groups, Losses};

/// Time after which a call that makes frames lets the host have its turn.
const TURN_NS: u64 = 50_000_000;
/// Most bytes of the last frames of all groups, which have to go out in one call: a host takes 256
/// MiB of it.
const LAST_BYTES: usize = 240 << 20;

/// Bytes of a character, at most.
const CHARACTER_BYTES: u64 = 4;
/// Bytes of a known word besides its characters: its form, its count, its place in the index.
const WORD_BYTES: u64 = 112;
/// Bytes of a word of the window, at most: see the window's `RECORD`.
const TOKEN_BYTES: u64 = 76;

/// The processor `wordcloud`.
pub struct WordCloud {
    options: Options,
    ctx: Context,
    reader: Reader,
    tokenizer: Tokenizer,
    groups: Groups<Layout>,
    bounds: Bounds,
    settings: Settings,
    maker: Maker,
    item: Item,
    /// When frames go out again, and the group that is next in this turn.
    next_ns: u64,
    turn: usize,
    /// Monotonic time of the newest record, to know how long the stream has been quiet.
    fed_ns: u64,
    told: Losses,
    /// Whether a record told its time: then the records are the clock.
    timed: bool,
    /// As of the barrier that passed last.
    state: Vec<u8>,
}

impl Processor for WordCloud {
    const NAME: &'static str = "wordcloud";
    const STATE_VERSION: u32 = 6;
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
            .memory("glyphs", font::KEPT_BYTES as u64)
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
        let input = ctx.inputs().first().cloned();
        let input = input.unwrap_or_else(ContentType::bytes);
        Ok(Self {
            reader: Reader::new(&input, options.wanted())?,
            tokenizer: Tokenizer::new(rules),
            groups: Groups::new(bounds, options.groups()),
            maker: Maker::new(options.clone(), settings.clone()),
            bounds,
            settings,
            item: Item::default(),
            next_ns: 0,
            turn: 0,
            fed_ns: 0,
            told: Losses::default(),
            timed: false,
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
        let from = &mut { state };
        let seq = u64_of(from).ok_or_else(torn)?;
        let [timed] = *array(from).ok_or_else(torn)?;
        let [folded] = *array(from).ok_or_else(torn)?;
        let group_by = text_of(from).ok_or_else(torn)?;
        self.maker.seq = seq;
        let other = if group_by != self.options.group_by.as_deref().unwrap_or_default() {
            Some("group_by")
        } else {
            (folded != u8::from(self.options.case == Case::Fold)).then_some("case")
        };
        if let Some(option) = other {
            self.ctx.warn(format!(
                "`{option}` is another one than before: the clouds begin anew"
            ));
            return Ok(());
        }
        let settings = &self.settings;
        let layout = |from: &[u8]| Layout::load(settings.clone(), from);
        let most = self.options.groups();
        let keeps = |word: &str| self.tokenizer.keeps(word);
        self.groups = Groups::load(self.bounds, most, keeps, layout, from).ok_or_else(torn)?;
        self.timed = timed != 0;
        self.told = self.groups.losses();
        self.fed_ns = self.ctx.monotonic_ns();
        // As if the last frame had just gone out: crashes in a row make no burst of frames.
        let interval = self.options.interval_ns().unwrap_or(0);
        self.next_ns = self.fed_ns.saturating_add(interval);
        Ok(())
    }

    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<(), StageError> {
        self.state.extend(self.maker.seq.to_le_bytes());
        self.state.push(u8::from(self.timed));
        self.state.push(u8::from(self.options.case == Case::Fold));
        let group_by = self.options.group_by.as_deref();
        put(group_by.unwrap_or_default(), &mut self.state);
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
        let now_us = self.ctx.now_us();
        let latest_us = now_us.saturating_add(self.groups.ahead_us());
        let quiet_us = self.quiet_us(self.ctx.monotonic_ns());
        let newest = self.groups.newest_us();
        let grouped = self.options.group_by.is_some();
        let (groups, item) = (&mut self.groups, &mut self.item);
        let mut passed = 0;
        for record in input.batch.iter() {
            if let Err(why) = self.reader.read(&record, item) {
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
            let time_us = match item.time_us.filter(|time| *time <= latest_us) {
                Some(time_us) => {
                    if !std::mem::replace(&mut self.timed, true) {
                        groups.set_back(time_us);
                    }
                    time_us
                }
                // Beside records of the past, "now" would make all that follow late.
                None if self.timed => {
                    let quiet = if groups.newest_us() > newest {
                        0
                    } else {
                        quiet_us
                    };
                    groups.newest_us().saturating_add(quiet).min(now_us)
                }
                None => now_us,
            };
            match groups.admit(group, time_us, item.origin) {
                Admitted::Late => passed += 1,
                Admitted::Repeated => {}
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
        let (mut bytes, mut cut) = (0, 0);
        for slot in 0..self.groups.slots() {
            if bytes < LAST_BYTES {
                bytes += self.emit(slot, out)?.0;
            } else {
                cut += u64::from(self.groups.group(slot).is_some_and(|group| group.changed));
            }
        }
        if cut > 0 {
            self.ctx.warn(format!(
                "the last frames of {cut} clouds are left out: together they are more than a host takes at once"
            ));
            self.ctx.counter("wordcloud_frames_cut", cut);
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
            self.next_ns = now_ns.saturating_add(interval);
            let quiet_us = self.quiet_us(now_ns);
            let newest = self.groups.newest_us();
            if newest > i64::MIN {
                self.groups.expire(newest.saturating_add(quiet_us));
            }
            self.groups.shrink();
            self.report();
        }
        let began = self.ctx.monotonic_ns();
        while self.turn < self.groups.slots() {
            let (_, room) = self.emit(self.turn, out)?;
            self.turn += 1;
            let over = room == Emit::Full || self.ctx.monotonic_ns() > began + TURN_NS;
            if over && self.turn < self.groups.slots() {
                return Ok(Some(now_ns));
            }
        }
        self.turn = 0;
        Ok(Some(self.next_ns))
    }
}

impl WordCloud {
    /// How long the newest record has been the newest.
    fn quiet_us(&self, now_ns: u64) -> i64 {
        (now_ns.saturating_sub(self.fed_ns) / 1000) as i64
    }

    /// Emits a frame of a group if its counts have changed since its last. A group that has become
    /// empty goes. Answers the bytes that went out, and whether the host takes more.
    fn emit(&mut self, slot: usize, out: &mut Out<'_, '_>) -> Result<(usize, Emit), StageError> {
        let newest = self.groups.newest_us();
        let Some(group) = self.groups.group(slot) else {
            return Ok((0, Emit::Ok));
        };
        let mut went = (0, Emit::Ok);
        if std::mem::take(&mut group.changed) {
            let batch = self.maker.frame(group, newest, &self.ctx)?;
            went = (batch.pinned_bytes(), out.emit(0, batch));
        }
        if group.window.records() == 0 {
            self.groups.remove(slot);
        }
        Ok(went)
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
            (
                "wordcloud_records_late",
                losses.late,
                told.late,
                "records are older than the window reaches back, or than `lateness` allows: they are left out",
            ),
        ] {
            if lost > before {
                if before == 0 {
                    self.ctx.warn(why);
                }
                self.ctx.counter(name, lost - before);
            }
        }
        self.told = losses;
    }
}
