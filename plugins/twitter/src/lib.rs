//! Plugin `twitter`.
