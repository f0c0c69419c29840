//! What `track` and `languages` look at of a record: the texts and languages of a post, by the
//! lexicon `app.bsky.feed.post`.

use json_walk::{Malformed, Value, elements, members};
use track::Post;

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

    /// Whether the post is in one of these languages: a tag equals a wanted one, or begins with it
    /// and a hyphen, in any case (RFC 4647, basic filtering). `und` stands for a post that names no
    /// language.
    pub fn speaks(&self, languages: &[String], scratch: &mut Vec<u8>) -> Result<bool, Malformed> {
        let mut names_one = false;
        for element in self.langs.into_iter().flat_map(elements) {
            let (_, lang) = element?;
            if !lang.is_string() {
                continue;
            }
            names_one = true;
            let lang = lang.text(scratch);
            if languages.iter().any(|wanted| is_of(lang, wanted)) {
                return Ok(true);
            }
        }
        Ok(!names_one && languages.iter().any(|l| l.eq_ignore_ascii_case("und")))
    }
}

fn is_of(tag: &[u8], wanted: &str) -> bool {
    let wanted = wanted.as_bytes();
    let Some((head, rest)) = tag.split_at_checked(wanted.len()) else {
        return false;
    };
    head.eq_ignore_ascii_case(wanted) && (rest.is_empty() || rest[0] == b'-')
}

/// Gathers the texts of posts; its memory is kept from post to post.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub post: Post,
    text: Vec<u8>,
    scratch: Vec<u8>,
    /// Where the text shows a shortened address.
    cuts: Vec<(usize, usize)>,
}

impl Texts {
    /// Puts the text, hashtags, mentions and links of a post together, and the address of a link
    /// card. The title and description of a card are its page's words, not the author's.
    pub fn gather(&mut self, parts: &Parts<'_>) -> Result<(), Malformed> {
        self.post.clear();
        self.text.clear();
        self.cuts.clear();
        if let Some(text) = parts.text.filter(|v| v.is_string()) {
            text.push_text(&mut self.text);
        }
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
        let shown = range.and_then(|(start, end)| shown(&self.text, start, end));
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
                        if let Some(name) = shown {
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
            if let Some(part) = shown(&self.text, from, start) {
                self.post.text(part);
            }
            from = from.max(end);
        }
        if let Some(rest) = shown(&self.text, from, self.text.len()) {
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

/// A part of the text, if the range is one: within it, and between characters.
fn shown(text: &[u8], start: usize, end: usize) -> Option<&str> {
    std::str::from_utf8(text.get(start..end)?).ok()
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
