//! `host dlq`: looks at dead letters, and sends them again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value as Json, json};

use super::state::{self, HostFolder};
use super::{DlqArgs, DlqCommand, Format, ListLettersArgs, ReplayArgs, Run, ShowArgs, output};
use crate::checkpoint::{
    letters::{self, Letter, LetterFile, Letters},
    replay::{self, Done, Replay},
};
use crate::config::ConfigSource;
use crate::diag::{Diagnostic, EXIT_OK, EXIT_PLUGIN, EXIT_UNAVAILABLE, EXIT_USAGE};

/// Most different reasons of a stage that are told apart.
const MAX_REASONS: usize = 1_000;
/// Most bytes of a payload that are shown to people.
const MAX_SHOWN: usize = 4 << 10;

pub(super) fn dlq(args: &DlqArgs, run: &Run<'_>) -> u8 {
    match &args.command {
        DlqCommand::List(args) => list(args),
        DlqCommand::Show(args) => show(args),
        DlqCommand::Replay(args) => send_again(args, run),
    }
}

/// What a host left.
struct Left {
    files: Vec<LetterFile>,
    done: BTreeMap<String, Done>,
    /// What does not read.
    damaged: Vec<String>,
}

fn left(host: &HostFolder) -> Result<Left, u8> {
    let unreadable = |e: std::io::Error| state::unreadable(host, &e);
    let (epochs, mut damaged) = letters::newest_epochs(&host.folder).map_err(unreadable)?;
    let files = letters::files(&host.folder, &epochs).map_err(unreadable)?;
    let done = replay::done(&epochs).unwrap_or_else(|e| {
        damaged.push(e.message);
        BTreeMap::new()
    });
    Ok(Left {
        files,
        done,
        damaged,
    })
}

impl Left {
    /// Gives each letter and its file to `each`, as long as that answers with true. A file that
    /// is damaged gives what reads.
    fn each(&mut self, mut each: impl FnMut(&LetterFile, Letter, bool) -> bool) {
        for file in &self.files {
            let letters = match Letters::open(&file.path, file.length) {
                Ok(letters) => letters,
                Err(e) => {
                    self.damaged.push(e);
                    continue;
                }
            };
            for (index, letter) in (0..).zip(letters) {
                match letter {
                    Ok(letter) => {
                        let done = self.done.get(&letter.stage);
                        let sent = letter.input.is_some()
                            && done.is_some_and(|d| index < d.of(&file.name));
                        if !each(file, letter, sent) {
                            return;
                        }
                    }
                    Err(e) => self.damaged.push(e),
                }
            }
        }
    }

    /// Says what does not read; the exit code.
    fn complain(&self) -> u8 {
        let mut exit = EXIT_OK;
        for why in &self.damaged {
            exit = state::refuse(Diagnostic::error(why.as_str()).exit(EXIT_UNAVAILABLE));
        }
        exit
    }
}

/// Letters of one stage for one reason.
#[derive(Default)]
struct Group {
    letters: u64,
    sent_again: u64,
    oldest: i64,
    newest: i64,
    files: BTreeSet<String>,
}

type Groups = BTreeMap<(String, String), Group>;

fn grouped(left: &mut Left, stage: Option<&str>) -> Groups {
    let mut groups = Groups::new();
    left.each(|file, letter, sent| {
        if stage.is_some_and(|s| s != letter.stage) {
            return true;
        }
        let mut key = (letter.stage, letter.reason);
        if groups.len() >= MAX_REASONS && !groups.contains_key(&key) {
            key.1 = "other reasons".into();
        }
        let group = groups.entry(key).or_default();
        if group.letters == 0 {
            (group.oldest, group.newest) = (letter.at_us, letter.at_us);
        }
        group.letters += 1;
        group.sent_again += u64::from(sent);
        group.oldest = group.oldest.min(letter.at_us);
        group.newest = group.newest.max(letter.at_us);
        if !group.files.contains(&file.name) {
            group.files.insert(file.name.clone());
        }
        true
    });
    groups
}

