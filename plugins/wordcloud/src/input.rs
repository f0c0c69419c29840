//! Reads what is counted from a record of whatever content type flows in: its text, its group, and
//! which tweet it is.

use avro_data::Schema;
use avro_data::datum::{self, Value};
use avro_data::schema::{Node, NodeId};
use json_walk::{Found, Kind as Sought, Path, Paths, Value as Json};
use plugin_api::prelude::*;

use crate::layout::hash;
use crate::time::{is_id, of_id, real, whole, written};
use crate::window::Origin;

/// JSON paths tried when the option `text` is left out: a retweet's own text is cut.
pub const JSON_TEXTS: [&str; 6] = [
    "retweeted_status.extended_tweet.full_text",
    "retweeted_status.full_text",
    "retweeted_status.text",
    "extended_tweet.full_text",
    "full_text",
    "text",
];
/// Avro fields tried when the option `text` is left out; dots as old files have them.
const AVRO_TEXTS: [&str; 5] = ["full_text", "t_text", "t.text", "text", "body"];
/// Where the number of the tweet stands that a record is or repeats.
const JSON_IDS: [&str; 4] = [
    "retweeted_status.id_str",
    "retweeted_status.id",
    "id_str",
    "id",
];
const AVRO_IDS: [&str; 4] = ["r_id", "r.id", "t_id", "t.id"];
/// JSON paths, and Avro fields, of the record's time tried when the option `time` is left out.
const JSON_TIMES: [&str; 3] = ["timestamp_ms", "time_us", "created_at"];
const AVRO_TIMES: [&str; 8] = [
    "t_timestamp_ms",
    "t.timestamp_ms",
    "timestamp_ms",
    "t_created_at",
    "t.created_at",
    "created_at",
    "t_id",
    "t.id",
];
/// Names the key of the record in the option `group_by`.
pub const BY_KEY: &str = "@key";
/// Most bytes of a group's name.
const LONGEST_GROUP: usize = 256;

/// What of a record is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The option `text`.
    pub text: &'a [String],
    /// The option `time`.
    pub time: &'a [String],
    /// The option `group_by`.
    pub group_by: Option<&'a str>,
    /// Whether retweets are known as such.
    pub origin: bool,
}

/// What was read of a record; keeps its memory.
#[derive(Debug, Default)]
pub struct Item {
    /// The text.
    pub text: String,
    /// The group, if the record names one.
    pub group: Option<String>,
    /// Which tweet it is or repeats.
    pub origin: Option<Origin>,
    /// Its time in microseconds since 1970, if it is known.
    pub time_us: Option<i64>,
    spare: String,
}

/// Reads records of one content type.
#[derive(Debug)]
pub struct Reader {
    kind: Kind,
    by_key: bool,
    origin: bool,
    /// Whether the record's content says its time, whatever time it came with.
    told: bool,
}

#[derive(Debug)]
enum Kind {
    Json(Places),
    Avro(Box<Avro>),
    /// The record is the text.
    Text,
}

/// Where in a JSON record what is wanted stands: the text first.
#[derive(Debug)]
struct Places {
    paths: Paths,
    group: Option<usize>,
    id: Option<usize>,
    /// Numbers of the paths of the time, and whether the number of a tweet stands there.
    times: Vec<(usize, bool)>,
}

/// Most places of the time.
const TIMES: usize = 8;
/// Things that are looked for in a JSON record, at most: the text, the group, the number, times.
const SOUGHT: usize = 3 + TIMES;

/// The fields of an Avro schema that are of use, by their rank in order of preference.
#[derive(Debug)]
struct Avro {
    schema: Schema,
    texts: Vec<String>,
    group: Option<String>,
    ids: &'static [&'static str],
    times: Vec<String>,
}

