//! What `track` and `languages` look at of a record: the texts and languages of a post, by the
//! lexicon `app.bsky.feed.post`.

use json_walk::{Malformed, Value, elements, members};
use live::{NO_LANGUAGE, is_language};
use track::Post;

/// The longest handle has 253 bytes; `@` stands before it.
const MENTION_BYTES: usize = 254;

/// The parts of a record that the predicates need; the last of each name counts.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Parts<'a> {
    text: Option<Value<'a>>,
    facets: Option<Value<'a>>,
    tags: Option<Value<'a>>,
    embed: Option<Value<'a>>,
    langs: Option<Value<'a>>,
}

impl<'a> Parts<'a> {
    pub fn of(record: Value<'a>) -> Result<Self, Malformed> {
        let mut parts = Self::default();
        for member in members(record) {
            let (key, value) = member?;
            match key {
                b"text" => parts.text = Some(value),
                b"facets" => parts.facets = Some(value),
                b"tags" => parts.tags = Some(value),
                b"embed" => parts.embed = Some(value),
                b"langs" => parts.langs = Some(value),
                _ => {}
            }
        }
        Ok(parts)
    }

    /// Whether the post is in one of these languages; `und` stands for one that names none.
    pub fn speaks(&self, languages: &[String], scratch: &mut Vec<u8>) -> Result<bool, Malformed> {
        let mut names_one = false;
        for element in self.langs.into_iter().flat_map(elements) {
            let (_, lang) = element?;
            if !lang.is_string() {
                continue;
            }
            names_one = true;
            let lang = lang.text(scratch);
            if is_language(lang, languages) {
                return Ok(true);
            }
        }
        Ok(!names_one && is_language(NO_LANGUAGE.as_bytes(), languages))
    }
}

/// Gathers the texts of posts; its memory is kept from post to post.
///
/// Invariant: what is gathered is no more than the post's own bytes and, for mentions, its text
/// once more.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub post: Post,
    text: String,
    /// So many bytes of it may still be looked at as mentions. Facets do not overlap; those of a
    /// hostile post might.
    unmentioned: usize,
    scratch: Vec<u8>,
    /// Where the text shows a shortened address.
    cuts: Vec<(usize, usize)>,
}

impl Texts {
    /// Puts the text, hashtags, mentions and links of a post together, and the address of a link
    /// card. The title and description of a card are its page's words, not the author's.
    pub fn gather(&mut self, parts: &Parts<'_>) -> Result<(), Malformed> {
        self.post.clear();
        self.cuts.clear();
        let mut text = std::mem::take(&mut self.text).into_bytes();
        text.clear();
        if let Some(value) = parts.text.filter(|v| v.is_string()) {
            value.push_text(&mut text);
        }
        self.text = String::from_utf8(text).unwrap_or_default();
        self.unmentioned = self.text.len();
        for facet in parts.facets.into_iter().flat_map(elements) {
            self.facet(facet?.1)?;
        }
        self.push_text();
        for tag in parts.tags.into_iter().flat_map(elements) {
            if let Some(tag) = text_of(tag?.1, &mut self.scratch) {
                self.post.hashtag(tag);
            }
        }
        if let Some(embed) = parts.embed {
            self.card(embed)?;
        }
        Ok(())
    }

