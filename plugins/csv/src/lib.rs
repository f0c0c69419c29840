//! Plugin `csv`.
