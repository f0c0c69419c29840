//! The stream: who says what, and when a topic is all they talk about.

use crate::people::{self, Person, print};
use crate::rng::{Rng, mix};
use crate::text::{Link, Text, compose, short_link};
use crate::topics::TOPICS;
use crate::tweet::{Counts, Past, SNOWFLAKE_EPOCH_MS, To, Tweet};
use std::collections::VecDeque;

/// How many tweets can be retweeted, quoted, answered or deleted.
const MEMORY: usize = 160;

/// How long a burst of talk about one topic is, in milliseconds.
const BURST_MS: i64 = 40_000;

/// A seeded stream of tweets.
pub(crate) struct Stream {
    rng: Rng,
    seed: u64,
    people: Vec<Person>,
    past: VecDeque<Past>,
    worker: i64,
    deletes: f64,
    start_ms: i64,
    last_ms: i64,
    sequence: i64,
    text: Text,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    /// The tweet's id, also of the one deleted.
    pub(crate) id: i64,
    pub(crate) ms: i64,
    pub(crate) delete: bool,
}

impl Stream {
    pub(crate) fn new(
        seed: u64,
        worker: u32,
        start_ms: i64,
        deletes: f64,
        languages: Option<&[String]>,
    ) -> Self {
        // People are the same for all workers; what they say is not.
        let people = people::all(&mut Rng::new(mix(seed)), languages);
        Self {
            rng: seeded(seed ^ mix(u64::from(worker) + 1), 0),
            seed,
            people,
            past: VecDeque::new(),
            worker: i64::from(worker) & 0x3ff,
            deletes,
            start_ms,
            last_ms: 0,
            sequence: 0,
            text: Text::default(),
        }
    }

    /// Begins a segment: what follows depends on nothing before it but the clock, so that a stream
    /// is gone on with by making the records of one segment again. Nobody remembers what was said
    /// before.
    pub(crate) fn begin(&mut self, segment: u64) {
        self.rng = seeded(self.seed ^ mix(self.worker as u64 + 1), segment);
        self.past.clear();
    }

    /// Time and number of the id made last.
    pub(crate) fn clock(&self) -> (i64, i64) {
        (self.last_ms, self.sequence)
    }

    /// Goes on as the stream that began at `start_ms` and whose clock stood there.
    pub(crate) fn set_clock(&mut self, start_ms: i64, (last_ms, sequence): (i64, i64)) {
        self.start_ms = start_ms;
        (self.last_ms, self.sequence) = (last_ms, sequence);
    }

    /// Appends the next record, which is of about `ms`.
    pub(crate) fn next(&mut self, ms: i64, out: &mut Vec<u8>) -> Made {
        if !self.past.is_empty() && self.rng.chance(self.deletes) {
            return self.delete(ms, out);
        }
        let (ms, id) = self.id(ms);
        let author = self.rng.favoured(self.people.len());
        let kind = if self.past.is_empty() {
            1.0
        } else {
            self.rng.unit()
        };
        self.text.clear();
        if kind < 0.30 {
            self.retweet(id, ms, author, out);
        } else {
            self.tweet(id, ms, author, kind, out);
        }
        Made {
            id,
            ms,
            delete: false,
        }
    }

    /// A new id, and the time in it: ids rise, and there are 4,096 in a millisecond.
    fn id(&mut self, ms: i64) -> (i64, i64) {
        let mut ms = ms.max(self.last_ms).max(SNOWFLAKE_EPOCH_MS);
        if ms == self.last_ms {
            self.sequence += 1;
        } else {
            self.sequence = self.rng.below(64) as i64;
        }
        if self.sequence == 4_096 {
            ms += 1;
            self.sequence = 0;
        }
        self.last_ms = ms;
        (
            ms,
            (ms - SNOWFLAKE_EPOCH_MS) << 22 | self.worker << 12 | self.sequence,
        )
    }

    fn delete(&mut self, ms: i64, out: &mut Vec<u8>) -> Made {
        let index = self.rng.below(self.past.len());
        let ms = ms.max(self.last_ms);
        let past = &self.past[index];
        let (id, author) = (past.id, past.author);
        // Nobody speaks of it again, and it is deleted only once.
        self.past.remove(index);
        print(
            out,
            format_args!(
                "{{\"delete\":{{\"status\":{{\"id\":{0},\"id_str\":\"{0}\",\"user_id\":{1},\
                 \"user_id_str\":\"{1}\"}},\"timestamp_ms\":\"{ms}\"}}}}",
                id, self.people[author].id
            ),
        );
        Made {
            id,
            ms,
            delete: true,
        }
    }

