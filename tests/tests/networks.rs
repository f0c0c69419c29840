//! The hosts that listen to networks of today, as hosts.toml ships them, against the servers of the
//! plugins' own tests: whatever the network, the hosts behind run unchanged.

use std::{fs, time::Duration};

use e2e::{
    host::{Folder, PATIENCE},
    process::{From, Process},
    summary::Summary,
};
use serde_json::json;

// The plugins' own; not the plugins, of which no two can be in one program.
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../plugins/bluesky/tests/common"]
mod jetstream {
    pub mod server;
    mod wire;
}
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../plugins/mastodon/tests/common"]
mod mastodon {
    pub mod http;
    pub mod server;
}
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../plugins/x/tests/common/server.rs"]
mod api;

/// Posts that match, and as many that do not.
const POSTS: u64 = 200;

/// The text of post `n`; every second one has the word that is looked for.
fn text(n: u64) -> String {
    match n % 2 {
        0 => format!("Quiet post {n}"),
        _ => format!("New #Music, post {n}"),
    }
}

/// The shipped hosts.toml with another line in place of one, and the schemas beside it.
fn folder(network: &str, line: &str, instead: &str) -> Folder {
    let folder = Folder::new();
    let shipped = fs::read_to_string(e2e::root().join("hosts.toml")).expect("hosts.toml");
    assert_eq!(shipped.matches(line).count(), 1, "{line}");
    folder.write("hosts.toml", &shipped.replace(line, instead));
    for file in ["tweet_full.avsc", &format!("{network}/tweet_full.avsc")] {
        let schema = fs::read_to_string(e2e::root().join("schemas").join(file)).expect("a schema");
        folder.write(&format!("schemas/{file}"), &schema);
    }
    folder
}

/// Runs a network's host beside those that make a table and a cloud, until all posts that match
/// have come.
fn start(folder: &Folder, network: &str, env: &[(&str, &str)]) -> Process {
    let limit = POSTS.to_string();
    let args = [
        "--config",
        "hosts.toml",
        "--summary",
        "json",
        "--limit",
        &limit,
        "-n",
        network,
        "-n",
        "table",
        "-n",
        "wordcloud",
    ];
    Process::start(folder.host(&args).envs(env.to_vec()))
}

/// Every post that matches is in the table once, in order, and was counted by the cloud.
fn conclude(folder: &Folder, network: &str, host: Process, name: &str) -> Summary {
    let summary = host.finish(PATIENCE + Duration::from_secs(30)).account();
    summary.assert_balanced();
    for stage in ["table/file", "wordcloud/cloud"] {
        assert_eq!(summary.stage(stage).consumed, POSTS, "{network}: {stage}");
    }
    let tables = folder.files("out");
    let [table] = &tables[..] else {
        panic!("one table: {tables:?}");
    };
    let table = fs::read_to_string(table).expect("a table");
    let mut rows = table.lines();
    let columns: Vec<_> = rows.next().expect("a head").split(',').collect();
    let at = |column: &str| {
        let found = columns.iter().position(|c| *c == column);
        found.unwrap_or_else(|| panic!("{column} in {columns:?}"))
    };
    let (text_at, name_at) = (at("t_text"), at("t_u_screen_name"));
    let wanted = (0..).map(text).filter(|text| text.contains("Music"));
    // The texts have a comma, and are quoted; what stands before them does not.
    for (row, wanted) in rows.by_ref().zip(wanted.take(POSTS as usize)) {
        let quoted = format!("\"{wanted}\"");
        assert_eq!(
            row.find(&quoted).map(|at| row[..at].matches(',').count()),
            Some(text_at),
            "{row}"
        );
        let rest: Vec<_> = row
            .replace(&quoted, "")
            .split(',')
            .map(str::to_owned)
            .collect();
        assert_eq!(rest[name_at], name, "{row}");
    }
    assert_eq!(table.lines().count() as u64, POSTS + 1);
    summary
}

