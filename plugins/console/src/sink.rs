//! The sink: one system call a batch, so that records show as they come.

use crate::config::{Options, Style};
use crate::people::People;
use crate::programs;
use avro_data::Schema;
use file_io::Stdout;
use plugin_api::prelude::*;

/// Sink `console`.
pub struct Console {
    stdout: Stdout,
    /// One for each input, which may differ in type.
    views: Vec<View>,
}

/// How the records of one input are shown.
pub(crate) enum View {
    People(Box<People>),
    Programs(Format, Option<Schema>),
}

impl Sink for Console {
    const NAME: &'static str = "console";
    type Options = Options;

    fn plan(_: &Options, inputs: &[ContentType]) -> Result<Planned, StageError> {
        inputs
            .iter()
            .try_for_each(|input| schema(input).map(drop))?;
        Ok(Planned::sink().prints())
    }

    fn open(options: Options, ctx: &Context) -> Result<Self, StageError> {
        let stdout = Stdout::open()?;
        let terminal = stdout.is_terminal();
        let views = ctx.inputs().iter();
        let views = views.map(|input| View::new(&options, input, terminal));
        Ok(Self {
            views: views.collect::<Result<_, _>>()?,
            stdout,
        })
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        // What an interrupted call left goes first, so that nothing is printed twice.
        self.stdout.flush()?;
        let last = self.views.len().saturating_sub(1);
        let view = self
            .views
            .get_mut((input.port as usize).min(last))
            .ok_or_else(|| StageError::fatal("a batch came in, but no input was planned"))?;
        let count = input.batch.len() - from;
        if self.stdout.is_closed() {
            out.filtered(count as u64);
            return Ok(count);
        }
        let mut rejected = 0;
        for index in from..input.batch.len() {
            let buffer = self.stdout.buffer();
            let before = buffer.len();
            if let Err(reject) = view.record(&input.batch.record(index), buffer) {
                buffer.truncate(before);
                out.reject(index as u32, &reject);
                rejected += 1;
            }
        }
        match self.stdout.flush() {
            // The records are in the buffer, and the next call writes its rest: not taken again.
            Err(error) if !error.is_transient() => return Err(error),
            _ => {}
        }
        if self.stdout.is_closed() {
            out.filtered((count - rejected) as u64);
        }
        Ok(count)
    }

    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<(), StageError> {
        self.stdout.flush()
    }

    fn close(&mut self) -> Result<(), StageError> {
        self.stdout.flush()
    }
}

impl View {
    pub(crate) fn new(
        options: &Options,
        input: &ContentType,
        terminal: bool,
    ) -> Result<Self, StageError> {
        let schema = schema(input)?;
        Ok(match options.format {
            Style::Text => {
                let people = People::new(input, schema, terminal, options.meta);
                Self::People(Box::new(people))
            }
            Style::Json => Self::Programs(input.format, schema),
        })
    }

    /// Appends one record.
    pub(crate) fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        match self {
            Self::People(people) => people.record(record, out),
            Self::Programs(format, schema) => {
                programs::record(record, *format, schema.as_ref(), out)
            }
        }
    }
}

