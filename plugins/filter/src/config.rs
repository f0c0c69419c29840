//! Options of both processors, which share the keys of a condition.

use plugin_api::prelude::*;

/// Declares options that begin with the keys of a condition.
macro_rules! with_condition {
    ($(#[$doc:meta])* pub struct $name:ident { $($more:tt)* }) => {
        options! {
            $(#[$doc])*
            pub struct $name {
                /// Look at this field only, not at the whole payload: in JSON a path such as
                /// `user.lang` or `entities.hashtags.0.text` or a JSON pointer, in Avro the name
                /// of a field. Default: the whole payload, as its bytes stand.
                #[serde(default)]
                pub field: Option<String>,
                /// Holds this text, or any of these.
                #[serde(default)]
                pub contains: Option<Texts>,
                /// Is just this text, number or boolean, or any of these.
                #[serde(default)]
                pub equals: Option<Scalars>,
                /// Matches this regular expression somewhere (syntax of the Rust crate `regex`;
                /// `^` and `$` anchor it).
                #[serde(default)]
                pub regex: Option<String>,
                /// Is a number greater than this.
                #[serde(default)]
                pub above: Option<f64>,
                /// Is a number less than this.
                #[serde(default)]
                pub below: Option<f64>,
                /// Whether the field is there and not null.
                #[serde(default)]
                pub exists: Option<bool>,
                /// Whether `contains`, `equals` and `regex` pass over the difference of capitals
                /// (of all scripts). Default: false.
                #[serde(default)]
                pub ignore_case: bool,
                $($more)*
            }
        }
    };
}

with_condition! {
    /// Keeps or drops records by their content. Where several of `contains`, `equals`, `regex`,
    /// `above`, `below` and `exists` are given, all must hold. Records are passed on as they are,
    /// without copying; the others count as filtered. A record whose `field` cannot be looked up,
    /// since it is no JSON, is rejected.
    pub struct FilterOptions {
        /// What becomes of records for which the condition holds: `keep` or `drop`.
        /// Default: `keep`.
        #[serde(default)]
        pub mode: Mode,
    }
}

with_condition! {
    /// Parts a stream: records for which the condition holds leave by the port `matched`, all
    /// others by `unmatched`; wire them as `inputs = ["NAME.matched"]`. With `cases`, up to eight
    /// conditions, a record leaves by the port of the first case that holds, `case1` to `case8`,
    /// or by `unmatched`.
    pub struct RouteOptions {
        /// Conditions in place of the one above, tried in turn, each with the same keys.
        #[serde(default)]
        pub cases: Vec<CaseOptions>,
    }
}

with_condition! {
    /// One condition. All of its keys that are given must hold.
    #[derive(PartialEq, Default)]
    pub struct CaseOptions {}
}

macro_rules! condition_of {
    ($name:ident) => {
        impl $name {
            pub(crate) fn condition(&self) -> CaseOptions {
                CaseOptions {
                    field: self.field.clone(),
                    contains: self.contains.clone(),
                    equals: self.equals.clone(),
                    regex: self.regex.clone(),
                    above: self.above,
                    below: self.below,
                    exists: self.exists,
                    ignore_case: self.ignore_case,
                }
            }
        }
    };
}

condition_of!(FilterOptions);
condition_of!(RouteOptions);

options! {
    /// What becomes of records for which the condition holds.
    #[derive(Copy, Default)]
    pub enum Mode {
        /// They pass, the others do not.
        #[default]
        Keep,
        /// They do not pass, the others do.
        Drop,
    }
}

options! {
    /// One text or several.
    #[serde(untagged)]
    pub enum Texts {
        /// One.
        One(String),
        /// Any of these.
        Any(Vec<String>),
    }
}

options! {
    /// One value or several.
    #[serde(untagged)]
    pub enum Scalars {
        /// One.
        One(Scalar),
        /// Any of these.
        Any(Vec<Scalar>),
    }
}

options! {
    /// A text, number or boolean.
    #[serde(untagged)]
    pub enum Scalar {
        /// A boolean.
        Boolean(bool),
        /// A whole number.
        Integer(i64),
        /// A number.
        Number(f64),
        /// A text.
        Text(String),
    }
}

impl Texts {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Any(texts) => texts,
        }
    }
}

impl Scalars {
    pub(crate) fn as_slice(&self) -> &[Scalar] {
        match self {
            Self::One(scalar) => std::slice::from_ref(scalar),
            Self::Any(scalars) => scalars,
        }
    }
}

impl Scalar {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Number(value) => Some(*value),
            _ => None,
        }
    }
}
