//! The source `x`. A thread of its own reads the stream and makes batches; `poll` hands them on,
//! and notes what has gone on for the snapshot.

use live::{Live, Passed, http};
use plugin_api::prelude::*;

use crate::config::{self, Options};
use crate::posts::Posts;
use crate::window::Window;

/// When something last came, in microseconds since 1970: up to there the stream is read.
pub(crate) type Mark = i64;

/// The source `x`: see its [`Options`].
pub struct X {
    /// The stream, until the thread that reads it takes it over.
    posts: Option<Posts>,
    live: Option<Live<Mark>>,
    ctx: Context,
    is_local: bool,
    /// Of posts that have gone on.
    ids: Window,
    heard_us: Option<Mark>,
}

impl Source for X {
    const NAME: &'static str = "x";
    type Options = Options;

    fn plan(options: &Options) -> Result<Planned, StageError> {
        config::plan(options)
    }

    fn open(options: Options, ctx: &Context) -> Result<Self, StageError> {
        let url = config::base_url(&options)?;
        Ok(Self {
            ids: Window::new(options.backfill_minutes > 0),
            posts: Some(Posts::new(options, &url, ctx)?),
            live: None,
            ctx: ctx.clone(),
            is_local: config::is_local(&url),
            heard_us: None,
        })
    }

    fn restore(&mut self, _epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        let Some(mut posts) = self.posts.take() else {
            return Err(StageError::fatal("it is restored twice"));
        };
        if let Some((heard_us, ids)) = state.map(decode).transpose()?.flatten() {
            self.heard_us = Some(heard_us);
            for id in ids {
                self.ids.insert(id);
            }
            posts.resume(heard_us, self.ids.ids());
        }
        self.live = Some(Live::start("x", &self.ctx, move |intake, shared| {
            let kept = http::keep(&mut posts, intake, shared);
            posts.finish();
            kept
        })?);
        Ok(())
    }

    fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        let Some(live) = &mut self.live else {
            return Ok(Poll::Idle);
        };
        let (ids, heard_us) = (&mut self.ids, &mut self.heard_us);
        live.poll_with(budget, deadline_ns, out, |passed| match passed {
            Passed::Records(batch) => batch.iter().for_each(|record| {
                let id = record.header("id").and_then(|id| str::from_utf8(id).ok());
                if let Some(id) = id.and_then(|id| id.parse().ok()) {
                    ids.insert(id);
                }
            }),
            Passed::Mark(at) => *heard_us = Some(at),
        })
    }

    fn drain(&mut self) -> Drain {
        match &mut self.live {
            Some(live) => live.drain(self.is_local),
            None => Drain::Stop,
        }
    }

    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<Vec<u8>, StageError> {
        Ok(self.heard_us.map_or_else(Vec::new, |heard_us| {
            let numbers = self.ids.ids().map(u64::to_le_bytes);
            let head = std::iter::once(heard_us.to_le_bytes());
            head.chain(numbers).flatten().collect()
        }))
    }

    fn close(&mut self) -> Result<(), StageError> {
        if let Some(live) = &mut self.live {
            live.close();
        }
        Ok(())
    }
}

/// When something last came, and the ids of the newest posts; nothing came yet: nothing.
type State = Option<(Mark, Vec<u64>)>;

fn decode(state: &[u8]) -> Result<State, StageError> {
    let (numbers, []) = state.as_chunks::<8>() else {
        return Err(StageError::fatal(
            "its snapshot is damaged: no whole numbers",
        ));
    };
    Ok(numbers.split_first().map(|(heard_us, ids)| {
        let ids = ids.iter().map(|id| u64::from_le_bytes(*id)).collect();
        (i64::from_le_bytes(*heard_us), ids)
    }))
}
