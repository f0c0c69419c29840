//! A steady layout as bytes, for checkpoints: after a restart the words stand where they stood.

use std::sync::Arc;

use super::{Layout, Packing, Settings, Spot, hash, steady::size_of};
use crate::bytes::{array, put, text_of, u32_of, u64_of};

impl Layout {
    /// Appends what is needed to go on from here. A tight layout begins anew with each frame.
    pub fn save(&self, out: &mut Vec<u8>) {
        let Some(unit) = self
            .unit
            .filter(|_| self.settings.packing == Packing::Steady)
        else {
            return;
        };
        out.extend(self.settings.print().to_le_bytes());
        out.extend(self.frame.to_le_bytes());
        out.extend(unit.to_le_bytes());
        for number in [self.fill, self.restless] {
            out.extend(number.to_le_bytes());
        }
        out.extend((self.stands.len() as u32).to_le_bytes());
        for spot in self.stands.iter().flatten() {
            put(&spot.key, out);
            put(&spot.text, out);
            for number in [spot.x, spot.y, spot.class] {
                out.extend(number.to_le_bytes());
            }
            out.push(u8::from(spot.turned));
        }
    }

    /// What [`Layout::save`] wrote; `None` if it is not that, or not of these settings. A word
    /// that no longer fits where it stood, by other fonts or another shape, looks for a place in the
    /// next frame.
    pub fn load(settings: Settings, mut state: &[u8]) -> Option<Self> {
        let from = &mut state;
        if u64_of(from)? != settings.print() {
            return None;
        }
        let mut layout = Self::new(settings);
        layout.frame = u32_of(from)?;
        let unit = array(from).map(|bytes| f64::from_le_bytes(*bytes))?;
        layout.unit = Some(unit).filter(|unit| unit.is_finite() && *unit > 0.0);
        layout.fill = number(from)?;
        layout.restless = number(from)?;
        let fonts = layout.settings.fonts.clone();
        fonts.lend(|fonts| {
            for _ in 0..u32_of(from)? {
                let (key, text) = (text_of(from)?, text_of(from)?);
                let (x, y, class) = (i32_of(from)?, i32_of(from)?, i32_of(from)?);
                let turned = array::<1>(from)?[0] != 0;
                let (wide, high) = (layout.settings.width as f32, layout.settings.height as f32);
                if size_of(class) > wide.max(high) {
                    return None;
                }
                let shaped = fonts.shape(text);
                let ink = layout.swept(text, &shaped, class, turned, fonts);
                let canvas = &layout.field.canvas;
                let inside = (0..=canvas.width() as i32).contains(&x)
                    && (0..=canvas.height() as i32).contains(&y);
                if !inside || !layout.field.fits(&ink, (x, y)) {
                    continue;
                }
                layout.field.stamp(&ink, (x, y));
                let spot = Spot {
                    key: key.into(),
                    text: text.into(),
                    x,
                    y,
                    turned,
                    class,
                    ink,
                    shaped: Arc::clone(&shaped),
                    stands: true,
                };
                layout.stands.push(Some(spot));
            }
            Some(())
        })?;
        layout.fresh = (0..layout.stands.len()).collect();
        layout.rank();
        if layout.ranks.len() < layout.stands.len() {
            // A word twice.
            return None;
        }
        from.is_empty().then_some(layout)
    }
}

impl Settings {
    /// Differs where places cannot be compared.
    fn print(&self) -> u64 {
        let all = (
            (self.width, self.height, self.padding),
            (self.vertical, self.seed, self.scale, self.packing),
        );
        hash(&format!("{all:?}"), 0)
    }
}

fn i32_of(from: &mut &[u8]) -> Option<i32> {
    array(from).map(|bytes| i32::from_le_bytes(*bytes))
}

/// A number, not below 0.
fn number(from: &mut &[u8]) -> Option<f32> {
    let number = array(from).map(|bytes| f32::from_le_bytes(*bytes))?;
    (number.is_finite() && number >= 0.0).then_some(number)
}
