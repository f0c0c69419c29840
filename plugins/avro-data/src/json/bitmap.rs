//! Pass one: 64 bytes at a time into bitmaps of quotes, escapes and brackets.
//!
//! A bit is the byte's position within its block. Quotes are those that begin or end a text;
//! brackets only those outside of texts. So the walk finds a text's end, or the end of a
//! container that nobody asked for, by looking at bits instead of bytes.

use super::{JsonError, fault};

/// The bitmaps of 64 bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Block {
    /// Quotes that begin or end a text.
    pub quotes: u64,
    /// Backslashes that begin an escape.
    pub escapes: u64,
    /// `{` and `[` outside of texts.
    pub opens: u64,
    /// `}` and `]` outside of texts.
    pub closes: u64,
}

/// The bitmaps of a document. Kept from one document to the next for its memory.
#[derive(Debug, Default)]
pub(crate) struct Bitmaps {
    blocks: Vec<Block>,
}

/// Bitmaps kept between documents: 1 MiB, enough for documents of 2 MiB.
const KEPT_BLOCKS: usize = (1 << 20) / size_of::<Block>();

/// What is at the 64 bytes of a block, before texts are known.
pub(super) struct Raw {
    pub quotes: u64,
    pub backslashes: u64,
    pub opens: u64,
    pub closes: u64,
    /// Bytes below 0x20.
    pub controls: u64,
    /// Not 0 if a byte is not ASCII.
    pub beyond_ascii: u64,
}

impl Bitmaps {
    /// Reads a document, and checks that it is UTF-8, which most are by being ASCII.
    pub(crate) fn read(&mut self, json: &[u8]) -> Result<(), JsonError> {
        if json.len() >= u32::MAX as usize {
            return fault(0, "a document of 4 GiB or more");
        }
        self.blocks.clear();
        if self.blocks.capacity() > KEPT_BLOCKS {
            self.blocks
                .shrink_to(KEPT_BLOCKS.max(json.len().div_ceil(64)));
        }
        let mut state = State::default();
        let (chunks, rest) = json.as_chunks::<64>();
        self.blocks
            .extend(chunks.iter().map(|chunk| state.block(chunk)));
        if !rest.is_empty() {
            let mut last = [b' '; 64];
            last[..rest.len()].copy_from_slice(rest);
            self.blocks.push(state.block(&last));
        }
        if state.beyond_ascii != 0
            && let Err(error) = std::str::from_utf8(json)
        {
            return fault(error.valid_up_to(), "not UTF-8");
        }
        if state.in_text != 0 {
            return fault(json.len(), "ends within a text");
        }
        if state.fault != 0 {
            return fault(
                state.fault_at(json),
                "a control character in a text, or a backslash outside of one",
            );
        }
        Ok(())
    }

    /// The next quote at or after a position.
    #[inline]
    pub(crate) fn quote(&self, at: usize) -> Option<usize> {
        self.next(at, |block| block.quotes)
    }

    /// The next backslash that begins an escape, at or after a position.
    #[inline]
    pub(crate) fn escape(&self, at: usize, end: usize) -> Option<usize> {
        let mut word = at / 64;
        let mut bits = self.blocks.get(word)?.escapes & (!0 << (at % 64));
        loop {
            if bits != 0 {
                let found = word * 64 + bits.trailing_zeros() as usize;
                return (found < end).then_some(found);
            }
            word += 1;
            if word * 64 >= end {
                return None;
            }
            bits = self.blocks.get(word)?.escapes;
        }
    }

