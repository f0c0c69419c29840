//! A tweet as JSON, member by member as Twitter's v1.1 streams sent them.

use crate::people::{Person, print};
use crate::text::{Link, Text};
use json_walk::push_string;
use plugin_api::time::Civil;

/// Where Twitter's ids begin, in milliseconds since 1970.
pub(crate) const SNOWFLAKE_EPOCH_MS: i64 = 1_288_834_974_657;

/// Longest `text`; a longer tweet has the rest in `extended_tweet`.
const CLASSIC: usize = 140;

const SOURCES: &[&str] = &[
    "<a href=\\\"http://twitter.com/download/iphone\\\" rel=\\\"nofollow\\\">Twitter for iPhone</a>",
    "<a href=\\\"http://twitter.com/download/android\\\" rel=\\\"nofollow\\\">Twitter for Android</a>",
    "<a href=\\\"https://mobile.twitter.com\\\" rel=\\\"nofollow\\\">Twitter Web App</a>",
    "<a href=\\\"https://about.twitter.com/products/tweetdeck\\\" rel=\\\"nofollow\\\">TweetDeck</a>",
];

/// A tweet that was made: what a retweet, a quote or a reply needs of it. Its JSON is kept in two
/// parts, since the counts between them grow with time.
pub(crate) struct Past {
    pub(crate) id: i64,
    pub(crate) author: usize,
    pub(crate) text: Text,
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// What a tweet is to an earlier one.
pub(crate) enum To<'a> {
    Nothing,
    Retweet(&'a Past),
    Quote(&'a Past, Link),
    Reply(&'a Past),
}

/// A tweet to be rendered.
pub(crate) struct Tweet<'a> {
    pub(crate) id: i64,
    pub(crate) ms: i64,
    pub(crate) author: usize,
    pub(crate) text: &'a Text,
    pub(crate) to: To<'a>,
    /// Link to the whole tweet, where it is longer than `text` may be.
    pub(crate) whole: String,
}

/// How often a tweet was quoted, answered, retweeted and liked.
pub(crate) type Counts = [usize; 4];

/// `Fri Jan 01 17:29:00 +0000 2021`.
pub(crate) fn created_at(ms: i64) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let at = Civil::from_us(ms * 1_000);
    format!(
        "{} {} {:02} {:02}:{:02}:{:02} +0000 {:04}",
        DAYS[at.weekday as usize],
        MONTHS[at.month as usize - 1],
        at.day,
        at.hour,
        at.minute,
        at.second,
        at.year
    )
}

impl Tweet<'_> {
    /// Appends the tweet, and gives its parts if it may be retweeted later.
    pub(crate) fn render(
        &self,
        people: &[Person],
        counts: &mut dyn FnMut() -> Counts,
        out: &mut Vec<u8>,
    ) -> Past {
        let mut past = Past {
            id: self.id,
            author: self.author,
            text: self.text.clone(),
            head: Vec::with_capacity(2_600),
            tail: Vec::with_capacity(512),
        };
        self.head(people, counts, &mut past.head);
        self.tail(people, &mut past.tail);
        past.push([0; 4], out);
        print(out, format_args!(",\"timestamp_ms\":\"{}\"}}", self.ms));
        past
    }

    fn is_long(&self) -> bool {
        self.text.chars > CLASSIC && !matches!(self.to, To::Retweet(_))
    }

    /// Everything before the counts.
    fn head(&self, people: &[Person], counts: &mut dyn FnMut() -> Counts, out: &mut Vec<u8>) {
        let source = SOURCES[self.author * 7 % 11 % SOURCES.len()];
        print(
            out,
            format_args!(
                "{{\"created_at\":\"{}\",\"id\":{1},\"id_str\":\"{1}\",\"text\":",
                created_at(self.ms),
                self.id
            ),
        );
        if self.is_long() {
            let text = format!("{}… {}", prefix(&self.text.text, CLASSIC - 25), self.whole);
            push_string(text.as_bytes(), out);
        } else if matches!(self.to, To::Retweet(_)) && self.text.chars > CLASSIC {
            let text = format!("{}…", prefix(&self.text.text, CLASSIC - 1));
            push_string(text.as_bytes(), out);
        } else {
            push_string(self.text.text.as_bytes(), out);
        }
        if let To::Reply(_) = self.to {
            let start = self
                .text
                .mentions
                .first()
                .map_or(0, |mention| mention.1 + 1);
            let end = self.text.chars.min(CLASSIC);
            print(out, format_args!(",\"display_text_range\":[{start},{end}]"));
        }
        let truncated = self.is_long();
        print(
            out,
            format_args!(",\"source\":\"{source}\",\"truncated\":{truncated}"),
        );
        match &self.to {
            To::Reply(past) => print(
                out,
                format_args!(
                    ",\"in_reply_to_status_id\":{0},\"in_reply_to_status_id_str\":\"{0}\",\
                     \"in_reply_to_user_id\":{1},\"in_reply_to_user_id_str\":\"{1}\",\
                     \"in_reply_to_screen_name\":\"{2}\"",
                    past.id, people[past.author].id, people[past.author].screen_name
                ),
            ),
            _ => out.extend_from_slice(
                b",\"in_reply_to_status_id\":null,\"in_reply_to_status_id_str\":null,\
                  \"in_reply_to_user_id\":null,\"in_reply_to_user_id_str\":null,\
                  \"in_reply_to_screen_name\":null",
            ),
        }
        out.extend_from_slice(b",\"user\":");
        out.extend_from_slice(&people[self.author].json);
        out.extend_from_slice(
            b",\"geo\":null,\"coordinates\":null,\"place\":null,\"contributors\":null",
        );
        match &self.to {
            To::Retweet(past) => {
                out.extend_from_slice(b",\"retweeted_status\":");
                past.push(counts(), out);
                out.extend_from_slice(b"}");
            }
            To::Quote(past, link) => {
                print(
                    out,
                    format_args!(
                        ",\"quoted_status_id\":{0},\"quoted_status_id_str\":\"{0}\",\"quoted_status\":",
                        past.id
                    ),
                );
                past.push(counts(), out);
                print(
                    out,
                    format_args!(
                        "}},\"quoted_status_permalink\":{{\"url\":\"{}\",\"expanded\":\"{}\",\"display\":\"{}\"}}",
                        link.short,
                        link.expanded,
                        display(&link.expanded)
                    ),
                );
            }
            To::Nothing | To::Reply(_) => {}
        }
        let quotes = matches!(self.to, To::Quote(..));
        print(out, format_args!(",\"is_quote_status\":{quotes}"));
        if self.is_long() {
            out.extend_from_slice(b",\"extended_tweet\":{\"full_text\":");
            push_string(self.text.text.as_bytes(), out);
            print(
                out,
                format_args!(
                    ",\"display_text_range\":[0,{}],\"entities\":",
                    self.text.chars
                ),
            );
            entities(self.text, usize::MAX, None, people, out);
            out.push(b'}');
        }
    }

