//! What a live source sent since the last durable epoch. It cannot read it again, so the host
//! keeps it, by reference and within bounds, and sends it again after a restart of its region.

use std::collections::VecDeque;

use plugin_api::Batch;

/// Most bytes that are kept before the source waits for an epoch.
const MAX_BYTES: usize = 64 << 20;

/// What was sent.
#[derive(Debug, Clone)]
pub enum Sent {
    /// To an output port.
    Batch(u32, Batch),
    /// Its end.
    End,
    /// To the dead letters: what was no record, why, and where in it.
    Rejected(Vec<u8>, String, String),
}

impl Sent {
    fn bytes(&self) -> usize {
        match self {
            Self::Batch(_, batch) => batch.pinned_bytes(),
            Self::End => 0,
            Self::Rejected(raw, why, pointer) => raw.len() + why.len() + pointer.len(),
        }
    }
}

/// What was sent and is in no durable epoch.
#[derive(Debug, Default)]
pub struct Retained {
    /// With the epoch whose barrier went before it; 0: none.
    sent: VecDeque<(u64, Sent)>,
    bytes: usize,
    behind: u64,
}

impl Retained {
    /// Keeps what is about to be sent.
    pub fn keep(&mut self, sent: Sent) {
        self.bytes += sent.bytes();
        self.sent.push_back((self.behind, sent));
    }

    /// The barrier of an epoch was sent.
    pub fn barrier(&mut self, epoch: u64) {
        self.behind = epoch;
    }

    /// An epoch is durable: what its barrier followed need not be kept.
    pub fn forget(&mut self, epoch: u64) {
        while self.sent.front().is_some_and(|(behind, _)| *behind < epoch) {
            if let Some((_, sent)) = self.sent.pop_front() {
                self.bytes -= sent.bytes();
            }
        }
    }

    /// Whether there is room for more.
    pub fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// Everything, to be sent again in order. It belongs to the epoch that comes next.
    pub fn again(&mut self, restored: u64) -> Vec<Sent> {
        self.forget(restored);
        self.behind = restored;
        self.sent
            .iter_mut()
            .map(|(behind, sent)| {
                *behind = restored;
                sent.clone()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::BatchBuilder;

    use super::*;

    fn batch(n: usize) -> Sent {
        let mut b = BatchBuilder::new();
        b.push(Some(&vec![0; n]));
        Sent::Batch(0, b.finish())
    }

    fn lengths(sent: &[Sent]) -> Vec<usize> {
        sent.iter()
            .map(|s| match s {
                Sent::Batch(_, b) => b.record(0).bytes().len(),
                Sent::End => 0,
                Sent::Rejected(raw, ..) => raw.len(),
            })
            .collect()
    }

    #[test]
    fn what_a_durable_epoch_holds_is_forgotten_and_the_rest_comes_again() {
        let mut r = Retained::default();
        r.keep(batch(1));
        r.barrier(1);
        r.keep(batch(2));
        r.barrier(2);
        r.keep(batch(3));
        r.keep(Sent::Rejected(vec![0; 5], String::new(), String::new()));
        r.keep(Sent::End);
        r.forget(1);
        assert_eq!(lengths(&r.again(1)), [2, 3, 5, 0]);
        // Epoch 2 never became true, and its number is not used again.
        r.barrier(3);
        r.keep(batch(4));
        assert_eq!(lengths(&r.again(1)), [2, 3, 5, 0, 4]);
        r.barrier(4);
        r.forget(4);
        assert!(lengths(&r.again(4)).is_empty() && r.bytes == 0);
        r.keep(batch(MAX_BYTES));
        assert!(r.is_full());
    }
}
