//! What goes wrong by chance, and how it is told from what goes wrong by itself.

/// Words of a stage that crashes by chance.
pub const CRASH: &str = "a crash by chance";

/// Words that follow from a disk that fails by chance.
const INJECTED: [&str; 5] = [
    CRASH,
    "os error 5",
    "an earlier fsync failed",
    "an earlier fsync of a folder failed",
    "was kept is not certain",
];

/// Whether trouble was made by chance.
pub fn is_injected(why: &str) -> bool {
    INJECTED.iter().any(|words| why.contains(words))
}
