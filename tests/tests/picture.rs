//! The READMEs' pictures of files, as a reader would make them.

use std::fs;

use e2e::{
    host::{Folder, PATIENCE},
    process::Process,
};
use serde_json::json;

const README: &str = include_str!("../../README.md");
const PLUGIN: &str = include_str!("../../plugins/wordcloud/README.md");

/// The example of a section.
fn example(readme: &str, section: &str) -> String {
    let section = readme.split(section).nth(1);
    let config = section.and_then(|s| s.split("```toml\n").nth(1)?.split("```").next());
    config.expect("an example").into()
}

/// What a run makes of a file: the picture, by its name.
fn picture(config: &str, input: (&str, &str), picture: &str) -> Vec<u8> {
    let folder = Folder::new();
    folder.write("hosts.toml", config);
    folder.write(input.0, input.1);
    let host = Process::spawn(&mut folder.host(&["--config", "hosts.toml"]));
    let finished = host.finish(PATIENCE);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    fs::read(folder.path(picture)).expect("a picture")
}

#[test]
fn a_text_becomes_a_picture() {
    let config = example(README, "## A picture of a file");
    let text = "we choose to go to the moon\nmoon and stars\n";
    let picture = picture(&config, ("speech.txt", text), "cloud.png");
    // PNG, "Image header": a signature, then the width and the height.
    assert_eq!(&picture[..8], b"\x89PNG\r\n\x1a\n");
    let size = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().expect("4 bytes"));
    assert_eq!((size(16), size(20)), (1200, 700));
}

/// Each word's text and count is its title.
fn titles(svg: &[u8]) -> Vec<&str> {
    let svg = str::from_utf8(svg).expect("UTF-8");
    let titles = svg.split("<title>").skip(1);
    titles
        .filter_map(|rest| rest.split("</title>").next())
        .collect()
}

#[test]
fn a_text_becomes_an_svg_with_pairs_of_words() {
    let config = example(PLUGIN, "## A cloud of a file");
    let text = "Full moon and stars.\nFull moon again\n";
    let svg = picture(&config, ("book.txt", text), "cloud.svg");
    let titles = titles(&svg);
    assert_eq!(titles[0], "4 words of 2 records");
    for word in ["Full moon: 2", "stars: 1"] {
        assert!(titles.contains(&word), "{titles:?}");
    }
}

#[test]
fn a_file_of_tweets_becomes_an_svg() {
    let config = example(README, "## A picture of a file")
        .replace("\"speech.txt\"", "\"tweets.jsonl\", format = \"json\"")
        .replace("\"png\"", "\"svg\"")
        .replace("cloud.png", "cloud.svg");
    let tweets = [
        json!({"text": "RT @x: the mo…", "retweeted_status": {"full_text": "the moon #Moon https://t.co/x"}}),
        json!({"text": "Moon"}),
        json!({"delete": {"status": {"id": 1}}}),
    ];
    let lines = tweets.map(|tweet| format!("{tweet}\n")).concat();
    let svg = picture(&config, ("tweets.jsonl", &lines), "cloud.svg");
    assert_eq!(
        titles(&svg),
        ["2 words of 2 records", "moon: 2", "#Moon: 1"]
    );
}
