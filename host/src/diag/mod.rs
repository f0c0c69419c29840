//! Diagnostics: what is wrong, where, and what to do, in one style for every command.
//!
//! A [`Diagnostic`] is data; [`render`] turns a whole [`Report`] into text for people and
//! [`json`] into text for programs. Both show a line of the file only after [`mask`] has taken
//! out what may be a secret.
//!
//! Invariant: this module does no IO.

pub mod json;
mod mask;
pub mod render;
mod source;

use std::sync::Arc;

pub use source::{SourceFile, Span};

/// Exit code of a process that did what it was asked.
pub const EXIT_OK: u8 = 0;
/// Exit code: the command line is wrong.
pub const EXIT_USAGE: u8 = 2;
/// Exit code: a service that is needed is unavailable (a missing topic, a refused login).
pub const EXIT_UNAVAILABLE: u8 = 69;
/// Exit code: a plugin failed, or the engine by a mistake of its own.
pub const EXIT_PLUGIN: u8 = 70;
/// Exit code: the configuration is wrong.
pub const EXIT_CONFIG: u8 = 78;
/// Exit code: whoever read standard output has seen enough, as a shell shows an end by SIGPIPE.
pub const EXIT_CLOSED: u8 = 141;

/// How grave a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs until it is mended.
    Error,
    /// Shown, and the run goes on.
    Warning,
}

impl Severity {
    /// The word that begins the diagnostic.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// A second place in the file that belongs to a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What is to be seen there.
    pub message: String,
    /// Where.
    pub span: Span,
}

/// One thing that is wrong or odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub message: String,
    /// The place in the report's file, where there is one.
    pub span: Option<Span>,
    /// Other places that belong to it.
    pub notes: Vec<Note>,
    /// What to do about it.
    pub hints: Vec<String>,
    /// Exit code of a command that ends because of it.
    pub exit: u8,
}

impl Diagnostic {
    /// An error of the configuration.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: None,
            notes: Vec::new(),
            hints: Vec::new(),
            exit: EXIT_CONFIG,
        }
    }

    /// A warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// Sets the place.
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Adds a second place.
    pub fn note(mut self, message: impl Into<String>, span: Span) -> Self {
        self.notes.push(Note {
            message: message.into(),
            span,
        });
        self
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a hint where there is one.
    pub fn maybe_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Sets the exit code.
    pub fn exit(mut self, code: u8) -> Self {
        self.exit = code;
        self
    }
}

/// All that is to be said about one file, or about none.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The file that the spans point into.
    pub file: Option<Arc<SourceFile>>,
    /// In the order found; [`Report::sorted`] gives them in the order of the file.
    pub items: Vec<Diagnostic>,
    masks: Vec<Span>,
    secrets: Vec<String>,
}

impl Report {
    /// An empty report about `file`.
    pub fn about(file: Arc<SourceFile>) -> Self {
        Self {
            file: Some(file),
            ..Self::default()
        }
    }

    /// A report of one diagnostic that belongs to no file.
    pub fn of(diagnostic: Diagnostic) -> Self {
        Self {
            items: vec![diagnostic],
            ..Self::default()
        }
    }

    /// Adds a diagnostic.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.items.push(diagnostic);
    }

    /// Adds everything of `other`, which is about the same file.
    pub fn extend(&mut self, other: Report) {
        self.items.extend(other.items);
        self.masks.extend(other.masks);
        self.secrets.extend(other.secrets);
    }

    /// From now on this part of the file is shown as `***`.
    pub fn mask(&mut self, span: Span) {
        self.masks.push(span);
    }

    /// From now on this text is shown as `***`, wherever a message repeats it.
    pub fn secret(&mut self, text: &str) {
        // Masking a letter or two would riddle every message and hide nothing.
        if text.len() >= 4 {
            self.secrets.push(text.to_owned());
        }
    }

    /// `text` with every known secret replaced.
    pub fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "***");
        }
        text
    }

    /// Whether there is an error among them.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.sorted()
            .iter()
            .filter(|d| d.severity == severity)
            .count()
    }

    /// The exit code that these diagnostics ask for: that of the first error, 0 without one.
    pub fn exit(&self) -> u8 {
        self.sorted()
            .iter()
            .find(|d| d.severity == Severity::Error)
            .map_or(EXIT_OK, |d| d.exit)
    }

    /// The diagnostics in the order of the file, those without a place first. The same one stands
    /// there once; so does a warning that several places give.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.items.iter().collect();
        sorted.sort_by_key(|d| d.span.map_or(0, |s| s.start + 1));
        let mut items: Vec<&Diagnostic> = Vec::with_capacity(sorted.len());
        for item in sorted {
            let same = |known: &&Diagnostic| {
                let warning = item.severity == Severity::Warning && item.severity == known.severity;
                *known == item || (warning && known.message == item.message)
            };
            if !items.iter().any(same) {
                items.push(item);
            }
        }
        items
    }
}

/// The one of `known` that `word` most likely stands for, if one is near enough.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|k| {
            let distance = strsim::damerau_levenshtein(&lower, &k.to_lowercase());
            (distance, k)
        })
        .filter(|(distance, k)| {
            // Nearer than a third of the longer word, so that `host` finds `hosts`, not `admin`.
            *distance * 3 <= lower.chars().count().max(k.chars().count())
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

/// "did you mean `x`?", if something is near.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|k| format!("did you mean `{k}`?"))
}

/// "`a`, `b` and `c`".
pub fn listed<S: AsRef<str>>(words: &[S], joint: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{}`", w.as_ref())).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {joint} {last}", rest.join(", ")),
    }
}

/// "1 error", "3 errors".
pub fn counted(n: usize, word: &str) -> String {
    if n == 1 {
        format!("1 {word}")
    } else {
        format!("{n} {word}s")
    }
}