fn list(args: &ListLettersArgs) -> u8 {
    let hosts = match state::hosts(args.of.config.as_ref(), &args.of.hosts) {
        Ok(hosts) => hosts,
        Err(exit) => return exit,
    };
    let (mut text, mut all, mut exit) = (String::new(), Vec::new(), EXIT_OK);
    for host in &hosts {
        let mut left = match left(host) {
            Ok(left) => left,
            Err(exit) => return exit,
        };
        let groups = grouped(&mut left, args.of.stage.as_deref());
        match args.format {
            Format::Text => text.push_str(&list_text(host, &groups)),
            Format::Json => all.push(list_json(host, &groups, &left.damaged)),
        }
        exit = exit.max(left.complain());
    }
    let printed = match args.format {
        Format::Json => output::json(&json!({ "hosts": all })),
        Format::Text if text.is_empty() => output::data("no dead letters"),
        Format::Text => output::data(&text),
    };
    if exit == EXIT_OK { printed } else { exit }
}

fn list_text(host: &HostFolder, groups: &Groups) -> String {
    let mut text = String::new();
    for ((stage, reason), group) in groups {
        let sent = match group.sent_again {
            0 => String::new(),
            n => format!(", {n} of them sent again"),
        };
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "{}/{stage}: {}{sent}  {}",
            host.name,
            group.letters,
            printable(reason)
        );
        let (oldest, newest) = (state::time(group.oldest), state::time(group.newest));
        let _ = writeln!(text, "  from {oldest} to {newest}");
        for file in &group.files {
            let path = host
                .folder
                .join(crate::checkpoint::dead_letters::DEAD_LETTERS);
            let _ = writeln!(text, "  in {}", path.join(file).display());
        }
    }
    text
}

fn list_json(host: &HostFolder, groups: &Groups, damaged: &[String]) -> Json {
    let groups: Vec<Json> = groups
        .iter()
        .map(|((stage, reason), group)| {
            json!({
                "stage": stage,
                "reason": reason,
                "letters": group.letters,
                "sent_again": group.sent_again,
                "oldest": state::time(group.oldest),
                "newest": state::time(group.newest),
                "files": group.files,
            })
        })
        .collect();
    json!({"host": host.name, "groups": groups, "damaged": damaged})
}

fn show(args: &ShowArgs) -> u8 {
    let hosts = match state::hosts(args.of.config.as_ref(), &args.of.hosts) {
        Ok(hosts) => hosts,
        Err(exit) => return exit,
    };
    let (mut shown, mut exit) = (0, EXIT_OK);
    for host in &hosts {
        let mut left = match left(host) {
            Ok(left) => left,
            Err(exit) => return exit,
        };
        left.each(|_, letter, sent| {
            let stage = args.of.stage.as_ref().is_none_or(|s| *s == letter.stage);
            let id = args.id.as_ref().is_none_or(|id| *id == letter.id);
            if stage && id && shown < args.limit {
                shown += 1;
                exit = exit.max(match args.format {
                    Format::Text => output::data(&letter_text(&letter, sent)),
                    Format::Json => output::data(&letter_json(&letter, sent).to_string()),
                });
            }
            shown < args.limit && exit == EXIT_OK
        });
        exit = exit.max(left.complain());
    }
    if let (0, Some(id)) = (shown, &args.id)
        && exit == EXIT_OK
    {
        let message = format!("there is no dead letter `{id}`");
        return state::refuse(Diagnostic::error(message).exit(EXIT_USAGE));
    }
    exit
}

/// Text that does nothing to a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let plain = !c.is_control() || c == '\n' || c == '\t';
            let escaped = (!plain).then(|| c.escape_default());
            escaped.into_iter().flatten().chain(plain.then_some(c))
        })
        .collect()
}

/// Bytes for people: as text where they are UTF-8, else in hexadecimal digits, up to a limit.
fn bytes_text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(MAX_SHOWN)];
    let mut text = match std::str::from_utf8(shown) {
        Ok(text) => printable(text),
        // A character that the limit has cut.
        Err(e) if shown.len() < bytes.len() && e.error_len().is_none() => {
            printable(&String::from_utf8_lossy(&shown[..e.valid_up_to()]))
        }
        Err(_) => shown.iter().fold(String::from("0x"), |mut hex, b| {
            let _ = write!(hex, "{b:02x}");
            hex
        }),
    };
    if shown.len() < bytes.len() {
        let _ = write!(text, " … ({} bytes in all)", bytes.len());
    }
    text
}

