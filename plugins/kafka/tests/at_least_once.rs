//! Without transactions nothing is lost either, and what comes twice says so by its id. Runs
//! against `KAFKA_BROKERS`.

#![allow(clippy::unwrap_used)]

mod common;
use std::{collections::HashMap, sync::Arc};

use common::{
    region::{Region, Step, Store, exactly_once},
    *,
};

#[test]
fn dropped_at_each_step_nothing_is_lost_and_ids_tell_what_is_there_twice() {
    const RECORDS: u32 = 3000;
    let Some(brokers) = real() else { return };
    let (from, to) = (fresh("alo-in"), fresh("alo-out"));
    let mut writer = sink(&brokers, &from, json!({"partitions": 2}));
    deliver(&mut writer, &numbers(0..RECORDS), 1);
    let folder = tempfile::tempdir().unwrap();
    let store = Store(Arc::new(folder.path().to_path_buf()));
    let (source, sink) = exactly_once(&brokers, &from, &to);
    let source = with(source, json!({"exactly_once": false}));
    let sink = with(sink, json!({"exactly_once": false}));
    let mut again = 0;
    for step in Step::ALL.into_iter().skip(1) {
        let mut region = Region::start(&to, &source, &sink, &store).unwrap();
        while region.written == 0 {
            assert!(region.epoch(60, &mut |_| true).unwrap());
        }
        while region.epoch(60, &mut |now| now != step).unwrap() {}
        // What a sink has taken and no epoch has covered may come again, and nothing else.
        again += region.written + region.behind;
    }
    let mut region = Region::start(&to, &source, &sink, &store).unwrap();
    while region.read < i64::from(RECORDS) {
        region.epoch(500, &mut |_| true).unwrap();
    }
    drop(region);

    let mut reader = common::source(&brokers, &to, "check", json!({"partitions": 2}));
    let total = committed(&brokers, &to).len();
    let outcome = reader.poll_records(total).unwrap();
    let mut of_id = HashMap::new();
    for record in outcome.batches.iter().flat_map(|(_, b)| b.iter()) {
        let id = record.header("id").unwrap().to_vec();
        assert!(id.starts_with(format!("{from}/").as_bytes()));
        let value = record.bytes().to_vec();
        assert_eq!(*of_id.entry(id).or_insert(value.clone()), value);
    }
    assert_eq!(of_id.len(), RECORDS as usize, "nothing is lost");
    assert!(total - of_id.len() <= again, "{total} records are too many");
}
