//! Finds values in a JSON record: one pass, nothing parsed but the paths to them.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What is looked for in one pass, each at JSON paths in an order of preference, as a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    root: Node,
    /// Of what is sought, whether it has to be a string.
    texts: Vec<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    /// What is sought here, and the position of this path among those of the same.
    ends: Vec<(usize, usize)>,
    children: Vec<(String, Node)>,
}

/// What was found at a path: JSON as it stands in the record.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    rank: usize,
    raw: &'a RawValue,
}

impl Paths {
    /// Seeks one more thing, at `paths` as `outer.inner`: a string, or with `any` a number or a
    /// truth value too. Answers its number; the error is the position of a path that is empty or
    /// doubled.
    pub fn seek<S: AsRef<str>>(&mut self, paths: &[S], any: bool) -> Result<usize, usize> {
        let sought = self.texts.len();
        for (rank, path) in paths.iter().enumerate() {
            let mut node = &mut self.root;
            for key in path.as_ref().split('.') {
                if key.is_empty() {
                    return Err(rank);
                }
                let known = node.children.iter().position(|child| child.0 == key);
                let place = known.unwrap_or_else(|| {
                    node.children.push((key.to_owned(), Node::default()));
                    node.children.len() - 1
                });
                node = &mut node.children[place].1;
            }
            if node.ends.iter().any(|end| end.0 == sought) {
                return Err(rank);
            }
            node.ends.push((sought, rank));
        }
        self.texts.push(!any);
        Ok(sought)
    }

    /// Finds what is sought in a record, in the order in which it was given to [`Paths::seek`]. A
    /// record that is itself a string is the first of all. The error says what is wrong with the
    /// JSON.
    pub fn find<'a>(
        &self,
        json: &'a [u8],
        found: &mut Vec<Option<Found<'a>>>,
    ) -> Result<(), serde_json::Error> {
        found.clear();
        found.resize(self.texts.len(), None);
        let mut reader = serde_json::Deserializer::from_slice(json);
        if json.trim_ascii_start().first() == Some(&b'"') {
            let raw = <&RawValue as serde::Deserialize>::deserialize(&mut reader)?;
            if let Some(first) = found.first_mut() {
                *first = Some(Found { rank: 0, raw });
            }
        } else {
            Walk {
                node: &self.root,
                texts: &self.texts,
                found,
            }
            .deserialize(&mut reader)?;
        }
        reader.end()
    }
}

impl<'a> Found<'a> {
    /// The text of a string, or a number or truth value as written.
    pub fn text(&self, out: &mut String) {
        out.clear();
        match self.raw.get() {
            quoted if quoted.starts_with('"') => unescape(quoted, out),
            plain => out.push_str(plain),
        }
    }

    /// Its JSON.
    pub fn json(&self) -> &'a str {
        self.raw.get()
    }
}

struct Walk<'a, 'de> {
    node: &'a Node,
    texts: &'a [bool],
    found: &'a mut Vec<Option<Found<'de>>>,
}

