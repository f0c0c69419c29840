//! What regions left that are not there any more, and which regions of now take it over.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use super::{listed, stage_of};
use crate::checkpoint::{
    complete::Complete,
    epoch::{Epoch, LettersMark, Snapshot},
    replay,
    shape::{Shape, instance},
    store::Store,
};

/// What regions left that are not there any more.
#[derive(Default)]
pub(super) struct Left {
    /// Stores that have something to be taken over, and what.
    pub stores: Vec<(Store, Epoch)>,
    /// Where the dead letters of which region stood.
    pub marks: Vec<(String, LettersMark)>,
    pub instances: BTreeMap<String, Snapshot>,
    /// Where replays of dead letters stand: they hold for good.
    pub replays: BTreeMap<String, Snapshot>,
    pub taken: BTreeSet<String>,
    pub number: u64,
    pub not_final: BTreeSet<String>,
    /// Stages that the regions of now have in an epoch of this number.
    pub present: BTreeMap<String, u64>,
}

impl Left {
    /// What one of them left: state only if the host's run did not come to its end.
    pub fn take(
        &mut self,
        region: &str,
        store: Store,
        newest: Option<(Epoch, bool)>,
        complete: &Complete,
    ) -> io::Result<()> {
        let Some((epoch, is_final)) = newest else {
            // What it rejected was in no epoch: it is read again.
            self.marks.push((region.to_owned(), LettersMark::default()));
            return Ok(());
        };
        self.marks.push((region.to_owned(), epoch.letters.clone()));
        if epoch.is_empty() {
            // That it is may not be on the disk yet.
            store.restore(None)?;
            return Ok(());
        }
        self.number = self.number.max(epoch.number);
        let complete = complete.ended_with(region, epoch.number);
        for (name, snapshot) in &epoch.instances {
            let stage = stage_of(name);
            let present = self.present.get(stage);
            if present.is_some_and(|number| *number >= epoch.number) {
                // It was taken over by a start that did not come to empty what was left.
            } else if replay::stage_of(name).is_some() {
                self.replays.insert(name.clone(), snapshot.clone());
            } else if !complete && is_final {
                self.instances.insert(name.clone(), snapshot.clone());
            } else if !complete {
                self.not_final.insert(stage.to_owned());
            }
        }
        self.stores.push((store, epoch));
        Ok(())
    }

    fn workers(&self, stage: &str) -> usize {
        self.instances
            .keys()
            .filter(|i| stage_of(i) == stage)
            .count()
    }

    /// The epoch from which a region of this shape starts, and what to say about it. `own`: what a
    /// graph that comes back finds of its own, its letters.
    pub fn plan(
        &mut self,
        shape: &Shape,
        shapes: &[Shape],
        own: Option<&Epoch>,
    ) -> Option<(Epoch, Vec<String>)> {
        let mut epoch = Epoch {
            number: own.map_or(0, |own| own.number).max(self.number),
            last: true,
            letters: own.map(|own| own.letters.clone()).unwrap_or_default(),
            ..Epoch::default()
        };
        epoch.instances = self.replays_of(shape, shapes);
        let (mut over, mut new) = (BTreeSet::new(), BTreeSet::new());
        for (stage, plugin, workers) in shape.stages() {
            let fits = self.workers(stage) == workers as usize
                && self
                    .instances
                    .get(&instance(stage, 0))
                    .is_some_and(|s| s.plugin == plugin);
            if !fits {
                new.insert(stage.to_owned());
                continue;
            }
            over.insert(stage.to_owned());
            for worker in 0..workers as usize {
                let name = instance(stage, worker);
                if let Some(snapshot) = self.instances.get(&name) {
                    epoch.instances.insert(name.clone(), snapshot.clone());
                    self.taken.insert(name);
                }
            }
        }
        if over.is_empty() {
            // It begins anew, and still knows of letters.
            let knows = !epoch.instances.is_empty() || own.is_some();
            return knows.then(|| (epoch, Vec::new()));
        }
        let mut said = vec![format!(
            "the graph has changed: the state of {} is taken over",
            listed(&over)
        )];
        if !new.is_empty() {
            said.push(format!("{} start without state", listed(&new)));
        }
        Some((epoch, said))
    }

    /// Where replays stand of the letters of this region's stages, and of stages that are in none.
    fn replays_of(&mut self, shape: &Shape, shapes: &[Shape]) -> BTreeMap<String, Snapshot> {
        let has = |shape: &Shape, name: &str| shape.stages().any(|(s, ..)| s == name);
        let replays = std::mem::take(&mut self.replays);
        let (own, others) = replays.into_iter().partition(|(name, _)| {
            let stage = replay::stage_of(name).unwrap_or_default();
            has(shape, stage) || !shapes.iter().any(|s| has(s, stage))
        });
        self.replays = others;
        own
    }

    /// Stages whose state nobody took over.
    pub fn lost(&self) -> BTreeSet<String> {
        self.instances
            .iter()
            .filter(|(name, s)| !self.taken.contains(*name) && !s.state.is_empty())
            .map(|(name, _)| stage_of(name).to_owned())
            .collect()
    }
}
