//! Plugin `lines`.
