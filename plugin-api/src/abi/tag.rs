//! The tag: what the host reads from a plugin's file before it opens it.
//!
//! Plain bytes without relocations under one symbol, so that reading it runs nothing.

/// First bytes of every tag.
pub const MAGIC: [u8; 16] = *b"stream-plugin\0\r\n";
/// Symbol under which a plugin exports its tag.
pub const TAG_SYMBOL: &str = "STREAM_PLUGIN_ABI_TAG";
/// Bytes before the text of a tag.
pub const TAG_HEAD: usize = 28;
/// Longest text that the host reads.
pub const TAG_TEXT_MAX: usize = 16 * 1024;

/// Magic, version of the ABI, and NUL-separated text: package, version, then `kind:stage` each.
#[repr(C)]
pub struct AbiTag<const N: usize> {
    magic: [u8; 16],
    major: u32,
    minor: u32,
    len: u32,
    text: [u8; N],
}

/// Length of the parts, each two strings in a row and a NUL.
#[must_use]
pub const fn text_len(parts: &[[&str; 2]]) -> usize {
    let (mut n, mut i) = (0, 0);
    while i < parts.len() {
        n += parts[i][0].len() + parts[i][1].len() + 1;
        i += 1;
    }
    n
}

impl<const N: usize> AbiTag<N> {
    /// Joins the parts; `N` must be [`text_len`] of them.
    #[must_use]
    pub const fn new(parts: &[[&str; 2]]) -> Self {
        let mut text = [0; N];
        let (mut at, mut i) = (0, 0);
        while i < parts.len() {
            let mut half = 0;
            while half < 2 {
                let part = parts[i][half].as_bytes();
                let mut k = 0;
                while k < part.len() {
                    text[at] = part[k];
                    at += 1;
                    k += 1;
                }
                half += 1;
            }
            at += 1;
            i += 1;
        }
        Self {
            magic: MAGIC,
            major: super::ABI_MAJOR,
            minor: super::ABI_MINOR,
            len: N as u32,
            text,
        }
    }
}

/// A tag, read from bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Major number of the ABI that the plugin was built for.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Package name.
    pub name: String,
    /// Package version.
    pub version: String,
    /// `kind:name` of each stage.
    pub stages: Vec<String>,
}

impl Tag {
    /// Reads a tag.
    ///
    /// # Errors
    /// What is wrong with the bytes, in one sentence.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let word = |at: usize| -> Option<u32> {
            Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
        };
        let (Some(major), Some(minor), Some(len)) = (word(16), word(20), word(24)) else {
            return Err("its tag is cut short".into());
        };
        if bytes.get(..16) != Some(&MAGIC[..]) {
            return Err("its tag does not begin as a plugin's tag does".into());
        }
        let len = len as usize;
        let text = bytes
            .get(TAG_HEAD..)
            .and_then(|t| t.get(..len.min(TAG_TEXT_MAX + 1)))
            .filter(|t| t.len() == len)
            .ok_or("its tag is cut short")?;
        let text = std::str::from_utf8(text).map_err(|_| "its tag is not UTF-8")?;
        let mut parts = text.split_terminator('\0').map(str::to_owned);
        let (Some(name), Some(version)) = (parts.next(), parts.next()) else {
            return Err("its tag names no plugin".into());
        };
        Ok(Self {
            major,
            minor,
            name,
            version,
            stages: parts.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_reads_back_and_each_truncation_is_an_error() {
        const PARTS: &[[&str; 2]] = &[["p", ""], ["1.2.3", ""], ["source:", "s"]];
        static TAG: AbiTag<{ text_len(PARTS) }> = AbiTag::new(PARTS);
        let mut bytes = TAG.magic.to_vec();
        for word in [TAG.major, TAG.minor, TAG.len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(TAG.text);
        let tag = Tag::read(&bytes).unwrap();
        assert_eq!(
            (&*tag.name, &*tag.version, tag.stages),
            ("p", "1.2.3", vec!["source:s".to_owned()])
        );
        for n in 0..bytes.len() {
            assert!(Tag::read(&bytes[..n]).is_err(), "{n} bytes");
        }
    }
}
