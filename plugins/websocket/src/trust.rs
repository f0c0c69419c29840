//! Who may talk to the server, from what a browser says of itself.
//!
//! A page of another site must not read the feed through a visitor's browser: its `Origin` gives
//! it away. A site that makes its own name point at this machine (DNS rebinding) passes that test,
//! but not the one of `Host`: on a loopback address only names of loopback are served, on others
//! without a token only addresses and `localhost`, and everywhere the hosts of further origins. A
//! token is proof enough: no other site has it.

use std::net::{IpAddr, SocketAddr};

/// Whose requests are served.
#[derive(Debug)]
pub struct Trust {
    loopback: bool,
    token: bool,
    origins: Vec<String>,
}

impl Trust {
    /// Rules for a server at `address` with these further origins, that asks for a `token` or not.
    pub fn new(address: SocketAddr, origins: &[String], token: bool) -> Self {
        let origins = origins
            .iter()
            .map(|origin| origin.to_ascii_lowercase())
            .collect();
        Self {
            loopback: address.ip().is_loopback(),
            token,
            origins,
        }
    }

    /// Whether a request for this `Host` is served.
    pub fn host(&self, host: Option<&str>) -> bool {
        let Some(host) = host.map(str::to_ascii_lowercase) else {
            return false;
        };
        let name = name(&host);
        let own = match self.loopback {
            true => local(name),
            false => self.token || local(name) || name.parse::<IpAddr>().is_ok(),
        };
        own || self.origins.iter().any(|origin| authority(origin) == host)
    }

    /// Whether a page of this `Origin` may read the feed; programs that are no browser send none.
    pub fn origin(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let origin = origin.to_ascii_lowercase();
        let own = host.is_some_and(|host| {
            origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"))
                == Some(&*host.to_ascii_lowercase())
        });
        own || self.origins.contains(&origin)
    }
}

/// What readers must show, where there is such a thing.
pub struct Token {
    plain: String,
    /// As browsers can say it in a websocket's handshake, which takes no header of their own.
    protocol: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// The token that is asked for.
    pub fn new(token: &str) -> Self {
        Self {
            plain: token.to_owned(),
            protocol: format!("bearer.{}", base64url(token.as_bytes())),
        }
    }

    /// Whether `Authorization` or `Sec-WebSocket-Protocol` has it.
    pub fn shown(&self, authorization: Option<&str>, protocols: Option<&str>) -> bool {
        let bearer = authorization.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(token.trim())
        });
        bearer.is_some_and(|token| same(token, &self.plain))
            || protocols.is_some_and(|list| {
                list.split(',')
                    .any(|protocol| same(protocol.trim(), &self.protocol))
            })
    }
}

/// Whether both are the same, in a time that does not tell where they differ.
fn same(given: &str, wanted: &str) -> bool {
    let differing = given
        .bytes()
        .zip(wanted.bytes())
        .fold(0, |all, (one, other)| all | (one ^ other));
    given.len() == wanted.len() && std::hint::black_box(differing) == 0
}

fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let whole = three
            .iter()
            .fold(0_u32, |all, byte| all << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for letter in 0..=three.len() {
            out.push(LETTERS[(whole >> (18 - 6 * letter)) as usize & 63] as char);
        }
    }
    out
}

fn authority(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, host)| host)
}

/// The name in `name:port`, without the brackets of an IPv6 address.
fn name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or("");
    }
    host.split(':').next().unwrap_or("")
}

fn local(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens() {
        let token = Token::new("correct horse~?");
        assert!(token.shown(Some("Bearer correct horse~?"), None));
        assert!(token.shown(Some("bearer  correct horse~?"), None));
        assert!(token.shown(None, Some("feed, bearer.Y29ycmVjdCBob3JzZX4_")));
        for (authorization, protocols) in [
            (None, None),
            (Some("Bearer correct horse~"), Some("feed")),
            (Some("Basic correct horse~?"), Some("bearer.")),
            (Some("Bearer "), Some("bearer.correct horse~?")),
            (Some("correct horse~?"), Some("Y29ycmVjdCBob3JzZX4_")),
        ] {
            assert!(!token.shown(authorization, protocols), "{authorization:?}");
        }
        let vectors = ["", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"];
        for (length, wanted) in vectors.into_iter().enumerate() {
            assert_eq!(base64url(&b"foobar"[..length]), wanted, "RFC 4648, 10");
        }
    }

    #[test]
    fn only_the_own_page_and_named_origins_may_read() {
        let trust = Trust::new(
            "127.0.0.1:3000".parse().unwrap(),
            &["https://Example.com".into()],
            false,
        );
        assert!(trust.origin(None, Some("localhost:3000")));
        assert!(trust.origin(Some("http://localhost:3000"), Some("localhost:3000")));
        assert!(trust.origin(Some("https://example.com"), Some("localhost:3000")));
        for foreign in [
            "http://localhost:3001",
            "https://example.com.evil.org",
            "http://evil.org",
            "null",
            "",
        ] {
            assert!(
                !trust.origin(Some(foreign), Some("localhost:3000")),
                "{foreign}"
            );
        }
    }

    #[test]
    fn a_name_that_was_pointed_at_loopback_is_not_served() {
        let trust = Trust::new(
            "127.0.0.1:3000".parse().unwrap(),
            &["https://Proxy.example".into()],
            false,
        );
        for own in [
            "localhost",
            "LOCALHOST:3000",
            "127.0.0.1:3000",
            "127.9.9.9",
            "[::1]:3000",
            "proxy.Example",
        ] {
            assert!(trust.host(Some(own)), "{own}");
        }
        for foreign in [
            "evil.org:3000",
            "localhost.evil.org",
            "10.0.0.1",
            "",
            "[fe80::1]",
        ] {
            assert!(!trust.host(Some(foreign)), "{foreign}");
        }
        assert!(!trust.host(None));
    }

    #[test]
    fn a_name_that_was_pointed_elsewhere_is_served_only_where_there_is_a_token() {
        let address = "0.0.0.0:80".parse().unwrap();
        let open = Trust::new(address, &["https://cloud.example".into()], false);
        for own in [
            "192.168.1.7",
            "[fe80::1]:80",
            "Localhost:80",
            "Cloud.example",
        ] {
            assert!(open.host(Some(own)), "{own}");
        }
        for foreign in [
            "evil.org",
            "192.168.1.7.evil.org",
            "cloud.example.evil.org",
            "",
        ] {
            assert!(!open.host(Some(foreign)), "{foreign}");
        }
        let closed = Trust::new(address, &[], true);
        assert!(closed.host(Some("cloud.example")) && !closed.host(None));
    }
}
