//! How long to wait before the next attempt, by Twitter's rules for streaming clients, which are
//! those of X, too, and kind to any other server.

use std::time::Duration;

/// Network trouble: 250 ms more each time, up to this.
const NETWORK_CAP: Duration = Duration::from_secs(16);
/// HTTP trouble: 5 s, doubled each time, up to this.
const HTTP_CAP: Duration = Duration::from_secs(320);
/// Being told to calm down: a minute, doubled each time. Twitter names no end to that; this is a
/// little more than its longest rate window.
const CALM_CAP: Duration = Duration::from_secs(16 * 60);
/// The longest that a server's own `Retry-After` is believed.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(60 * 60);

/// Counts failures of each kind since the last time that messages came.
#[derive(Debug, Default)]
pub struct Backoff {
    network: u32,
    http: u32,
    calm: u32,
}

impl Backoff {
    /// No connection, or one that broke before anything came.
    pub fn network(&mut self) -> Duration {
        self.network = self.network.saturating_add(1);
        (Duration::from_millis(250) * self.network.min(1_000)).min(NETWORK_CAP)
    }

    /// An HTTP status that may pass.
    pub fn http(&mut self, retry_after: Option<Duration>) -> Duration {
        let rule = doubled(Duration::from_secs(5), self.http, HTTP_CAP);
        self.http = self.http.saturating_add(1);
        at_least(rule, retry_after)
    }

    /// 420 or 429.
    pub fn calm_down(&mut self, retry_after: Option<Duration>) -> Duration {
        let rule = doubled(Duration::from_secs(60), self.calm, CALM_CAP);
        self.calm = self.calm.saturating_add(1);
        at_least(rule, retry_after)
    }

    /// Messages come: all is well again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

fn doubled(first: Duration, times: u32, cap: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(cap)
}

fn at_least(rule: Duration, server: Option<Duration>) -> Duration {
    rule.max(server.unwrap_or_default().min(RETRY_AFTER_CAP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_trouble_is_linear_up_to_16_s() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..66).map(|_| backoff.network().as_millis()).collect();
        assert_eq!(waits[..3], [250, 500, 750]);
        assert_eq!(waits[62..], [15_750, 16_000, 16_000, 16_000]);
    }

    #[test]
    fn http_trouble_doubles_from_5_to_320_s() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.http(None).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 320]);
    }

    #[test]
    fn calming_down_doubles_from_a_minute_and_kinds_are_counted_apart() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..6).map(|_| backoff.calm_down(None).as_secs()).collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 960]);
        assert_eq!(backoff.http(None).as_secs(), 5);
        assert_eq!(backoff.network().as_millis(), 250);
        backoff.reset();
        assert_eq!(backoff.calm_down(None).as_secs(), 60);
    }

    #[test]
    fn a_server_may_ask_for_more_within_reason() {
        let mut backoff = Backoff::default();
        let ask = |secs| Some(Duration::from_secs(secs));
        assert_eq!(backoff.http(ask(2)).as_secs(), 5);
        assert_eq!(backoff.http(ask(30)).as_secs(), 30);
        assert_eq!(backoff.calm_down(ask(1_000_000)).as_secs(), 3_600);
    }
}
