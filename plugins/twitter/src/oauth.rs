//! OAuth 1.0a with HMAC-SHA1: the signing half is oauth1-request's, the checking half is here,
//! written from RFC 5849 so that each proves the other.

use std::num::NonZeroU64;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth1_request::{Builder, HMAC_SHA1, ParameterList, Token};

use crate::config::Credentials;

/// A request parameter, not yet encoded.
pub type Param = (String, String);

/// The `Authorization` header of a request. `uri` has no query; `params` are those of query and
/// form. `nonce`: by chance if not given.
pub fn authorize(
    credentials: &Credentials,
    method: &str,
    uri: &str,
    params: &[Param],
    timestamp: u64,
    nonce: Option<&str>,
) -> String {
    let token = Token::from_parts(
        credentials.consumer_key.expose(),
        credentials.consumer_secret.expose(),
        credentials.token.expose(),
        credentials.token_secret.expose(),
    );
    let params = ParameterList::new(params.to_vec());
    let mut builder = Builder::with_token(token, HMAC_SHA1);
    builder
        .timestamp(NonZeroU64::new(timestamp))
        .nonce(nonce)
        .version(true);
    builder.authorize(method, uri, &params)
}

/// The parameters as a form, or a query.
pub(crate) fn form(params: &[Param]) -> String {
    let mut out = String::new();
    for (name, value) in params {
        if !out.is_empty() {
            out.push('&');
        }
        percent_encode(name, &mut out);
        out.push('=');
        percent_encode(value, &mut out);
    }
    out
}

/// The signature base string of RFC 5849, 3.4.1. `params` hold all but `oauth_signature` and
/// `realm`.
pub fn base_string(method: &str, uri: &str, params: &[Param]) -> String {
    let mut encoded: Vec<Param> = params
        .iter()
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    encoded.sort_unstable();
    let mut all = String::new();
    for (name, value) in encoded {
        if !all.is_empty() {
            all.push('&');
        }
        all.push_str(&name);
        all.push('=');
        all.push_str(&value);
    }
    let mut out = method.to_ascii_uppercase();
    out.push('&');
    percent_encode(uri, &mut out);
    out.push('&');
    percent_encode(&all, &mut out);
    out
}

/// Whether `signature` (base64) is that of the base string; takes the same time for any wrong one.
pub fn verify(
    base_string: &str,
    consumer_secret: &str,
    token_secret: &str,
    signature: &str,
) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else {
        return false;
    };
    let mut key = encoded(consumer_secret);
    key.push('&');
    percent_encode(token_secret, &mut key);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    ring::hmac::verify(&key, base_string.as_bytes(), &signature).is_ok()
}

/// The parameters of an `Authorization: OAuth …` header; `None` if it is none.
pub fn parse_header(header: &str) -> Option<Vec<Param>> {
    let (scheme, rest) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("OAuth") {
        return None;
    }
    rest.split(',')
        .map(|part| {
            let (name, value) = part.trim().split_once('=')?;
            let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
            Some((percent_decode(name.trim())?, percent_decode(value)?))
        })
        .collect()
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    percent_encode(text, &mut out);
    out
}

/// Percent-encoding of RFC 5849, 3.6: everything but unreserved characters.
fn percent_encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push('%');
            out.push(HEX[usize::from(byte >> 4)] as char);
            out.push(HEX[usize::from(byte & 15)] as char);
        }
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = (bytes.next()? as char).to_digit(16)?;
            let low = (bytes.next()? as char).to_digit(16)?;
            out.push((high << 4 | low) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_none_are_refused() {
        for wrong in [
            "",
            "Bearer abc",
            "OAuth a",
            "OAuth a=b",
            "OAuth a=\"%zz\"",
            "OAuth a=\"%ff\"",
        ] {
            assert_eq!(parse_header(wrong), None, "{wrong}");
        }
        assert_eq!(
            parse_header("oauth realm=\"\", a%20b=\"c%3D\"").unwrap(),
            [("realm".into(), String::new()), ("a b".into(), "c=".into())]
        );
    }

    #[test]
    fn forms_are_encoded_as_signed() {
        let params = [
            ("track".into(), "Café,a b".into()),
            ("x".into(), String::new()),
        ];
        assert_eq!(form(&params), "track=Caf%C3%A9%2Ca%20b&x=");
    }
}
