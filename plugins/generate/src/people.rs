//! The authors: a few hundred people, made once and rendered once.

use crate::languages::{ENGLISH, LANGUAGES, Language};
use crate::rng::Rng;
use crate::topics::TOPICS;
use crate::tweet::created_at;
use json_walk::push_string;
use std::io::Write;

const COUNT: usize = 600;

const FIRST: &[&str] = &[
    "Ada", "Grace", "Alan", "Mary", "Nikola", "Rosa", "Emil", "Olive", "Hugo", "Iris", "Felix",
    "Luna", "Oscar", "Ruby", "Theo", "Maya", "Noah", "Zara", "Finn", "Cleo", "Max", "Nina", "Leo",
    "Eva", "Sam", "Ines", "Tom", "Kim", "Ravi", "Mei", "Omar", "Aisha",
];
const LAST: &[&str] = &[
    "Lovelace", "Hopper", "Brook", "Hill", "Winter", "Stone", "Marlow", "Finch", "Rivers", "Moss",
    "Park", "Novak", "Silva", "Tanaka", "Okafor", "Berg", "Lind", "Castle", "Reed", "Fox", "Wolfe",
    "Quill", "Hart", "Byrne", "Sato", "Khan", "Weber", "Rossi", "O'Neil", "Dubois",
];
const PLACES: &[&str] = &[
    "London",
    "São Paulo",
    "東京",
    "Nairobi",
    "Berlin",
    "Mumbai",
    "Lagos",
    "México",
    "Seoul",
    "Toronto",
    "القاهرة",
    "Москва",
    "Lisboa",
    "Αθήνα",
    "the internet",
    "Earth",
    "New York, NY",
    "Zürich",
    "Reykjavík",
    "İstanbul",
    "Melbourne",
    "somewhere over the rainbow",
];
const STREETS: &[&str] = &[
    "Lime Street",
    "Station Road",
    "Hauptstraße",
    "Rue du Moulin",
    "Via Roma",
    "Avenida Central",
    "Mill Lane",
    "High Street",
    "Elm Avenue",
    "Harbour View",
];

/// An author.
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) screen_name: String,
    /// `None`: English.
    pub(crate) language: Option<&'static Language>,
    /// What they like to talk about.
    pub(crate) topics: [usize; 2],
    /// The `user` object.
    pub(crate) json: Vec<u8>,
}