    /// A tweet of its own, a quote or a reply.
    fn tweet(&mut self, id: i64, ms: i64, author: usize, kind: f64, out: &mut Vec<u8>) {
        let topic = self.topic(ms, author);
        let Self {
            rng,
            people,
            past,
            text,
            ..
        } = self;
        let other = (kind < 0.50).then(|| &past[rng.favoured(past.len())]);
        let quote = kind < 0.38;
        let long = rng.chance(0.18);
        if let Some(other) = other.filter(|_| !quote) {
            text.mention(other.author, people);
            text.push(" ");
        }
        compose(text, &people[author], topic, long, rng);
        let to = match other {
            None => To::Nothing,
            Some(other) if quote => To::Quote(other, permalink(other, people, rng)),
            Some(other) => To::Reply(other),
        };
        let whole = short_link(rng);
        let tweet = Tweet {
            id,
            ms,
            author,
            text,
            to,
            whole,
        };
        let made = tweet.render(people, &mut || counts(rng), out);
        // A quote within a quote would hold ever more tweets.
        if !quote || other.is_none() {
            if self.past.len() == MEMORY {
                self.past.pop_front();
            }
            self.past.push_back(made);
        }
    }

    fn retweet(&mut self, id: i64, ms: i64, author: usize, out: &mut Vec<u8>) {
        let Self {
            rng,
            people,
            past,
            text,
            ..
        } = self;
        // The oldest that are still remembered have become popular.
        let other = &past[rng.favoured(past.len())];
        text.push("RT");
        text.mention(other.author, people);
        text.push(": ");
        let shift = text.chars;
        text.push(&other.text.text);
        let shifted = |&(start, end): &(usize, usize)| (start + shift, end + shift);
        text.hashtags
            .extend(other.text.hashtags.iter().map(shifted));
        let mentions = other.text.mentions.iter();
        text.mentions
            .extend(mentions.map(|&(start, end, index)| (start + shift, end + shift, index)));
        let links = other.text.links.iter().map(|link| Link {
            start: link.start + shift,
            end: link.end + shift,
            ..link.clone()
        });
        text.links.extend(links);
        let tweet = Tweet {
            id,
            ms,
            author,
            text,
            to: To::Retweet(other),
            whole: String::new(),
        };
        tweet.render(people, &mut || counts(rng), out);
    }

    /// What a tweet is about. Every so often a topic bursts: it comes up within seconds, is most
    /// of the talk, and fades.
    fn topic(&mut self, ms: i64, author: usize) -> usize {
        let since = (ms - self.start_ms).max(0);
        let burst = since / BURST_MS;
        let age = (since % BURST_MS) as f64 / BURST_MS as f64;
        let strength = 0.75 * (age * 8.0).min(1.0) * (-1.2 * age).exp();
        if self.rng.chance(strength) {
            return mix(self.seed ^ mix(burst as u64)) as usize % TOPICS.len();
        }
        if self.rng.chance(0.5) {
            return self.rng.pick(&self.people[author].topics);
        }
        // The rest drifts slowly from topic to topic.
        (self.rng.favoured(TOPICS.len()) + (burst / 5) as usize) % TOPICS.len()
    }
}

/// The random numbers of a segment.
pub(crate) fn seeded(seed: u64, segment: u64) -> Rng {
    Rng::new(mix(seed.wrapping_add(mix(segment))))
}

fn permalink(past: &Past, people: &[Person], rng: &mut Rng) -> Link {
    let name = &people[past.author].screen_name;
    Link {
        start: 0,
        end: 0,
        short: short_link(rng),
        expanded: format!("https://twitter.com/{name}/status/{}", past.id),
    }
}

fn counts(rng: &mut Rng) -> Counts {
    let retweets = 1 + rng.favoured(400) * rng.favoured(40);
    [
        retweets / 17,
        retweets / 9,
        retweets,
        retweets * 3 + rng.below(50),
    ]
}