impl Reader {
    /// A reader for `input`.
    ///
    /// # Errors
    /// An input without text, or a path or field that cannot be.
    pub fn new(input: &ContentType, wanted: Wanted<'_>) -> Result<Self, StageError> {
        let field = wanted.group_by.filter(|field| *field != BY_KEY);
        if wanted.time.len() > TIMES {
            let message = format!("{} places: expected at most {TIMES}", wanted.time.len());
            return Err(StageError::config("/time", message));
        }
        let kind = match input.format {
            Format::Text if field.is_some() => {
                return Err(StageError::config(
                    "/group_by",
                    format!("texts have no fields: expected `{BY_KEY}`"),
                ));
            }
            Format::Text if !wanted.time.is_empty() => {
                return Err(StageError::config(
                    "/time",
                    "texts have no fields: leave it out",
                ));
            }
            Format::Text => Kind::Text,
            Format::Json => Kind::Json(Places::new(wanted, field)?),
            Format::Avro => Kind::Avro(Box::new(Avro::new(input, wanted, field)?)),
            other => {
                return Err(StageError::config(
                    "/inputs/0",
                    format!("a word cloud needs json, avro or text, and this sends {other}"),
                ));
            }
        };
        Ok(Self {
            kind,
            by_key: wanted.group_by == Some(BY_KEY),
            origin: wanted.origin,
            told: !wanted.time.is_empty(),
        })
    }

    /// Reads `record` into `item`.
    ///
    /// # Errors
    /// Why the record cannot be used.
    pub fn read(&self, record: &Record<'_>, item: &mut Item) -> Result<(), Reject> {
        let Item {
            text,
            group,
            origin,
            time_us,
            spare,
        } = item;
        text.clear();
        *origin = None;
        *time_us = record.ts_us().filter(|_| !self.told);
        let mut name = group.take().unwrap_or_else(|| std::mem::take(spare));
        name.clear();
        let mut named = false;
        match &self.kind {
            Kind::Text => text.push_str(record.text()?),
            Kind::Json(json) => {
                named = json.read(record.bytes(), text, &mut name, origin, time_us)?;
            }
            Kind::Avro(avro) => {
                named = avro.read(record.bytes(), text, &mut name, origin, time_us)?;
            }
        }
        if self.by_key
            && let Some(key) = record.key()
        {
            let key = std::str::from_utf8(key);
            name.push_str(key.map_err(|_| Reject::new("the key is not UTF-8"))?);
            named = true;
        }
        if name.len() > LONGEST_GROUP {
            return Err(Reject::new(format!(
                "the name of its group is longer than {LONGEST_GROUP} bytes"
            )));
        }
        if self.origin && origin.is_none() && text.starts_with("RT @") {
            // A retweet by hand, or of a source that keeps no numbers: it repeats others of the
            // same text.
            *origin = Some(digest("text", text));
        }
        if named {
            *group = Some(name);
        } else {
            *spare = name;
        }
        Ok(())
    }
}

/// 128 bits tell any two tweets apart that a window can hold.
fn digest(kind: &str, id: &str) -> Origin {
    let seed = hash(kind, 0);
    u128::from(hash(id, seed)) << 64 | u128::from(hash(id, !seed))
}

impl Places {
    fn new(wanted: Wanted<'_>, group: Option<&str>) -> Result<Self, StageError> {
        let Wanted { text, origin, .. } = wanted;
        let path = |pointer: &str, text: &str| {
            let path = Path::parse(text);
            path.map_err(|error| StageError::config(pointer, error.to_string()))
        };
        let texts = if text.is_empty() {
            JSON_TEXTS.map(String::from).to_vec()
        } else {
            text.to_vec()
        };
        let parsed: Result<Vec<Path>, StageError> = (texts.iter().enumerate())
            .map(|(at, text)| path(&format!("/text/{at}"), text))
            .collect();
        let mut paths = Paths::default();
        paths.seek(&parsed?, Sought::Text).map_err(|at| {
            let message = format!("`{}` stands there twice", texts[at]);
            StageError::config(&format!("/text/{at}"), message)
        })?;
        let mut scalar = |those: &[Path]| paths.seek(those, Sought::Scalar).ok();
        let group = match group {
            Some(field) => scalar(&[path("/group_by", field)?]),
            None => None,
        };
        let ids: Result<Vec<Path>, StageError> =
            JSON_IDS.iter().map(|id| path("/retweets", id)).collect();
        let id = if origin { scalar(&ids?) } else { None };
        let mut times = Vec::new();
        for (at, time) in times_or(wanted.time, &JSON_TIMES).iter().enumerate() {
            let path = path(&format!("/time/{at}"), time)?;
            let number = path.steps().last().is_some_and(|name| is_id(name));
            times.extend(scalar(&[path]).map(|sought| (sought, number)));
        }
        Ok(Self {
            paths,
            group,
            id,
            times,
        })
    }

