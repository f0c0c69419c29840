//! What outlives a run: epochs of regions with the state of their stages, and dead letters.

pub mod complete;
pub mod coordinator;
pub mod dead_letters;
pub mod epoch;
pub mod inherit;
pub mod letter_writer;
pub mod letters;
pub mod replay;
pub mod shape;
pub mod status;
pub mod store;
