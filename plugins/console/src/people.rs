//! Records for people.

use crate::safe::{Escape, push};
use avro_data::Schema;
use avro_data::datum::{Value, visit};
use plugin_api::prelude::*;
use plugin_api::time::Civil;
use std::io::Write;

/// How the records of one input are shown.
pub(crate) struct People {
    format: Format,
    schema: Option<Schema>,
    /// Length of the longest field name, to align values.
    width: usize,
    terminal: bool,
    meta: bool,
    scratch: Vec<u8>,
}

impl People {
    pub(crate) fn new(
        input: &ContentType,
        schema: Option<Schema>,
        terminal: bool,
        meta: bool,
    ) -> Self {
        let names = schema.iter().flat_map(Schema::fields);
        Self {
            width: names
                .map(|field| field.name.chars().count())
                .max()
                .unwrap_or(0),
            format: input.format,
            schema,
            terminal,
            meta,
            scratch: Vec::new(),
        }
    }

    pub(crate) fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        if self.meta {
            self.meta(record, out);
        }
        let Some(value) = record.value() else {
            out.extend_from_slice(b"(no value)\n");
            return Ok(());
        };
        match (self.format, &self.schema) {
            (Format::Avro, Some(_)) => return self.datum(value, out),
            (Format::Json, _) => self.json(value, out),
            (Format::Png | Format::Avro, _) => binary(self.format, value, out),
            (Format::Bytes, _) if std::str::from_utf8(value).is_err() => {
                binary(self.format, value, out);
            }
            _ => push(value, self.text(), out),
        }
        out.push(b'\n');
        Ok(())
    }

    fn text(&self) -> Escape {
        if self.terminal {
            Escape::Terminal
        } else {
            Escape::Nothing
        }
    }

    fn meta(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"#");
        if let Some(ts_us) = record.ts_us() {
            print(out, format_args!(" {}", Civil::from_us(ts_us)));
        }
        if let Some(key) = record.key() {
            out.extend_from_slice(b" key=");
            push(key, Escape::All, out);
        }
        for (name, value) in record.headers() {
            out.push(b' ');
            push(name.as_bytes(), Escape::All, out);
            out.push(b'=');
            push(value.unwrap_or_default(), Escape::All, out);
        }
        out.push(b'\n');
    }

    /// Every field by name, one a line, and a blank line behind.
    fn datum(&mut self, datum: &[u8], out: &mut Vec<u8>) -> Result<(), Reject> {
        let Some(schema) = &self.schema else {
            return Ok(());
        };
        let (width, scratch) = (self.width, &mut self.scratch);
        let mut trouble = None;
        let visited = visit(schema, datum, |name, value| {
            if !name.is_empty() {
                push(name.as_bytes(), Escape::All, out);
                let pad = width - name.chars().count().min(width) + 2;
                out.resize(out.len() + pad, b' ');
            }
            match value {
                Value::Null => out.extend_from_slice(b"-"),
                Value::Boolean(value) => print(out, format_args!("{value}")),
                Value::Long(value) => print(out, format_args!("{value}")),
                Value::Double(value) => print(out, format_args!("{value}")),
                Value::Text(text) => push(text.as_bytes(), Escape::All, out),
                Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => push(text.as_bytes(), Escape::All, out),
                    Err(_) => binary(Format::Bytes, bytes, out),
                },
                Value::Nested(nested) => {
                    scratch.clear();
                    trouble = nested.to_json(scratch).err().or(trouble);
                    push(scratch, Escape::All, out);
                }
                _ => {}
            }
            out.push(b'\n');
        });
        if let Some(error) = visited.err().or(trouble) {
            return Err(Reject::new(error.to_string()));
        }
        out.push(b'\n');
        Ok(())
    }

    /// JSON on one line: a space behind each colon and comma, and in strings no more escapes than
    /// JSON needs, so that all scripts can be read.
    fn json(&mut self, json: &[u8], out: &mut Vec<u8>) {
        self.scratch.clear();
        let mut rest = json;
        while let Some(&byte) = rest.first() {
            let mut taken = 1;
            match byte {
                b'"' => {
                    let Some(end) = string_end(rest) else {
                        self.scratch.extend_from_slice(rest);
                        break;
                    };
                    let mut text = Vec::with_capacity(end);
                    json_walk::unescape(&rest[1..end - 1], &mut text);
                    json_walk::push_string(&text, &mut self.scratch);
                    taken = end;
                }
                b':' | b',' => self.scratch.extend_from_slice(&[byte, b' ']),
                b' ' | b'\t' | b'\n' | b'\r' => {}
                _ => self.scratch.push(byte),
            }
            rest = &rest[taken..];
        }
        push(&self.scratch, Escape::All, out);
    }
}

/// Length of the string that `json` begins with, quotes included.
fn string_end(json: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, &byte) in json.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn binary(format: Format, value: &[u8], out: &mut Vec<u8>) {
    print(out, format_args!("({format}, {} bytes)", value.len()));
}

fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a `Vec` cannot fail.
    let _ = out.write_fmt(text);
}
