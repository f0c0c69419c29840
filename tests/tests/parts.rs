//! The parts themselves: before they judge the host, they are seen to work.

use std::{io::Write as _, process::Stdio, time::Duration};

use e2e::{
    kafka::Kafka,
    needed::{self, given},
    process::Process,
    python::python,
};

fn a_broker_keeps_its_records_over_a_restart() {
    let (python, mut kafka) = (python(), given(Kafka::start()));
    let brokers = kafka.brokers().to_owned();
    assert!(
        python
            .json_lines("broker.py", &[&brokers, "create", "seen", "1"])
            .is_empty()
    );
    let mut producer = python
        .script("broker.py")
        .args([&brokers, "produce", "seen"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("python runs");
    producer
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"one\ntwo\n")
        .expect("it reads");
    assert!(producer.wait().expect("it ends").success());
    let before = python.json_lines("broker.py", &[&brokers, "read", "seen"]);
    let values: Vec<_> = before
        .iter()
        .map(|record| record["value"].as_str())
        .collect();
    assert_eq!(values, [Some("b25l"), Some("dHdv")]);

    kafka.stop();
    kafka.resume();
    assert_eq!(
        python.json_lines("broker.py", &[&brokers, "read", "seen"]),
        before
    );
}

fn a_leashed_process_ends_when_dropped() {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "echo $$; exec cat /dev/zero >/dev/null"]);
    let mut process = Process::start_leashed(&command, None);
    let pid: u32 = process.wait_for("pid", Duration::from_secs(10), |_, line| line.parse().ok());
    let alive = format!("/proc/{pid}");
    assert!(std::fs::exists(&alive).expect("/proc"));
    drop(process);
    assert!(!std::fs::exists(&alive).expect("/proc"));
}

needs::tests! {
    a_broker_keeps_its_records_over_a_restart: needed::python(), needed::kafka();
    a_leashed_process_ends_when_dropped;
}
