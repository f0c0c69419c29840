//! The sink: columns of a record as a row.

use crate::config::{Column, SinkOptions, delimiter};
use crate::write::push_row;
use avro_data::Schema;
use avro_data::datum::{Value, visit};
use file_io::fingerprint;
use json_walk::Path;
use plugin_api::files::{FileFormat, FileSpec, Roll};
use plugin_api::prelude::*;
use std::io::Write;
use std::ops::Range;

/// What is special about the sink `csv-file`.
pub struct CsvFiles;

impl FileSpec for CsvFiles {
    const NAME: &'static str = "csv-file";
    type Options = SinkOptions;
    type Format = Rows;

    fn format(options: &SinkOptions, inputs: &[ContentType]) -> Result<Rows, StageError> {
        Rows::new(options, inputs)
    }

    fn target(options: &SinkOptions) -> (&std::path::Path, &Roll) {
        (&options.path, &options.roll)
    }
}

/// Records as rows.
pub struct Rows {
    names: Vec<String>,
    header: bool,
    delimiter: u8,
    clean: bool,
    null: Vec<u8>,
    from: From,
    /// Texts of the record at hand, one behind the other.
    texts: Vec<u8>,
    /// Where in `texts` each column stands; `None`: null.
    spans: Vec<Option<Range<usize>>>,
    scratch: Vec<u8>,
}

/// Where columns come from.
enum From {
    /// For each field of the schema, the columns that show it.
    Avro(Box<Schema>, Vec<Vec<usize>>),
    /// For each column, its path.
    Json(Vec<Path>),
}

