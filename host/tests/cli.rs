//! The binary: exit codes, and what goes to stdout and what to stderr.

use std::process::{Command, Output};

fn host(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host"))
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
        .output()
        .expect("the host starts")
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_wrong_command_line_is_2() {
    for args in [
        &[][..],
        &["--frobnicate"],
        &["run", "--for", "soon"],
        &["run", "--limit", "0"],
    ] {
        let output = host(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let (stdout, stderr) = texts(&output);
        assert!(stdout.is_empty() && !stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_wrong_configuration_is_78_however_it_is_named() {
    for args in [
        &["--config", "wrong/no_toml.toml"][..],
        &["run", "-c", "wrong/no_toml.toml"],
        &["validate", "-c", "wrong/no_toml.toml"],
    ] {
        let output = host(args);
        assert_eq!(output.status.code(), Some(78), "{args:?}");
        let (stdout, stderr) = texts(&output);
        assert_eq!(stdout, "");
        assert!(stderr.starts_with("error: this is no TOML"), "{stderr}");
        assert!(stderr.contains("--> wrong/no_toml.toml:3:24"), "{stderr}");
        assert!(
            !stderr.contains('\x1b'),
            "colours belong on terminals: {stderr:?}"
        );
    }
}

#[test]
fn a_missing_file_is_78_with_a_hint() {
    let output = host(&["-c", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        texts(&output).1,
        "error: cannot read nowhere.toml: No such file or directory (os error 2)\n\
         hint: name a hosts.toml with `--config`; `host demo` runs the one built in\n"
    );
}

#[test]
fn validate_for_programs_is_json_on_stdout() {
    let output = host(&["validate", "-c", "wrong/no_toml.toml", "--format", "json"]);
    assert_eq!(output.status.code(), Some(78));
    let (stdout, stderr) = texts(&output);
    assert_eq!(stderr, "");
    let value: serde_json::Value = serde_json::from_str(&stdout).expect("it is JSON");
    assert_eq!(value["errors"], 3);
    assert_eq!(value["diagnostics"][0]["line"], 3);
}

#[test]
fn an_unknown_host_is_2() {
    let output = host(&["validate", "-c", "wrong/unused_output.toml", "-n", "b"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn demo_print_gives_the_shipped_file() {
    let output = host(&["demo", "--print"]);
    assert_eq!(output.status.code(), Some(0));
    let shipped = include_str!("../../hosts.toml");
    assert_eq!(texts(&output), (shipped.to_owned(), String::new()));
}

#[test]
fn what_is_not_there_cannot_be_inspected() {
    let output = host(&["inspect", "no-such-stage"]);
    assert_eq!(output.status.code(), Some(2));
    let (stdout, stderr) = texts(&output);
    assert_eq!(stdout, "");
    assert!(
        stderr.starts_with("error: there is no stage, plugin or file `no-such-stage`"),
        "{stderr}"
    );
    let output = host(&["inspect", "cli.rs"]);
    assert_eq!(output.status.code(), Some(70));
    assert!(texts(&output).1.starts_with("error: cli.rs was refused: "));
}

#[test]
fn hosts_that_left_nothing_have_a_status_and_no_dead_letters() {
    let file = "wrong/unused_output.toml";
    let (stdout, stderr) = texts(&host(&["status", "-c", file]));
    assert!(stdout.contains("has left no state"), "{stdout}{stderr}");
    let output = host(&["dlq", "list", "-c", file]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(texts(&output).0, "no dead letters\n");
    let output = host(&["dlq", "show", "-c", file, "no-such-id"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_replay_is_of_one_host_without_a_limit() {
    let file = "wrong/unused_output.toml";
    for (args, said) in [
        (&[][..], "name it with -n HOST"),
        (&["-n", "a", "-n", "b"], "name it with -n HOST"),
        (&["-n", "a", "--limit", "3"], "has no --limit"),
        (&["-n", "nobody"], "has no host `nobody`"),
    ] {
        let output = host(&[&["dlq", "replay", "-c", file], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let (_, stderr) = texts(&output);
        assert!(stderr.contains(said), "{stderr}");
    }
}
