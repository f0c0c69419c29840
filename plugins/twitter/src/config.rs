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

/// Whether a host name means this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
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
        assert!(is_loopback("localhost") && is_loopback("127.0.0.9") && is_loopback("[::1]"));
        assert!(!is_loopback("0.0.0.0") && !is_loopback("stream.twitter.com"));
    }
}