fn letter_text(letter: &Letter, sent: bool) -> String {
    let mut text = format!("{}\n", letter.id);
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "  {what:<9} {value}");
    };
    let from = match letter.input {
        Some(input) => format!("input {input} of {}, {}", letter.stage, letter.content_type),
        None => format!("what {} read from outside", letter.stage),
    };
    line("from", &from);
    line("at", &state::time(letter.at_us));
    line("reason", &printable(&letter.reason));
    if !letter.pointer.is_empty() {
        line("where", &printable(&letter.pointer));
    }
    if sent {
        line("replay", "sent again");
    }
    if let Some(ts) = letter.ts_us {
        line("time", &state::time(ts));
    }
    if let Some(key) = &letter.key {
        line("key", &bytes_text(key));
    }
    for (name, value) in &letter.headers {
        let value = value.as_deref().map_or_else(|| "absent".into(), bytes_text);
        line("header", &format!("{}: {value}", printable(name)));
    }
    let payload = letter.payload.as_deref();
    line(
        "payload",
        &payload.map_or_else(|| "absent".into(), bytes_text),
    );
    text
}

/// A JSON member for bytes: as text where they are UTF-8, else under another name in base64.
fn member(object: &mut Json, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|b| (b, std::str::from_utf8(b))) {
        None => object[name] = Json::Null,
        Some((_, Ok(text))) => object[name] = text.into(),
        Some((b, Err(_))) => object[format!("{name}_base64")] = STANDARD.encode(b).into(),
    }
}

fn letter_json(letter: &Letter, sent: bool) -> Json {
    let headers: Vec<Json> = letter
        .headers
        .iter()
        .map(|(name, value)| {
            let mut header = json!({ "name": name });
            member(&mut header, "value", value.as_deref());
            header
        })
        .collect();
    let mut object = json!({
        "id": letter.id,
        "stage": letter.stage,
        "input": letter.input,
        "content_type": letter.content_type,
        "at": state::time(letter.at_us),
        "reason": letter.reason,
        "pointer": letter.pointer,
        "sent_again": sent,
        "time": letter.ts_us.map(state::time),
        "headers": headers,
    });
    member(&mut object, "key", letter.key.as_deref());
    member(&mut object, "payload", letter.payload.as_deref());
    object
}

fn send_again(args: &ReplayArgs, run: &Run<'_>) -> u8 {
    let [_] = args.options.hosts.as_slice() else {
        let message = "a replay is of one host: name it with -n HOST";
        return state::refuse(Diagnostic::error(message).exit(EXIT_USAGE));
    };
    if args.options.limit.is_some() {
        let message = "a replay has no --limit: it sends all letters, or those of --stage STAGE";
        return state::refuse(Diagnostic::error(message).exit(EXIT_USAGE));
    }
    let hosts = match state::hosts(args.config.as_ref(), &args.options.hosts) {
        Ok(hosts) => hosts,
        Err(exit) => return exit,
    };
    let replay = Replay {
        stages: args.stages.iter().cloned().collect(),
    };
    // Asked again with the host locked: this only spares a run that has nothing to do.
    for host in &hosts {
        match replay::is_waiting(&host.folder, &replay) {
            Ok(true) => {}
            Ok(false) => {
                output::note(&format!("{}: {}\n", host.name, replay::NOTHING));
                return EXIT_OK;
            }
            Err(e) => return state::refuse(Diagnostic::error(e.message).exit(EXIT_PLUGIN)),
        }
    }
    let config = args.config.clone().unwrap_or_else(super::default_config);
    run(&args.options, &ConfigSource::File(config), Some(&replay))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_what_they_are_and_do_nothing_to_a_terminal() {
        assert_eq!(bytes_text("é\n\x1b[2J".as_bytes()), "é\n\\u{1b}[2J");
        assert_eq!(bytes_text(b"\xff\x00"), "0xff00");
        let long = "é".repeat(MAX_SHOWN);
        let shown = bytes_text(format!("a{long}").as_bytes());
        assert!(shown.starts_with("aé") && shown.ends_with("é … (8193 bytes in all)"));
    }

    #[test]
    fn a_letter_for_programs_is_whole() {
        let letter = Letter {
            payload: Some(vec![0xff]),
            key: Some(b"k".to_vec()),
            headers: vec![("h".into(), None)],
            ..Letter::default()
        };
        let json = letter_json(&letter, false);
        assert_eq!(json["payload_base64"], "/w==");
        assert_eq!(json["key"], "k");
        assert_eq!(json["headers"][0]["value"], Json::Null);
    }
}
