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
        /// Okabe and Ito's, which people who see colours differently can tell apart.
        OkabeIto,
        /// Paul Tol's muted ones, which they can tell apart too.
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
    /// The colours for light backgrounds, and for dark ones: each at least 3 to 1 in contrast,
    /// which large letters need. Where the original is too pale for that, it is darkened.
    pub fn colors(self, background: Background) -> &'static Colors {
        match (self, background) {
            (Self::OkabeIto, Background::Light | Background::Clear) => &[
                "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b97f00", "#2f93cc", "#9a8f00",
                "#000000",
            ],
            (Self::OkabeIto, Background::Dark) => &[
                "#3d9bd4", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442",
                "#f2f2f2",
            ],
            (Self::Tol, Background::Light | Background::Clear) => &[
                "#332288", "#117733", "#882255", "#cc6677", "#aa4499", "#2f8f82", "#85852a",
                "#4f86a8",
            ],
            (Self::Tol, Background::Dark) => &[
                "#88ccee", "#44aa99", "#ddcc77", "#cc6677", "#aa4499", "#999933", "#7fbf7f",
                "#dddddd",
            ],
            (Self::Mono, Background::Light | Background::Clear) => &[
                "#0b2a4a", "#123a63", "#1a4b7c", "#245c94", "#3370a8", "#4a80b3", "#5c8dbc",
                "#3b4a5a",
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
    use super::*;

    /// Relative luminance by WCAG.
    fn luminance(color: &str) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.03928 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        let [red, green, blue] = rgb(color).map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    #[test]
    fn each_colour_stands_out_from_its_background() {
        for palette in [Palette::OkabeIto, Palette::Tol, Palette::Mono] {
            for background in [Background::Light, Background::Dark] {
                let behind = luminance(background.color().unwrap());
                for color in palette.colors(background) {
                    let color_luminance = luminance(color);
                    let (low, high) = (behind.min(color_luminance), behind.max(color_luminance));
                    let contrast = (high + 0.05) / (low + 0.05);
                    assert!(contrast >= 3.0, "{color} on {background:?}: {contrast:.2}");
                }
            }
        }
    }
}
