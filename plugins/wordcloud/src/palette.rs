//! The colours of words. A frame names eight by number; what they are depends on the palette and on
//! whether the background is light or dark.

use plugin_api::prelude::*;

/// Colours that a palette has.
pub const COLORS: usize = 8;

/// Eight colours as `#rrggbb`.
pub type Colors = [&'static str; COLORS];

options! {
    /// Which colours words have.
    #[derive(Copy, Eq)]
    pub enum Palette {
        /// After Okabe and Ito, which people who see colours differently can tell apart.
        OkabeIto,
        /// After Paul Tol's muted ones, which they can tell apart too.
        Tol,
        /// One colour in eight strengths.
        Mono,
    }
}

options! {
    /// What is behind the words of a picture.
    #[derive(Copy, Eq)]
    pub enum Background {
        /// White.
        Light,
        /// Nearly black.
        Dark,
        /// Nothing; the colours are those for light backgrounds.
        Clear,
    }
}

impl Palette {
    /// The colours for light backgrounds, and for dark ones: each at least 4.5 to 1 in contrast,
    /// which WCAG asks of small letters, too. The originals of `OkabeIto` and `Tol` have some that
    /// are paler; their nearest neighbours that are not were sought, with no two alike to anybody.
    pub fn colors(self, background: Background) -> &'static Colors {
        match (self, background) {
            (Self::OkabeIto, Background::Light | Background::Clear) => &[
                "#166af9", "#8c2f00", "#1a826f", "#8e6598", "#a16709", "#144b6e", "#605944",
                "#000000",
            ],
            (Self::OkabeIto, Background::Dark) => &[
                "#2879ff", "#d35d00", "#009e72", "#c074a2", "#e8a001", "#54b8f1", "#fcee54",
                "#f1f2f2",
            ],
            (Self::Tol, Background::Light | Background::Clear) => &[
                "#332288", "#045d26", "#762249", "#d03966", "#9f4c97", "#0b826e", "#737904",
                "#1968ff",
            ],
            (Self::Tol, Background::Dark) => &[
                "#8fd0f1", "#42ab9a", "#ddcc77", "#ed688c", "#b560b0", "#959f21", "#568c51",
                "#dddddd",
            ],
            (Self::Mono, Background::Light | Background::Clear) => &[
                "#0b2a4a", "#123458", "#183f66", "#1f4974", "#265483", "#2d5e91", "#33699f",
                "#3a73ad",
            ],
            (Self::Mono, Background::Dark) => &[
                "#eaf3fb", "#d3e5f5", "#bcd7ef", "#a3c8e8", "#8bb8df", "#73a8d6", "#5f98ca",
                "#c9d2db",
            ],
        }
    }
}

impl Background {
    /// Its colour, if it has one.
    pub fn color(self) -> Option<&'static str> {
        match self {
            Self::Light => Some("#ffffff"),
            Self::Dark => Some("#14171c"),
            Self::Clear => None,
        }
    }
}

/// Red, green and blue of `#rrggbb`; black if it is something else.
pub fn rgb(color: &str) -> [u8; 3] {
    let part = |at: usize| {
        color
            .get(at..at + 2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .unwrap_or(0)
    };
    [part(1), part(3), part(5)]
}

#[cfg(test)]
mod tests {
    use palette::{
        FromColor as _, Lab, LinSrgb, Srgb,
        color_difference::{Ciede2000 as _, Wcag21RelativeContrast as _},
    };

    use super::*;

    const PALETTES: [Palette; 3] = [Palette::OkabeIto, Palette::Tol, Palette::Mono];
    const BACKGROUNDS: [Background; 2] = [Background::Light, Background::Dark];

    /// What is seen of linear red, green and blue without any cone missing, without those for red,
    /// for green and for blue: Machado, Oliveira and Fernandes, "A Physiologically-based Model for
    /// Simulation of Color Vision Deficiency", 2009, table 1, severity 1.
    const EYES: [[[f32; 3]; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ];
    /// The two of the original that are nearest to each other are 11.6 apart.
    const APART: f32 = 13.0;

    fn srgb(color: &str) -> Srgb<f32> {
        Srgb::from(rgb(color)).into_format()
    }

    fn seen(color: &str, eye: &[[f32; 3]; 3]) -> Lab {
        let LinSrgb {
            red, green, blue, ..
        } = srgb(color).into_linear();
        let part = |row: &[f32; 3]| row[0] * red + row[1] * green + row[2] * blue;
        let [red, green, blue] = eye.each_ref().map(|row| part(row).clamp(0.0, 1.0));
        Lab::from_color(LinSrgb::new(red, green, blue))
    }

    #[test]
    fn each_colour_stands_out_from_its_background() {
        for palette in PALETTES {
            for background in BACKGROUNDS {
                let behind = srgb(background.color().unwrap());
                for color in palette.colors(background) {
                    let contrast = srgb(color).relative_contrast(behind);
                    assert!(contrast >= 4.5, "{color} on {background:?}: {contrast:.2}");
                }
            }
        }
    }

    #[test]
    fn no_two_colours_look_alike_to_anybody() {
        for palette in [Palette::OkabeIto, Palette::Tol] {
            for background in BACKGROUNDS {
                let colors = palette.colors(background);
                for (at, one) in colors.iter().enumerate() {
                    for other in &colors[..at] {
                        for (number, eye) in EYES.iter().enumerate() {
                            let apart = seen(one, eye).difference(seen(other, eye));
                            assert!(apart >= APART, "{one}, {other}, eye {number}: {apart:.1}");
                        }
                    }
                }
            }
        }
    }
}
