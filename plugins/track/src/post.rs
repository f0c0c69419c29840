//! What `track` looks at of a post of any network.

use crate::fold::{fold_into, undo_entities};
use crate::matcher::{Scratch, Track};

/// The texts of one post, folded as a [`crate::Reader`] folds those of a tweet, so that the same
/// phrases give the same decision on every network. Kept from post to post: once it has grown to
/// the largest post, nothing is allocated.
///
/// What to put in is what Twitter documents for `track`: the full texts of the post and of what it
/// repeats and quotes (not a shortened form beside them), and their hashtags, mentions and links.
/// A link goes in by its whole address. Where a network shows it shortened within the text
/// (`example.com/lon...`), give the text before and after it in two calls, as the cut word is
/// nobody's.
///
/// ```
/// use track::{Post, Scratch, Track};
/// let track = Track::new(&["apache kafka", "#rust"])?;
/// let (mut post, mut scratch) = (Post::default(), Scratch::default());
/// post.text("Kafka, by Apache");
/// assert!(track.finds(&post, &mut scratch));
/// post.clear();
/// post.hashtag("Rust");
/// assert!(track.finds(&post, &mut scratch));
/// # Ok::<(), track::PhraseError>(())
/// ```
#[derive(Debug, Default)]
pub struct Post {
    folded: Vec<u8>,
}

impl Post {
    /// Forgets the last post, and keeps the memory.
    pub fn clear(&mut self) {
        self.folded.clear();
    }

    /// A text, or a part of one that begins and ends between words.
    pub fn text(&mut self, text: &str) {
        self.push("", text);
    }

    /// A text in which `&`, `<` and `>` stand as `&amp;`, `&lt;` and `&gt;`: the texts of both of
    /// Twitter's APIs.
    pub fn escaped_text(&mut self, text: &str) {
        let start = self.folded.len();
        self.push("", text);
        undo_entities(&mut self.folded, start);
    }

    /// The address that a link leads to.
    pub fn link(&mut self, address: &str) {
        self.push("", address);
    }

    /// A hashtag, without its `#`.
    pub fn hashtag(&mut self, name: &str) {
        self.push("#", name);
    }

    /// The name of somebody mentioned, without `@`.
    pub fn mention(&mut self, name: &str) {
        self.push("@", name);
    }

    fn push(&mut self, mark: &str, text: &str) {
        self.folded.extend_from_slice(mark.as_bytes());
        fold_into(text, &mut self.folded);
        self.folded.push(b'\n');
    }
}

impl Track {
    /// Whether a phrase matches `post`.
    pub fn finds(&self, post: &Post, scratch: &mut Scratch) -> bool {
        self.matches(&post.folded, scratch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_phrase_may_be_in_different_parts_but_no_word_is_made_of_two_parts() {
        let track = Track::new(&["apache kafka", "rustlang"]).unwrap();
        let mut scratch = Scratch::default();
        let mut post = Post::default();
        post.text("about Apache");
        post.link("https://kafka.example");
        assert!(track.finds(&post, &mut scratch));
        post.clear();
        post.text("rust");
        post.text("lang");
        assert!(!track.finds(&post, &mut scratch));
    }

    #[test]
    fn only_an_escaped_text_is_unescaped_and_only_once() {
        let finds = |phrase: &str, fill: &dyn Fn(&mut Post)| {
            let mut post = Post::default();
            post.text("before &amp;");
            fill(&mut post);
            Track::new(&[phrase])
                .unwrap()
                .finds(&post, &mut Scratch::default())
        };
        assert!(finds("at&t", &|post| post.escaped_text("AT&amp;T")));
        assert!(!finds("at&t", &|post| post.text("AT&amp;T")));
        assert!(finds("a<b>c", &|post| post.escaped_text("a&lt;b&gt;c")));
        assert!(finds("&lt;", &|post| post.escaped_text("&amp;lt;")));
        assert!(finds("&copy", &|post| post.escaped_text("&copy; &am &")));
    }

    #[test]
    fn memory_is_kept() {
        let mut post = Post::default();
        post.text(&"É".repeat(1_000));
        let (memory, room) = (post.folded.as_ptr(), post.folded.capacity());
        for _ in 0..3 {
            post.clear();
            post.escaped_text(&"&amp;É".repeat(100));
            post.hashtag("rust");
        }
        assert_eq!(
            (post.folded.as_ptr(), post.folded.capacity()),
            (memory, room)
        );
    }
}
