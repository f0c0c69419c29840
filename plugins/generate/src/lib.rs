//! Plugin `generate`.
