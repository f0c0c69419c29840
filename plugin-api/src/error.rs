//! The two kinds of trouble, never mixed: a stage in trouble, and a record that cannot be used.

use std::{borrow::Cow, fmt, time::Duration};

/// What kind of trouble a stage is in. A plain number on the boundary: unknown ones are fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// The configuration is wrong: the host exits with 78.
    pub const CONFIG: Self = Self(1);
    /// It may pass: the host waits and repeats the call, for ever.
    pub const TRANSIENT: Self = Self(2);
    /// It will not pass: the host exits with 70.
    pub const FATAL: Self = Self(3);
    /// A service that is needed is not there: the host exits with 69.
    pub const UNAVAILABLE: Self = Self(4);
    /// Author's code panicked, or the process of an isolated stage ended; made by the host and the
    /// boundary only.
    pub const PANIC: Self = Self(5);
}

/// A stage in trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageError {
    /// What kind.
    pub code: Code,
    /// For transient trouble: when to try again; `None`: the host's own back-off.
    pub retry_after: Option<Duration>,
    /// JSON pointer to the option at fault, empty if none.
    pub pointer: String,
    /// One sentence for a person: what, why, what to do.
    pub message: String,
}

impl StageError {
    fn new(code: Code, pointer: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            retry_after: None,
            pointer: pointer.into(),
            message: message.into(),
        }
    }

    /// The option at `pointer` (such as `/schema`) is wrong.
    pub fn config(pointer: &str, message: impl Into<String>) -> Self {
        Self::new(Code::CONFIG, pointer, message)
    }

    /// Trouble that may pass. The host says so and repeats the call.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(Code::TRANSIENT, "", message)
    }

    /// Trouble that will not pass.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(Code::FATAL, "", message)
    }

    /// A service that is needed is not there, and waiting will not help.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::UNAVAILABLE, "", message)
    }

    /// When to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Names the option at fault.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = pointer.into();
        self
    }

    /// Whether the host should try again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.code == Code::TRANSIENT
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StageError {}

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The reason, for a person.
    pub reason: Cow<'static, str>,
    /// JSON pointer into the record, empty if none.
    pub pointer: Cow<'static, str>,
}

impl Reject {
    /// A reason.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
            pointer: Cow::Borrowed(""),
        }
    }

    /// Names the place inside the record.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<Cow<'static, str>>) -> Self {
        self.pointer = pointer.into();
        self
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Reject {}
