//! A condition, compiled once and asked for every record.

use crate::config::{CaseOptions, Scalar};
use crate::field::Place;
use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;
use plugin_api::prelude::*;
use regex::bytes::{Regex, RegexBuilder};

/// Memory that one regular expression may take when compiled.
const MAX_REGEX: usize = 16 << 20;

pub(crate) struct Condition {
    place: Place,
    tests: Vec<Test>,
    scratch: Vec<u8>,
}

// A few for each stage, and read for every record: no place for a pointer more.
#[allow(clippy::large_enum_variant)]
enum Test {
    Contains(Finder<'static>),
    ContainsAny(AhoCorasick),
    Equals(Vec<(Vec<u8>, Option<f64>)>),
    Matches(Regex),
    Above(f64),
    Below(f64),
    Exists(bool),
}

impl Condition {
    /// Compiles a condition for records of a type. `pointer` leads to its options.
    pub(crate) fn new(
        options: &CaseOptions,
        input: &ContentType,
        pointer: &str,
    ) -> Result<Self, StageError> {
        Self::compile(options, input).map_err(|error| {
            let inside = error.pointer != "/inputs";
            let pointer = if inside { pointer } else { "" };
            StageError::config(&format!("{pointer}{}", error.pointer), error.message)
        })
    }

    fn compile(options: &CaseOptions, input: &ContentType) -> Result<Self, StageError> {
        let place = Place::new(options.field.as_deref(), input)?;
        let fold = options.ignore_case;
        let mut tests = Vec::new();
        if let Some(texts) = &options.contains {
            tests.push(contains(texts.as_slice(), fold)?);
        }
        if let Some(scalars) = &options.equals {
            tests.push(equals(scalars.as_slice(), fold)?);
        }
        if let Some(pattern) = &options.regex {
            tests.push(Test::Matches(regex(pattern, fold, "/regex")?));
        }
        tests.extend(options.above.map(Test::Above));
        tests.extend(options.below.map(Test::Below));
        if let Some(exists) = options.exists {
            if options.field.is_none() {
                return Err(StageError::config("/exists", "`exists` needs a `field`"));
            }
            tests.push(Test::Exists(exists));
        }
        if tests.is_empty() {
            return Err(StageError::config(
                "",
                "a condition needs at least one of contains, equals, regex, above, below, exists",
            ));
        }
        Ok(Self {
            place,
            tests,
            scratch: Vec::new(),
        })
    }

    /// Whether all tests hold.
    pub(crate) fn holds(&mut self, record: &Record<'_>) -> Result<bool, Reject> {
        let text = self.place.look_up(record, &mut self.scratch)?;
        Ok(self.tests.iter().all(|test| test.holds(text)))
    }
}

impl Test {
    fn holds(&self, text: Option<&[u8]>) -> bool {
        let Some(text) = text else {
            return matches!(self, Self::Exists(false));
        };
        match self {
            Self::Contains(finder) => finder.find(text).is_some(),
            Self::ContainsAny(any) => any.is_match(text),
            Self::Matches(regex) => regex.is_match(text),
            Self::Above(limit) => number(text).is_some_and(|number| number > *limit),
            Self::Below(limit) => number(text).is_some_and(|number| number < *limit),
            Self::Exists(exists) => *exists,
            Self::Equals(values) => {
                if values.iter().any(|(value, _)| value == text) {
                    return true;
                }
                // 5 and 5.0 and 5e0 are one number.
                let mut wanted = values.iter().filter_map(|(_, number)| *number).peekable();
                wanted.peek().is_some()
                    && number(text).is_some_and(|number| wanted.any(|value| value == number))
            }
        }
    }
}

fn contains(texts: &[String], fold: bool) -> Result<Test, StageError> {
    let wrong = |message: String| StageError::config("/contains", message);
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err(wrong("an empty text is in every record".into()));
    }
    match texts {
        _ if fold => {
            let texts: Vec<String> = texts.iter().map(|text| regex::escape(text)).collect();
            Ok(Test::Matches(regex(&texts.join("|"), true, "/contains")?))
        }
        [text] => Ok(Test::Contains(Finder::new(text).into_owned())),
        texts => {
            let any = AhoCorasick::new(texts).map_err(|error| wrong(error.to_string()))?;
            Ok(Test::ContainsAny(any))
        }
    }
}

fn equals(scalars: &[Scalar], fold: bool) -> Result<Test, StageError> {
    if scalars.is_empty() {
        return Err(StageError::config(
            "/equals",
            "an empty list equals nothing",
        ));
    }
    if fold {
        let texts: Vec<String> = scalars
            .iter()
            .map(|scalar| regex::escape(&scalar.text()))
            .collect();
        let pattern = format!(r"\A(?:{})\z", texts.join("|"));
        return Ok(Test::Matches(regex(&pattern, true, "/equals")?));
    }
    let values = scalars
        .iter()
        .map(|scalar| (scalar.text().into_bytes(), scalar.number()));
    Ok(Test::Equals(values.collect()))
}

fn regex(pattern: &str, fold: bool, pointer: &str) -> Result<Regex, StageError> {
    RegexBuilder::new(pattern)
        .case_insensitive(fold)
        .size_limit(MAX_REGEX)
        .build()
        .map_err(|error| StageError::config(pointer, error.to_string()))
}

fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}
