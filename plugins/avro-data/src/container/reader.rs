//! Reading container files, in bounded memory, as far as they go.

use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::codec::Unpacker;
use super::header::{self, Long, read_long};
use super::{Codec, Sync};
use crate::datum;
use crate::schema::{Schema, SchemaError};

/// Bytes read at once.
const BUFFER: usize = 64 << 10;
/// Records without bytes (of nulls only) a block may claim: nothing else bounds their number.
const MAX_EMPTY: u64 = 1 << 16;

/// How much a file may make the reader hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most bytes of a block, compressed or not. Default 64 MiB.
    pub block: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { block: 64 << 20 }
    }
}

/// Where the next record stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Where its block begins, in bytes from the file's start; 0: the first block.
    pub block: u64,
    /// How many records of that block come before it.
    pub index: u64,
}

/// Reads a container file record by record.
pub struct Reader<R> {
    input: BufReader<R>,
    schema: Schema,
    codec: Codec,
    unpacker: Unpacker,
    sync: Sync,
    limits: Limits,
    /// Bytes of the file read so far.
    at: u64,
    /// Where the block in `data` begins.
    block: u64,
    /// Records taken from `data`, and how far they reach.
    index: u64,
    used: usize,
    /// Records in `data` by the block's own word.
    count: u64,
    data: Vec<u8>,
    packed: Vec<u8>,
    /// What is wrong after the records in `data`.
    fault: Option<ReadError>,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads a file's header.
    ///
    /// # Errors
    /// Input that is no Avro container file, or one with a codec that is not supported.
    pub fn new(input: R) -> Result<Reader<R>, ReadError> {
        Reader::with_limits(input, Limits::default())
    }

    /// As [`Reader::new`], with limits of the caller's.
    ///
    /// # Errors
    /// As [`Reader::new`].
    pub fn with_limits(input: R, limits: Limits) -> Result<Reader<R>, ReadError> {
        let mut input = BufReader::with_capacity(BUFFER, input);
        let header = header::read(&mut input)?;
        Ok(Reader {
            input,
            schema: header.schema,
            codec: header.codec,
            unpacker: Unpacker::new(header.codec)?,
            sync: header.sync,
            limits,
            at: header.len,
            block: header.len,
            index: 0,
            used: 0,
            count: 0,
            data: Vec::new(),
            packed: Vec::new(),
            fault: None,
            ended: false,
        })
    }

    /// The schema that the file was written with.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// How its blocks are compressed.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Where the next record stands.
    pub fn position(&self) -> Position {
        if self.index < self.count {
            Position {
                block: self.block,
                index: self.index,
            }
        } else {
            Position {
                block: self.at,
                index: 0,
            }
        }
    }

    /// The next record's datum; none at the end of the file. An error comes once, after every
    /// record that could be read; after it the file is at its end.
    ///
    /// # Errors
    /// A torn or broken file, or input that cannot be read.
    #[allow(clippy::should_implement_trait)] // the datum borrows from the reader
    pub fn next(&mut self) -> Result<Option<&[u8]>, ReadError> {
        loop {
            if self.index < self.count {
                match datum::length(&self.schema, &self.data[self.used..]) {
                    Ok(0) if self.count > MAX_EMPTY => {
                        let what = "a block that claims too many records".into();
                        return self.fail(ReadError::Corrupt {
                            at: self.block,
                            what,
                        });
                    }
                    Ok(len) => {
                        let start = self.used;
                        self.used += len;
                        self.index += 1;
                        return Ok(Some(&self.data[start..start + len]));
                    }
                    Err(error) => {
                        let fault = match self.fault.take() {
                            Some(fault) => fault.of_block(self.index),
                            None => self.bad_record(error),
                        };
                        return self.fail(fault);
                    }
                }
            }
            if let Some(fault) = self.fault.take() {
                return self.fail(fault);
            }
            if self.count > 0 && self.used < self.data.len() {
                let what = "a block with more in it than its records".into();
                return self.fail(ReadError::Corrupt {
                    at: self.block,
                    what,
                });
            }
            if self.ended || !self.read_block()? {
                self.ended = true;
                return Ok(None);
            }
        }
    }

    fn bad_record(&self, error: datum::DatumError) -> ReadError {
        let what = format!(
            "record {} of {} in the block at byte {}: {error}",
            self.index + 1,
            self.count,
            self.block
        );
        ReadError::Corrupt {
            at: self.block,
            what,
        }
    }

    fn fail<T>(&mut self, error: ReadError) -> Result<T, ReadError> {
        self.ended = true;
        (self.count, self.index, self.used) = (0, 0, 0);
        self.data.clear();
        Err(error)
    }

