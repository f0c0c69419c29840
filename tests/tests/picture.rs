//! The README's picture of a file, as a reader would make it.

use std::fs;

use e2e::{
    host::{Folder, PATIENCE},
    process::Process,
};

const README: &str = include_str!("../../README.md");

#[test]
fn a_text_becomes_a_picture() {
    let section = README.split("## A picture of a file").nth(1);
    let config = section.and_then(|s| s.split("```toml\n").nth(1)?.split("```").next());
    let folder = Folder::new();
    folder.write("hosts.toml", config.expect("an example"));
    folder.write(
        "speech.txt",
        "we choose to go to the moon\nmoon and stars\n",
    );
    let host = Process::spawn(&mut folder.host(&["--config", "hosts.toml"]));
    let finished = host.finish(PATIENCE);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let picture = fs::read(folder.path("cloud.png")).expect("a picture");
    // PNG, "Image header": a signature, then the width and the height.
    assert_eq!(&picture[..8], b"\x89PNG\r\n\x1a\n");
    let size = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().expect("4 bytes"));
    assert_eq!((size(16), size(20)), (1200, 700));
}
