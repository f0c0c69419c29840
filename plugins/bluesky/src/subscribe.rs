//! How a stream is asked for: the address, and the words behind the handshake.

use live::{Refusal, Verdict};
use plugin_api::StageError;
use reqwest::Url;
use serde_json::json;

use crate::config::Options;

/// More accounts than these do not go into the address, which servers and what stands before them
/// bound: they are said when the connection stands.
const DIDS_IN_ADDRESS: usize = 64;

/// Whether the server is to wait for [`greeting`].
fn greets(options: &Options) -> bool {
    options.wanted_dids.len() > DIDS_IN_ADDRESS
}

/// The address of a stream from `cursor_us` on.
pub(crate) fn address(
    endpoint: &Url,
    options: &Options,
    cursor_us: Option<i64>,
    compress: bool,
) -> Url {
    let mut url = endpoint.clone();
    let mut query = url.query_pairs_mut();
    if greets(options) {
        query.append_pair("requireHello", "true");
    } else {
        for collection in &options.wanted_collections {
            query.append_pair("wantedCollections", collection);
        }
        for did in &options.wanted_dids {
            query.append_pair("wantedDids", did);
        }
    }
    if let Some(cursor) = cursor_us {
        query.append_pair("cursor", &cursor.to_string());
    }
    if compress {
        query.append_pair("compress", "true");
    }
    drop(query);
    if url.query() == Some("") {
        url.set_query(None);
    }
    url
}

/// The message that names what is wanted, where that is too long for the address.
///
/// There is no limit of size in either: what a server leaves out, nobody could count.
pub(crate) fn greeting(options: &Options) -> Option<String> {
    let message = json!({
        "type": "options_update",
        "payload": {
            "wantedCollections": options.wanted_collections,
            "wantedDids": options.wanted_dids,
            "maxMessageSizeBytes": 0,
        },
    });
    greets(options).then(|| message.to_string())
}

/// What an answer means that is no change to a websocket.
pub(crate) fn verdict(refusal: &Refusal, name: &str, number: usize) -> Verdict {
    let never = |pointer: &str, why: &str| {
        let status = refusal.status;
        let said = refusal.said();
        let why = format!("{name} answered {status}{said}: {why}");
        Verdict::Never(StageError::config(pointer, why))
    };
    let here = format!("/endpoints/{number}");
    match refusal.status {
        400 => {
            let said = refusal.body.to_ascii_lowercase();
            let options = [
                ("collection", "/wanted_collections"),
                ("did", "/wanted_dids"),
                ("cursor", "/start"),
            ];
            let named = options.iter().find(|(word, _)| said.contains(word));
            let pointer = named.map_or(here.as_str(), |(_, pointer)| pointer);
            never(pointer, "it does not take what is asked of it")
        }
        401 | 403 => never(&here, "it does not serve everybody; use a server that does"),
        404 | 405 | 410 => never(&here, "there is no stream; check the address"),
        // Anything else that is well would be a page.
        200..=299 => never(&here, "this is no Jetstream server; check the address"),
        420 | 429 => Verdict::CalmDown,
        _ => Verdict::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(change: serde_json::Value) -> (String, Option<String>) {
        let options: Options = serde_json::from_value(change).unwrap();
        let endpoint = Url::parse("https://a.example/subscribe").unwrap();
        let address = address(&endpoint, &options, Some(5), true);
        (address.query().unwrap().into(), greeting(&options))
    }

    #[test]
    fn few_accounts_stand_in_the_address_and_many_are_said() {
        let (query, greeting) = asked(json!({"wanted_dids": ["did:plc:a"]}));
        assert_eq!(
            query,
            "wantedCollections=app.bsky.feed.post&wantedDids=did%3Aplc%3Aa&cursor=5&compress=true"
        );
        assert_eq!(greeting, None);
        let many: Vec<_> = (0..100).map(|n| format!("did:plc:{n}")).collect();
        let (query, greeting) = asked(json!({"wanted_dids": many}));
        assert_eq!(query, "requireHello=true&cursor=5&compress=true");
        let said: serde_json::Value = serde_json::from_str(&greeting.unwrap()).unwrap();
        assert_eq!(said["type"], "options_update");
        assert_eq!(said["payload"]["wantedDids"], json!(many));
    }

    #[test]
    fn an_address_without_wishes_has_no_question_mark() {
        let options: Options = serde_json::from_value(json!({"wanted_collections": []})).unwrap();
        let endpoint = Url::parse("https://a.example/subscribe").unwrap();
        assert_eq!(address(&endpoint, &options, None, false), endpoint);
    }
}
