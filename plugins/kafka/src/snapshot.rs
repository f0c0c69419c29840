//! The state of an epoch: where a source stood, and of which cluster its offsets are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a source answers at a barrier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Offsets mean nothing on another cluster; empty: it was not known yet.
    pub cluster: String,
    pub topic: String,
    /// Where each partition goes on; also those that an earlier epoch left and nobody assigned yet.
    pub next: BTreeMap<i32, i64>,
    /// For a sink that puts these offsets into its transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<ReaderAt>,
}

/// What goes into the transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReaderAt {
    /// See [`readers`](crate::readers).
    pub id: String,
    /// Where each assigned partition goes on.
    pub next: BTreeMap<i32, i64>,
}

impl Snapshot {
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn read(state: &[u8]) -> Option<Self> {
        serde_json::from_slice(state).ok()
    }
}

/// Whether two clusters are two, as far as both are known.
pub(crate) fn differ(one: &str, other: &str) -> bool {
    !one.is_empty() && !other.is_empty() && one != other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back() {
        let snapshot = Snapshot {
            cluster: "a".into(),
            topic: "t".into(),
            next: [(0, 5), (12, 7)].into(),
            reader: Some(ReaderAt {
                id: "1".into(),
                next: [(12, 7)].into(),
            }),
        };
        let bytes = snapshot.to_bytes();
        assert_eq!(Snapshot::read(&bytes), Some(snapshot.clone()));
        assert_eq!(Snapshot::read(b"{"), None);
        assert!(differ("a", "b") && !differ("a", "a") && !differ("", "b") && !differ("a", ""));
    }
}
