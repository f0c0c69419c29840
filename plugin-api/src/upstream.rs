//! What a barrier brings to a sink: where the sources in front of it stood.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A source's snapshot, as it travels with the barrier. On the boundary a list of them is JSON,
/// the state in base64; one for each instance of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Name of the source in hosts.toml.
    pub stage: String,
    /// What its [`checkpoint`](crate::Source::checkpoint) answered.
    #[serde(serialize_with = "encode", deserialize_with = "decode")]
    pub state: Vec<u8>,
}

impl Upstream {
    /// Reads a list; no bytes at all are an empty one.
    pub(crate) fn list(json: &[u8]) -> Result<Vec<Self>, serde_json::Error> {
        if json.is_empty() {
            return Ok(Vec::new());
        }
        serde_json::from_slice(json)
    }
}

fn encode<S: Serializer>(state: &[u8], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&BASE64.encode(state))
}

fn decode<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(d)?;
    BASE64.decode(text).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_json_with_base64() {
        let json = br#"[{"stage":"tweets","state":"AP8="},{"stage":"more","state":""}]"#;
        let list = Upstream::list(json).unwrap();
        assert_eq!(
            (&*list[0].stage, &*list[0].state),
            ("tweets", &[0, 255][..])
        );
        assert!(list[1].state.is_empty());
        assert_eq!(serde_json::to_vec(&list).unwrap(), json);
        assert_eq!(Upstream::list(b"").unwrap(), []);
        assert!(Upstream::list(br#"[{"stage":"s","state":"?"}]"#).is_err());
    }
}
