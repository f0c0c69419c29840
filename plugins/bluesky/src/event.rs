//! One event of Jetstream: what it is, and what names it. One walk over the bytes; nothing is
//! copied and no tree is built.

use json_walk::{Malformed, Value, Walk};

use crate::config::Emit;

/// An event taken apart. Borrows the frame's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    /// What it is; `None`: a kind that this version does not know.
    pub kind: Option<Emit>,
    /// When the server saw it: its place in the stream, in microseconds since 1970.
    pub time_us: i64,
    did: Value<'a>,
    /// Of a commit.
    collection: Option<Value<'a>>,
    rkey: Option<Value<'a>>,
    /// What tells two commits of one record apart; of the other kinds when it happened, which is the
    /// same at every relay, or without that their number at the server's relay.
    version: Option<Value<'a>>,
    /// The record that was written.
    pub record: Option<Value<'a>>,
}

impl<'a> Event<'a> {
    /// Reads an event.
    ///
    /// # Errors
    /// What is wrong with the bytes, for a dead letter.
    pub fn read(frame: &'a [u8]) -> Result<Self, String> {
        if let Err(error) = std::str::from_utf8(frame) {
            return Err(format!("not UTF-8 from byte {}", error.valid_up_to()));
        }
        let missing = |what: &str| format!("no event of Jetstream: `{what}` is missing");
        let (mut did, mut time_us, mut kind, mut body) = (None, None, None, Body::default());
        let mut walk = Walk::begin(frame).map_err(said)?;
        while let Some(key) = walk.key().map_err(said)? {
            match key {
                b"did" => did = Some(walk.value().map_err(said)?).filter(|v| v.is_string()),
                b"time_us" => {
                    let value = walk.value().map_err(said)?;
                    time_us = value.as_i64().filter(|us| *us > 0);
                }
                b"kind" => kind = Some(walk.value().map_err(said)?).filter(|v| v.is_string()),
                b"commit" | b"identity" | b"account" if walk.enter() => body.read(&mut walk)?,
                _ => {}
            }
        }
        walk.end().map_err(said)?;
        let kind = match kind.ok_or_else(|| missing("kind"))?.raw() {
            br#""commit""# => match body.operation.map(Value::raw) {
                Some(br#""create""#) => Some(Emit::Create),
                Some(br#""update""#) => Some(Emit::Update),
                Some(br#""delete""#) => Some(Emit::Delete),
                Some(_) => None,
                None => return Err(missing("commit.operation")),
            },
            br#""identity""# => Some(Emit::Identity),
            br#""account""# => Some(Emit::Account),
            _ => None,
        };
        let is_commit = matches!(kind, Some(Emit::Create | Emit::Update | Emit::Delete));
        if is_commit && (body.collection.is_none() || body.rkey.is_none()) {
            return Err(missing("commit.collection` or `commit.rkey"));
        }
        Ok(Self {
            kind,
            time_us: time_us.ok_or_else(|| missing("time_us"))?,
            did: did.ok_or_else(|| missing("did"))?,
            collection: body.collection.filter(|_| is_commit),
            rkey: body.rkey.filter(|_| is_commit),
            version: body.rev.or(body.time).or(body.seq),
            record: body.record,
        })
    }

    /// Writes its address, which is unique in the network: `at://DID/COLLECTION/RKEY`, or `at://DID`
    /// where it is about an account.
    pub fn address(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(b"at://");
        self.did.push_text(out);
        for part in [self.collection, self.rkey].into_iter().flatten() {
            out.push(b'/');
            part.push_text(out);
        }
    }

    /// Appends what tells it apart from other events of the same address.
    pub fn version(&self, out: &mut Vec<u8>) {
        out.push(match self.kind {
            Some(Emit::Create) => b'c',
            Some(Emit::Update) => b'u',
            Some(Emit::Delete) => b'd',
            Some(Emit::Identity) => b'i',
            Some(Emit::Account) => b'a',
            None => b'?',
        });
        match self.version {
            Some(version) => version.push_text(out),
            None => out.extend_from_slice(&self.time_us.to_le_bytes()),
        }
    }
}

/// The member that is named after the kind.
#[derive(Default)]
struct Body<'a> {
    operation: Option<Value<'a>>,
    collection: Option<Value<'a>>,
    rkey: Option<Value<'a>>,
    rev: Option<Value<'a>>,
    time: Option<Value<'a>>,
    seq: Option<Value<'a>>,
    record: Option<Value<'a>>,
}

impl<'a> Body<'a> {
    /// Reads to its end.
    fn read(&mut self, walk: &mut Walk<'a>) -> Result<(), String> {
        while let Some(key) = walk.key().map_err(said)? {
            let slot = match key {
                b"operation" => &mut self.operation,
                b"collection" => &mut self.collection,
                b"rkey" => &mut self.rkey,
                b"rev" => &mut self.rev,
                b"time" => &mut self.time,
                b"seq" => &mut self.seq,
                b"record" => &mut self.record,
                _ => continue,
            };
            let value = walk.value().map_err(said)?;
            let is_right = match key {
                b"record" => value.is_object(),
                b"seq" => value.is_string() || value.as_i64().is_some(),
                _ => value.is_string(),
            };
            *slot = is_right.then_some(value);
        }
        Ok(())
    }
}

fn said(error: Malformed) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(frame: &str) -> (Option<Emit>, i64, String, String) {
        let event = Event::read(frame.as_bytes()).unwrap();
        let (mut address, mut version) = (Vec::new(), Vec::new());
        event.address(&mut address);
        event.version(&mut version);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (event.kind, event.time_us, text(address), text(version))
    }