    /// `{"index": {"byteStart": 0, "byteEnd": 4}, "features": [{"$type": …, "tag" | "uri" | "did"}]}`
    fn facet(&mut self, facet: Value<'_>) -> Result<(), Malformed> {
        let (mut range, mut features) = (None, None);
        for member in members(facet) {
            match member? {
                (b"index", value) => range = index(value)?,
                (b"features", value) => features = Some(value),
                _ => {}
            }
        }
        // If the range is one: within the text, and between characters.
        let shown = range.and_then(|(start, end)| self.text.get(start..end));
        let mut mention = shown.filter(|name| name.len() <= MENTION_BYTES.min(self.unmentioned));
        for feature in features.into_iter().flat_map(elements) {
            for member in members(feature?.1) {
                match member? {
                    (b"tag", value) => {
                        if let Some(tag) = text_of(value, &mut self.scratch) {
                            self.post.hashtag(tag);
                        }
                    }
                    (b"uri", value) => {
                        if let Some(uri) = text_of(value, &mut self.scratch) {
                            self.post.link(uri);
                        }
                        if shown.is_some_and(is_shortened) {
                            self.cuts.extend(range);
                        }
                    }
                    (b"did", _) => {
                        if let Some(name) = mention.take() {
                            self.unmentioned -= name.len();
                            self.post.mention(name.trim_start_matches('@'));
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The text, but for shortened addresses: their cut words are nobody's.
    fn push_text(&mut self) {
        self.cuts.sort_unstable();
        let mut from = 0;
        for &(start, end) in &self.cuts {
            if let Some(part) = self.text.get(from..start) {
                self.post.text(part);
            }
            from = from.max(end);
        }
        if let Some(rest) = self.text.get(from..) {
            self.post.text(rest);
        }
    }

    /// The address of a link card, alone or beside a quoted post.
    fn card(&mut self, embed: Value<'_>) -> Result<(), Malformed> {
        for holder in [Some(embed), member(embed, b"media")?]
            .into_iter()
            .flatten()
        {
            if let Some(external) = member(holder, b"external")?
                && let Some(uri) = member(external, b"uri")?
                && let Some(uri) = text_of(uri, &mut self.scratch)
            {
                self.post.link(uri);
            }
        }
        Ok(())
    }
}

fn member<'a>(object: Value<'a>, name: &[u8]) -> Result<Option<Value<'a>>, Malformed> {
    let mut found = None;
    for member in members(object) {
        let (key, value) = member?;
        if key == name {
            found = Some(value);
        }
    }
    Ok(found)
}

fn index(index: Value<'_>) -> Result<Option<(usize, usize)>, Malformed> {
    let (mut start, mut end) = (None, None);
    for member in members(index) {
        let (key, value) = member?;
        let number = || value.as_i64().and_then(|n| usize::try_from(n).ok());
        match key {
            b"byteStart" => start = number(),
            b"byteEnd" => end = number(),
            _ => {}
        }
    }
    Ok(start.zip(end))
}

fn is_shortened(shown: &str) -> bool {
    shown.ends_with("...") || shown.ends_with('…')
}

fn text_of<'s>(value: Value<'s>, scratch: &'s mut Vec<u8>) -> Option<&'s str> {
    if !value.is_string() {
        return None;
    }
    std::str::from_utf8(value.text(scratch)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use json_walk::parse;
    use serde_json::{Value as Json, json};
    use track::{Scratch, Track};

    fn finds(phrase: &str, record: &Json) -> bool {
        let bytes = record.to_string();
        let parts = Parts::of(parse(bytes.as_bytes()).unwrap()).unwrap();
        let mut texts = Texts::default();
        texts.gather(&parts).unwrap();
        let track = Track::new(&[phrase]).unwrap();
        track.finds(&texts.post, &mut Scratch::default())
    }

    fn speaks(languages: &[&str], langs: Json) -> bool {
        let bytes = json!({"text": "", "langs": langs}).to_string();
        let parts = Parts::of(parse(bytes.as_bytes()).unwrap()).unwrap();
        let languages: Vec<String> = languages.iter().map(|&l| l.into()).collect();
        parts.speaks(&languages, &mut Vec::new()).unwrap()
    }

    #[test]
    fn every_place_of_an_authors_words_is_looked_at() {
        let record = json!({
            "text": "so 🦀 says @ann.example about example.org/2024/11/a-lo... today",
            "tags": ["hidden"],
            "facets": [
                {"index": {"byteStart": 13, "byteEnd": 25}, "features": [{"$type": "app.bsky.richtext.facet#mention", "did": "did:plc:ann"}]},
                {"index": {"byteStart": 32, "byteEnd": 59}, "features": [{"$type": "app.bsky.richtext.facet#link", "uri": "https://example.org/2024/11/a-long-walk"}]},
                {"index": {"byteStart": 0, "byteEnd": 2}, "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "So"}]},
            ],
            "embed": {
                "$type": "app.bsky.embed.recordWithMedia",
                "media": {"external": {"uri": "https://card.example/page", "title": "Cardtitle"}},
            },
        });
        for phrase in [
            "says",
            "today",
            "#hidden",
            "#so",
            "@ann.example",
            "walk",
            "card page",
            "🦀",
        ] {
            assert!(finds(phrase, &record), "{phrase}");
        }
        for phrase in ["lo", "a-lo...", "cardtitle", "#says"] {
            assert!(!finds(phrase, &record), "{phrase}");
        }
        let card = json!({"text": "", "embed": {"external": {"uri": "https://b.example"}}});
        assert!(finds("b.example", &card));
    }

    #[test]
    fn facets_that_make_no_sense_do_no_harm() {
        for (start, end) in [
            (json!(0), json!(99)),
            (json!(1), json!(2)),
            (json!(3), json!(1)),
            (json!(-1), json!("x")),
            (json!(u64::MAX), json!(0)),
        ] {
            let record = json!({
                "text": "é word...",
                "facets": [
                    {"index": {"byteStart": start, "byteEnd": end}, "features": [
                        {"did": "did:plc:a"}, {"uri": "https://a.example"}, {"tag": 7}, null,
                    ]},
                    7,
                    {"features": "x"},
                ],
                "tags": {"a": 1},
                "embed": [1],
            });
            assert!(finds("word", &record) && finds("a.example", &record));
        }
    }

    /// How much is gathered of a post, and of how many bytes.
    fn gathered(text: &str, ranges: &[(usize, usize)], dids: usize) -> (usize, usize) {
        let features = vec![json!({"did": ""}); dids];
        let facet = |(start, end)| json!({"index": {"byteStart": start, "byteEnd": end}, "features": features});
        let facets: Vec<_> = ranges.iter().copied().map(facet).collect();
        let record = json!({"text": text, "facets": facets}).to_string();
        let mut texts = Texts::default();
        let parts = Parts::of(parse(record.as_bytes()).unwrap()).unwrap();
        texts.gather(&parts).unwrap();
        // As numbers of two or three digits, with a comma and a space.
        let printed = format!("{:?}", texts.post).len();
        (printed / 4, record.len())
    }

    #[test]
    fn mentions_that_overlap_or_are_no_names_take_no_memory() {
        let text = "word ".repeat(10_000);
        let long = (0, text.len());
        // One mention of everything, one of many, many of one name.
        for (ranges, dids) in [
            (vec![long], 1_000),
            (vec![long; 1_000], 1),
            (vec![(0, 200)], 1_000),
            (vec![(0, 200); 1_000], 1),
        ] {
            let (gathered, bytes) = gathered(&text, &ranges, dids);
            let most = 2 * text.len() + 4 * ranges.len();
            assert!(
                gathered <= most + most / 4,
                "{gathered} of {bytes}, {ranges:?}"
            );
        }
        // What is honest is all there.
        let names: Vec<_> = (0..10_000).map(|n| (5 * n, 5 * n + 4)).collect();
        let (gathered, _) = gathered(&text, &names, 1);
        assert!(gathered >= 2 * text.len(), "{gathered}");
    }

    #[test]
    fn languages_match_by_their_beginning() {
        assert!(speaks(&["en"], json!(["en"])));
        assert!(speaks(&["en"], json!(["de", "EN-gb"])));
        assert!(speaks(&["pt-br"], json!(["pt-BR"])));
        assert!(!speaks(&["pt-BR"], json!(["pt"])));
        assert!(!speaks(&["en"], json!(["eng"])));
        assert!(!speaks(&["en"], json!([])) && !speaks(&["en"], json!(null)));
        assert!(speaks(&["en", "und"], json!([])) && speaks(&["und"], json!(7)));
        assert!(!speaks(&["und"], json!(["ja"])));
    }
}
