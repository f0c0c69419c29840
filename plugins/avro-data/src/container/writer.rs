//! Writing container files.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};

use super::codec::{Codec, Packer};
use super::{Sync, header};
use crate::datum::wire;
use crate::schema::Schema;

/// Bytes of datums a block holds before it is compressed and written: 64 KiB.
pub const DEFAULT_BLOCK_SIZE: usize = 64 << 10;

/// The blocks of a file, without an output of their own: for those who keep the bytes.
pub struct Blocks {
    packer: Packer,
    sync: Sync,
    block_size: usize,
    /// Datums of the block begun.
    block: Vec<u8>,
    count: u64,
    packed: Vec<u8>,
    head: Vec<u8>,
}

impl Blocks {
    /// Blocks that hold `block_size` bytes of datums before they are compressed.
    ///
    /// # Errors
    /// A codec that cannot be set up.
    pub fn new(codec: Codec, block_size: usize, sync: Sync) -> io::Result<Blocks> {
        Ok(Blocks {
            packer: Packer::new(codec)?,
            sync,
            block_size: block_size.max(1),
            block: Vec::new(),
            count: 0,
            packed: Vec::new(),
            head: Vec::new(),
        })
    }

    /// Begins another file with another marker; its header. The block begun is forgotten.
    pub fn begin(&mut self, schema: &Schema, codec: Codec, sync: Sync) -> Vec<u8> {
        self.resume(sync);
        header::write(schema, codec, sync)
    }

    /// Goes on with a file that has this marker and ends with a whole block. The block begun is
    /// forgotten.
    pub fn resume(&mut self, sync: Sync) {
        self.sync = sync;
        self.block.clear();
        self.count = 0;
    }

    /// The file's marker.
    #[must_use]
    pub fn sync(&self) -> Sync {
        self.sync
    }

    /// Appends the datum that `make` puts behind what is in the buffer. An error of `make`
    /// leaves the block without that datum.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn append<E>(&mut self, make: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let before = self.block.len();
        if let Err(error) = make(&mut self.block) {
            self.block.truncate(before);
            return Err(error);
        }
        self.count += 1;
        Ok(())
    }

    /// Whether the block begun is as large as it should get.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.block.len() >= self.block_size
    }

    /// Bytes of datums in the block begun.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.block.len()
    }

    /// Writes the block begun, if there is anything in it; the bytes written.
    ///
    /// # Errors
    /// Those of the output; the file must then be given up or cut back.
    pub fn flush(&mut self, out: &mut impl Write) -> io::Result<u64> {
        if self.count == 0 {
            return Ok(0);
        }
        let data = self.packer.pack(&self.block, &mut self.packed)?;
        self.head.clear();
        wire::put_long(self.count as i64, &mut self.head);
        wire::put_long(data.len() as i64, &mut self.head);
        out.write_all(&self.head)?;
        out.write_all(data)?;
        out.write_all(&self.sync)?;
        let written = (self.head.len() + data.len() + self.sync.len()) as u64;
        self.block.clear();
        self.count = 0;
        // One huge datum must not keep its memory for ever.
        self.block.shrink_to(self.block_size * 2);
        self.packed.truncate(self.block_size * 2);
        self.packed.shrink_to(self.block_size * 2);
        Ok(written)
    }
}

/// Writes datums of one schema as a container file. What was appended is written block by
/// block; [`Writer::flush`] ends a block early. Dropping a writer loses the block begun.
pub struct Writer<W> {
    out: W,
    blocks: Blocks,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a file: writes its header.
    ///
    /// # Errors
    /// Those of the output.
    pub fn new(out: W, schema: &Schema, codec: Codec, block_size: usize) -> io::Result<Writer<W>> {
        Writer::with_sync(out, schema, codec, block_size, random_sync())
    }

    /// As [`Writer::new`], with a marker of the caller's: for files that are the same byte by
    /// byte.
    ///
    /// # Errors
    /// Those of the output.
    pub fn with_sync(
        mut out: W,
        schema: &Schema,
        codec: Codec,
        block_size: usize,
        sync: Sync,
    ) -> io::Result<Writer<W>> {
        let header = header::write(schema, codec, sync);
        out.write_all(&header)?;
        Writer::resume(out, codec, block_size, sync, header.len() as u64)
    }

    /// Goes on with a file that ends with a whole block `written` bytes after its start.
    ///
    /// # Errors
    /// A codec that cannot be set up.
    pub fn resume(
        out: W,
        codec: Codec,
        block_size: usize,
        sync: Sync,
        written: u64,
    ) -> io::Result<Writer<W>> {
        Ok(Writer {
            out,
            blocks: Blocks::new(codec, block_size, sync)?,
            written,
        })
    }

    /// Appends a datum.
    ///
    /// # Errors
    /// Those of the output; the file must then be given up or cut back.
    pub fn append(&mut self, datum: &[u8]) -> io::Result<()> {
        let add = |block: &mut Vec<u8>| {
            block.extend_from_slice(datum);
            Ok::<(), std::convert::Infallible>(())
        };
        self.append_with(add).map(|_| ())
    }

    /// Appends the datum that `make` puts behind what is in the buffer: one copy less. An
    /// error of `make` leaves the file without that datum.
    ///
    /// # Errors
    /// As [`Writer::append`]; the inner ones are those of `make`.
    pub fn append_with<E>(
        &mut self,
        make: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> io::Result<Result<(), E>> {
        let made = self.blocks.append(make);
        if self.blocks.is_full() {
            self.written += self.blocks.flush(&mut self.out)?;
        }
        Ok(made)
    }

    /// Writes the block begun, if there is anything in it, and flushes the output.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn flush(&mut self) -> io::Result<()> {
        self.written += self.blocks.flush(&mut self.out)?;
        self.out.flush()
    }

    /// Bytes of the file so far, without the block begun.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The file's marker.
    pub fn sync(&self) -> Sync {
        self.blocks.sync
    }

    /// Ends the file and gives the output back.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }
}

/// Sixteen bytes that no other file has; the standard library's hash keys are random.
#[must_use]
pub fn random_sync() -> Sync {
    let mut sync = Sync::default();
    for half in sync.as_chunks_mut::<8>().0 {
        *half = RandomState::new().build_hasher().finish().to_le_bytes();
    }
    sync
}