    fn read(
        &self,
        json: &[u8],
        text: &mut String,
        group: &mut String,
        origin: &mut Option<Origin>,
        time: &mut Option<i64>,
    ) -> Result<bool, Reject> {
        let wrong = |error: json_walk::Malformed| Reject::new(error.to_string());
        let record = json_walk::parse(json).map_err(wrong)?;
        let mut found: [Option<Found<'_>>; SOUGHT] = [None; SOUGHT];
        self.paths.find(record, &mut found).map_err(wrong)?;
        let at = |sought: Option<usize>| sought.and_then(|sought| found[sought]);
        let own = Some(record).filter(|record| record.is_string());
        let Some(value) = found[0].map(|found| found.value).or(own) else {
            return Err(Reject::new(
                "no text at any of the paths of the option `text`",
            ));
        };
        read_text(value, text)?;
        if let Some(id) = at(self.id) {
            let id = String::from_utf8_lossy(id.value.raw());
            *origin = Some(digest("id", id.trim_matches('"')));
        }
        if time.is_none() {
            let mut scratch = Vec::new();
            *time = self.times.iter().find_map(|&(sought, number)| {
                let text = found[sought]?.value.text(&mut scratch);
                told(str::from_utf8(text).ok()?, number)
            });
        }
        let name = at(self.group);
        if let Some(name) = name {
            read_text(name.value, group)?;
        }
        Ok(name.is_some())
    }
}

/// The option `time`, or what it is left out for.
fn times_or(option: &[String], known: &[&str]) -> Vec<String> {
    if option.is_empty() {
        known.iter().map(|name| (*name).to_owned()).collect()
    } else {
        option.to_vec()
    }
}

/// What a text says of the time, which may be the number of a tweet.
fn told(text: &str, number: bool) -> Option<i64> {
    if number {
        of_id(text.trim().parse().ok()?)
    } else {
        written(text)
    }
}

/// Puts the text of a string, or a number or truth value as written, into an empty `out`.
fn read_text(value: Json<'_>, out: &mut String) -> Result<(), Reject> {
    let mut bytes = std::mem::take(out).into_bytes();
    value.push_text(&mut bytes);
    *out = String::from_utf8(bytes).map_err(|_| Reject::new("a text is not UTF-8"))?;
    Ok(())
}

impl Avro {
    fn new(
        input: &ContentType,
        wanted: Wanted<'_>,
        group: Option<&str>,
    ) -> Result<Self, StageError> {
        let Some(schema) = &input.schema else {
            return Err(StageError::config(
                "/inputs/0",
                "this sends avro without a schema",
            ));
        };
        let schema = Schema::parse(schema).map_err(|error| {
            StageError::config("/inputs/0", format!("the schema that this sends: {error}"))
        })?;
        let texts: Vec<&str> = schema
            .fields()
            .iter()
            .filter(|field| holds_text(&schema, field.node))
            .map(|field| &*field.name)
            .collect();
        let list = |names: &[&str]| {
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        };
        for (position, name) in wanted.text.iter().enumerate() {
            if !texts.contains(&&**name) {
                let known = list(&texts);
                let message = format!("the schema has no text field `{name}`: it has {known}");
                return Err(StageError::config(&format!("/text/{position}"), message));
            }
        }
        let all: Vec<&str> = schema.fields().iter().map(|field| &*field.name).collect();
        let has = |pointer: &str, name: &str| {
            if all.contains(&name) {
                return Ok(());
            }
            let known = list(&all);
            let message = format!("the schema has no field `{name}`: it has {known}");
            Err(StageError::config(pointer, message))
        };
        if let Some(name) = group {
            has("/group_by", name)?;
        }
        for (position, name) in wanted.time.iter().enumerate() {
            has(&format!("/time/{position}"), name)?;
        }
        let known = AVRO_TIMES.into_iter().filter(|name| all.contains(name));
        let times = times_or(wanted.time, &known.collect::<Vec<_>>());
        let fields: Vec<String> = if wanted.text.is_empty() {
            let known = AVRO_TEXTS.iter().filter(|name| texts.contains(name));
            known.map(|name| (*name).to_owned()).collect()
        } else {
            wanted.text.to_vec()
        };
        if fields.is_empty() {
            let message = format!(
                "name the field that holds the text, such as `text = [\"…\"]`: the schema has {}",
                list(&texts)
            );
            return Err(StageError::config("/text", message));
        }
        Ok(Self {
            schema,
            texts: fields,
            group: group.map(str::to_owned),
            ids: if wanted.origin { &AVRO_IDS } else { &[] },
            times,
        })
    }