impl<'de> Walk<'_, 'de> {
    /// Notes a value at which paths end, and looks into it if others go on.
    fn end<E: serde::de::Error>(self, raw: &'de RawValue) -> Result<(), E> {
        let text = raw.get().starts_with('"');
        let plain = !raw.get().starts_with(['{', '[', 'n']);
        for &(sought, rank) in &self.node.ends {
            let fits = if self.texts[sought] { text } else { plain };
            let found = &mut self.found[sought];
            // Of a repeated key the last one counts.
            if fits && found.is_none_or(|best| rank <= best.rank) {
                *found = Some(Found { rank, raw });
            }
        }
        if !self.node.children.is_empty() && raw.get().starts_with('{') {
            let mut reader = serde_json::Deserializer::from_str(raw.get());
            self.deserialize(&mut reader).map_err(E::custom)?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Child(self.node))? {
            match child {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(node) => {
                    let walk = Walk {
                        node,
                        texts: self.texts,
                        found: self.found,
                    };
                    if node.ends.is_empty() {
                        map.next_value_seed(walk)?;
                    } else {
                        walk.end(map.next_value()?)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a key and finds its node, without keeping the key.
struct Child<'a>(&'a Node);

impl<'de, 'a> DeserializeSeed<'de> for Child<'a> {
    type Value = Option<&'a Node>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, 'a> Visitor<'de> for Child<'a> {
    type Value = Option<&'a Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self
            .0
            .children
            .iter()
            .find(|child| child.0 == key)
            .map(|child| &child.1))
    }
}

/// Undoes JSON's escapes; half a surrogate pair, which strict readers refuse, becomes U+FFFD.
fn unescape(quoted: &str, out: &mut String) {
    let mut rest = &quoted[1..quoted.len() - 1];
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let kind = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match kind {
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'b' | b'f' => out.push(' '),
            b'u' => {
                let mut code = unit(rest);
                rest = &rest[4..];
                if (0xD800..0xDC00).contains(&code) && rest.starts_with("\\u") {
                    let low = unit(&rest[2..]);
                    if (0xDC00..0xE000).contains(&low) {
                        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                        rest = &rest[6..];
                    }
                }
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            other => out.push(char::from(other)),
        }
    }
    out.push_str(rest);
}

fn unit(hex: &str) -> u32 {
    hex.get(..4)
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .unwrap_or(0xFFFD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(paths: &[&str], json: &str) -> Option<String> {
        let mut all = Paths::default();
        all.seek(paths, false).unwrap();
        let mut found = Vec::new();
        all.find(json.as_bytes(), &mut found).unwrap();
        let mut out = String::new();
        found[0].map(|found| {
            found.text(&mut out);
            out
        })
    }

    #[test]
    fn the_first_path_that_holds_a_text_wins_wherever_it_stands() {
        let paths = ["extended_tweet.full_text", "full_text", "text"];
        let whole = r#"{"id":1,"text":"short…","user":{"text":"no"},"extended_tweet":{"a":[1,{}],"full_text":"the whole"}}"#;
        assert_eq!(find(&paths, whole).as_deref(), Some("the whole"));
        assert_eq!(
            find(
                &paths,
                r#"{"full_text":null,"text":"x","extended_tweet":null}"#
            )
            .as_deref(),
            Some("x")
        );
        assert_eq!(find(&paths, r#"{"delete":{"status":{"id":1}}}"#), None);
        assert_eq!(find(&paths, r#""alone""#).as_deref(), Some("alone"));
        assert_eq!(find(&paths, "[1,2]"), None);
        assert_eq!(find(&paths, "17"), None);
    }

    #[test]
    fn escapes_are_undone_and_a_lone_surrogate_costs_one_character() {
        assert_eq!(
            find(
                &["t"],
                r#"{"t":"a\"\\\/\n\u00fc\ud83d\ude00\ud83dz\u0041"}"#
            )
            .as_deref(),
            Some("a\"\\/\nü😀\u{fffd}zA")
        );
    }

    #[test]
    fn wrong_json_is_an_error() {
        let mut paths = Paths::default();
        paths.seek(&["text"], false).unwrap();
        for json in [
            "",
            "{",
            r#"{"text":"a"} x"#,
            r#"{"text":"a"#,
            "{\"text\":\"\\u12\"}",
            "nul",
        ] {
            assert!(
                paths.find(json.as_bytes(), &mut Vec::new()).is_err(),
                "{json}"
            );
        }
    }

    #[test]
    fn paths_may_run_through_each_other_but_not_be_the_same() {
        assert_eq!(find(&["a", "a.b"], r#"{"a":{"b":"in"}}"#).unwrap(), "in");
        assert_eq!(find(&["a.b", "a"], r#"{"a":"out"}"#).unwrap(), "out");
        assert_eq!(Paths::default().seek(&["a", "a"], true), Err(1));
        assert_eq!(Paths::default().seek(&["a..b"], true), Err(0));
        let mut paths = Paths::default();
        paths.seek(&["text"], false).unwrap();
        paths.seek(&["user.id", "id"], true).unwrap();
        paths.seek(&["text"], false).unwrap();
        let mut found = Vec::new();
        let record = r#"{"id":7,"text":"t","user":{"id":null}}"#;
        paths.find(record.as_bytes(), &mut found).unwrap();
        let json: Vec<_> = found.iter().map(|found| found.unwrap().json()).collect();
        assert_eq!(json, ["\"t\"", "7", "\"t\""]);
    }
}
