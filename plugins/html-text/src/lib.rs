//! The HTML of posts, as Mastodon and the servers it hears from send it, to plain text.
//!
//! Only white space is added to what the author wrote: paragraphs are set apart by an empty line;
//! lines, and the items of lists, stand each on their own. Runs of white space are one space, but
//! in `<pre>`. Tags, attributes, comments, scripts and styles are left out, the alternative text of
//! an image is kept.
//!
//! - A link gives its text. Of one that Mastodon shows shortened, by spans of the classes
//!   `invisible` and `ellipsis`, that is the whole address: what a person gets who copies it.
//! - `@<span>name</span>` stays `@name`, and `#<span>tag</span>` stays `#tag`.
//!
//! The tokenizer is html5gum's, which takes any input as the standard says and never fails. No tree
//! is built, so tags within tags cost nothing, however deep; time and memory are those of the input.

use std::borrow::Cow;
use std::convert::Infallible;

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

mod text;

use text::{Layout, Text};

/// Appends the text of some HTML to `out`.
///
/// ```
/// let mut text = String::new();
/// html_text::to_text("<p>Hi <a href='https://a.example'>@<span>ann</span></a> &amp;<br>all</p>", &mut text);
/// assert_eq!(text, "Hi @ann &\nall");
/// ```
pub fn to_text(html: &str, out: &mut String) {
    to_text_and_links(html, out, |_| {});
}

/// The same, and calls `link` with the address of each link that is neither a mention nor a
/// hashtag: no class `mention` or `hashtag`, no relation `tag`.
pub fn to_text_and_links(html: &str, out: &mut String, link: impl FnMut(&str)) {
    let mut reader = Reader {
        text: Text::new(out),
        link,
        tag: Tag::Other,
        attribute: Attribute::Other,
        value: String::new(),
        is_mark: false,
    };
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| {
        reader.event(event);
        None::<Infallible>
    });
    // Within a script or a style `<` is no tag.
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
}

/// What becomes of the tokens.
struct Reader<'o, F> {
    text: Text<'o>,
    link: F,
    /// The start tag that is being read, its attribute, and the value kept of it.
    tag: Tag,
    attribute: Attribute,
    value: String,
    /// Whether it is a mention's or a hashtag's.
    is_mark: bool,
}

/// A start tag whose attributes matter.
#[derive(Clone, Copy, PartialEq)]
enum Tag {
    Link,
    Image,
    Other,
}

#[derive(Clone, Copy)]
enum Attribute {
    /// The one whose value is kept.
    Kept,
    /// `class` or `rel` of a link.
    Role,
    Other,
}

impl<F: FnMut(&str)> Reader<'_, F> {
    fn event(&mut self, event: CallbackEvent<'_>) {
        match event {
            CallbackEvent::String { value } => self.text.add(&utf8(value)),
            CallbackEvent::OpenStartTag { name } => {
                self.text.tag(Layout::of(name), true);
                self.tag = match name {
                    b"a" => Tag::Link,
                    b"img" => Tag::Image,
                    _ => Tag::Other,
                };
                self.attribute = Attribute::Other;
                self.value.clear();
                self.is_mark = false;
            }
            CallbackEvent::AttributeName { name } => {
                self.attribute = match (self.tag, name) {
                    // Of an attribute that comes twice the first counts.
                    (Tag::Link, b"href") | (Tag::Image, b"alt") if self.value.is_empty() => {
                        Attribute::Kept
                    }
                    (Tag::Link, b"class" | b"rel") => Attribute::Role,
                    _ => Attribute::Other,
                };
            }
            CallbackEvent::AttributeValue { value } => match self.attribute {
                Attribute::Kept => self.value.push_str(&utf8(value)),
                Attribute::Role => {
                    self.is_mark |= value
                        .split(u8::is_ascii_whitespace)
                        .any(|role| matches!(role, b"mention" | b"hashtag" | b"tag"));
                }
                Attribute::Other => {}
            },
            CallbackEvent::CloseStartTag { .. } => match self.tag {
                Tag::Link if !self.is_mark && !self.value.is_empty() => (self.link)(&self.value),
                Tag::Image => self.text.add(&self.value),
                _ => {}
            },
            CallbackEvent::EndTag { name } => self.text.tag(Layout::of(name), false),
            CallbackEvent::Comment { .. }
            | CallbackEvent::Doctype { .. }
            | CallbackEvent::Error(_) => {}
        }
    }
}

/// The tokenizer cuts its input at ASCII only.
fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
