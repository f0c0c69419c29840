//! What is counted as a word, and Twitter's own conformance cases for what is none.
#![allow(clippy::unwrap_used)]

use plugin_wordcloud::entities::{self, Kind};
use plugin_wordcloud::stop;
use plugin_wordcloud::token::{Rules, Tokenizer};

fn rules() -> Rules {
    let languages = ["en".to_owned(), "ja".to_owned()];
    Rules {
        stop: stop::collect(&languages, &["Extra".to_owned()]).unwrap(),
        fold_case: true,
        bigrams: false,
        hashtags: true,
        mentions: false,
        numbers: false,
        emoji: false,
        min_length: 2,
        max_length: 40,
    }
}

fn words_by(rules: Rules, text: &str) -> Vec<String> {
    let mut words = Vec::new();
    Tokenizer::new(rules).words(text, |_, key| words.push(key.to_owned()));
    words
}

fn words(text: &str) -> Vec<String> {
    words_by(rules(), text)
}

fn plain_words_are_cut_folded_and_stopped() {
    assert_eq!(
        words("The quick brown Fox, and it jumps!"),
        ["quick", "brown", "fox", "jumps"]
    );
    assert_eq!(words("I don’t know; she can't. extra EXTRA"), ["know"]);
    assert_eq!(
        words("London’s calling: rock'n'roll"),
        ["london", "calling", "rock'n'roll"]
    );
    assert_eq!(
        words("Größe ÉTÉ naïve Жизнь"),
        ["größe", "été", "naïve", "жизнь"]
    );
    assert_eq!(words("2021 covid-19 b2b 3,000"), ["covid", "b2b"]);
    assert_eq!(words("end.It begins a.b"), ["end", "begins"]);
    assert_eq!(words("caf\u{65}\u{301} ﬁne"), ["café", "fine"]);
    assert_eq!(words("Tom &amp; Jerry &lt;3"), ["tom", "jerry"]);
    assert_eq!(words(""), [""; 0]);
    assert_eq!(words(&"a".repeat(41)), [""; 0]);
    assert_eq!(words(&"a".repeat(40)), ["a".repeat(40)]);
}

fn links_and_mails_go_tags_stay_mentions_by_choice() {
    let text = "RT @jack: #Rust rocks https://t.co/AbC me@example.com $TSLA up example.com/path";
    assert_eq!(words(text), ["#rust", "rocks", "$tsla"]);
    assert_eq!(
        words_by(
            Rules {
                mentions: true,
                fold_case: false,
                ..rules()
            },
            text
        ),
        ["@jack", "#Rust", "rocks", "$TSLA"]
    );
    assert_eq!(
        words_by(
            Rules {
                hashtags: false,
                ..rules()
            },
            "#Rust rocks"
        ),
        ["rocks"]
    );
}

fn words_cut_off_by_the_ellipsis_are_dropped_and_others_are_not() {
    assert_eq!(words("the storm is appro…"), ["storm"]);
    assert_eq!(words("the storm is appro… https://t.co/x"), ["storm"]);
    assert_eq!(words("storm #breakingne…"), ["storm"]);
    assert_eq!(words("well… the storm comes"), ["well", "storm", "comes"]);
    assert_eq!(words("storm coming …"), ["storm", "coming"]);
}

fn scripts_without_blanks_are_cut_by_dictionary() {
    assert_eq!(words("東京都に住んでいます"), ["東京"]);
    assert_eq!(words("สวัสดีครับ"), ["สวัสดี", "ครับ"]);
    assert_eq!(words("我喜欢音乐"), ["喜欢", "音乐"]);
}

fn emoji_are_counted_by_choice() {
    assert_eq!(words("love 😀❤️"), ["love"]);
    assert_eq!(
        words_by(
            Rules {
                emoji: true,
                ..rules()
            },
            "love 😀❤️ 😀"
        ),
        ["love", "😀", "❤️", "😀"]
    );
}

fn a_language_without_a_list_is_named() {
    assert_eq!(
        stop::collect(&["en".into(), "xx".into()], &[]).unwrap_err(),
        1
    );
    assert!(stop::languages().contains(&"de"));
}

struct Case {
    section: String,
    text: String,
    expected: Vec<String>,
}

