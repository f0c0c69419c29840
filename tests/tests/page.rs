//! A reader in Chromium watches the demo.

use std::{collections::BTreeSet, path::Path, process::Command, time::Duration};

use e2e::{
    host::{Folder, PATIENCE},
    kafka::free_ports,
    process::Process,
};
use needs::Need;
use serde_json::Value;

/// A browser on the page.
struct Reader {
    browser: Process,
    /// What it told so far is before this.
    told: usize,
}

impl Reader {
    fn open(playwright: &Path, url: &str) -> Self {
        let mut node = Command::new("node");
        node.arg(e2e::root().join("tests/browser/watch.js"))
            .arg(playwright)
            .arg(url);
        // Where someone wants to see it.
        node.args(std::env::var_os("PAGE_PICTURE"));
        Self {
            browser: Process::start(&mut node),
            told: 0,
        }
    }

    /// The next thing that it tells for which this holds.
    fn next(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut index = 0;
        let told = self.told;
        let (at, value) = self.browser.wait_for(what, PATIENCE, |_, line| {
            index += 1;
            let value: Value = serde_json::from_str(line).ok()?;
            assert!(value["error"].is_null(), "the page failed: {value}");
            (index > told && wanted(&value)).then_some((index, value))
        });
        self.told = at;
        value
    }

    /// The next clouds: in order, each other than the one before, all on one load of the page.
    fn clouds(&mut self, count: usize) -> Vec<Value> {
        let clouds: Vec<_> = (0..count)
            .map(|_| self.next("cloud", |told| told["seq"].is_u64()))
            .collect();
        for pair in clouds.windows(2) {
            assert!(
                pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64(),
                "{pair:?}"
            );
        }
        let different: BTreeSet<_> = clouds.iter().map(|c| c["words"].to_string()).collect();
        assert_eq!(different.len(), count, "clouds that are the same");
        for cloud in &clouds {
            assert_eq!(cloud["loads"], 1, "the page was loaded again");
            assert!(
                cloud["words"]
                    .as_array()
                    .is_some_and(|words| words.len() > 10),
                "{cloud}"
            );
        }
        clouds
    }
}

fn playwright() -> Need {
    needs::part("browser")
}

fn chromium() -> Need {
    let path = std::env::var("CHROMIUM");
    let path = path.unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    Need::new(path, "Debian's package `chromium`")
}

fn clouds_arrive_in_order_without_a_reload_and_survive_a_restart() {
    let playwright = playwright().path();
    let [stream, page] = free_ports();
    let start = |folder: &Folder| {
        let mut demo = Process::start(
            folder
                .host(&["demo", "--for", "120s"])
                .env("TWITTER_LISTEN", format!("127.0.0.1:{stream}"))
                .env("TWITTER_URL", format!("http://127.0.0.1:{stream}"))
                .env("PAGE_LISTEN", format!("127.0.0.1:{page}")),
        );
        let address = format!("http://127.0.0.1:{page}");
        demo.wait_for("page's address", PATIENCE, |_, line| {
            line.contains(&address).then_some(())
        });
        demo
    };
    let folder = Folder::new();
    let mut demo = start(&folder);
    let mut reader = Reader::open(&playwright, &format!("http://127.0.0.1:{page}/"));
    reader.clouds(3);

    demo.signal("INT");
    assert_eq!(
        demo.finish(PATIENCE + Duration::from_secs(30)).code,
        Some(130)
    );
    reader.next("word that the page lost its server", |told| {
        told["state"] == "offline"
    });
    let _demo = start(&folder);
    reader.next("word that the page is back", |told| told["state"] == "live");
    reader.clouds(3);
}

needs::tests! {
    clouds_arrive_in_order_without_a_reload_and_survive_a_restart: playwright(), chromium();
}