    #[test]
    fn every_kind_has_a_name() {
        let commit = |operation: &str| {
            format!(
                r#" {{"did":"did:plc:a","time_us":7,"kind":"commit","commit":{{"rev":"3m","operation":"{operation}","collection":"app.bsky.feed.post","rkey":"3k","record":{{"text":"x"}},"cid":"b"}}}} "#
            )
        };
        let address = "at://did:plc:a/app.bsky.feed.post/3k".to_owned();
        for (operation, kind, version) in [
            ("create", Some(Emit::Create), "c3m"),
            ("update", Some(Emit::Update), "u3m"),
            ("delete", Some(Emit::Delete), "d3m"),
        ] {
            let expected = (kind, 7, address.clone(), version.to_owned());
            assert_eq!(named(&commit(operation)), expected);
        }
        for (kind, emit, news, version) in [
            ("identity", Some(Emit::Identity), r#""seq":9"#, "i9"),
            ("account", Some(Emit::Account), r#""seq":9"#, "a9"),
            // Each relay counts by itself; the time is the same.
            (
                "account",
                Some(Emit::Account),
                r#""time":"T","seq":9"#,
                "aT",
            ),
            (
                "account",
                Some(Emit::Account),
                r#""seq":8,"time":"T""#,
                "aT",
            ),
            ("account", Some(Emit::Account), r#""time":5,"seq":9"#, "a9"),
        ] {
            let frame = format!(
                r#"{{"did":"did:plc:a","time_us":7,"kind":"{kind}","{kind}":{{{news},"did":"did:plc:a"}}}}"#
            );
            let expected = (emit, 7, "at://did:plc:a".to_owned(), version.to_owned());
            assert_eq!(named(&frame), expected);
        }
        // What a later server may send is no error.
        assert_eq!(
            named(r#"{"did":"did:plc:a","time_us":7,"kind":"sync"}"#).0,
            None
        );
        assert_eq!(named(&commit("merge")).0, None);
    }

    #[test]
    fn escapes_in_names_are_undone() {
        let frame = r#"{"did":"did:pl\u0063:a","time_us":7,"kind":"commit","commit":{"rev":"3m","operation":"delete","collection":"a.b.c","rkey":"x\/y"}}"#;
        assert_eq!(named(frame).2, "at://did:plc:a/a.b.c/x/y");
    }

    #[test]
    fn what_is_no_event_says_why() {
        for (frame, why) in [
            (&b"{\"did\":\"\xff\"}"[..], "not UTF-8 from byte 8"),
            (b"<html>", "not JSON at byte 0"),
            (b"{\"did\":", "not JSON"),
            (b"[1]", "not JSON at byte 0"),
            (b"{}", "`kind` is missing"),
            (br#"{"kind":"account","did":"a"}"#, "`time_us` is missing"),
            (br#"{"kind":"account","did":"a","time_us":-5}"#, "`time_us`"),
            (
                br#"{"kind":"account","did":"a","time_us":1e99}"#,
                "`time_us`",
            ),
            (br#"{"kind":"account","time_us":5}"#, "`did` is missing"),
            (
                br#"{"kind":"commit","did":"a","time_us":5}"#,
                "`commit.operation`",
            ),
            (
                br#"{"kind":"commit","did":"a","time_us":5,"commit":{"operation":"create","rkey":"1"}}"#,
                "`commit.collection`",
            ),
        ] {
            let error = Event::read(frame).unwrap_err();
            assert!(error.contains(why), "{error} is not {why}");
        }
    }
}