    #[inline]
    fn next(&self, at: usize, pick: impl Fn(&Block) -> u64) -> Option<usize> {
        let mut word = at / 64;
        let mut bits = pick(self.blocks.get(word)?) & (!0 << (at % 64));
        while bits == 0 {
            word += 1;
            bits = pick(self.blocks.get(word)?);
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// The position after the bracket that closes the one just before `at`.
    #[inline]
    pub(crate) fn after_container(&self, at: usize) -> Option<usize> {
        let mut word = at / 64;
        let mask = !0 << (at % 64);
        let mut block = self.blocks.get(word)?;
        let mut opens = block.opens & mask;
        let mut closes = block.closes & mask;
        let mut depth = 1;
        loop {
            while closes != 0 {
                let bit = closes.trailing_zeros();
                let before = opens & ((1 << bit) - 1);
                depth += before.count_ones();
                depth -= 1;
                if depth == 0 {
                    return Some(word * 64 + bit as usize + 1);
                }
                opens ^= before;
                closes &= closes - 1;
            }
            depth += opens.count_ones();
            word += 1;
            block = self.blocks.get(word)?;
            opens = block.opens;
            closes = block.closes;
        }
    }
}

/// What one block hands to the next.
#[derive(Default)]
struct State {
    /// All ones while a text goes on.
    in_text: u64,
    /// 1 if the next byte is escaped.
    escaped: u64,
    /// Not 0 if a byte was where it must not be.
    fault: u64,
    /// Not 0 if a byte is not ASCII.
    beyond_ascii: u64,
}

impl State {
    #[inline]
    fn block(&mut self, bytes: &[u8; 64]) -> Block {
        let raw = classify(bytes);
        let (escaped, escapes) = self.escapes(raw.backslashes);
        let quotes = raw.quotes & !escaped;
        // Each bit: whether an odd number of quotes stands at or before it.
        let mut inside = quotes;
        inside ^= inside << 1;
        inside ^= inside << 2;
        inside ^= inside << 4;
        inside ^= inside << 8;
        inside ^= inside << 16;
        inside ^= inside << 32;
        inside ^= self.in_text;
        self.in_text = ((inside as i64) >> 63) as u64;
        self.beyond_ascii |= raw.beyond_ascii;
        self.fault |= (raw.controls & inside) | (raw.backslashes & !inside);
        Block {
            quotes,
            escapes,
            opens: raw.opens & !inside,
            closes: raw.closes & !inside,
        }
    }

    /// The bytes that are escaped, and the backslashes that escape them; as simdjson does it:
    /// runs of backslashes that begin at odd positions are told from those at even ones by
    /// the carry of a subtraction.
    #[inline]
    fn escapes(&mut self, backslashes: u64) -> (u64, u64) {
        const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
        if backslashes == 0 {
            return (std::mem::take(&mut self.escaped), 0);
        }
        let potential = backslashes & !self.escaped;
        let codes = ((potential << 1) | ODD).wrapping_sub(potential) ^ ODD;
        let escaped = codes ^ (backslashes | self.escaped);
        let escapes = codes & backslashes;
        self.escaped = escapes >> 63;
        (escaped, escapes)
    }

    /// The first byte that was where it must not be; the slow way, for the message.
    fn fault_at(&self, json: &[u8]) -> usize {
        let (mut inside, mut escaped) = (false, false);
        for (at, byte) in json.iter().enumerate() {
            match byte {
                0..0x20 if inside => return at,
                b'\\' if !inside => return at,
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => inside = !inside,
                _ => {}
            }
        }
        json.len()
    }
}

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline]
pub(super) fn classify(bytes: &[u8; 64]) -> Raw {
    use safe_arch::{
        cmp_eq_mask_i8_m128i as eq, load_unaligned_m128i as load, m128i, min_u8_m128i as min,
        move_mask_i8_m128i as mask, set_splat_i8_m128i as splat,
    };
    let mut raw = Raw {
        quotes: 0,
        backslashes: 0,
        opens: 0,
        closes: 0,
        controls: 0,
        beyond_ascii: 0,
    };
    let (parts, _) = bytes.as_chunks::<16>();
    for (i, part) in parts.iter().enumerate() {
        let v = load(part);
        // `[` and `{`, `]` and `}` differ in one bit.
        let folded = v | splat(0x20);
        let bits = |m: m128i| u64::from(mask(m) as u32 & 0xFFFF) << (i * 16);
        raw.quotes |= bits(eq(v, splat(b'"' as i8)));
        raw.backslashes |= bits(eq(v, splat(b'\\' as i8)));
        raw.opens |= bits(eq(folded, splat(b'{' as i8)));
        raw.closes |= bits(eq(folded, splat(b'}' as i8)));
        raw.controls |= bits(eq(min(v, splat(0x1F)), v));
        raw.beyond_ascii |= bits(v);
    }
    raw
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
pub(super) fn classify(bytes: &[u8; 64]) -> Raw {
    classify_portable(bytes)
}

/// The same on eight bytes in a word at a time, for machines without SSE2.
#[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
pub(super) fn classify_portable(bytes: &[u8; 64]) -> Raw {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The top bit of each byte that is zero, gathered into eight bits.
    fn gather(tops: u64) -> u64 {
        ((tops >> 7).wrapping_mul(0x0102_0408_1020_4080)) >> 56
    }
    fn zero(word: u64) -> u64 {
        gather(!(((word & LOW) + LOW) | word | LOW))
    }
    let mut raw = Raw {
        quotes: 0,
        backslashes: 0,
        opens: 0,
        closes: 0,
        controls: 0,
        beyond_ascii: 0,
    };
    let (words, _) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let v = u64::from_le_bytes(*word);
        let folded = v | (ONES * 0x20);
        let shift = i * 8;
        raw.quotes |= zero(v ^ (ONES * u64::from(b'"'))) << shift;
        raw.backslashes |= zero(v ^ (ONES * u64::from(b'\\'))) << shift;
        raw.opens |= zero(folded ^ (ONES * u64::from(b'{'))) << shift;
        raw.closes |= zero(folded ^ (ONES * u64::from(b'}'))) << shift;
        raw.beyond_ascii |= gather(v & (ONES * 0x80)) << shift;
        // Below 0x20: the top three bits are all zero.
        raw.controls |= zero(v & (ONES * 0xE0)) << shift;
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_classifiers_agree_on_every_byte_everywhere() {
        for byte in 0..=255u8 {
            for place in 0..64 {
                let mut bytes = [b'a'; 64];
                bytes[place] = byte;
                bytes[(place + 17) % 64] = b'"';
                bytes[(place + 1) % 64] = byte ^ 0x80;
                let (a, b) = (classify(&bytes), classify_portable(&bytes));
                let all = |r: &Raw| {
                    [
                        r.quotes,
                        r.backslashes,
                        r.opens,
                        r.closes,
                        r.controls,
                        r.beyond_ascii,
                    ]
                };
                assert_eq!(all(&a), all(&b), "byte {byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn finds_texts_and_containers_across_blocks() {
        let long = "x".repeat(100);
        for run in 0..9 {
            let slashes = "\\\\".repeat(run);
            let json = format!(r#"{{"a":"{long}{slashes}\"[","b":[[1],{{"c":"]"}}],"d":1}}"#);
            let mut maps = Bitmaps::default();
            maps.read(json.as_bytes()).unwrap();
            let a = json.find(&long).unwrap();
            assert_eq!(maps.quote(a), json.find("[\",\"b").map(|p| p + 1));
            let list = json.find("[[1]").unwrap();
            assert_eq!(maps.after_container(list + 1), json.find(",\"d\""));
            assert_eq!(maps.after_container(1), Some(json.len()));
            assert_eq!(maps.escape(a, json.len()), json.find('\\'));
        }
    }

    #[test]
    fn refuses_what_no_document_holds() {
        let mut maps = Bitmaps::default();
        assert_eq!(maps.read(b"{\"a").unwrap_err().what, "ends within a text");
        assert_eq!(maps.read(b"{\"a\n\"").unwrap_err().at, 3);
        assert_eq!(maps.read(b"{\"a\" \\\"").unwrap_err().at, 5);
    }
}