/// All authors, the most active first.
pub(crate) fn all(rng: &mut Rng, allowed: Option<&[String]>) -> Vec<Person> {
    let allows = |code: &str| allowed.is_none_or(|list| list.iter().any(|allowed| allowed == code));
    let mut spoken: Vec<(u32, Option<&'static Language>)> = LANGUAGES
        .iter()
        .filter(|language| allows(language.code))
        .map(|language| (language.weight, Some(language)))
        .collect();
    if allows("en") {
        spoken.push((ENGLISH, None));
    }
    let total: u32 = spoken.iter().map(|(weight, _)| weight).sum();
    let mut person = |number| {
        let mut left = rng.below(total.max(1) as usize) as u32;
        let language = spoken.iter().find(|(weight, _)| {
            let found = left < *weight;
            left = left.wrapping_sub(*weight);
            found
        });
        make(number, language.and_then(|(_, language)| *language), rng)
    };
    (0..COUNT).map(&mut person).collect()
}

fn make(number: usize, language: Option<&'static Language>, rng: &mut Rng) -> Person {
    let (first, last) = (rng.pick(FIRST), rng.pick(LAST));
    let name = match language {
        Some(language) if rng.chance(0.8) => (rng.pick(&language.names)).to_owned(),
        _ if rng.chance(0.2) => format!("{first} {}", TOPICS[rng.below(TOPICS.len())].emoji[0]),
        _ => format!("{first} {last}"),
    };
    let plain = last.replace('\'', "");
    // The number makes it unique; Twitter's limit is 15 characters.
    let screen_name = match rng.below(3) {
        0 => format!("{first}_{number}"),
        1 => format!("{plain}{number}"),
        _ => format!("the{first}{number}"),
    };
    let mut person = Person {
        id: 12_000_000 + (number as i64) * 7_919_431 + rng.below(7_000_000) as i64,
        name,
        screen_name,
        language,
        topics: [rng.below(TOPICS.len()), rng.below(TOPICS.len())],
        json: Vec::new(),
    };
    person.json = render(&person, rng);
    person
}

fn render(person: &Person, rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_600);
    let description = rng.chance(0.85).then(|| describe(person, rng));
    let location = rng.chance(0.7).then(|| rng.pick(PLACES));
    let followers = 10f64.powf(1.0 + 4.5 * rng.unit() * rng.unit()) as u64;
    let created_ms = 1_230_768_000_000 + (rng.unit() * 380_000_000_000.0) as i64;
    let verified = followers > 20_000;
    print(
        &mut out,
        format_args!("{{\"id\":{0},\"id_str\":\"{0}\",\"name\":", person.id),
    );
    push_string(person.name.as_bytes(), &mut out);
    print(
        &mut out,
        format_args!(",\"screen_name\":\"{}\",\"location\":", person.screen_name),
    );
    optional(location, &mut out);
    out.extend_from_slice(b",\"url\":null,\"description\":");
    optional(description.as_deref(), &mut out);
    print(
        &mut out,
        format_args!(
            ",\"translator_type\":\"none\",\"protected\":false,\"verified\":{verified},\
             \"followers_count\":{followers},\"friends_count\":{},\"listed_count\":{},\
             \"favourites_count\":{},\"statuses_count\":{},\"created_at\":\"{}\"",
            rng.below(2_000),
            followers / 120,
            rng.below(60_000),
            rng.below(90_000) + 1,
            created_at(created_ms)
        ),
    );
    let colour = rng.pick(&["1DA1F2", "F91880", "794BC4", "F45D22", "17BF63"]);
    print(
        &mut out,
        format_args!(
            ",\"utc_offset\":null,\"time_zone\":null,\"geo_enabled\":false,\"lang\":null,\
             \"contributors_enabled\":false,\"is_translator\":false,\
             \"profile_background_color\":\"F5F8FA\",\"profile_background_image_url\":\"\",\
             \"profile_background_image_url_https\":\"\",\"profile_background_tile\":false,\
             \"profile_link_color\":\"{colour}\",\"profile_sidebar_border_color\":\"C0DEED\",\
             \"profile_sidebar_fill_color\":\"DDEEF6\",\"profile_text_color\":\"333333\",\
             \"profile_use_background_image\":true,\
             \"profile_image_url\":\"http://pbs.example/profile/{0}.jpg\",\
             \"profile_image_url_https\":\"https://pbs.example/profile/{0}.jpg\",\
             \"default_profile\":true,\"default_profile_image\":false,\"following\":null,\
             \"follow_request_sent\":null,\"notifications\":null}}",
            person.id
        ),
    );
    out
}

fn describe(person: &Person, rng: &mut Rng) -> String {
    let [first, second] = person.topics.map(|topic| &TOPICS[topic]);
    match person.language {
        Some(language) => format!(
            "{} · {} {}",
            rng.pick(&language.words),
            rng.pick(&language.words),
            rng.pick(&first.emoji)
        ),
        None => format!(
            "{} and {}.\nOpinions are my cat's. {}",
            rng.pick(&first.nouns),
            rng.pick(&second.nouns),
            rng.pick(&first.emoji)
        ),
    }
}

/// Appends a record of `schemas/user.avsc`.
pub(crate) fn simple_user(id: u64, rng: &mut Rng, out: &mut Vec<u8>) {
    let name = if rng.chance(0.25) {
        let language = &LANGUAGES[rng.below(LANGUAGES.len())];
        format!("{} {}", rng.pick(&language.names), rng.pick(LAST))
    } else {
        format!("{} {}", rng.pick(FIRST), rng.pick(LAST))
    };
    let address = format!(
        "{} {}, {}",
        rng.below(180) + 1,
        rng.pick(STREETS),
        rng.pick(PLACES)
    );
    print(out, format_args!("{{\"id\":{id},\"name\":"));
    push_string(name.as_bytes(), out);
    out.extend_from_slice(b",\"address\":");
    push_string(address.as_bytes(), out);
    out.push(b'}');
}

fn optional(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => push_string(text.as_bytes(), out),
        None => out.extend_from_slice(b"null"),
    }
}

pub(crate) fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a `Vec` cannot fail.
    let _ = out.write_fmt(text);
}
