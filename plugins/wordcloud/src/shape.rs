//! The shape of a cloud, from a picture.

use std::sync::{Arc, Mutex, PoisonError};

use crate::mask::Grid;

/// Brightness from which a pixel of the picture is outside.
const BRIGHT: u32 = 192;
/// Most pixels of the picture.
const MOST_PIXELS: usize = 64 << 20;

/// Where words may stand: the dark and opaque pixels of a picture. Clones share them.
#[derive(Debug, Clone)]
pub struct Shape(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    width: usize,
    height: usize,
    inside: Vec<bool>,
    /// Made once for all layouts of a size.
    outside: Mutex<Vec<Arc<Grid>>>,
}

impl Shape {
    /// Reads a PNG.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(png: &[u8]) -> Result<Self, String> {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
        let size = reader
            .output_buffer_size()
            .filter(|size| *size <= MOST_PIXELS * 4)
            .ok_or("the picture is too large")?;
        let mut bytes = vec![0; size];
        let info = reader
            .next_frame(&mut bytes)
            .map_err(|error| error.to_string())?;
        let samples = info.color_type.samples();
        let inside = |pixel: &[u8]| {
            let channel = |at: usize| u32::from(pixel[at]);
            let (grey, alpha) = match samples {
                1 => (channel(0), 255),
                2 => (channel(0), channel(1)),
                _ => (
                    (channel(0) * 299 + channel(1) * 587 + channel(2) * 114) / 1000,
                    if samples == 4 { channel(3) } else { 255 },
                ),
            };
            grey < BRIGHT && alpha >= 128
        };
        Ok(Self(Arc::new(Shared {
            width: info.width as usize,
            height: info.height as usize,
            inside: bytes.chunks_exact(samples).map(inside).collect(),
            outside: Mutex::default(),
        })))
    }

    /// The cells outside on a canvas of `wide` by `high` cells, the picture stretched over it.
    pub(crate) fn outside(&self, wide: usize, high: usize) -> Arc<Grid> {
        let outside = self.0.outside.lock();
        let mut known = outside.unwrap_or_else(PoisonError::into_inner);
        let same = |grid: &&Arc<Grid>| (grid.width(), grid.height()) == (wide, high);
        if let Some(grid) = known.iter().find(same) {
            return Arc::clone(grid);
        }
        let grid = Arc::new(self.0.draw(wide, high));
        known.push(Arc::clone(&grid));
        grid
    }
}

impl Shared {
    fn draw(&self, wide: usize, high: usize) -> Grid {
        let mut grid = Grid::new(wide, high);
        for y in 0..high {
            for x in 0..wide {
                let from = (y * self.height / high) * self.width + x * self.width / wide;
                if !self.inside[from] {
                    grid.fill(x as i32, y as i32, 1, 1);
                }
            }
        }
        grid
    }
}
