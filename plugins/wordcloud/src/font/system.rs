//! Faces of the machine, looked through only when a character comes that no carried face has.

use std::path::PathBuf;

use fontdb::{Database, FaceInfo, ID, Style};
use read_fonts::{FontRef, TableProvider, tables::cmap::CmapIterLimits};

use super::face::Face;

/// Bytes of faces read, at most: a large Chinese, Japanese and Korean one has 20 MB.
pub const MOST_BYTES: usize = 96 << 20;

/// The machine's faces, or those of a folder.
pub(super) struct System {
    files: Vec<PathBuf>,
    machine: bool,
    found: Option<Found>,
    bytes: usize,
}

/// The faces that there are.
struct Found {
    database: Database,
    /// In the order in which they are asked.
    order: Vec<ID>,
    /// The characters that one of them has at least, so that not all are asked for each other one.
    letters: Letters,
}

impl Found {
    fn new(files: &[PathBuf], machine: bool) -> Self {
        let mut database = Database::new();
        for path in files {
            if path.is_dir() {
                database.load_fonts_dir(path);
            } else {
                // A file that is no font has no character that is asked for.
                let _ = database.load_font_file(path);
            }
        }
        let own: Vec<ID> = database.faces().map(|face| face.id).collect();
        if machine {
            database.load_system_fonts();
        }
        let mut order: Vec<(_, ID)> = database
            .faces()
            .map(|face| (rank(face, own.contains(&face.id)), face.id))
            .collect();
        order.sort_by(|a, b| a.0.cmp(&b.0));
        let order: Vec<ID> = order.into_iter().map(|(_, id)| id).collect();
        let mut letters = Letters::default();
        for id in &order {
            database.with_face_data(*id, |data, index| letters.add(data, index));
        }
        Self {
            database,
            order,
            letters,
        }
    }
}

/// A set of characters.
#[derive(Default)]
struct Letters(Vec<u64>);

impl Letters {
    /// Adds those of a face. What a malformed one says at most is bounded.
    fn add(&mut self, data: &[u8], index: u32) {
        /// Tables of characters that are read; fonts have a few.
        const TABLES: usize = 16;
        let Ok(font) = FontRef::from_index(data, index) else {
            return;
        };
        let Ok(cmap) = font.cmap() else {
            return;
        };
        let limits = CmapIterLimits::default_for_font(&font);
        for table in cmap.encoding_records().iter().take(TABLES) {
            let Ok(table) = table.subtable(cmap.offset_data()) else {
                continue;
            };
            let letters = table.iter_with_limits(limits).take(char::MAX as usize);
            for (letter, _) in letters.filter(|(letter, _)| *letter <= char::MAX.into()) {
                let at = letter as usize / 64;
                if at >= self.0.len() {
                    self.0.resize(at + 1, 0);
                }
                self.0[at] |= 1 << (letter % 64);
            }
        }
    }

    fn has(&self, letter: char) -> bool {
        let at = u32::from(letter) as usize / 64;
        let word = self.0.get(at).copied().unwrap_or(0);
        word >> (u32::from(letter) % 64) & 1 == 1
    }
}

impl System {
    /// `files` are fonts, or folders of them, that are asked first.
    pub(super) fn new(files: Vec<PathBuf>, machine: bool) -> Self {
        Self {
            files,
            machine,
            found: None,
            bytes: 0,
        }
    }

    /// The first face that has all of `letters`, pictures first where `emoji`.
    pub(super) fn find(&mut self, letters: &[char], emoji: bool) -> Option<Face> {
        let (files, machine) = (&self.files, self.machine);
        let found = self.found.get_or_insert_with(|| Found::new(files, machine));
        if !letters.iter().all(|letter| found.letters.has(*letter)) {
            return None;
        }
        let (database, order) = (&found.database, &found.order);
        let pictures = |id: &ID| {
            database.face(*id).is_some_and(|face| {
                face.families
                    .iter()
                    .any(|(name, _)| name.to_lowercase().contains("emoji"))
            })
        };
        let (first, second): (Vec<ID>, Vec<ID>) =
            order.iter().partition(|id| pictures(id) == emoji);
        for id in first.into_iter().chain(second) {
            let has = database.with_face_data(id, |data, index| {
                ttf_parser::Face::parse(data, index).is_ok_and(|face| {
                    let glyph = |letter: &char| face.glyph_index(*letter).filter(|id| id.0 != 0);
                    letters.iter().all(|letter| glyph(letter).is_some())
                        && (!emoji
                            || letters
                                .first()
                                .and_then(glyph)
                                .is_some_and(|id| drawn(&face, id)))
                })
            });
            if has != Some(true) {
                continue;
            }
            let read = database.with_face_data(id, |data, index| {
                (self.bytes + data.len() <= MOST_BYTES).then(|| (data.to_vec(), index))
            });
            if let Some(Some((data, index))) = read {
                let bytes = data.len();
                if let Some(face) = Face::read(data, index) {
                    self.bytes += bytes;
                    return Some(face);
                }
            }
        }
        None
    }
}

/// Whether a face has pictures, or this glyph as an outline: those of colour vectors are not read.
fn drawn(face: &ttf_parser::Face<'_>, id: ttf_parser::GlyphId) -> bool {
    let tables = face.tables();
    let pictures = tables.cbdt.is_some() || tables.sbix.is_some() || tables.bdat.is_some();
    pictures || face.glyph_bounding_box(id).is_some()
}

/// Upright and bold ones first, Noto before others, and the same on each run.
fn rank(face: &FaceInfo, own: bool) -> (bool, bool, u16, bool, bool, String, u32) {
    let family = face
        .families
        .first()
        .map_or("", |(name, _)| name)
        .to_lowercase();
    (
        !own,
        face.style != Style::Normal,
        face.weight.0.abs_diff(700),
        !family.contains("noto sans"),
        face.monospaced || family.contains("serif"),
        face.post_script_name.clone(),
        face.index,
    )
}
