//! The text in the making: white space is held back until something follows it.

/// What an element does to the text around and in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Set apart by an empty line.
    Paragraph,
    /// The same, and its white space counts.
    Preformatted,
    /// On a line of its own.
    Line,
    /// A line ends here.
    Break,
    /// Set apart by a space.
    Cell,
    /// Not shown, with all in it.
    Hidden,
    /// Nothing.
    Inline,
}

impl Layout {
    pub(crate) fn of(name: &[u8]) -> Self {
        match name {
            b"p" | b"blockquote" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" | b"table"
            | b"figure" | b"hr" => Self::Paragraph,
            b"pre" | b"listing" | b"xmp" => Self::Preformatted,
            b"div" | b"ul" | b"ol" | b"li" | b"dl" | b"dt" | b"dd" | b"tr" | b"section"
            | b"article" | b"aside" | b"header" | b"footer" | b"main" | b"nav" | b"address"
            | b"details" | b"summary" | b"figcaption" | b"caption" | b"center" | b"form"
            | b"fieldset" | b"legend" | b"option" | b"menu" => Self::Line,
            b"br" => Self::Break,
            b"td" | b"th" => Self::Cell,
            b"script" | b"style" | b"title" | b"template" | b"iframe" | b"noscript"
            | b"noembed" | b"noframes" => Self::Hidden,
            _ => Self::Inline,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Text<'o> {
    out: &'o mut String,
    /// Where in it the text begins.
    start: usize,
    /// Line ends to be written before what follows.
    ends: usize,
    /// Whether a space is.
    space: bool,
    preformatted: usize,
    /// A line end right after the tag `<pre>` is part of the tag.
    is_fresh: bool,
    hidden: usize,
}

impl<'o> Text<'o> {
    pub(crate) fn new(out: &'o mut String) -> Self {
        Self {
            start: out.len(),
            out,
            ends: 0,
            space: false,
            preformatted: 0,
            is_fresh: false,
            hidden: 0,
        }
    }

    pub(crate) fn tag(&mut self, layout: Layout, opens: bool) {
        match layout {
            Layout::Paragraph => self.ends = self.ends.max(2),
            Layout::Preformatted => {
                self.ends = self.ends.max(2);
                count(&mut self.preformatted, opens);
                self.is_fresh = opens;
            }
            Layout::Line => self.ends = self.ends.max(1),
            // `</br>` is one too, says the standard.
            Layout::Break => self.ends += 1,
            Layout::Cell => self.space = true,
            Layout::Hidden => count(&mut self.hidden, opens),
            Layout::Inline => {}
        }
    }

    pub(crate) fn add(&mut self, text: &str) {
        if self.hidden > 0 {
            return;
        }
        if self.preformatted > 0 {
            let text = match text.strip_prefix('\n') {
                Some(rest) if self.is_fresh => rest,
                _ => text,
            };
            self.is_fresh = false;
            for (line, words) in text.split('\n').enumerate() {
                self.ends += usize::from(line > 0);
                self.put(words);
            }
        } else {
            for (word, letters) in text.split(|c: char| c.is_ascii_whitespace()).enumerate() {
                self.space |= word > 0;
                self.put(letters);
            }
        }
    }

    fn put(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.out.len() > self.start {
            if self.ends > 0 {
                self.out.extend(std::iter::repeat_n('\n', self.ends));
            } else if self.space {
                self.out.push(' ');
            }
        }
        (self.ends, self.space) = (0, false);
        self.out.push_str(text);
    }
}

/// Counts how many elements are open; of end tags without a start there may be any number.
fn count(open: &mut usize, opens: bool) {
    *open = if opens {
        *open + 1
    } else {
        open.saturating_sub(1)
    };
}
