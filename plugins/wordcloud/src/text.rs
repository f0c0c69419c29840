//! Finds the text in a JSON record: one pass, nothing parsed but the path to it.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// JSON paths in their order of preference, as a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    root: Node,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    /// Position in the list of paths, when one ends here.
    rank: Option<usize>,
    children: Vec<(String, Node)>,
}

impl Paths {
    /// Paths as `outer.inner`; the error is the position of one that is empty, doubled, or runs
    /// through another.
    pub fn new<S: AsRef<str>>(paths: &[S]) -> Result<Self, usize> {
        let mut root = Node::default();
        for (rank, path) in paths.iter().enumerate() {
            let mut node = &mut root;
            for key in path.as_ref().split('.') {
                if key.is_empty() || node.rank.is_some() {
                    return Err(rank);
                }
                let place = node
                    .children
                    .iter()
                    .position(|child| child.0 == key)
                    .unwrap_or_else(|| {
                        node.children.push((key.to_owned(), Node::default()));
                        node.children.len() - 1
                    });
                node = &mut node.children[place].1;
            }
            if node.rank.is_some() || !node.children.is_empty() {
                return Err(rank);
            }
            node.rank = Some(rank);
        }
        Ok(Self { root })
    }

    /// Writes the text of the first path that holds one into `out`. A record that is itself a
    /// string is its own text. `Ok(false)`: no path holds a text. The error says what is wrong
    /// with the JSON.
    pub fn find(&self, json: &[u8], out: &mut String) -> Result<bool, serde_json::Error> {
        out.clear();
        let mut best = Best {
            rank: usize::MAX,
            raw: None,
        };
        let mut reader = serde_json::Deserializer::from_slice(json);
        if json.trim_ascii_start().first() == Some(&b'"') {
            best.raw = Some(<&RawValue as serde::Deserialize>::deserialize(&mut reader)?);
        } else {
            Walk {
                node: &self.root,
                best: &mut best,
            }
            .deserialize(&mut reader)?;
        }
        reader.end()?;
        let Some(raw) = best.raw else {
            return Ok(false);
        };
        unescape(raw.get(), out);
        Ok(true)
    }
}

struct Best<'de> {
    rank: usize,
    raw: Option<&'de RawValue>,
}

struct Walk<'a, 'de> {
    node: &'a Node,
    best: &'a mut Best<'de>,
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
                Some(Node {
                    rank: Some(rank), ..
                }) => {
                    let raw: &RawValue = map.next_value()?;
                    if *rank <= self.best.rank && raw.get().starts_with('"') {
                        *self.best = Best {
                            rank: *rank,
                            raw: Some(raw),
                        };
                    }
                }
                Some(node) => map.next_value_seed(Walk {
                    node,
                    best: self.best,
                })?,
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
        let mut out = String::new();
        Paths::new(paths)
            .unwrap()
            .find(json.as_bytes(), &mut out)
            .unwrap()
            .then_some(out)
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
        let paths = Paths::new(&["text"]).unwrap();
        for json in [
            "",
            "{",
            r#"{"text":"a"} x"#,
            r#"{"text":"a"#,
            "{\"text\":\"\\u12\"}",
            "nul",
        ] {
            assert!(
                paths.find(json.as_bytes(), &mut String::new()).is_err(),
                "{json}"
            );
        }
    }

    #[test]
    fn paths_that_run_through_each_other_are_refused() {
        assert_eq!(Paths::new(&["a", "a.b"]), Err(1));
        assert_eq!(Paths::new(&["a.b", "a"]), Err(1));
        assert_eq!(Paths::new(&["a", "a"]), Err(1));
        assert_eq!(Paths::new(&["a..b"]), Err(0));
    }
}
