//! Twitter's `track` rules.