impl Rows {
    fn new(options: &SinkOptions, inputs: &[ContentType]) -> Result<Self, StageError> {
        let input = inputs.first().cloned().unwrap_or_else(ContentType::bytes);
        if let Some(other) = inputs.iter().find(|other| **other != input) {
            let message =
                format!("its inputs differ: {input} and {other}; one file holds one type");
            return Err(StageError::config("/inputs", message));
        }
        let columns = options.columns.as_deref();
        if columns.is_some_and(<[Column]>::is_empty) {
            return Err(StageError::config("/columns", "a row needs a column"));
        }
        let (names, from) = match (input.format, &input.schema) {
            (Format::Avro, Some(schema)) => avro_columns(columns, schema)?,
            (Format::Json, _) => json_columns(columns)?,
            (format, _) => {
                let message = format!("{format} has no columns: csv-file takes avro or json");
                return Err(StageError::config("/inputs", message));
            }
        };
        Ok(Self {
            spans: vec![None; names.len()],
            names,
            header: options.header,
            delimiter: delimiter(&options.delimiter)?,
            clean: options.clean,
            null: options.null.clone().into_bytes(),
            from,
            texts: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Puts the columns of a record into `texts` and `spans`.
    fn gather(&mut self, value: &[u8]) -> Result<(), Reject> {
        let Self {
            from,
            texts,
            spans,
            scratch,
            clean,
            ..
        } = self;
        match from {
            From::Json(paths) => {
                for (span, path) in spans.iter_mut().zip(paths) {
                    let found = path
                        .find(value)
                        .map_err(|error| Reject::new(error.to_string()))?;
                    let start = texts.len();
                    *span = found.filter(|value| !value.is_null()).map(|value| {
                        if value.is_string() {
                            scratch.clear();
                            value.push_text(scratch);
                            push_text(scratch, *clean, texts);
                        } else {
                            json_walk::compact(value.raw(), texts);
                        }
                        start..texts.len()
                    });
                    if std::str::from_utf8(&texts[start..]).is_err() {
                        return Err(Reject::new("not UTF-8").at(path.to_string()));
                    }
                }
            }
            From::Avro(schema, columns) => {
                let mut fields = columns.iter();
                let mut trouble = None;
                let visited = visit(schema, value, |_, value| {
                    let Some(columns) = fields.next().filter(|columns| !columns.is_empty()) else {
                        return;
                    };
                    let start = texts.len();
                    let there = match value {
                        Value::Nested(nested) => {
                            trouble = nested.to_json(texts).err().or(trouble);
                            true
                        }
                        value => push_value(value, *clean, texts),
                    };
                    for &column in columns {
                        spans[column] = there.then_some(start..texts.len());
                    }
                });
                if let Some(error) = visited.err().or(trouble) {
                    return Err(Reject::new(error.to_string()));
                }
            }
        }
        Ok(())
    }
}

impl FileFormat for Rows {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        if self.header {
            push_row(self.names.iter().map(String::as_bytes), self.delimiter, out);
        }
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        let value = record
            .value()
            .ok_or_else(|| Reject::new("the record has no value to write as a row"))?;
        self.texts.clear();
        self.spans.fill(None);
        self.gather(value)?;
        let fields = self.spans.iter().map(|span| match span {
            Some(span) => &self.texts[span.clone()],
            None => &self.null,
        });
        push_row(fields, self.delimiter, out);
        Ok(())
    }

    /// The columns and how they are parted; rows of others do not fit under the header.
    fn save(&self) -> String {
        let mut row = Vec::new();
        push_row(
            self.names.iter().map(String::as_bytes),
            self.delimiter,
            &mut row,
        );
        format!("{:016x}", fingerprint(&row))
    }

    fn resume(&mut self, saved: &str) -> Result<bool, StageError> {
        Ok(saved == self.save())
    }
}

fn avro_columns(
    columns: Option<&[Column]>,
    schema: &str,
) -> Result<(Vec<String>, From), StageError> {
    let schema =
        Schema::parse(schema).map_err(|error| StageError::config("/inputs", error.to_string()))?;
    let fields: Vec<String> = schema.fields().iter().map(|f| f.name.clone()).collect();
    if fields.is_empty() {
        let message = "the input's Avro schema is no record, so it has no columns";
        return Err(StageError::config("/inputs", message));
    }
    let mut shown = vec![Vec::new(); fields.len()];
    let mut names = Vec::new();
    let all: Vec<Column> = fields.iter().cloned().map(Column::Path).collect();
    for (index, column) in columns.unwrap_or(&all).iter().enumerate() {
        let (name, path) = column.parts();
        let field = fields.iter().position(|field| field == path);
        let field = field.ok_or_else(|| {
            let message = format!(
                "the input has no field `{path}`; it has: {}",
                fields.join(", ")
            );
            StageError::config(&format!("/columns/{index}"), message)
        })?;
        shown[field].push(index);
        names.push(name.to_owned());
    }
    Ok((names, From::Avro(Box::new(schema), shown)))
}

fn json_columns(columns: Option<&[Column]>) -> Result<(Vec<String>, From), StageError> {
    let Some(columns) = columns else {
        let message =
            "the input is json, so say which `columns`, such as [\"id_str\", \"user.name\"]";
        return Err(StageError::config("/columns", message));
    };
    let mut names = Vec::new();
    let mut paths = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let (name, path) = column.parts();
        let path = Path::parse(path)
            .map_err(|error| StageError::config(&format!("/columns/{index}"), error.to_string()))?;
        names.push(name.to_owned());
        paths.push(path);
    }
    Ok((names, From::Json(paths)))
}

impl Column {
    fn parts(&self) -> (&str, &str) {
        match self {
            Self::Path(path) => (path, path),
            Self::Named { name, path } => (name, path),
        }
    }
}

/// Appends a value as text; false for null.
fn push_value(value: Value<'_>, clean: bool, out: &mut Vec<u8>) -> bool {
    // Writing to a `Vec` cannot fail.
    match value {
        Value::Null => return false,
        Value::Boolean(value) => drop(write!(out, "{value}")),
        Value::Long(value) => drop(write!(out, "{value}")),
        Value::Double(value) => drop(write!(out, "{value}")),
        Value::Text(text) => push_text(text.as_bytes(), clean, out),
        Value::Bytes(bytes) => push_text(bytes, clean, out),
        _ => {}
    }
    true
}

fn push_text(text: &[u8], clean: bool, out: &mut Vec<u8>) {
    if !clean {
        out.extend_from_slice(text);
        return;
    }
    let mut in_space = false;
    for character in String::from_utf8_lossy(text).chars() {
        let space = character.is_whitespace();
        if !space {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else if !in_space {
            out.push(b' ');
        }
        in_space = space;
    }
}
