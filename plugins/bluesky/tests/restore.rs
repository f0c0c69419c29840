//! Cuts, crashes and restarts: each event once, in order, whatever happens when.
#![allow(clippy::unwrap_used)]

mod common;

use common::server::Step;
use common::{
    Server, account, commit, merged, options, poll_until, post, posts, read, source, time_us,
    written,
};
use plugin_api::testing::{Harness, TestHost, conformance};
use plugin_bluesky::ThisPlugin;
use serde_json::{Value, json};

fn restored(options: &Value, state: &[u8]) -> Harness<ThisPlugin> {
    let host = TestHost::leaked();
    Harness::open_at(host, "source", "bluesky", options, &[], (1, Some(state))).unwrap()
}

#[test]
fn the_source_keeps_the_contract() {
    let mut log = posts(200);
    log[3] = "no event".into();
    log[50] = account(50, "identity");
    log[51] = commit(51, "delete", &Value::Null);
    log[120] = "neither".into();
    let server = Server::new(log, vec![]);
    conformance::source::<ThisPlugin>("bluesky", &options(&[&server], json!({})), 196);
}

#[test]
fn plans_keep_the_contract() {
    let options = json!({"track": ["rust"], "languages": ["en"]});
    conformance::plan::<ThisPlugin>("source", "bluesky", &options, &[]);
}

/// A generator of numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

/// Two servers with the same events, cut at random, asked by a source that is killed at random,
/// with checkpoints in the middle of batches.
#[test]
fn whatever_cuts_and_kills_each_event_comes_once_and_in_order() {
    for seed in 1..=30 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let n = 300 + dice.roll(500) as usize;
        // Some events a second, so that the memory is far smaller than the stream.
        let log: Vec<_> = (0..n).map(|i| post(i * 300)).collect();
        let mut step = || match dice.roll(6) {
            0 => Step::Close(dice.roll(90) as usize, 1001, ""),
            1 => Step::HangUp,
            2 => Step::Refuse(503, vec![], ""),
            _ => Step::Cut(dice.roll(90) as usize),
        };
        let servers: Vec<_> = (0..2)
            .map(|_| Server::new(log.clone(), (0..12).map(|_| step()).collect()))
            .collect();
        let options = options(&[&servers[0], &servers[1]], json!({"rewind": "2s"}));
        let mut stage = Harness::<ThisPlugin>::source("bluesky", &options).unwrap();
        let (mut safe, mut epoch) = (Vec::<String>::new(), 0);
        let mut since = Vec::new();
        let mut state: Option<Vec<u8>> = None;
        while safe.len() < n {
            let budget = 1 + dice.roll(40) as usize;
            let (_, outcome) = stage.poll(budget, 50).unwrap();
            since.extend(outcome.texts());
            assert!(outcome.rejected_raw.is_empty());
            match dice.roll(5) {
                0 | 1 => {
                    epoch += 1;
                    state = Some(stage.checkpoint(epoch, false).unwrap().0);
                    safe.append(&mut since);
                }
                2 if state.is_some() && dice.roll(3) == 0 => {
                    drop(stage);
                    since.clear();
                    stage = restored(&options, state.as_ref().unwrap());
                }
                _ => {}
            }
        }
        let first = safe.iter().zip(&log).position(|(a, b)| a != b);
        assert_eq!((safe.len(), first), (n, None), "seed {seed}");
    }
}

#[test]
fn events_out_of_order_are_neither_lost_nor_doubled() {
    // As when a server passes from its archive to what is live: one runs ahead by a day.
    let mut log = posts(300);
    let ahead = post(86_400_000);
    log.insert(50, ahead.clone());
    // And two that come late, but not later than the rewind.
    log.swap(100, 140);
    log.swap(200, 260);
    let server = Server::new(
        log.clone(),
        vec![Step::Cut(51), Step::Cut(60), Step::Cut(130), Step::Cut(230)],
    );
    let mut stage = source(&server, json!({}));
    let mut got = read(&mut stage, 120);
    let (state, _) = stage.checkpoint(1, false).unwrap();
    drop(stage);
    let mut stage = restored(&options(&[&server], json!({})), &state);
    got.merge(read(&mut stage, log.len() - got.emitted()));
    let mut texts = got.texts();
    texts.sort_unstable();
    log.sort_unstable();
    assert_eq!(texts, log);
    let asked: Vec<_> = server.asked().iter().map(|asked| asked.cursor()).collect();
    assert!(
        asked.iter().all(|cursor| cursor.unwrap() < time_us(300)),
        "none asks from where the one ran ahead: {asked:?}"
    );
}