    fn read(
        &self,
        datum: &[u8],
        out: &mut String,
        group: &mut String,
        origin: &mut Option<Origin>,
        time: &mut Option<i64>,
    ) -> Result<bool, Reject> {
        let mut best: Option<(usize, &str)> = None;
        let mut id: Option<(usize, Origin)> = None;
        let mut named = false;
        let mut said = [None; TIMES];
        // The record's own time stands before all fields.
        let times: &[String] = if time.is_none() { &self.times } else { &[] };
        datum::visit(&self.schema, datum, |name, value| {
            if let Value::Text(text) = value
                && let Some(rank) = self.texts.iter().position(|field| field == name)
                && best.is_none_or(|(least, _)| rank < least)
            {
                best = Some((rank, text));
            }
            let rank = self.ids.iter().position(|field| *field == name);
            if let Some(rank) = rank.filter(|rank| id.is_none_or(|(least, _)| *rank < least)) {
                match value {
                    Value::Long(number) => id = Some((rank, digest("id", &number.to_string()))),
                    Value::Text(text) => id = Some((rank, digest("id", text))),
                    _ => {}
                }
            }
            if let Some(rank) = times.iter().position(|field| field == name) {
                said[rank] = Some(value);
            }
            if self.group.as_deref() == Some(name) {
                named = true;
                match value {
                    Value::Text(text) => group.push_str(text),
                    Value::Long(number) => group.push_str(&number.to_string()),
                    Value::Boolean(truth) => group.push_str(&truth.to_string()),
                    _ => named = false,
                }
            }
        })
        .map_err(|error| Reject::new(error.to_string()))?;
        let Some((_, text)) = best else {
            return Err(Reject::new(
                "none of the fields of the option `text` holds a text",
            ));
        };
        out.push_str(text);
        *origin = id.map(|id| id.1);
        let mut said = times.iter().zip(said);
        *time = time.or_else(|| {
            said.find_map(|(name, value)| match value? {
                Value::Long(number) if is_id(name) => of_id(number.try_into().ok()?),
                Value::Long(number) => whole(number),
                Value::Double(number) => real(number),
                Value::Text(text) => told(text, is_id(name)),
                _ => None,
            })
        });
        Ok(named)
    }
}

fn holds_text(schema: &Schema, node: NodeId) -> bool {
    match schema.node(node) {
        Node::String => true,
        Node::Union(branches) => branches.iter().any(|branch| holds_text(schema, *branch)),
        _ => false,
    }
}
