//! Diagnostics as text for people, in the manner of rustc:
//! ```text
//! error: unknown key `plugn` in source `tweets`
//!   --> hosts.toml:4:1
//!    |
//!  4 | plugn = "twitter"
//!    | ^^^^^
//! hint: did you mean `plugin`?
//! ```

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

use super::{Report, Severity, SourceFile, Span, counted, mask};

/// Columns of a line that are shown; a longer line is cut around the place.
const WIDTH: usize = 110;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BLUE: &str = "\x1b[1;34m";
const CYAN: &str = "\x1b[1;36m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// The whole report; `color` adds escape sequences, for terminals only.
pub fn render(report: &Report, color: bool) -> String {
    let mut painter = Painter {
        report,
        color,
        out: String::new(),
    };
    for (i, item) in report.sorted().into_iter().enumerate() {
        if i > 0 {
            painter.out.push('\n');
        }
        let paint = match item.severity {
            Severity::Error => RED,
            Severity::Warning => YELLOW,
        };
        painter.head(paint, item.severity.word(), &item.message);
        if let (Some(file), Some(span)) = (&report.file, item.span) {
            painter.excerpt(file, span, paint);
            for note in &item.notes {
                painter.head(CYAN, "note", &note.message);
                painter.excerpt(file, note.span, CYAN);
            }
        }
        for hint in &item.hints {
            painter.head(CYAN, "hint", hint);
        }
    }
    painter.out
}

/// "hosts.toml: 2 errors, 1 warning"; empty if there is neither.
pub fn summary(report: &Report) -> String {
    let counts: Vec<String> = [Severity::Error, Severity::Warning]
        .into_iter()
        .map(|s| (report.count(s), s))
        .filter(|(n, _)| *n > 0)
        .map(|(n, s)| counted(n, s.word()))
        .collect();
    match (&report.file, counts.is_empty()) {
        (_, true) => String::new(),
        (Some(file), false) => format!("{}: {}", file.name(), counts.join(", ")),
        (None, false) => counts.join(", "),
    }
}

struct Painter<'a> {
    report: &'a Report,
    color: bool,
    out: String,
}

impl Painter<'_> {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.color {
            format!("{code}{text}{RESET}")
        } else {
            text.to_owned()
        }
    }

    fn head(&mut self, code: &str, word: &str, message: &str) {
        let word = self.paint(code, &format!("{word}:"));
        let message = printable(&self.report.scrub(message));
        let message = if code == CYAN {
            message
        } else {
            self.paint(BOLD, &message)
        };
        let _ = writeln!(self.out, "{word} {message}");
    }

    fn excerpt(&mut self, file: &SourceFile, span: Span, code: &str) {
        let (number, column) = file.position(span.start);
        let gutter = number.to_string().len().max(2);
        let arrow = self.paint(BLUE, &format!("{:gutter$}-->", ""));
        let bar = self.paint(BLUE, &format!("{:gutter$} |", ""));
        let _ = writeln!(self.out, "{arrow} {}:{number}:{column}", file.name());
        let cut = Excerpt::new(self.report, file, number - 1, span);
        let label = self.paint(BLUE, &format!("{number:>gutter$} |"));
        let carets = self.paint(code, &"^".repeat(cut.carets));
        let _ = writeln!(self.out, "{bar}");
        let _ = writeln!(self.out, "{}", format!("{label} {}", cut.text).trim_end());
        let _ = writeln!(self.out, "{bar} {:1$}{carets}", "", cut.indent);
    }
}

/// One line as it is shown, and where the carets stand below it.
struct Excerpt {
    text: String,
    indent: usize,
    carets: usize,
}

impl Excerpt {
    fn new(report: &Report, file: &SourceFile, line: usize, span: Span) -> Self {
        let range = file.line_range(line);
        let text = &file.text()[range.clone()];
        let mut masks: Vec<Span> = mask::guessed(text)
            .into_iter()
            .map(|r| Span::from(r.start + range.start..r.end + range.start))
            .collect();
        masks.extend(report.masks.iter().copied());

        // Each shown character with its width and whether the span covers it.
        let mut cells: Vec<(String, usize, bool)> = Vec::new();
        let mut in_mask = false;
        for (at, c) in text.char_indices() {
            let at = at + range.start;
            let marked = at >= span.start && at < span.end.max(span.start + 1);
            let masked = masks.iter().any(|m| at >= m.start && at < m.end);
            match (masked, in_mask) {
                (true, true) => {
                    if let Some(last) = cells.last_mut() {
                        last.2 |= marked;
                    }
                }
                (true, false) => cells.push(("***".to_owned(), 3, marked)),
                (false, _) if c == '\t' => cells.push(("    ".to_owned(), 4, marked)),
                (false, _) => {
                    let shown = printable(c.encode_utf8(&mut [0; 4]));
                    cells.push((shown, c.width().unwrap_or(1), marked));
                }
            }
            in_mask = masked;
        }
        Self::cut(cells)
    }

    fn cut(mut cells: Vec<(String, usize, bool)>) -> Self {
        let first = cells.iter().position(|c| c.2).unwrap_or(cells.len());
        let before: usize = cells[..first].iter().map(|c| c.1).sum();
        if before > WIDTH / 2 && cells.iter().map(|c| c.1).sum::<usize>() > WIDTH {
            let drop = first.saturating_sub(WIDTH / 3);
            cells.drain(..drop);
            cells.insert(0, ("…".to_owned(), 1, false));
        }
        let mut width = 0;
        let keep = cells
            .iter()
            .take_while(|c| {
                width += c.1;
                width <= WIDTH
            })
            .count();
        if keep < cells.len() {
            cells.truncate(keep);
            cells.push(("…".to_owned(), 1, false));
        }
        let indent = cells.iter().take_while(|c| !c.2).map(|c| c.1).sum();
        let carets = cells.iter().filter(|c| c.2).map(|c| c.1).sum::<usize>();
        Self {
            text: cells.into_iter().map(|c| c.0).collect(),
            indent,
            carets: carets.max(1),
        }
    }
}

/// `text` without control characters, which could redraw a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{FFFD}'
            } else {
                c
            }
        })
        .collect()
}