    /// Everything behind the counts, but for the time stamp, which only the outermost tweet has.
    fn tail(&self, people: &[Person], out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"entities\":");
        if self.is_long() {
            let start = CLASSIC - 23;
            let whole = Link {
                start,
                end: CLASSIC,
                short: self.whole.clone(),
                expanded: format!("https://twitter.com/i/web/status/{}", self.id),
            };
            entities(self.text, CLASSIC - 25, Some(&whole), people, out);
        } else {
            entities(self.text, CLASSIC - 1, None, people, out);
        }
        out.extend_from_slice(b",\"favorited\":false,\"retweeted\":false");
        if !self.text.links.is_empty() || self.is_long() {
            out.extend_from_slice(b",\"possibly_sensitive\":false");
        }
        // A retweet is in the language of what it repeats.
        let speaker = match &self.to {
            To::Retweet(past) => past.author,
            _ => self.author,
        };
        let language = people[speaker]
            .language
            .map_or("en", |language| language.code);
        print(
            out,
            format_args!(",\"filter_level\":\"low\",\"lang\":\"{language}\""),
        );
    }
}

impl Past {
    /// Appends the tweet without its closing brace.
    fn push(&self, [quotes, replies, retweets, likes]: Counts, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        print(
            out,
            format_args!(
                ",\"quote_count\":{quotes},\"reply_count\":{replies},\
                 \"retweet_count\":{retweets},\"favorite_count\":{likes}"
            ),
        );
        out.extend_from_slice(&self.tail);
    }
}

/// Appends the entities that end by code point `end`.
fn entities(text: &Text, end: usize, more: Option<&Link>, people: &[Person], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"hashtags\":[");
    let mut comma = Comma::default();
    for &(start, stop) in text.hashtags.iter().filter(|(_, stop)| *stop <= end) {
        comma.push(out);
        out.extend_from_slice(b"{\"text\":");
        push_string(between(&text.text, start + 1, stop).as_bytes(), out);
        print(out, format_args!(",\"indices\":[{start},{stop}]}}"));
    }
    out.extend_from_slice(b"],\"urls\":[");
    let mut comma = Comma::default();
    let links = text.links.iter().filter(|link| link.end <= end);
    for link in links.chain(more) {
        comma.push(out);
        print(
            out,
            format_args!(
                "{{\"url\":\"{}\",\"expanded_url\":\"{}\",\"display_url\":\"{}\",\"indices\":[{},{}]}}",
                link.short,
                link.expanded,
                display(&link.expanded),
                link.start,
                link.end
            ),
        );
    }
    out.extend_from_slice(b"],\"user_mentions\":[");
    let mut comma = Comma::default();
    for &(start, stop, index) in text.mentions.iter().filter(|(_, stop, _)| *stop <= end) {
        comma.push(out);
        let person = &people[index];
        print(
            out,
            format_args!("{{\"screen_name\":\"{}\",\"name\":", person.screen_name),
        );
        push_string(person.name.as_bytes(), out);
        print(
            out,
            format_args!(
                ",\"id\":{0},\"id_str\":\"{0}\",\"indices\":[{start},{stop}]}}",
                person.id
            ),
        );
    }
    out.extend_from_slice(b"],\"symbols\":[]}");
}

#[derive(Default)]
struct Comma(bool);

impl Comma {
    fn push(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.0, true) {
            out.push(b',');
        }
    }
}

/// What Twitter shows of a link.
fn display(url: &str) -> String {
    let bare = url.trim_start_matches("https://");
    if bare.chars().count() > 27 {
        format!("{}…", prefix(bare, 26))
    } else {
        bare.to_owned()
    }
}

/// The first `count` code points.
pub(crate) fn prefix(text: &str, count: usize) -> &str {
    let end = text.char_indices().nth(count);
    end.map_or(text, |(end, _)| &text[..end])
}

fn between(text: &str, start: usize, end: usize) -> &str {
    let skipped = prefix(text, start).len();
    prefix(&text[skipped..], end - start)
}
