//! Compressed events: each is one frame of zstd, by a dictionary that both sides have.

use std::path::Path;

use plugin_api::StageError;
use zstd::bulk::Decompressor;
use zstd::zstd_safe::{get_dict_id_from_dict, get_dict_id_from_frame, get_frame_content_size};

/// How every frame of zstd begins, and no JSON.
const MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The other side of a server's compression. Keeps its memory from event to event.
pub(crate) struct Inflate {
    decompressor: Decompressor<'static>,
    /// The dictionary's number, which frames name.
    dictionary: u32,
    out: Vec<u8>,
    max: usize,
}

/// A frame that cannot be inflated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Deflated {
    /// For this reason.
    Unusable(String),
    /// It was made with the dictionary of this number, and so are all of that server.
    OtherDictionary(u32),
}

/// Whether an event is compressed.
pub(crate) fn is_compressed(frame: &[u8]) -> bool {
    frame.starts_with(MAGIC)
}

impl Inflate {
    /// Reads a dictionary.
    pub fn open(path: &Path, max_message_bytes: usize) -> Result<Self, StageError> {
        let wrong =
            |why: String| StageError::config("/dictionary", format!("{}: {why}", path.display()));
        let dictionary = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
        let number = get_dict_id_from_dict(&dictionary)
            .ok_or_else(|| wrong("it is no dictionary of zstd".into()))?;
        Ok(Self {
            decompressor: Decompressor::with_dictionary(&dictionary)
                .map_err(|e| wrong(format!("it is no dictionary of zstd: {e}")))?,
            dictionary: number.get(),
            out: Vec::with_capacity(max_message_bytes),
            max: max_message_bytes,
        })
    }

    /// The event in a frame; never more than allowed.
    pub fn inflate(&mut self, frame: &[u8]) -> Result<&[u8], Deflated> {
        if let Some(other) = get_dict_id_from_frame(frame).filter(|n| n.get() != self.dictionary) {
            return Err(Deflated::OtherDictionary(other.get()));
        }
        if let Ok(Some(size)) = get_frame_content_size(frame)
            && size > self.max as u64
        {
            return Err(Deflated::Unusable(format!(
                "it would inflate to {size} bytes, more than max_message_bytes = {}",
                self.max
            )));
        }
        self.out.clear();
        match self.decompressor.decompress_to_buffer(frame, &mut self.out) {
            Ok(_) => Ok(&self.out),
            Err(error) => Err(Deflated::Unusable(format!(
                "it does not inflate to at most {} bytes: {error}",
                self.max
            ))),
        }
    }
}
