//! Records for programs: one JSON object a line.

use avro_data::{Schema, datum};
use json_walk::{compact, push_string};
use plugin_api::prelude::*;
use serde::de::IgnoredAny;
use std::io::Write;

pub(crate) fn record(
    record: &Record<'_>,
    format: Format,
    schema: Option<&Schema>,
    out: &mut Vec<u8>,
) -> Result<(), Reject> {
    out.extend_from_slice(b"{\"value\":");
    match (record.value(), schema) {
        (None, _) => out.extend_from_slice(b"null"),
        (Some(value), Some(schema)) => {
            datum::to_json(schema, value, out).map_err(|error| Reject::new(error.to_string()))?;
        }
        (Some(value), _) if format == Format::Json && is_json(value) => compact(value, out),
        (Some(value), _) => push_bytes(value, out),
    }
    out.extend_from_slice(b",\"key\":");
    push_optional(record.key(), out);
    out.extend_from_slice(b",\"ts_us\":");
    match record.ts_us() {
        None => out.extend_from_slice(b"null"),
        // Writing to a `Vec` cannot fail.
        Some(ts_us) => drop(write!(out, "{ts_us}")),
    }
    out.extend_from_slice(b",\"headers\":{");
    for (index, (name, value)) in record.headers().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_string(name.as_bytes(), out);
        out.push(b':');
        push_optional(value, out);
    }
    out.extend_from_slice(b"}}\n");
    Ok(())
}

/// Whether it may stand in the middle of JSON.
fn is_json(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

fn push_optional(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        None => out.extend_from_slice(b"null"),
        Some(value) => push_bytes(value, out),
    }
}

/// Text as a string, anything else as base64.
fn push_bytes(value: &[u8], out: &mut Vec<u8>) {
    if std::str::from_utf8(value).is_ok() {
        return push_string(value, out);
    }
    out.extend_from_slice(b"{\"base64\":\"");
    push_base64(value, out);
    out.extend_from_slice(b"\"}");
}

fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= chunk.len() {
                out.push(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]);
            } else {
                out.push(b'=');
            }
        }
    }
}
