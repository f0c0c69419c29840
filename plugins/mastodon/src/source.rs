//! The source `mastodon`. A thread of its own reads the stream and fetches what was missed;
//! `poll` hands on.

use live::Live;
use plugin_api::prelude::*;

use crate::config::{self, Options};
use crate::ledger::Ledger;
use crate::listener::Listener;

/// The source `mastodon`: see its [`Options`].
pub struct Mastodon {
    options: Options,
    ctx: Context,
    is_local: bool,
    /// Once it is known where to go on.
    running: Option<(Live<u64>, Ledger)>,
}

impl Source for Mastodon {
    const NAME: &'static str = "mastodon";
    type Options = Options;

    fn plan(options: &Options) -> Result<Planned, StageError> {
        config::plan(options)
    }

    fn open(options: Options, ctx: &Context) -> Result<Self, StageError> {
        let url = config::base_url(&options)?;
        Ok(Self {
            options,
            ctx: ctx.clone(),
            is_local: url.host_str().is_some_and(live::is_loopback),
            running: None,
        })
    }

    fn restore(&mut self, _epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        let timelines = config::timelines(&self.options)?;
        let instance = config::base_url(&self.options)?;
        let rewind = self.options.rewind.duration();
        let (ledger, standing, notes) = Ledger::open(instance.as_str(), &timelines, rewind, state);
        let mut listener = Listener::new(&self.options, &self.ctx, timelines, standing, notes)?;
        let live = Live::start("mastodon", &self.ctx, move |intake, shared| {
            live::keep(&mut listener, intake, shared)
        })?;
        self.running = Some((live, ledger));
        Ok(())
    }

    fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        let Some((live, ledger)) = &mut self.running else {
            return Err(StageError::fatal("it was polled before it was restored"));
        };
        live.poll_with(budget, deadline_ns, out, |passed| ledger.passed(&passed))
    }

    fn drain(&mut self) -> Drain {
        match &mut self.running {
            Some((live, _)) => live.drain(self.is_local),
            None => Drain::Stop,
        }
    }

    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<Vec<u8>, StageError> {
        let running = self.running.as_ref();
        Ok(running.map_or_else(Vec::new, |(_, ledger)| ledger.snapshot()))
    }

    fn close(&mut self) -> Result<(), StageError> {
        if let Some((live, _)) = &mut self.running {
            live.close();
        }
        Ok(())
    }
}
