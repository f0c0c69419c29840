//! What a plugin sees of the host.
