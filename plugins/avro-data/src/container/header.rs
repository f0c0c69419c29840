//! The header of a container file.

use std::io::{self, BufRead, Read};

use super::codec::Codec;
use super::reader::ReadError;
use super::{MAGIC, Sync};
use crate::datum::wire;
use crate::schema::Schema;

/// The most bytes a header may have: 16 MiB.
const MAX_HEADER: u64 = 16 << 20;

/// What a header says.
pub(super) struct Header {
    pub schema: Schema,
    pub codec: Codec,
    pub sync: Sync,
    /// Its length in bytes.
    pub len: u64,
}

pub(super) fn write(schema: &Schema, codec: Codec, sync: Sync) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    wire::put_long(2, &mut out);
    wire::put_bytes(b"avro.schema", &mut out);
    wire::put_bytes(schema.json().as_bytes(), &mut out);
    wire::put_bytes(b"avro.codec", &mut out);
    wire::put_bytes(codec.name().as_bytes(), &mut out);
    wire::put_long(0, &mut out);
    out.extend_from_slice(&sync);
    out
}

pub(super) fn read(input: &mut impl BufRead) -> Result<Header, ReadError> {
    let mut source = Source { input, at: 0 };
    let magic = source.take(MAGIC.len() as u64)?;
    if magic != MAGIC {
        return Err(ReadError::NotAvro);
    }
    let (mut schema, mut codec) = (None, Codec::Null);
    loop {
        let mut count = source.long()?;
        if count < 0 {
            source.long()?;
            count = count.saturating_neg();
        }
        if count == 0 {
            break;
        }
        for _ in 0..count {
            let key = source.sized()?;
            let value = source.sized()?;
            match key.as_slice() {
                b"avro.schema" => {
                    let text = String::from_utf8(value).map_err(|_| ReadError::Corrupt {
                        at: source.at,
                        what: "a schema that is not UTF-8".into(),
                    })?;
                    schema = Some(Schema::parse(&text).map_err(ReadError::Schema)?);
                }
                b"avro.codec" => {
                    codec = Codec::of(&value).ok_or_else(|| {
                        ReadError::Codec(String::from_utf8_lossy(&value).into_owned())
                    })?;
                }
                _ => {}
            }
        }
    }
    let sync = source.take(16)?;
    let sync = Sync::try_from(sync.as_slice()).expect("sixteen bytes were taken");
    let schema = schema.ok_or_else(|| ReadError::Corrupt {
        at: source.at,
        what: "a header without `avro.schema`".into(),
    })?;
    Ok(Header {
        schema,
        codec,
        sync,
        len: source.at,
    })
}

/// Reads the header's primitives, not beyond its limit.
struct Source<'a, R> {
    input: &'a mut R,
    at: u64,
}

impl<R: BufRead> Source<'_, R> {
    fn take(&mut self, len: u64) -> Result<Vec<u8>, ReadError> {
        if self.at + len > MAX_HEADER {
            let what = format!("a header of more than {MAX_HEADER} bytes");
            return Err(ReadError::Corrupt { at: self.at, what });
        }
        let mut bytes = Vec::new();
        // Memory grows with what is there, not with what a length claims.
        let got = self.input.by_ref().take(len).read_to_end(&mut bytes)? as u64;
        self.at += got;
        if got < len {
            return Err(ReadError::Torn {
                at: self.at,
                what: "the file ends within its header".into(),
                whole: false,
            });
        }
        Ok(bytes)
    }

    fn long(&mut self) -> Result<i64, ReadError> {
        match read_long(self.input, &mut self.at)? {
            Long::Value(value) => Ok(value),
            Long::End | Long::Cut => Err(ReadError::Torn {
                at: self.at,
                what: "the file ends within its header".into(),
                whole: false,
            }),
            Long::Overlong => Err(ReadError::Corrupt {
                at: self.at,
                what: "an integer of more than ten bytes".into(),
            }),
        }
    }

    fn sized(&mut self) -> Result<Vec<u8>, ReadError> {
        let len = self.long()?;
        let len = u64::try_from(len).ok().filter(|len| *len <= MAX_HEADER);
        match len {
            Some(len) => self.take(len),
            None => {
                let what = "a header with an impossible length".into();
                Err(ReadError::Corrupt { at: self.at, what })
            }
        }
    }
}

/// What a place in a file gave for an integer.
pub(super) enum Long {
    Value(i64),
    /// The file ends just before it.
    End,
    /// The file ends within it.
    Cut,
    Overlong,
}

/// Reads an integer, counting bytes on.
pub(super) fn read_long(input: &mut impl BufRead, at: &mut u64) -> io::Result<Long> {
    let mut value = 0u64;
    for i in 0..10 {
        let mut byte = [0];
        loop {
            match input.read(&mut byte) {
                Ok(0) => return Ok(if i == 0 { Long::End } else { Long::Cut }),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        *at += 1;
        value |= u64::from(byte[0] & 0x7F) << (i * 7);
        if byte[0] & 0x80 == 0 {
            return Ok(Long::Value((value >> 1) as i64 ^ -((value & 1) as i64)));
        }
    }
    Ok(Long::Overlong)
}
