//! Which records are on their way to which clients, until their fate is known.

use std::collections::VecDeque;
use std::sync::Arc;

use plugin_api::{Out, Reject};

use super::client::Client;

/// Records of one batch, taken in one call.
#[derive(Default)]
pub(crate) struct Entry {
    pub seq: u64,
    /// Their indexes in the batch.
    indexes: Vec<u32>,
    ways: Vec<(Arc<Client>, Vec<Mark>)>,
}

/// A record that goes to a client: its place in `indexes`, and where in the stream it ends.
type Mark = (u32, u64);

/// Entries in the order of their arrival.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: VecDeque<Entry>,
}

impl Entry {
    pub fn new(seq: u64) -> Self {
        Self {
            seq,
            ..Self::default()
        }
    }

    /// Record `index` goes to someone.
    pub fn record(&mut self, index: u32) {
        self.indexes.push(index);
    }

    /// The record named last goes to this client.
    pub fn way(&mut self, client: &Arc<Client>, position: u64) {
        let place = self.indexes.len() as u32 - 1;
        match self.ways.iter_mut().find(|(c, _)| Arc::ptr_eq(c, client)) {
            Some((_, marks)) => marks.push((place, position)),
            None => self.ways.push((client.clone(), vec![(place, position)])),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.indexes.is_empty()
    }

    fn is_settled(&self) -> bool {
        self.ways.iter().all(|(client, marks)| {
            let (flushed, gone) = client.progress();
            gone || marks
                .last()
                .is_none_or(|(_, position)| *position <= flushed)
        })
    }

    /// Reports what became of each record: one client that has it is enough.
    fn report(self, out: &mut Out<'_, '_>) -> u64 {
        let mut delivered = vec![false; self.indexes.len()];
        for (client, marks) in &self.ways {
            let (flushed, _) = client.progress();
            for (place, position) in marks {
                delivered[*place as usize] |= *position <= flushed;
            }
        }
        let mut lost = 0;
        for (index, _) in self
            .indexes
            .iter()
            .zip(&delivered)
            .filter(|(_, delivered)| !**delivered)
        {
            lost += 1;
            let why = Reject::new("every client that asked for it left before it was sent");
            out.reject_at(self.seq, *index, &why);
        }
        out.consumed_at(self.seq, self.indexes.len() as u64 - lost);
        lost
    }
}

impl Ledger {
    pub fn add(&mut self, entry: Entry) {
        if !entry.is_empty() {
            self.entries.push_back(entry);
        }
    }

    /// Reports the fates that are known; how many records were lost.
    pub fn settle(&mut self, out: &mut Out<'_, '_>) -> u64 {
        let mut lost = 0;
        while self.entries.front().is_some_and(Entry::is_settled) {
            if let Some(entry) = self.entries.pop_front() {
                lost += entry.report(out);
            }
        }
        lost
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