#[test]
fn what_runs_ahead_just_after_a_restart_moves_no_place_either() {
    let server = Server::new(posts(50), vec![]);
    let mut stage = source(&server, json!({}));
    read(&mut stage, 50);
    let (state, _) = stage.checkpoint(1, false).unwrap();
    drop(stage);
    let ahead = post(86_400_000);
    let rest: Vec<_> = [ahead].into_iter().chain((50..90).map(post)).collect();
    server.append(rest.clone());
    // What was had, the one that runs ahead, and then it breaks.
    server.script([Step::Cut(51)]);
    let mut stage = restored(&options(&[&server], json!({})), &state);
    assert_eq!(read(&mut stage, rest.len()).texts(), rest);
    assert!(server.asked()[2].cursor().unwrap() < time_us(50));
}

/// Two servers whose clocks differ by a second and a half give the same events other times.
#[test]
fn servers_whose_clocks_differ_give_each_event_once() {
    const N: usize = 400;
    let seen_by = |late_us: i64| -> Vec<String> {
        let event = |n: usize| {
            let late = (time_us(n * 100) + late_us).to_string();
            post(n * 100).replace(&time_us(n * 100).to_string(), &late)
        };
        (0..N).map(event).collect()
    };
    let cuts = || (0..10).map(|n| Step::Cut(40 + 13 * n)).collect();
    let early = Server::new(seen_by(0), cuts());
    let late = Server::new(seen_by(1_500_000), cuts());
    let options = options(&[&early, &late], json!({}));
    let mut stage = Harness::<ThisPlugin>::source("bluesky", &options).unwrap();
    let mut got = read(&mut stage, N / 2);
    let (state, _) = stage.checkpoint(1, false).unwrap();
    drop(stage);
    let mut stage = restored(&options, &state);
    got.merge(read(&mut stage, N - got.emitted()));
    let keys: Vec<_> = got
        .texts()
        .iter()
        .map(|text| {
            let event: Value = serde_json::from_str(text).unwrap();
            event["commit"]["rkey"].as_str().unwrap().to_owned()
        })
        .collect();
    let expected: Vec<_> = (0..N).map(|n| format!("3mkey{:08}", n * 100)).collect();
    assert_eq!(keys, expected);
    assert!(early.asked().len() > 1 && late.asked().len() > 1);
}

#[test]
fn the_same_event_twice_is_one_and_a_new_revision_another() {
    let edited = commit(7, "update", &written("edited")).replace("3mrev00000007", "3mrev9");
    let log = vec![
        post(7),
        // Another server saw it a little later.
        post(7).replace(&time_us(7).to_string(), &time_us(9).to_string()),
        edited.clone(),
        edited.clone(),
        post(8),
    ];
    let server = Server::new(log, vec![]);
    let mut stage = source(&server, json!({}));
    assert_eq!(read(&mut stage, 3).texts(), [post(7), edited, post(8)]);
    assert_eq!(stage.host().metric_value("bluesky_duplicates"), 2.0);
}

#[test]
fn one_time_that_is_far_off_moves_no_place() {
    let future = post(7).replace(&time_us(7).to_string(), "4102444800000000");
    let mut log = posts(20);
    log[7] = future;
    let server = Server::new(log.clone(), vec![Step::Cut(8), Step::Cut(12)]);
    let mut stage = source(&server, json!({}));
    assert_eq!(read(&mut stage, 20).texts(), log);
    let asked = server.asked();
    assert!(asked.iter().all(|a| a.cursor().unwrap() < time_us(20)));
}

#[test]
fn what_nobody_wanted_moves_the_place_too() {
    // An hour in which nothing matches.
    let log: Vec<_> = (0..3_600).map(|n| post(n * 1_000)).collect();
    let server = Server::new(log, vec![]);
    let options = options(&[&server], json!({"track": ["nothing"]}));
    let mut stage = Harness::<ThisPlugin>::source("bluesky", &options).unwrap();
    let (got, _) = poll_until(&mut stage, |all, _| all.filtered_count() == 3_600);
    assert_eq!(got.emitted(), 0);
    let (state, _) = stage.checkpoint(1, false).unwrap();
    assert!(state.len() <= 32 + 16 * 1_100, "{} bytes", state.len());
    drop(stage);
    let mut stage = restored(&options, &state);
    poll_until(&mut stage, |_, host| {
        host.metric_value("bluesky_duplicates") > 0.0
    });
    let cursor = server.asked()[1].cursor().unwrap();
    assert!(cursor > time_us(2_000_000), "{cursor}");
}

