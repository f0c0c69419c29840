//! Which events go on: by kind, by language, by words.

use json_walk::Malformed;
use plugin_api::StageError;
use track::{Scratch, Track};

use crate::config::{Emit, Options};
use crate::event::Event;
use crate::post::{Parts, Texts};

/// What the options ask for, compiled.
pub(crate) struct Selection {
    kinds: Vec<Emit>,
    track: Option<Track>,
    languages: Vec<String>,
    texts: Texts,
    scratch: Scratch,
    lang_scratch: Vec<u8>,
}

impl Selection {
    pub fn new(options: &Options) -> Result<Self, StageError> {
        Ok(Self {
            kinds: options.emit.clone(),
            track: live::track(&options.track)?,
            languages: options.languages.clone(),
            texts: Texts::default(),
            scratch: Scratch::default(),
            lang_scratch: Vec::new(),
        })
    }

    /// Whether an event goes on. Words and languages are asked of what is written; what is taken
    /// back, and what is about accounts, has none.
    ///
    /// # Errors
    /// If the record is not JSON as far as it was looked at.
    pub fn wants(&mut self, event: &Event<'_>) -> Result<bool, Malformed> {
        let Some(kind) = event.kind.filter(|kind| self.kinds.contains(kind)) else {
            return Ok(false);
        };
        let is_plain = self.track.is_none() && self.languages.is_empty();
        if is_plain || !matches!(kind, Emit::Create | Emit::Update) {
            return Ok(true);
        }
        let Some(record) = event.record else {
            return Ok(false);
        };
        let parts = Parts::of(record)?;
        if !self.languages.is_empty() && !parts.speaks(&self.languages, &mut self.lang_scratch)? {
            return Ok(false);
        }
        let Some(track) = &self.track else {
            return Ok(true);
        };
        self.texts.gather(&parts)?;
        Ok(track.finds(&self.texts.post, &mut self.scratch))
    }
}
