//! What both stages share: credentials, and the name of the place where they meet.

use plugin_api::prelude::*;

options! {
    /// The four parts of OAuth 1.0a credentials.
    pub struct Credentials {
        /// Consumer key (also: API key).
        pub consumer_key: Secret,
        /// Consumer secret (also: API key secret).
        pub consumer_secret: Secret,
        /// Access token.
        pub token: Secret,
        /// Access token secret.
        pub token_secret: Secret,
    }
}

/// Where a server and its clients meet, the same however either of them writes it.
pub(crate) fn meeting_place(host: &str, port: u16) -> String {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let host = match host.as_str() {
        "localhost" | "::1" | "0.0.0.0" | "::" => "127.0.0.1",
        other => other,
    };
    format!("twitter://{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_name_the_same_place() {
        for host in ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "0.0.0.0"] {
            assert_eq!(meeting_place(host, 8), "twitter://127.0.0.1:8");
        }
        assert_eq!(meeting_place("Example.org", 8), "twitter://example.org:8");
    }
}