fn schema(input: &ContentType) -> Result<Option<Schema>, StageError> {
    let schema = input.schema.as_deref().map(Schema::parse).transpose();
    schema.map_err(|error| StageError::config("/inputs", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::testing::{Harness, batch_of};
    use serde_json::{Value, json};

    fn view(options: Value, input: ContentType, terminal: bool) -> View {
        let options = serde_json::from_value(options).unwrap();
        View::new(&options, &input, terminal).unwrap()
    }

    fn show(view: &mut View, batch: &Batch) -> String {
        let mut out = Vec::new();
        for record in batch.iter() {
            view.record(&record, &mut out).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
        {"name":"id","type":"long"},{"name":"t.text","type":["null","string"]},
        {"name":"tags","type":{"type":"array","items":"string"}}]}"#;
    /// id 2, text "a\nb", tags ["x"]; id -1, no text, no tags
    const DATUMS: [&[u8]; 2] = [b"\x04\x02\x06a\nb\x02\x02x\x00", b"\x01\x00\x00"];

    #[test]
    fn people_see_every_field_of_a_datum_by_name() {
        let mut view = view(json!({}), ContentType::avro(SCHEMA), false);
        let shown = show(&mut view, &batch_of(DATUMS));
        assert_eq!(
            shown,
            "id      2\nt.text  a\\nb\ntags    [\"x\"]\n\nid      -1\nt.text  -\ntags    []\n\n"
        );
        let mut out = Vec::new();
        let torn = batch_of([b"\x04\x02"]);
        assert!(view.record(&torn.record(0), &mut out).is_err());
    }

    #[test]
    fn people_see_json_on_one_line_in_all_scripts() {
        let mut view = view(json!({}), ContentType::json(), false);
        let json = r#"{ "a": [1,2],
            "t":"caf\u00e9 \"\ud83d\ude00\" \u001b\n" }"#;
        let shown = show(&mut view, &batch_of([json, "{\"torn", "[1"]));
        assert_eq!(
            shown,
            "{\"a\": [1, 2], \"t\": \"café \\\"😀\\\" \\u001b\\n\"}\n{\"torn\n[1\n"
        );
    }

    #[test]
    fn a_terminal_is_safe_from_its_text() {
        let text: &[u8] = b"\x1b[31mred\x07 \xc2\x9b \xe2\x80\xae bad \xff\tx\ny";
        let mut safe = view(json!({}), ContentType::text(), true);
        assert_eq!(
            show(&mut safe, &batch_of([text])),
            "\\u{1b}[31mred\\u{7} \\u{9b} \\u{202e} bad \u{fffd}\tx\ny\n"
        );
        let mut raw = view(json!({}), ContentType::text(), false);
        assert!(show(&mut raw, &batch_of([text])).starts_with("\u{1b}[31mred\u{7}"));
    }

    #[test]
    fn people_see_metadata_absence_and_sizes() {
        let mut batch = BatchBuilder::new();
        batch
            .push(None)
            .ts_us(Some(1_609_522_140_664_000))
            .key(Some(b"k"));
        batch.header("id", Some(b"7")).header("none", None);
        batch.push(Some(b"\xff\xfe"));
        let mut view = view(json!({"meta": true}), ContentType::bytes(), false);
        assert_eq!(
            show(&mut view, &batch.finish()),
            "# 2021-01-01T17:29:00.664Z key=k id=7 none=\n(no value)\n#\n(bytes, 2 bytes)\n"
        );
    }

    #[test]
    fn programs_get_one_object_a_record() {
        let mut batch = BatchBuilder::new();
        batch
            .push(Some(b"{\"a\":\n 1}"))
            .ts_us(Some(7))
            .key(Some(b"k\xff"));
        batch.header("id", Some(b"7")).header("none", None);
        batch.push(Some(b"{torn")).push(None);
        let options = json!({"format": "json"});
        let shown = show(
            &mut view(options.clone(), ContentType::json(), false),
            &batch.finish(),
        );
        let lines: Vec<Value> = shown
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let wanted = [
            json!({"value": {"a": 1}, "key": {"base64": "a/8="}, "ts_us": 7, "headers": {"id": "7", "none": null}}),
            json!({"value": "{torn", "key": null, "ts_us": null, "headers": {}}),
            json!({"value": null, "key": null, "ts_us": null, "headers": {}}),
        ];
        assert_eq!(lines, wanted);
        let shown = show(
            &mut view(options, ContentType::avro(SCHEMA), false),
            &batch_of(DATUMS),
        );
        let first: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
        assert_eq!(
            first["value"],
            json!({"id": 2, "t.text": "a\nb", "tags": ["x"]})
        );
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, wanted) in [
            (&b"\xff"[..], "/w=="),
            (b"\xff\xfe", "//4="),
            (b"\xff\xfe\xfd", "//79"),
        ] {
            let mut view = view(json!({"format": "json"}), ContentType::bytes(), false);
            let shown: Value = serde_json::from_str(&show(&mut view, &batch_of([bytes]))).unwrap();
            assert_eq!(shown["value"]["base64"], wanted);
        }
    }

    #[test]
    fn the_sink_takes_whole_batches_and_rejects_what_is_no_datum() {
        let inputs = [ContentType::avro(SCHEMA)];
        let mut stage = Harness::<crate::ThisPlugin>::sink("console", &json!({}), &inputs).unwrap();
        let outcome = stage
            .write(&batch_of([DATUMS[0], b"\x04", DATUMS[1]]))
            .unwrap();
        assert_eq!(outcome.consumed_count(), 2);
        assert_eq!(outcome.rejected.len(), 1);
        assert_eq!(outcome.rejected[0].1, 1);
        stage.close().unwrap();
    }
}
