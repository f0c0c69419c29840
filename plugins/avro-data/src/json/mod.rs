//! JSON bytes, read twice: [`bitmap`] finds quotes, brackets and escapes 64 bytes at a time,
//! [`walk`] then visits only the objects that a schema asks about. [`value`] is the plain
//! cursor for values of nested types.

pub(crate) mod bitmap;
pub(crate) mod number;
pub(crate) mod text;
pub(crate) mod trie;
pub(crate) mod value;
pub(crate) mod walk;

/// What a value is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    /// The document has no such value.
    #[default]
    Missing,
    Null,
    True,
    False,
    /// A number without fraction or exponent.
    Int,
    Float,
    /// Text; the range is without the quotes.
    Text,
    Object,
    Array,
}

impl Kind {
    /// The name for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Missing => "nothing",
            Kind::Null => "null",
            Kind::True | Kind::False => "a boolean",
            Kind::Int => "an integer",
            Kind::Float => "a number with a fraction",
            Kind::Text => "a text",
            Kind::Object => "an object",
            Kind::Array => "a list",
        }
    }
}

/// Where a value stands in the document's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Slot {
    pub start: u32,
    pub end: u32,
    pub kind: Kind,
}

impl Slot {
    pub(crate) fn new(start: usize, end: usize, kind: Kind) -> Slot {
        // Documents are below 4 GiB: `Bitmaps::read` refuses longer ones.
        Slot {
            start: start as u32,
            end: end as u32,
            kind,
        }
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Why a document could not be read, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JsonError {
    pub at: usize,
    pub what: &'static str,
}

pub(crate) fn fault<T>(at: usize, what: &'static str) -> Result<T, JsonError> {
    Err(JsonError { at, what })
}

/// White space as JSON knows it.
#[inline]
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
