//! Plugin `kafka`.
