//! The cases of `cases/`: see `plugin_api::testing::cases` for how to add one.

use plugin_api::testing::cases;
use plugin_wordcloud::ThisPlugin;

#[test]
fn every_case_comes_out_as_written() {
    cases::run::<ThisPlugin>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