#[test]
fn a_first_run_begins_where_it_is_told() {
    let server = Server::new(posts(10), vec![]);
    let host = TestHost::leaked();
    let open = |change: Value| {
        let options = merged(options(&[&server], json!({})), change);
        host.set_now_us(time_us(5));
        Harness::<ThisPlugin>::open_on(host, "source", "bluesky", &options, &[]).unwrap()
    };
    let mut stage = open(json!({"start": "-2ms"}));
    assert_eq!(read(&mut stage, 7).texts(), posts(10)[3..]);
    let mut stage = open(json!({"start": time_us(8).to_string()}));
    assert_eq!(read(&mut stage, 2).texts(), posts(10)[8..]);
    let mut stage = open(json!({"start": "now"}));
    poll_until(&mut stage, |_, _| server.asked().len() == 3);
    let asked = server.asked();
    assert_eq!(asked[2].cursor(), None);
    assert_eq!(asked[0].cursor(), Some(time_us(3)));
    // What comes from then on. The request was seen, so the place is set.
    poll_until(&mut stage, |_, host| {
        host.metric_value("bluesky_connected") == 1.0
    });
}

/// A source that begins now, at a server where nobody of its few says anything yet.
fn quiet(server: &Server) -> (Value, Harness<ThisPlugin>) {
    let change = json!({"start": "now", "wanted_dids": ["did:plc:author3"]});
    let options = options(&[server], change);
    let host = TestHost::leaked();
    host.set_now_us(time_us(9_999));
    let mut stage =
        Harness::<ThisPlugin>::open_on(host, "source", "bluesky", &options, &[]).unwrap();
    poll_until(&mut stage, |_, host| {
        host.metric_value("bluesky_connected") == 1.0
    });
    (options, stage)
}

#[test]
fn what_comes_between_a_quiet_connection_and_the_next_is_not_missed() {
    let server = Server::new(posts(10), vec![Step::Close(0, 1001, "")]);
    let (_, mut stage) = quiet(&server);
    // The first is what the server ends the connection with.
    let new: Vec<_> = [10_000, 10_007, 10_014]
        .map(|n| post(n).replace(&format!("author{}", n % 7), "author3"))
        .into();
    server.append(new.clone());
    assert_eq!(read(&mut stage, 3).texts(), new);
    let asked = server.asked();
    let cursors: Vec<_> = asked.iter().map(|asked| asked.cursor()).collect();
    assert_eq!(cursors, [None, Some(time_us(9_999) - 5_000_000)]);
}

#[test]
fn what_comes_between_a_quiet_run_and_the_next_is_not_missed() {
    let server = Server::new(posts(10), vec![]);
    let (options, mut stage) = quiet(&server);
    let nothing = restored(&options, &[]).checkpoint(1, false).unwrap().0;
    // The place is in the snapshot as soon as the stage has learned it.
    let (mut state, mut epoch) = (nothing.clone(), 0);
    while state[16..] == nothing[16..] {
        stage.poll(usize::MAX, 20).unwrap();
        epoch += 1;
        assert!(epoch < 1_000, "it has no place");
        state = stage.checkpoint(epoch, false).unwrap().0;
    }
    drop(stage);
    let new = post(10_000).replace("author4", "author3");
    server.append([new.clone()]);
    let mut stage = restored(&options, &state);
    assert_eq!(read(&mut stage, 1).texts(), [new]);
}

#[test]
fn a_state_that_is_none_is_refused() {
    let server = Server::new(vec![], vec![]);
    let options = options(&[&server], json!({}));
    let host = TestHost::leaked();
    let opened =
        Harness::<ThisPlugin>::open_at(host, "source", "bluesky", &options, &[], (3, Some(b"?")));
    let error = opened.err().unwrap();
    assert!(error.message.contains("epoch 3"), "{error}");
}
