//! Which server is asked next, and when. One that failed comes last, and rests by its own trouble;
//! the others need not wait for it.

use std::collections::VecDeque;
use std::time::Duration;

use live::Backoff;
use plugin_api::StageError;
use reqwest::Url;

/// A stream that lasted so long is a good one: its server's failures are forgotten.
const GOOD_NS: u64 = 10_000_000_000;

/// A server.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub url: Url,
    /// For messages: host, and port if it is not the usual one.
    pub name: String,
    /// Its place in the option.
    pub number: usize,
    backoff: Backoff,
    /// Streams in a row that brought something new, but did not last.
    short: u32,
    /// Not to be asked before this, on the host's clock.
    ready_ns: u64,
    /// Whether it ever streamed: then what it refuses now, it may give again.
    has_worked: bool,
}

/// Why an attempt ended, as far as it says when to come again.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A stream ended that had begun at that time; whether it brought an event that was new.
    Stream { began_ns: u64, is_new: bool },
    /// No connection, no answer.
    Network,
    /// A status that may pass; the wait that the server wants.
    Status(Option<Duration>),
    /// Too many requests; the wait that the server wants.
    TooMany(Option<Duration>),
    /// The server will not have us, and why.
    Refused(StageError),
}

/// All servers, in the order in which they are asked. There is always one.
#[derive(Debug)]
pub(crate) struct Endpoints(VecDeque<Endpoint>);

impl Endpoints {
    pub fn new(urls: Vec<Url>) -> Self {
        let endpoint = |(number, url): (usize, Url)| Endpoint {
            name: name(&url),
            url,
            number,
            backoff: Backoff::default(),
            short: 0,
            ready_ns: 0,
            has_worked: false,
        };
        Self(urls.into_iter().enumerate().map(endpoint).collect())
    }

    /// The one to ask next: the first that is ready, or will be.
    pub fn current(&self) -> &Endpoint {
        &self.0[0]
    }

    /// Moves on after the current one ended. Answers how long to wait before the next is asked.
    ///
    /// # Errors
    /// If none is left: why the last one went.
    pub fn fail(&mut self, trouble: Trouble, now_ns: u64) -> Result<Duration, StageError> {
        if let Some(mut failed) = self.0.pop_front() {
            match failed.rest(trouble, now_ns) {
                Ok(rest) => {
                    let rest = u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
                    failed.ready_ns = now_ns.saturating_add(rest);
                    self.0.push_back(failed);
                }
                Err(refused) if self.0.is_empty() => {
                    self.0.push_back(failed);
                    return Err(refused);
                }
                Err(_) => {}
            }
        }
        let ready = self.0.iter().position(|one| one.ready_ns <= now_ns);
        let soonest = || (0..self.0.len()).min_by_key(|at| self.0[*at].ready_ns);
        if let Some(next) = ready.or_else(soonest)
            && let Some(next) = self.0.remove(next)
        {
            let wait = next.ready_ns.saturating_sub(now_ns);
            self.0.push_front(next);
            return Ok(Duration::from_nanos(wait));
        }
        Ok(Duration::ZERO)
    }
}

fn name(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.into(),
    }
}

impl Endpoint {
    /// How long it is left alone.
    fn rest(&mut self, trouble: Trouble, now_ns: u64) -> Result<Duration, StageError> {
        Ok(match trouble {
            Trouble::Stream { began_ns, is_new } => {
                self.has_worked |= is_new;
                if now_ns.saturating_sub(began_ns) >= GOOD_NS {
                    self.backoff.reset();
                    self.short = 0;
                    return Ok(Duration::ZERO);
                }
                if is_new {
                    self.short += 1;
                }
                if is_new && self.short == 1 {
                    Duration::ZERO
                } else {
                    self.backoff.network()
                }
            }
            Trouble::Network => self.backoff.network(),
            Trouble::Status(wish) => self.backoff.http(wish),
            Trouble::TooMany(wish) => self.backoff.calm_down(wish),
            Trouble::Refused(_) if self.has_worked => self.backoff.calm_down(None),
            Trouble::Refused(error) => return Err(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn endpoints(n: usize) -> Endpoints {
        let url = |n| Url::parse(&format!("http://host{n}/subscribe")).unwrap();
        Endpoints::new((0..n).map(url).collect())
    }

    fn stream(began_ns: u64, is_new: bool) -> Trouble {
        Trouble::Stream { began_ns, is_new }
    }

    fn refused() -> Trouble {
        Trouble::Refused(StageError::config("/endpoints/0", "no"))
    }

    #[test]
    fn one_that_failed_comes_last_and_the_others_need_not_wait() {
        let mut all = endpoints(3);
        for next in [1, 2] {
            assert_eq!(all.fail(Trouble::Network, 0).unwrap(), Duration::ZERO);
            assert_eq!(all.current().number, next);
        }
        let wait = all.fail(Trouble::Network, 0).unwrap();
        assert_eq!((wait.as_millis(), all.current().number), (250, 0));
        // One that asks for more time is passed over.
        let now = S;
        assert_eq!(
            all.fail(Trouble::TooMany(None), now).unwrap(),
            Duration::ZERO
        );
        assert_eq!(all.current().number, 1);
        all.fail(Trouble::Network, now).unwrap();
        assert_eq!(all.current().number, 2);
        let wait = all.fail(Trouble::Network, now).unwrap();
        assert_eq!((wait.as_millis(), all.current().number), (500, 1));
        assert_eq!(all.0.len(), 3);
    }

    #[test]
    fn a_good_stream_is_taken_up_at_once_and_short_ones_only_once() {
        let mut one = endpoints(1);
        let mut fail = |trouble, now| one.fail(trouble, now).unwrap().as_millis();
        assert_eq!(fail(stream(0, true), 1), 0);
        assert_eq!(fail(stream(0, true), 1), 250);
        assert_eq!(fail(stream(0, true), 1), 500);
        assert_eq!(fail(stream(0, false), 1), 750);
        assert_eq!(fail(stream(0, false), 10 * S), 0);
        assert_eq!(fail(stream(0, false), 1), 250);
        assert_eq!(fail(stream(0, true), 1), 0);
    }

    #[test]
    fn a_refusal_is_for_good_unless_it_worked_before() {
        let mut all = endpoints(2);
        all.fail(stream(0, true), 1).unwrap();
        assert_eq!(all.fail(refused(), 1).unwrap(), Duration::ZERO);
        assert_eq!((all.0.len(), all.current().number), (1, 0));
        assert_eq!(all.fail(refused(), 1).unwrap().as_secs(), 60);
        let mut one = endpoints(1);
        assert_eq!(one.fail(refused(), 1).unwrap_err().message, "no");
    }
}
