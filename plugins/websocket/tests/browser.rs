//! A real Chromium opens the page: clouds arrive in order without a reload, and the page finds its
//! way back to a server that was started again.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plugin_api::ContentType;
use plugin_api::testing::{Harness, batch_of};
use plugin_websocket::ThisPlugin;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

type Stage = Harness<ThisPlugin>;

/// A browser with one page, driven over its DevTools socket.
struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    calls: u64,
    /// Errors that the page reported on the way.
    complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Browser {
    fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new(chromium().path())
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args([
                "--disable-dev-shm-usage",
                "--remote-debugging-port=0",
                "--window-size=1280,800",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .find_map(|line| {
                line.unwrap()
                    .strip_prefix("DevTools listening on ")
                    .map(str::to_owned)
            })
            .expect("Chromium says where its DevTools listen");
        // What it says later is read so that it never has to wait for us.
        std::thread::spawn(move || lines.for_each(drop));
        let address = url
            .strip_prefix("ws://")
            .unwrap()
            .split('/')
            .next()
            .unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let (socket, _) = tungstenite::client(url.as_str(), stream).unwrap();
        let complaints = Vec::new();
        Self {
            process,
            socket,
            session: None,
            calls: 0,
            complaints,
            _profile: profile,
        }
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut call = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(call.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else {
                continue;
            };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            match answer["method"].as_str() {
                Some("Runtime.exceptionThrown") => {
                    self.complaints.push(answer["params"].to_string())
                }
                // Lost connections are what this test is about.
                Some("Log.entryAdded") if answer["params"]["entry"]["level"] == "error" => {
                    let text = answer["params"]["entry"]["text"]
                        .as_str()
                        .unwrap_or("")
                        .to_owned();
                    if !text.contains("WebSocket connection") {
                        self.complaints.push(text);
                    }
                }
                _ => {}
            }
        }
    }

    fn open(&mut self, url: &str) {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.call("Target.attachToTarget", attach)["sessionId"]
            .as_str()
            .unwrap()
            .to_owned();
        self.session = Some(session);
        for method in ["Runtime.enable", "Log.enable", "Page.enable"] {
            self.call(method, json!({}));
        }
        self.call("Page.navigate", json!({"url": url}));
    }

    /// The value of a JavaScript expression, a promise's when it is kept.
    fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", params);
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    /// Waits in the page until `condition` holds, looking again whenever the page changes.
    fn until(&mut self, condition: &str) {
        let script = format!(
            "new Promise((kept) => {{
                const look = () => {{ if ({condition}) {{ watcher.disconnect(); kept(true); }} }};
                const watcher = new MutationObserver(look);
                watcher.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
                look();
            }})"
        );
        assert_eq!(self.value(&script), true);
    }
}

fn frame(seq: u64, words: &[&str]) -> String {
    let words: Vec<Value> = words
        .iter()
        .enumerate()
        .map(|(rank, text)| {
            json!({"text": text, "count": 90 - rank * 10, "x": 400 + rank * 20, "y": 120 + rank * 90, "size": 64 - rank * 4,
                   "width": 40 * text.len(), "rotate": 0, "color": rank})
        })
        .collect();
    json!({"type": "wordcloud", "seq": seq, "time_ms": 1_700_000_000_000_u64 + seq, "width": 1280, "height": 720,
           "records": 1000 * seq, "tokens": 9, "distinct": 5, "words": words})
    .to_string()
}

fn serve(listen: &str) -> (Stage, String) {
    let stage = Stage::sink(
        "websocket",
        &json!({"listen": listen}),
        &[ContentType::json()],
    )
    .unwrap();
    let lines = stage.host().log_lines();
    let address = lines
        .iter()
        .find_map(|line| line.message.strip_prefix("page on http://"))
        .unwrap()
        .to_owned();
    (stage, address)
}

