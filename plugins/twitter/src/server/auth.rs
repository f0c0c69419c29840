//! Who may connect: OAuth 1.0a as Twitter checked it, with its error codes.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::config::Credentials;
use crate::oauth::{self, Param};

/// So many of the last nonces are remembered, so that a request that was overheard is not good
/// for a second time.
const NONCES: usize = 4096;
/// A longer nonce is no nonce.
const NONCE_BYTES: usize = 256;

/// Why a request was refused: Twitter's code and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denied {
    pub code: u32,
    pub message: &'static str,
}

const NO_OAUTH: Denied = Denied {
    code: 215,
    message: "Bad Authentication data.",
};
const NOT_AUTHENTICATED: Denied = Denied {
    code: 32,
    message: "Could not authenticate you.",
};
const BAD_TOKEN: Denied = Denied {
    code: 89,
    message: "Invalid or expired token.",
};
const OUT_OF_TIME: Denied = Denied {
    code: 135,
    message: "Timestamp out of bounds.",
};

pub(crate) struct Auth {
    credentials: Credentials,
    window_s: u64,
    nonces: Mutex<Nonces>,
}

#[derive(Default)]
struct Nonces {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Auth {
    pub fn new(credentials: Credentials, window_s: u64) -> Self {
        Self {
            credentials,
            window_s,
            nonces: Mutex::default(),
        }
    }

    /// Checks a request: `uri` is scheme, host and path; `params` those of query and form.
    pub fn check(
        &self,
        header: Option<&str>,
        method: &str,
        uri: &str,
        params: &[Param],
        now_s: u64,
    ) -> Result<(), Denied> {
        let oauth_params = header.and_then(oauth::parse_header).ok_or(NO_OAUTH)?;
        let find = |name: &str| {
            oauth_params
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.as_str())
        };
        let of = |name: &str| find(name).ok_or(NO_OAUTH);
        let (key, signature) = (of("oauth_consumer_key")?, of("oauth_signature")?);
        let (timestamp, nonce) = (of("oauth_timestamp")?, of("oauth_nonce")?);
        if of("oauth_signature_method")? != "HMAC-SHA1"
            || find("oauth_version").is_some_and(|v| v != "1.0")
            || nonce.len() > NONCE_BYTES
        {
            return Err(NO_OAUTH);
        }
        if key != self.credentials.consumer_key.expose() {
            return Err(NO_OAUTH);
        }
        if find("oauth_token") != Some(self.credentials.token.expose()) {
            return Err(BAD_TOKEN);
        }
        let timestamp: u64 = timestamp.parse().map_err(|_| OUT_OF_TIME)?;
        if timestamp.abs_diff(now_s) > self.window_s {
            return Err(OUT_OF_TIME);
        }
        let signed: Vec<Param> = oauth_params
            .iter()
            .filter(|(name, _)| name != "oauth_signature" && name != "realm")
            .chain(params)
            .cloned()
            .collect();
        let base = oauth::base_string(method, uri, &signed);
        let is_right = oauth::verify(
            &base,
            self.credentials.consumer_secret.expose(),
            self.credentials.token_secret.expose(),
            signature,
        );
        if is_right && self.is_new(format!("{timestamp} {nonce}")) {
            Ok(())
        } else {
            Err(NOT_AUTHENTICATED)
        }
    }

    fn is_new(&self, nonce: String) -> bool {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if !nonces.known.insert(nonce.clone()) {
            return false;
        }
        nonces.order.push_back(nonce);
        if nonces.order.len() > NONCES
            && let Some(oldest) = nonces.order.pop_front()
        {
            nonces.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::Secret;

    fn credentials(consumer_secret: &str, token: &str) -> Credentials {
        Credentials {
            consumer_key: Secret::new("key"),
            consumer_secret: Secret::new(consumer_secret),
            token: Secret::new(token),
            token_secret: Secret::new("ts"),
        }
    }

    const URI: &str = "http://127.0.0.1:8080/1.1/statuses/filter.json";

    #[test]
    fn each_part_of_a_request_is_checked() {
        let auth = Auth::new(credentials("secret", "token"), 300);
        let params = [("track".to_string(), "a b,ü".to_string())];
        let sign = |with: &Credentials, at: u64, nonce: Option<&str>| {
            oauth::authorize(with, "POST", URI, &params, at, nonce)
        };
        let right = credentials("secret", "token");
        let header = sign(&right, 1000, None);
        let other_uri = URI.replace("80", "81");
        let check = |header: &str, method, uri, params: &[Param], now| {
            auth.check(Some(header), method, uri, params, now)
                .map_err(|denied| denied.code)
        };
        assert_eq!(check(&header, "GET", URI, &params, 1000), Err(32));
        assert_eq!(check(&header, "POST", &other_uri, &params, 1000), Err(32));
        assert_eq!(check(&header, "POST", URI, &[], 1000), Err(32));
        assert_eq!(check(&header, "POST", URI, &params, 1301), Err(135));
        assert_eq!(check(&header, "POST", URI, &params, 699), Err(135));
        assert_eq!(check(&header, "POST", URI, &params, 1300), Ok(()));
        assert_eq!(
            check(&header, "POST", URI, &params, 1300),
            Err(32),
            "a nonce is good once"
        );
        let post = |header: &str| check(header, "POST", URI, &params, 1000);
        assert_eq!(
            post(&sign(&credentials("wrong", "token"), 1000, None)),
            Err(32)
        );
        assert_eq!(
            post(&sign(&credentials("secret", "other"), 1000, None)),
            Err(89)
        );
        assert_eq!(
            post(&sign(&right, 1000, None).replace("\"key\"", "\"kex\"")),
            Err(215)
        );
        assert_eq!(
            post(&sign(&right, 1000, None).replace("SHA1", "SHA9")),
            Err(215)
        );
        assert_eq!(post("Bearer x"), Err(215));
        assert_eq!(auth.check(None, "POST", URI, &params, 1000), Err(NO_OAUTH));
    }

    #[test]
    fn remembered_nonces_are_bounded() {
        let auth = Auth::new(credentials("s", "t"), 300);
        assert!((0..3 * NONCES).all(|n| auth.is_new(n.to_string())));
        let nonces = auth.nonces.lock().unwrap();
        assert_eq!((nonces.known.len(), nonces.order.len()), (NONCES, NONCES));
    }
}