#[test]
fn bluesky_into_a_table_and_a_cloud() {
    let posts = (0..2 * POSTS).map(|n| {
        let post = json!({
            "did": "did:plc:ann", "time_us": 1_779_719_009_000_000 + n, "kind": "commit",
            "commit": {
                "rev": format!("3mrev{n:08}"), "operation": "create", "rkey": format!("3mkey{n:08}"),
                "collection": "app.bsky.feed.post",
                "record": {
                    "$type": "app.bsky.feed.post", "createdAt": "2026-05-25T14:23:28.757Z",
                    "langs": ["en"], "text": text(n),
                },
            },
        });
        post.to_string()
    });
    let server = jetstream::server::Server::new(posts.collect(), Vec::new());
    let line = "plugin = \"bluesky\"\n";
    let at = server.address();
    let instead = format!("{line}with.endpoints = [\"{at}\"]\nwith.start = \"1\"\n");
    let folder = folder("bluesky", line, &instead);
    let host = start(&folder, "bluesky", &[]);
    let summary = conclude(&folder, "bluesky", host, "did:plc:ann");
    assert_eq!(summary.stage("bluesky/posts").emitted, POSTS);
}

#[test]
fn mastodon_into_a_table_and_a_cloud() {
    let server = mastodon::server::Server::start();
    let folder = folder("mastodon", "[hosts.mastodon]", "[hosts.mastodon]");
    let env = [
        ("MASTODON_URL", &*server.url),
        ("MASTODON_TOKEN", mastodon::server::TOKEN),
    ];
    let mut host = start(&folder, "mastodon", &env);
    host.wait_for("connection", PATIENCE, |from, line| {
        (from == From::Err && line.contains("connected to")).then_some(())
    });
    let began = std::time::Instant::now();
    while server.subscriptions() == 0 {
        assert!(began.elapsed() < PATIENCE, "nobody subscribes");
        std::thread::yield_now();
    }
    for n in 0..2 * POSTS {
        let id = (1_779_719_008_000 + n) << 16;
        let status = json!({
            "id": id.to_string(), "created_at": "2026-05-25T14:23:28.778Z", "visibility": "public",
            "uri": format!("https://example.social/users/ann/statuses/{id}"),
            "language": "en", "content": format!("<p>{}</p>", text(n)), "reblog": null,
            "account": {"id": "1", "username": "ann", "acct": "ann", "display_name": "Ann"},
            "edited_at": null, "media_attachments": [], "mentions": [], "tags": [],
        });
        server.publish(mastodon::server::Post {
            id,
            json: status.to_string(),
            channels: vec!["public"],
        });
    }
    let summary = conclude(&folder, "mastodon", host, "ann");
    assert_eq!(summary.stage("mastodon/posts").emitted, POSTS);
}

#[test]
fn x_into_a_table_and_a_cloud() {
    let mut parts: Vec<_> = (0..2 * POSTS)
        .map(|n| {
            let id = (1_700_000_000_000_000_000 + n).to_string();
            api::Part::Post(json!({
                "data": {
                    "id": id, "text": text(n), "author_id": "7",
                    "created_at": "2026-05-25T14:23:28.000Z", "edit_history_tweet_ids": [id],
                },
                "includes": {"users": [{"id": "7", "name": "Seven", "username": "seven"}]},
            }))
        })
        .collect();
    parts.push(api::Part::Hold);
    let server = api::Api::start([api::Answer::Stream(parts)]);
    let line = "with = { bearer_token";
    let instead = format!("with = {{ url = \"{}\", bearer_token", server.address);
    let folder = folder("x", line, &instead);
    let host = start(&folder, "x", &[("X_BEARER_TOKEN", api::TOKEN)]);
    let summary = conclude(&folder, "x", host, "seven");
    assert_eq!(summary.stage("x/posts").emitted, POSTS);
    let account = folder.path("state/x-posts.json");
    assert!(
        fs::read_to_string(account)
            .expect("an account")
            .contains("day_posts")
    );
}
