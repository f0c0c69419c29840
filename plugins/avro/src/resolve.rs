//! Datums of one schema as datums of another, by Avro's rules for readers' schemas.

use std::sync::Once;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use avro_data::Schema;

/// From the schema that a file was written with to the one that is wanted.
pub(crate) enum Resolver {
    /// They are the same, or differ in names only: datums stay as they are.
    Same,
    /// Each datum is read and written anew.
    Resolve(Box<Pair>),
}

/// Both schemas, as the library wants them.
pub(crate) struct Pair {
    writer: apache_avro::Schema,
    reader: apache_avro::Schema,
}

impl Resolver {
    /// # Errors
    /// Why the one cannot become the other.
    pub(crate) fn new(writer: &Schema, reader: &Schema) -> Result<Resolver, String> {
        if writer.same_datums(reader) {
            return Ok(Resolver::Same);
        }
        accept_dots();
        let parse = |schema: &Schema| {
            apache_avro::Schema::parse_str(schema.json()).map_err(|error| error.to_string())
        };
        let pair = Pair {
            writer: parse(writer)?,
            reader: parse(reader)?,
        };
        apache_avro::schema_compatibility::SchemaCompatibility::can_read(
            &pair.writer,
            &pair.reader,
        )
        .map_err(|error| error.to_string())?;
        Ok(Resolver::Resolve(Box::new(pair)))
    }
}

impl Pair {
    /// Appends the datum in the wanted schema.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(crate) fn resolve(&self, datum: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let before = out.len();
        let result = (|| {
            let mut bytes = datum;
            let value = GenericDatumReader::builder(&self.writer)
                .reader_schema(&self.reader)
                .build()?
                .read_value(&mut bytes)?;
            GenericDatumWriter::builder(&self.reader)
                .build()?
                .write_value_ref(out, &value)
        })();
        result.map(|_| ()).map_err(|error: apache_avro::Error| {
            out.truncate(before);
            error.to_string()
        })
    }
}

/// Makes the library accept dots in names, which the original's files have. It takes its rule
/// once a process, before the first schema.
fn accept_dots() {
    struct Any;
    impl apache_avro::validator::RecordFieldNameValidator for Any {
        fn validate(&self, _: &str) -> apache_avro::AvroResult<()> {
            Ok(())
        }
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        drop(apache_avro::validator::set_record_field_name_validator(
            Box::new(Any),
        ));
    });
}
