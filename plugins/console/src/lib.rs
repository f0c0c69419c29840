//! Plugin `console`.
