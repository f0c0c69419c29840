//! A window as bytes, for checkpoints: little endian, words by number, each text once.

use super::{Bounds, Entry, LINK, NONE, Window};

impl Window {
    /// Appends all that is needed to go on from here.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend(self.newest_us.to_le_bytes());
        out.extend(self.refused.to_le_bytes());
        out.extend(self.cut.to_le_bytes());
        out.extend((self.index.len() as u32).to_le_bytes());
        let mut numbers = vec![NONE; self.texts.len()];
        let used = (0..self.texts.len()).filter(|id| self.counts[*id] > 0);
        for (number, id) in used.enumerate() {
            numbers[id] = number as u32;
            out.extend((self.texts[id].len() as u32).to_le_bytes());
            out.extend(self.texts[id].as_bytes());
        }
        out.extend((self.entries.len() as u32).to_le_bytes());
        for entry in &self.entries {
            out.extend(entry.time_us.to_le_bytes());
            out.extend(entry.len.to_le_bytes());
            let (mut link, mut left) = (entry.first, entry.len as usize);
            while link != NONE {
                let words = &self.links[link as usize].words[..left.min(LINK)];
                for id in words {
                    out.extend(numbers[*id as usize].to_le_bytes());
                }
                left -= words.len();
                link = self.links[link as usize].next;
            }
        }
    }

    /// What [`Window::save`] wrote, within bounds that may be others by now; `None` if it is not
    /// that.
    pub fn load(bounds: Bounds, mut state: &[u8]) -> Option<Self> {
        let from = &mut state;
        let mut window = Self::new(bounds);
        window.newest_us = i64::from_le_bytes(*array(from)?);
        window.refused = u64::from_le_bytes(*array(from)?);
        window.cut = u64::from_le_bytes(*array(from)?);
        for number in 0..u32_of(from)? {
            let len = u32_of(from)? as usize;
            let text = from.split_off(..len)?;
            if window.add(std::str::from_utf8(text).ok()?) != number {
                return None;
            }
        }
        for _ in 0..u32_of(from)? {
            let time_us = i64::from_le_bytes(*array(from)?);
            let len = u32_of(from)?;
            for _ in 0..len {
                let id = u32_of(from)?;
                *window.counts.get_mut(id as usize)? += 1;
                window.pending.push(id);
            }
            let last = window.entries.back();
            if last.is_some_and(|last| last.time_us > time_us) {
                return None;
            }
            let first = window.chain();
            window.tokens += window.pending.len();
            window.pending.clear();
            let entry = Entry {
                time_us,
                first,
                len,
            };
            window.entries.push_back(entry);
        }
        if !from.is_empty() || window.counts.contains(&0) {
            return None;
        }
        window.trim();
        Some(window)
    }
}

fn array<'a, const N: usize>(from: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    from.split_off(..N)?.try_into().ok()
}

fn u32_of(from: &mut &[u8]) -> Option<u32> {
    array(from).map(|bytes| u32::from_le_bytes(*bytes))
}
