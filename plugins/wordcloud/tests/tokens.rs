//! What is counted as a word.
#![allow(clippy::unwrap_used)]

use plugin_wordcloud::stop;
use plugin_wordcloud::token::{Rules, Tokenizer};

fn rules() -> Rules {
    let languages = ["en".to_owned(), "ja".to_owned()];
    Rules {
        elisions: Vec::new(),
        particles: false,
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

#[test]
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
        ["grösse", "été", "naïve", "жизнь"]
    );
    assert_eq!(words("2021 covid-19 b2b 3,000"), ["covid", "b2b"]);
    assert_eq!(words("end.It begins a.b"), ["end", "begins"]);
    assert_eq!(words("end.It begins,at"), ["end", "begins"]);
    assert_eq!(words("caf\u{65}\u{301} ﬁne"), ["café", "fine"]);
    assert_eq!(words("Tom &amp; Jerry &lt;3"), ["tom", "jerry"]);
    assert_eq!(words(""), [""; 0]);
    assert_eq!(words(&"a".repeat(41)), [""; 0]);
    assert_eq!(words(&"a".repeat(40)), ["a".repeat(40)]);
}

#[test]
fn marks_inside_words_and_numbers_part_nothing() {
    assert_eq!(
        words("U.S. sanctions, e.g. the U.K's A.I., at 5 p.m. o.O T.T U.S.A"),
        ["u.s", "sanctions", "u.k", "a.i", "u.s.a"]
    );
    assert_eq!(
        words("the o'clock.I go l'amour.C'est"),
        ["o'clock", "go", "l'amour", "c'est"]
    );
    assert_eq!(
        words("la U.E. decidió, Η.Π.Α."),
        ["la", "u.e", "decidió", "η.π.α"]
    );
    assert_eq!(
        words("tel·la INTEL·LIGENT vés·a"),
        ["tel·la", "intel·ligent", "vés"]
    );
    let numbers = |text| {
        let rules = Rules {
            numbers: true,
            ..rules()
        };
        words_by(rules, text)
    };
    assert_eq!(
        numbers("3,000 people: 12.5 % of 1,234,567.8, 10,20,x and 7. 42"),
        ["3,000", "people", "12.5", "1,234,567.8", "10,20", "42"]
    );
    assert_eq!(numbers("３,０００ más 2.5€ é.5,"), ["3,000", "más", "2.5"]);
}

#[test]
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

#[test]
fn words_cut_off_by_the_ellipsis_are_dropped_and_others_are_not() {
    assert_eq!(words("the storm is appro…"), ["storm"]);
    assert_eq!(words("the storm is appro… https://t.co/x"), ["storm"]);
    assert_eq!(words("storm #breakingne…"), ["storm"]);
    assert_eq!(words("well… the storm comes"), ["well", "storm", "comes"]);
    assert_eq!(words("storm coming …"), ["storm", "coming"]);
}

#[test]
fn scripts_without_blanks_are_cut_by_dictionary() {
    assert_eq!(words("東京都に住んでいます"), ["東京"]);
    assert_eq!(words("สวัสดีครับ"), ["สวัสดี", "ครับ"]);
    assert_eq!(words("我喜欢音乐"), ["喜欢", "音乐"]);
}

#[test]
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

#[test]
fn a_language_without_a_list_is_named() {
    assert_eq!(
        stop::collect(&["en".into(), "xx".into()], &[]).unwrap_err(),
        1
    );
    assert!(stop::languages().contains(&"de"));
}