/// Reads the subset of YAML that the conformance file uses.
fn cases(yaml: &str) -> Vec<Case> {
    let (mut section, mut text, mut cases) = (String::new(), None, Vec::new());
    for line in yaml.lines() {
        let bare = line.trim();
        if line.starts_with("  ")
            && !line.starts_with("   ")
            && bare.ends_with(':')
            && !bare.starts_with('-')
        {
            section = bare.trim_end_matches(':').to_owned();
        } else if let Some(value) = bare.strip_prefix("text: ") {
            text = Some(scalar(value));
        } else if let (Some(value), Some(text)) = (bare.strip_prefix("expected: ["), text.clone()) {
            let list = value.trim_end().strip_suffix(']').unwrap();
            cases.push(Case {
                section: section.clone(),
                text,
                expected: items(list),
            });
        }
    }
    cases
}

fn items(list: &str) -> Vec<String> {
    let (mut items, mut quote, mut from) = (Vec::new(), None, 0);
    for (at, letter) in list.char_indices().chain([(list.len(), ',')]) {
        match (letter, quote) {
            ('"' | '\'', None) => quote = Some(letter),
            (',', None) => {
                items.push(scalar(list[from..at].trim()));
                from = at + 1;
            }
            (other, Some(open)) if other == open => quote = None,
            _ => {}
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

fn scalar(value: &str) -> String {
    if let Some(inner) = value
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
    {
        return inner.replace("''", "'");
    }
    if !value.starts_with('"') {
        return value.to_owned();
    }
    // YAML's \U with eight digits is the one escape that JSON lacks.
    let mut json = value.to_owned();
    while let Some(at) = json.find("\\U") {
        let letter =
            char::from_u32(u32::from_str_radix(&json[at + 2..at + 10], 16).unwrap()).unwrap();
        json.replace_range(at..at + 10, &letter.to_string());
    }
    serde_json::from_str(&json).unwrap()
}

fn extract() -> needs::Need {
    needs::data("twitter-text/extract.yml")
}

fn twitters_conformance_cases_for_mentions_hashtags_and_cashtags() {
    let yaml = String::from_utf8(extract().read()).unwrap();
    let (mut checked, mut wrong) = (0, Vec::new());
    for case in cases(&yaml) {
        let wanted: &[Kind] = match &*case.section {
            "mentions" | "mentions_or_lists" => &[Kind::Mention],
            "hashtags" | "hashtags_from_astral" => &[Kind::Hashtag],
            "cashtags" => &[Kind::Cashtag],
            _ => continue,
        };
        let mut found = Vec::new();
        entities::find(&case.text, &mut found);
        let got: Vec<String> = found
            .iter()
            .filter(|entity| wanted.contains(&entity.kind))
            .map(|entity| {
                case.text[entity.start..entity.end]
                    .trim_start_matches(['#', '＃', '@', '＠', '$'])
                    .to_owned()
            })
            .map(|name| {
                if case.section == "mentions" {
                    name.split('/').next().unwrap_or("").to_owned()
                } else {
                    name
                }
            })
            .collect();
        checked += 1;
        if got != case.expected {
            wrong.push(format!(
                "{}: {:?} gave {got:?}, not {:?}",
                case.section, case.text, case.expected
            ));
        }
    }
    println!("{checked} cases, {} wrong", wrong.len());
    assert!(checked > 90, "{checked}");
    assert_eq!(wrong, [""; 0], "{} of {checked} differ", wrong.len());
}

fn no_part_of_a_link_with_a_scheme_is_taken_for_a_word() {
    let yaml = String::from_utf8(extract().read()).unwrap();
    let (mut checked, mut wrong) = (0, Vec::new());
    for case in cases(&yaml).iter().filter(|case| case.section == "urls") {
        let mut found = Vec::new();
        entities::find(&case.text, &mut found);
        for link in case.expected.iter().filter(|link| link.starts_with("http")) {
            let start = case.text.find(link.as_str()).unwrap();
            let inside = |entity: &entities::Entity| {
                entity.kind == Kind::Link
                    && entity.start <= start
                    && start + link.len() <= entity.end
            };
            if !found.iter().any(inside) {
                wrong.push(format!("{link} in {:?}: {found:?}", case.text));
            }
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
    assert_eq!(wrong, [""; 0], "{} of {checked}", wrong.len());
}

needs::tests! {
    plain_words_are_cut_folded_and_stopped;
    links_and_mails_go_tags_stay_mentions_by_choice;
    words_cut_off_by_the_ellipsis_are_dropped_and_others_are_not;
    scripts_without_blanks_are_cut_by_dictionary;
    emoji_are_counted_by_choice;
    a_language_without_a_list_is_named;
    twitters_conformance_cases_for_mentions_hashtags_and_cashtags:
        extract();
    no_part_of_a_link_with_a_scheme_is_taken_for_a_word:
        extract();
}
