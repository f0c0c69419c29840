//! Makes a frame of a group of records: its most frequent words, laid out, as JSON or as a picture.

use hashbrown::{HashMap, HashSet};
use plugin_api::prelude::*;

use crate::config::{Options, Output};
use crate::draw::{self, Drawing};
use crate::font::Book;
use crate::frame::{self, Frame, Look};
use crate::layout::{Layout, Place, Said, Settings, Word};
use crate::window::Counted;
use crate::window::groups::Group;

/// What frames are made with, and what was said of them.
pub(crate) struct Maker {
    options: Options,
    settings: Settings,
    fonts: Book,
    /// Characters of which it was said that no font has them.
    lacked: HashSet<char>,
    /// Whether it was said that the padding gives way.
    crowded: bool,
    builder: BatchBuilder,
    /// Bytes of the last frame of JSON.
    bytes: usize,
    /// Frames made so far.
    pub(crate) seq: u64,
}

/// The words of a frame and where they stand, in the same order.
struct Cloud<'a> {
    top: Vec<Counted<'a>>,
    words: Vec<Word<'a>>,
    places: Vec<Place>,
    said: Said,
}

impl Maker {
    pub(crate) fn new(options: Options, settings: Settings) -> Self {
        Self {
            options,
            fonts: settings.fonts.clone(),
            settings,
            lacked: HashSet::new(),
            crowded: false,
            builder: BatchBuilder::new(),
            bytes: 0,
            seq: 0,
        }
    }

    /// The next frame of a group, as a batch. `newest_us` is the time of the newest record of any
    /// group.
    pub(crate) fn frame(
        &mut self,
        group: &mut Group<Layout>,
        newest_us: i64,
        ctx: &Context,
    ) -> Result<Batch, StageError> {
        self.seq += 1;
        let now_us = ctx.now_us();
        let Group {
            name,
            window,
            shown,
            recent,
            own,
            ..
        } = group;
        let layout = own.get_or_insert_with(|| Layout::new(self.settings.clone()));
        let most = self.options.words as usize;
        // Some more than are shown, so that those about the last rank need not come and go.
        let top = window.top(most + most / 4, self.options.min_count);
        let cloud = cloud(layout, top, most);
        self.tell(&cloud, ctx);
        let named = self.options.group_by.is_some();
        let (options, fonts, bytes) = (&self.options, &self.fonts, &mut self.bytes);
        let changes = changes(shown, &cloud.top);
        let mut gone: Vec<Box<str>> = Vec::new();
        if shown.len() > cloud.top.len() {
            let kept: HashSet<&str> = cloud.top.iter().map(|word| word.key).collect();
            let left = shown.extract_if(|key, _| !kept.contains(&**key));
            gone.extend(left.map(|(key, _)| key));
            gone.sort_unstable();
        }
        let written = self.builder.write(|buffer| match options.format {
            Output::Json => {
                let samples = recent.samples(window, &cloud.top, options.samples as usize);
                let known = newest_us != i64::MIN;
                let frame = Frame {
                    kind: "wordcloud",
                    group: named.then_some(&**name),
                    seq: self.seq,
                    time_ms: now_us / 1000,
                    newest_ms: known.then_some(newest_us / 1000),
                    width: options.width,
                    height: options.height,
                    look: Look::new(cloud.said, options.palette),
                    records: window.records(),
                    tokens: window.tokens(),
                    distinct: window.distinct(),
                    words: frame::items(
                        &cloud.top,
                        &cloud.places,
                        &samples,
                        &changes,
                        options.seed,
                    ),
                    gone: gone.iter().map(|key| &**key).collect(),
                    samples: &samples.texts,
                };
                buffer.reserve(*bytes + *bytes / 8);
                let before = buffer.len();
                let written = frame.write_json(buffer);
                *bytes = buffer.len() - before;
                written.map_err(|error| error.to_string())
            }
            Output::Svg => {
                let drawing = drawing(&cloud, window.records(), options);
                fonts.lend(|fonts| drawing.svg(fonts, buffer));
                Ok(())
            }
            Output::Png => {
                let drawing = drawing(&cloud, window.records(), options);
                fonts.lend(|fonts| drawing.png(fonts, buffer))
            }
        });
        let record = written
            .map_err(|error| StageError::fatal(format!("cannot write a frame: {error}")))?
            .ts_us(Some(now_us));
        if named {
            record.key(Some(name.as_bytes()));
        }
        Ok(self.builder.finish())
    }

    /// Says once what a reader of frames cannot see: which characters no font has, and that the
    /// padding gives way.
    fn tell(&mut self, cloud: &Cloud<'_>, ctx: &Context) {
        if cloud.said.crowded && !std::mem::replace(&mut self.crowded, true) {
            let options = &self.options;
            ctx.warn(format!(
                "{} words fit on {} x {} pixels at no size with a padding of {}: they stand closer; take fewer words, less `padding` or more pixels",
                cloud.words.len(),
                options.width,
                options.height,
                options.padding
            ));
        }
        if self.options.format == Output::Json {
            return;
        }
        let texts = cloud.words.iter().map(|word| word.text);
        let undrawn = self.fonts.lend(|fonts| draw::undrawn(texts, fonts));
        let new = undrawn.iter().filter(|letter| self.lacked.insert(**letter));
        let new: String = new.collect();
        if !new.is_empty() {
            ctx.warn(format!(
                "no font has {new}: discs stand for them; give fonts by the option `fonts`, or install some"
            ));
        }
    }
}

/// By how much words have grown since the last frame, which they take the place of; those that it
/// did not have, by nothing.
fn changes(shown: &mut HashMap<Box<str>, u64>, words: &[Counted<'_>]) -> Vec<Option<i64>> {
    let change = |word: &Counted<'_>| match shown.get_mut(word.key) {
        Some(count) => Some(word.count as i64 - std::mem::replace(count, word.count) as i64),
        None => {
            shown.insert(word.key.into(), word.count);
            None
        }
    };
    words.iter().map(change).collect()
}

/// Lays out those of the most frequent words that are shown.
fn cloud<'a>(layout: &mut Layout, top: Vec<Counted<'a>>, most: usize) -> Cloud<'a> {
    let ranked: Vec<Word<'_>> = top
        .iter()
        .map(|word| Word {
            key: word.key,
            text: word.text,
            count: word.count,
        })
        .collect();
    let chosen = layout.choose(&ranked, most);
    let words: Vec<Word<'_>> = chosen.iter().map(|at| ranked[*at]).collect();
    Cloud {
        top: chosen.iter().map(|at| top[*at]).collect(),
        places: layout.arrange(&words),
        said: layout.said(),
        words,
    }
}

fn drawing<'a>(cloud: &Cloud<'a>, records: u64, options: &Options) -> Drawing<'a> {
    let words = cloud.words.iter().zip(&cloud.places);
    let colored =
        |(word, place): (&Word<'a>, &Place)| (*word, *place, frame::color(word.key, options.seed));
    Drawing {
        width: options.width,
        height: options.height,
        background: options.background,
        colors: options.palette.colors(options.background),
        title: format!("{} words of {records} records", cloud.words.len()),
        words: words.map(colored).collect(),
    }
}
