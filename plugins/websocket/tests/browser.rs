//! A real Chromium on the page, driven by the scripts in `page/`, one for each test. A script asks
//! for servers, and what they shall send, by lines of JSON.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use plugin_api::testing::Harness;
use plugin_api::{BatchBuilder, ContentType};
use plugin_websocket::ThisPlugin;
use serde_json::{Value, json};

/// A script and its browser.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The servers that a script has started, by its names for them.
#[derive(Default)]
struct Servers(HashMap<String, Harness<ThisPlugin>>);

impl Servers {
    fn obey(&mut self, order: &Value) -> Value {
        let name = order["server"].as_str().unwrap().to_owned();
        match order["do"].as_str().unwrap() {
            "open" => {
                let stage =
                    Harness::sink("websocket", &order["options"], &[ContentType::json()]).unwrap();
                let lines = stage.host().log_lines();
                let url = lines
                    .iter()
                    .find_map(|line| line.message.strip_prefix("page on "))
                    .unwrap()
                    .to_owned();
                self.0.insert(name, stage);
                json!({ "url": url })
            }
            "send" => {
                let mut batch = BatchBuilder::new();
                for record in order["records"].as_array().unwrap() {
                    batch
                        .push(Some(record["value"].as_str().unwrap().as_bytes()))
                        .key(record["key"].as_str().map(str::as_bytes));
                }
                let stage = self.0.get_mut(&name).unwrap();
                let outcome = stage.write(&batch.finish()).unwrap();
                assert!(outcome.rejected.is_empty());
                json!({})
            }
            "close" => {
                self.0.remove(&name).unwrap().close().unwrap();
                json!({})
            }
            other => panic!("{other}"),
        }
    }
}

/// Runs a script to its end; it fails where the script says so.
fn run(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page");
    let child = Command::new("node")
        .arg(folder.join(name).with_extension("js"))
        .arg(needs::part("browser").path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut script = Script(child);
    let mut answers = script.0.stdin.take().unwrap();
    let mut servers = Servers::default();
    for line in BufReader::new(script.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match serde_json::from_str::<Value>(&line) {
            Ok(order) if order["do"].is_string() => {
                let answer = servers.obey(&order);
                writeln!(answers, "{answer}").unwrap();
            }
            // What it measured, or what went wrong.
            _ => println!("{line}"),
        }
    }
    drop(answers);
    assert!(script.0.wait().unwrap().success(), "{name}");
}

fn chromium() -> needs::Need {
    let path = std::env::var("CHROMIUM");
    let path = path.unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    needs::Need::new(path, "Debian's package `chromium`")
}

fn playwright() -> needs::Need {
    needs::part("browser/node_modules/playwright-core")
}

fn axe() -> needs::Need {
    needs::part("browser/node_modules/axe-core")
}

fn clouds_arrive_in_order_without_a_reload_and_after_a_restart_too() {
    run("restart");
}

fn every_control_works_by_mouse_finger_and_keyboard() {
    run("controls");
}

fn axe_finds_nothing_in_any_state() {
    run("access");
}

fn a_thousand_words_none_and_those_of_all_scripts_are_shown() {
    run("words");
}

fn tokens_topics_and_the_client_of_the_readme_work() {
    run("feed");
}

fn parts_of_the_page_keep_to_their_bounds_and_rows_stay_with_their_words() {
    run("parts");
}

fn words_are_found_where_they_stand_on_the_canvas() {
    run("canvas");
}

needs::tests! {
    clouds_arrive_in_order_without_a_reload_and_after_a_restart_too: chromium(), playwright();
    every_control_works_by_mouse_finger_and_keyboard: chromium(), playwright();
    axe_finds_nothing_in_any_state: chromium(), playwright(), axe();
    a_thousand_words_none_and_those_of_all_scripts_are_shown: chromium(), playwright();
    tokens_topics_and_the_client_of_the_readme_work: chromium(), playwright();
    parts_of_the_page_keep_to_their_bounds_and_rows_stay_with_their_words: chromium(), playwright();
    words_are_found_where_they_stand_on_the_canvas: chromium(), playwright();
}