fn chromium() -> needs::Need {
    let path = std::env::var("CHROMIUM");
    let path = path.unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    needs::Need::new(path, "Debian's package `chromium`")
}

fn clouds_arrive_in_order_without_a_reload_and_after_a_restart_too() {
    let mut browser = Browser::start();
    let (mut stage, address) = serve("127.0.0.1:0");
    browser.open(&format!("http://{address}/"));
    browser.until("document.querySelector('#state')?.dataset.state === 'live'");
    browser.value(
        "window.born = performance.timeOrigin; window.seen = [];
         document.querySelector('#cloud').addEventListener('cloud', (event) => seen.push(event.detail)); true",
    );
    let clouds: [&[&str]; 4] = [
        &["storm", "rain"],
        &["storm", "rain", "thunder"],
        &["sun", "storm"],
        &["sun", "sea", "#beach", "ice"],
    ];
    for (seq, words) in (1..).zip(clouds) {
        stage.write(&batch_of([frame(seq, words)])).unwrap();
        browser.until(&format!(
            "document.querySelector('#cloud').dataset.seq === '{seq}'"
        ));
        let list = browser
            .value("[...document.querySelectorAll('#list .name')].map((word) => word.textContent)");
        assert_eq!(list, json!(words));
        assert_eq!(
            browser.value("document.querySelector('#cloud').dataset.words"),
            json!(words.len().to_string())
        );
    }
    assert_eq!(browser.value("seen"), json!([1, 2, 3, 4]));
    assert_eq!(
        browser.value("document.querySelector('#cloud').dataset.frames"),
        "4"
    );
    // At rest the canvas holds ink of more than one colour.
    let colours = "new Promise((kept) => setTimeout(() => {
        const canvas = document.querySelector('#canvas');
        const dots = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const found = new Set();
        for (let i = 0; i < dots.length; i += 4) if (dots[i + 3] === 255) found.add((dots[i] << 16) | (dots[i + 1] << 8) | dots[i + 2]);
        kept(found.size);
    }, 900))";
    assert!(browser.value(colours).as_u64().unwrap() >= 4);

    browser.value("document.querySelector('#pause').click()");
    stage.write(&batch_of([frame(5, &["hidden"])])).unwrap();
    browser.until("document.querySelector('#cloud').dataset.frames === '5'");
    assert_eq!(
        browser.value("document.querySelector('#cloud').dataset.seq"),
        "4"
    );
    // Back to an earlier cloud and forth again by keyboard.
    for (key, seq) in [("ArrowLeft", "3"), ("ArrowLeft", "2"), ("ArrowRight", "3")] {
        browser.value(&format!(
            "dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}' }}))"
        ));
        assert_eq!(
            browser.value("document.querySelector('#cloud').dataset.seq"),
            seq
        );
    }
    browser.value("dispatchEvent(new KeyboardEvent('keydown', { key: ' ' }))");
    browser.until("document.querySelector('#cloud').dataset.seq === '5'");

    stage.close().unwrap();
    browser.until("document.querySelector('#state').dataset.state === 'offline'");
    let (mut stage, _) = serve(&address);
    stage
        .write(&batch_of([frame(6, &["back", "again"])]))
        .unwrap();
    browser.until("document.querySelector('#cloud').dataset.seq === '6'");
    assert_eq!(
        browser.value("document.querySelector('#state').dataset.state"),
        "live"
    );
    assert_eq!(browser.value("seen"), json!([1, 2, 3, 4, 3, 2, 3, 5, 6]));
    assert_eq!(
        browser.value("born === performance.timeOrigin"),
        true,
        "the page was loaded once"
    );

    stage.write(&batch_of([r#"{"any": "record"}"#])).unwrap();
    browser.until("document.querySelector('#lines li')?.textContent === '{\"any\":\"record\"}'");
    assert_eq!(browser.complaints, [""; 0]);
}

needs::tests! {
    clouds_arrive_in_order_without_a_reload_and_after_a_restart_too:
        chromium();
}
