//! Rows as RFC 4180 writes them.

use memchr::memchr3;

/// Appends one row. A field is quoted when it must be, and when it begins or ends with white
/// space, which some readers trim.
pub(crate) fn push_row<'a>(
    fields: impl Iterator<Item = &'a [u8]>,
    delimiter: u8,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let mut count = 0;
    for field in fields {
        if count > 0 {
            out.push(delimiter);
        }
        push_field(field, delimiter, out);
        count += 1;
    }
    // A row that is one empty field would read as a blank line.
    if count == 1 && out.len() == start {
        out.extend_from_slice(b"\"\"");
    }
    out.extend_from_slice(b"\r\n");
}

fn push_field(field: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    let (Some(first), Some(last)) = (field.first(), field.last()) else {
        return;
    };
    let padded = first.is_ascii_whitespace() || last.is_ascii_whitespace();
    let special = memchr3(b'"', b'\n', delimiter, field).is_some();
    // A byte order mark at the start of a file would be taken for the file's own.
    let marked = field.starts_with("\u{feff}".as_bytes());
    if !padded && !special && !marked && !field.contains(&b'\r') {
        out.extend_from_slice(field);
        return;
    }
    out.push(b'"');
    let mut rest = field;
    while let Some(at) = memchr::memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=at]);
        out.push(b'"');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[&str]) -> String {
        let mut out = Vec::new();
        push_row(fields.iter().map(|field| field.as_bytes()), b',', &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(row(&["a", "b c", ""]), "a,b c,\r\n");
        assert_eq!(
            row(&["a,b", "say \"hi\"", "two\nlines", "cr\rcr"]),
            "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\"cr\rcr\"\r\n"
        );
        assert_eq!(row(&[" a", "b "]), "\" a\",\"b \"\r\n");
        assert_eq!(row(&[""]), "\"\"\r\n");
        assert_eq!(row(&["", ""]), ",\r\n");
        assert_eq!(row(&["\""]), "\"\"\"\"\r\n");
    }

    /// Every short text over the characters that matter reads back as it was.
    #[test]
    fn every_text_survives() {
        let alphabet = ["a", "\"", ",", "\r", "\n", " ", "é", "\u{feff}", ";", "\t"];
        let mut texts = vec![String::new()];
        for _ in 0..3 {
            let longer: Vec<String> = texts
                .iter()
                .flat_map(|text| alphabet.iter().map(move |more| format!("{text}{more}")))
                .collect();
            texts.extend(longer);
            texts.sort();
            texts.dedup();
        }
        let mut out = Vec::new();
        for text in &texts {
            push_row([text.as_bytes(), b"x"].into_iter(), b',', &mut out);
        }
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(&out[..]);
        let read: Vec<String> = reader
            .records()
            .map(|row| row.unwrap()[0].to_owned())
            .collect();
        assert_eq!(read, texts);
    }
}
