//! Plugin `filter`.