    /// Reads a block; false at the end of the file.
    fn read_block(&mut self) -> Result<bool, ReadError> {
        self.block = self.at;
        (self.count, self.index, self.used) = (0, 0, 0);
        let count = match self.long()? {
            None => return Ok(false),
            Some(Ok(count)) => count,
            Some(Err(fault)) => return self.fail(fault),
        };
        let size = match self.long()? {
            Some(Ok(size)) => size,
            Some(Err(fault)) => return self.fail(fault),
            None => return self.fail(self.torn("within the head of a block")),
        };
        let (count, size) = match (u64::try_from(count), u64::try_from(size)) {
            (Ok(count), Ok(size)) => (count, size),
            _ => {
                let what = "a block with a negative count or size".into();
                return self.fail(ReadError::Corrupt {
                    at: self.block,
                    what,
                });
            }
        };
        if size > self.limits.block as u64 {
            let what = format!("a block of more than {} bytes", self.limits.block);
            return self.fail(ReadError::Corrupt {
                at: self.block,
                what,
            });
        }
        self.packed.clear();
        // Memory grows with what is there, not with what a size claims.
        let got = match self.input.by_ref().take(size).read_to_end(&mut self.packed) {
            Ok(got) => got as u64,
            Err(error) => return self.fail(error.into()),
        };
        self.at += got;
        self.count = count;
        if got < size {
            self.unpacker
                .unpack_part(&self.packed, self.limits.block, &mut self.data);
            self.fault = Some(self.torn(&format!("within a block of {count} records")));
            return Ok(true);
        }
        if let Err(what) = self
            .unpacker
            .unpack(&self.packed, self.limits.block, &mut self.data)
        {
            return self.fail(ReadError::Corrupt {
                at: self.block,
                what,
            });
        }
        self.read_sync()?;
        Ok(true)
    }

    /// Reads a block's marker. Its records are whole, so a bad marker is told after them.
    fn read_sync(&mut self) -> Result<(), ReadError> {
        let mut sync = Vec::with_capacity(16);
        if let Err(error) = self.input.by_ref().take(16).read_to_end(&mut sync) {
            return self.fail(error.into());
        }
        self.at += sync.len() as u64;
        if sync == self.sync {
            return Ok(());
        }
        self.fault = Some(if self.sync.starts_with(&sync) {
            let what = "the file ends before the marker that ends the last block; all of its records \
                        are there";
            ReadError::Torn {
                at: self.at,
                what: what.into(),
                whole: true,
            }
        } else {
            let at = self.at - sync.len() as u64;
            ReadError::Corrupt {
                at,
                what: "a block does not end with the file's marker".into(),
            }
        });
        Ok(())
    }

    fn torn(&self, place: &str) -> ReadError {
        ReadError::Torn {
            at: self.at,
            what: format!("the file ends {place}"),
            whole: false,
        }
    }

    fn long(&mut self) -> Result<Option<Result<i64, ReadError>>, ReadError> {
        Ok(match read_long(&mut self.input, &mut self.at) {
            Ok(Long::Value(value)) => Some(Ok(value)),
            Ok(Long::End) => None,
            Ok(Long::Cut) => Some(Err(self.torn("within the head of a block"))),
            Ok(Long::Overlong) => Some(Err(ReadError::Corrupt {
                at: self.at,
                what: "an integer of more than ten bytes".into(),
            })),
            Err(error) => return self.fail(error.into()),
        })
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Goes to a place that [`Reader::position`] gave for the same file.
    ///
    /// # Errors
    /// As [`Reader::next`]; a place that the file does not have.
    pub fn seek(&mut self, position: Position) -> Result<(), ReadError> {
        if position.block > 0 {
            let end = self.input.seek(SeekFrom::End(0))?;
            if end < position.block {
                let what = format!("the file does not reach to byte {}", position.block);
                return Err(ReadError::Torn {
                    at: end,
                    what,
                    whole: false,
                });
            }
            self.input.seek(SeekFrom::Start(position.block))?;
            self.at = position.block;
        }
        (self.count, self.index, self.used) = (0, 0, 0);
        (self.fault, self.ended) = (None, false);
        for _ in 0..position.index {
            if self.next()?.is_none() {
                let what = "the file does not have the record to go on with".into();
                return Err(ReadError::Torn {
                    at: self.at,
                    what,
                    whole: false,
                });
            }
        }
        Ok(())
    }
}

/// Why a file could not be read further.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The input itself failed.
    Io(io::Error),
    /// Not an Avro container file.
    NotAvro,
    /// The file ends too early.
    Torn {
        /// Its length in bytes.
        at: u64,
        /// Within what it ends.
        what: String,
        /// Whether every record is there nonetheless: only the marker of the last block is not.
        whole: bool,
    },
    /// The file holds what no writer writes.
    Corrupt {
        /// Where, in bytes from its start.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// Its schema cannot be understood.
    Schema(SchemaError),
    /// Its codec is not supported.
    Codec(String),
}

impl ReadError {
    /// Adds how many of a torn block's records could be read.
    fn of_block(self, read: u64) -> ReadError {
        match self {
            ReadError::Torn { at, what, whole } => ReadError::Torn {
                at,
                what: format!("{what}, {read} of which could be read"),
                whole,
            },
            other => other,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Io(error)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(error) => write!(f, "cannot read: {error}"),
            ReadError::NotAvro => f.write_str("not an Avro container file"),
            ReadError::Torn { at, what, .. } => write!(f, "torn after {at} bytes: {what}"),
            ReadError::Corrupt { at, what } => write!(f, "corrupt at byte {at}: {what}"),
            ReadError::Schema(error) => write!(f, "its schema cannot be read: {error}"),
            ReadError::Codec(name) => write!(
                f,
                "its codec `{name}` is not supported: there are null, deflate, snappy, zstandard"
            ),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Io(error) => Some(error),
            ReadError::Schema(error) => Some(error),
            _ => None,
        }
    }
}
