//! A window as bytes, for checkpoints: little endian, forms by number, each text once.

use super::{Bounds, Counted, Entry, LINK, NONE, Recent, Record, UNKEPT, Window};
use crate::bytes::{array, put, text_of, u32_of, u64_of};

/// Form without a key of its own: it is one.
const SELF: u32 = NONE;

impl Window {
    /// Appends all that is needed to go on from here; of the texts kept as samples, those for
    /// `words`, `each` for one.
    pub fn save(&self, words: &[Counted<'_>], each: usize, out: &mut Vec<u8>) {
        let numbers = self.save_records(out);
        let mut recent = Recent::default();
        let (samples, _) = recent.chosen(self, words, each);
        out.extend((samples.len() as u32).to_le_bytes());
        // Oldest first: the newest are those that stay.
        for (text, record) in samples.iter().rev().filter_map(|at| self.texts.get(*at)) {
            out.extend(numbers[record as usize].to_le_bytes());
            put(text, out);
        }
    }

    /// Appends all but samples; answers for each record its number there.
    fn save_records(&self, out: &mut Vec<u8>) -> Vec<u32> {
        out.push(u8::from(self.bounds.everything()));
        for number in [self.refused, self.ever.0, self.ever.1] {
            out.extend(number.to_le_bytes());
        }
        let forms = self.save_forms(out);
        out.extend((self.entries.len() as u32).to_le_bytes());
        let mut numbers = vec![NONE; self.records.len()];
        let (mut order, mut next) = (Vec::new(), 0_u32);
        for entry in self.entries.in_order() {
            let number = &mut numbers[entry.record as usize];
            if *number == NONE {
                *number = next;
                next += 1;
                order.push(entry.record);
            }
            out.extend(entry.time_us.to_le_bytes());
            out.extend(number.to_le_bytes());
        }
        out.extend((order.len() as u32).to_le_bytes());
        for id in &order {
            let record = &self.records[*id as usize];
            out.push(u8::from(record.origin.is_some()));
            if let Some(origin) = record.origin {
                out.extend(origin.to_le_bytes());
            }
            out.extend(record.len.to_le_bytes());
            for form in self.words_of(record) {
                out.extend(forms[form as usize].to_le_bytes());
            }
        }
        numbers
    }

    /// Gives back memory that the window needed once and does not any more: it is made anew from
    /// its state, and answers that its words have other numbers.
    pub(super) fn shrink(&mut self) -> bool {
        if self.bounds.everything() || !self.oversized() || !self.pending.is_empty() {
            return false;
        }
        let mut state = Vec::new();
        let numbers = self.save_records(&mut state);
        state.extend(0_u32.to_le_bytes());
        let Some((mut new, _)) = Self::load(self.bounds, |_| true, &mut &*state) else {
            return false;
        };
        new.texts = std::mem::take(&mut self.texts);
        new.texts.renumber(|old| numbers[old as usize]);
        for (old, &number) in self.records.iter().zip(&numbers) {
            if number != NONE {
                new.records[number as usize].text = old.text;
            }
        }
        *self = new;
        true
    }

    /// Whether it has eight times the memory that it uses, and some to speak of.
    fn oversized(&self) -> bool {
        const LEAST: usize = 1024;
        let large = |has: usize, uses: usize| has > LEAST.max(8 * uses);
        large(self.entries.capacity(), self.entries.len())
            || large(self.records.capacity(), self.entries.len())
            || large(
                self.links.capacity(),
                self.entries.len() + self.tokens / LINK,
            )
            || large(self.forms.end(), self.forms.len())
    }

    /// For each form its number in the state: keys first, so that others can refer to them.
    fn form_numbers(&self) -> Vec<u32> {
        let mut numbers = vec![NONE; self.forms.end()];
        let mut next = 0;
        for keys in [true, false] {
            for id in 0..self.forms.end() as u32 {
                if self.forms.used(id) && (self.forms.key(id) == id) == keys {
                    numbers[id as usize] = next;
                    next += 1;
                }
            }
        }
        numbers
    }

    /// Appends the forms; answers their numbers there.
    fn save_forms(&self, out: &mut Vec<u8>) -> Vec<u32> {
        let numbers = self.form_numbers();
        out.extend((self.forms.len() as u32).to_le_bytes());
        for keys in [true, false] {
            for id in 0..self.forms.end() as u32 {
                let key = self.forms.key(id);
                if !self.forms.used(id) || (key == id) != keys {
                    continue;
                }
                let key = if keys { SELF } else { numbers[key as usize] };
                out.extend(key.to_le_bytes());
                out.extend(self.forms.written(id).to_le_bytes());
                put(self.forms.text(id), out);
            }
        }
        numbers
    }

    /// What [`Window::save`] wrote, within bounds that may be others by now, of the words that are
    /// to be kept by their keys, and whether those are all; `None` if it is not that.
    pub fn load(
        bounds: Bounds,
        keeps: impl Fn(&str) -> bool,
        from: &mut &[u8],
    ) -> Option<(Self, bool)> {
        let mut window = Self::new(bounds);
        let everything = array::<1>(from)?[0] != 0;
        window.refused = u64_of(from)?;
        window.ever = (u64_of(from)?, u64_of(from)?);
        // Of each form whether it is kept; one that is not stays uncounted, and is swept away.
        let mut kept = Vec::new();
        for number in 0..u32_of(from)? {
            let key = u32_of(from)?;
            let written = u64_of(from)?;
            let text = text_of(from)?;
            let key = if key == SELF {
                None
            } else {
                let is_key = key < number && window.forms.key(key) == key;
                Some(is_key.then_some(key)?)
            };
            if window.forms.define(text, key)? != number {
                return None;
            }
            kept.push(match key {
                Some(key) => kept[key as usize],
                None => keeps(text),
            });
            // Where nothing leaves, counts outlive their records; else the records are counted.
            if everything && bounds.everything() {
                if kept[number as usize] {
                    window.forms.add(number, written);
                } else {
                    window.ever.1 = window.ever.1.saturating_sub(written);
                }
            }
        }
        let mut entries = Vec::new();
        for _ in 0..u32_of(from)? {
            let time_us = i64::from_le_bytes(*array(from)?);
            let record = u32_of(from)?;
            entries.push(Entry { time_us, record });
        }
        window.load_records(from, &kept, !(everything && bounds.everything()), &entries)?;
        for _ in 0..u32_of(from)? {
            let number = u32_of(from)?;
            let record = window.records.get_mut(number as usize)?;
            record.text = window.texts.keep(text_of(from)?, number, bounds.samples);
        }
        if bounds.span_us.is_some() {
            // The order of a window of so many records is that of arrival.
            entries.sort_by_key(|entry| entry.time_us);
        }
        entries.iter().for_each(|entry| window.entries.push(*entry));
        if bounds.everything() && !everything {
            // What has left by then counts no more.
            window.ever = (entries.len() as u64, window.tokens as u64);
        }
        window.forms.sweep();
        window.trim();
        Some((window, kept.iter().all(|kept| *kept)))
    }

    fn load_records(
        &mut self,
        from: &mut &[u8],
        kept: &[bool],
        count: bool,
        entries: &[Entry],
    ) -> Option<()> {
        for _ in 0..u32_of(from)? {
            let known = array::<1>(from)?[0] != 0;
            let origin = if known {
                Some(u128::from_le_bytes(*array(from)?))
            } else {
                None
            };
            for _ in 0..u32_of(from)? {
                let id = u32_of(from)?;
                if !*kept.get(id as usize)? {
                    continue;
                }
                if count {
                    self.forms.add(id, 1);
                }
                self.pending.push(id);
            }
            let len = self.pending.len() as u32;
            if let Some(origin) = origin {
                let number = self.records.len() as u32;
                if self.origins.insert(origin, number).is_some() {
                    return None;
                }
            }
            let record = Record {
                entries: 0,
                first: self.chain(),
                len,
                text: UNKEPT,
                origin,
            };
            self.tokens += len as usize;
            self.pending.clear();
            self.records.push(record);
        }
        for entry in entries {
            self.records.get_mut(entry.record as usize)?.entries += 1;
        }
        self.records
            .iter()
            .all(|record| record.entries > 0)
            .then_some(())
    }
}
