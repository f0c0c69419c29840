//! The source `twitter`. A thread of its own reads the stream and makes batches; `poll` hands
//! them on.

mod config;
mod messages;
mod request;
mod statuses;
mod verdict;

use live::{Live, http};
use plugin_api::prelude::*;

pub use config::Options;
use statuses::Statuses;

/// The source `twitter`: see its [`Options`].
pub struct Twitter {
    live: Live,
    is_local: bool,
}

impl Source for Twitter {
    const NAME: &'static str = "twitter";
    type Options = Options;

    fn plan(options: &Options) -> Result<Planned, StageError> {
        config::plan(options)
    }

    fn open(options: Options, ctx: &Context) -> Result<Self, StageError> {
        let url = config::base_url(&options)?;
        let mut statuses = Statuses::new(options, &url)?;
        Ok(Self {
            live: Live::start("twitter", ctx, move |intake, shared| {
                http::keep(&mut statuses, intake, shared)
            })?,
            is_local: config::is_local(&url),
        })
    }

    fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        self.live.poll(budget, deadline_ns, out)
    }

    fn drain(&mut self) -> Drain {
        self.live.drain(self.is_local)
    }

    fn close(&mut self) -> Result<(), StageError> {
        self.live.close();
        Ok(())
    }
}
