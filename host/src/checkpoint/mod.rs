//! What must outlive a run. For now: dead letters.

pub mod dead_letters;
