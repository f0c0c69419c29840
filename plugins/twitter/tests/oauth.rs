//! Signatures, against vectors that others published.
#![allow(clippy::unwrap_used)]

use plugin_api::Secret;
use plugin_twitter::Credentials;
use plugin_twitter::oauth::{Param, authorize, base_string, parse_header, verify};
use serde_json::Value;

fn vectors() -> needs::Need {
    needs::data("oauth/vectors.json")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The documented vectors of Twitter, RFC 5849 and OAuth Core.
fn documented_vectors() {
    let json = vectors().read();
    let all: Value = serde_json::from_slice(&json).unwrap();
    let vectors = all["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 12);
    let mut signed = 0;
    for vector in vectors {
        let keys = match &vector["keys"] {
            Value::String(shared) => &all[shared.as_str()],
            own => own,
        };
        let params: Vec<Param> = vector["params"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| (p[0].as_str().unwrap().into(), p[1].as_str().unwrap().into()))
            .collect();
        let timestamp = keys["timestamp"].as_u64().unwrap();
        let (method, url) = (text(vector, "method"), text(vector, "url"));
        let signature = text(vector, "signature");

        // Checking.
        let mut all_params = params.clone();
        let mut add = |name: &str, value: &str| all_params.push((name.into(), value.into()));
        add("oauth_consumer_key", text(keys, "consumer_key"));
        add("oauth_nonce", text(keys, "nonce"));
        add("oauth_signature_method", "HMAC-SHA1");
        add("oauth_timestamp", &timestamp.to_string());
        for (name, key) in [("oauth_token", "token"), ("oauth_version", "version")] {
            if keys.get(key).is_some() {
                add(name, text(keys, key));
            }
        }
        let base = base_string(method, url, &all_params);
        if let Some(expected) = vector["base_string"].as_str() {
            assert_eq!(base, expected);
        }
        let secret = text(keys, "consumer_secret");
        let check = |sig: &str| verify(&base, secret, text(keys, "token_secret"), sig);
        assert!(check(signature), "{}", text(vector, "origin"));
        assert!(!check(&signature.replace('=', "A")) && !check("") && !check("A==="));

        // Signing, as this source does: always with a token and the version.
        if keys.get("token").is_some() && keys.get("version").is_some() {
            let credentials = Credentials {
                consumer_key: Secret::new(text(keys, "consumer_key")),
                consumer_secret: Secret::new(secret),
                token: Secret::new(text(keys, "token")),
                token_secret: Secret::new(text(keys, "token_secret")),
            };
            let nonce = Some(text(keys, "nonce"));
            let header = authorize(&credentials, method, url, &params, timestamp, nonce);
            let parsed = parse_header(&header).unwrap();
            let got = parsed.iter().find(|p| p.0 == "oauth_signature").unwrap();
            assert_eq!(got.1, signature, "{}", text(vector, "origin"));
            signed += 1;
        }
    }
    assert_eq!(signed, 8);
}

needs::tests! {
    documented_vectors:
        vectors();
}
