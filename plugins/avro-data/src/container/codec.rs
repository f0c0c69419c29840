//! The four codecs.

use std::io::{self, Read};

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Codec {
    /// Not at all.
    Null,
    /// Raw deflate, level 6: what every reader knows.
    #[default]
    Deflate,
    /// Snappy, with the CRC that Avro asks for.
    Snappy,
    /// Zstandard, level 3.
    Zstd,
}

impl Codec {
    /// All of them.
    pub const ALL: [Codec; 4] = [Codec::Null, Codec::Deflate, Codec::Snappy, Codec::Zstd];

    /// The name in a file's header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Codec::Null => "null",
            Codec::Deflate => "deflate",
            Codec::Snappy => "snappy",
            Codec::Zstd => "zstandard",
        }
    }

    /// The codec of a name in a file's header.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Codec> {
        Codec::ALL
            .into_iter()
            .find(|codec| codec.name().as_bytes() == name)
    }
}

/// Compresses blocks; keeps its memory.
pub(super) enum Packer {
    Null,
    Deflate(Box<libdeflater::Compressor>),
    Snappy(Box<snap::raw::Encoder>),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Packer {
    pub(super) fn new(codec: Codec) -> io::Result<Packer> {
        Ok(match codec {
            Codec::Null => Packer::Null,
            Codec::Deflate => {
                let level = libdeflater::CompressionLvl::default();
                Packer::Deflate(Box::new(libdeflater::Compressor::new(level)))
            }
            Codec::Snappy => Packer::Snappy(Box::new(snap::raw::Encoder::new())),
            Codec::Zstd => Packer::Zstd(zstd::bulk::Compressor::new(3)?),
        })
    }

    /// The compressed block, in `out` or, uncompressed, as it is.
    pub(super) fn pack<'a>(
        &mut self,
        data: &'a [u8],
        out: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        let len = match self {
            Packer::Null => return Ok(data),
            Packer::Deflate(deflate) => {
                fit(out, deflate.deflate_compress_bound(data.len()));
                deflate
                    .deflate_compress(data, out)
                    .map_err(io::Error::other)?
            }
            Packer::Snappy(snappy) => {
                fit(out, snap::raw::max_compress_len(data.len()) + 4);
                let len = snappy.compress(data, out).map_err(io::Error::other)?;
                out[len..len + 4].copy_from_slice(&crc32fast::hash(data).to_be_bytes());
                len + 4
            }
            Packer::Zstd(zstd) => {
                fit(out, zstd::zstd_safe::compress_bound(data.len()));
                zstd.compress_to_buffer(data, out.as_mut_slice())?
            }
        };
        Ok(&out[..len])
    }
}

/// Makes a buffer at least so long; what is in it does not matter.
fn fit(buffer: &mut Vec<u8>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
}

/// Uncompresses blocks; keeps its memory.
pub(super) enum Unpacker {
    Null,
    Deflate(Box<libdeflater::Decompressor>),
    Snappy,
    Zstd(zstd::bulk::Decompressor<'static>),
}

/// The largest zstd window that is accepted, as a power of two: 64 MiB.
const WINDOW_LOG: u32 = 26;

impl Unpacker {
    pub(super) fn new(codec: Codec) -> io::Result<Unpacker> {
        Ok(match codec {
            Codec::Null => Unpacker::Null,
            Codec::Deflate => Unpacker::Deflate(Box::new(libdeflater::Decompressor::new())),
            Codec::Snappy => Unpacker::Snappy,
            Codec::Zstd => {
                let mut zstd = zstd::bulk::Decompressor::new()?;
                zstd.window_log_max(WINDOW_LOG)?;
                Unpacker::Zstd(zstd)
            }
        })
    }

    /// Puts a whole block, uncompressed, into `out`; not more than `limit` bytes.
    pub(super) fn unpack(
        &mut self,
        data: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        match self {
            Unpacker::Null => {
                out.clear();
                out.extend_from_slice(data);
                Ok(())
            }
            Unpacker::Deflate(deflate) => inflate(deflate, data, limit, out),
            Unpacker::Snappy => {
                let Some((packed, crc)) = data.split_last_chunk::<4>() else {
                    return Err("a snappy block without its checksum".into());
                };
                let len = snap::raw::decompress_len(packed).map_err(|e| e.to_string())?;
                if len > limit {
                    return Err(too_large(limit));
                }
                out.clear();
                out.resize(len, 0);
                snap::raw::Decoder::new()
                    .decompress(packed, out)
                    .map_err(|e| e.to_string())?;
                if crc32fast::hash(out).to_be_bytes() != *crc {
                    return Err("the checksum of a snappy block does not match".into());
                }
                Ok(())
            }
            Unpacker::Zstd(zstd) => {
                let size = zstd::zstd_safe::get_frame_content_size(data);
                let Ok(Some(size)) = size else {
                    return unzstd(data, limit, out);
                };
                match usize::try_from(size) {
                    Ok(size) if size <= limit => {
                        fit(out, size);
                        let len = zstd
                            .decompress_to_buffer(data, out.as_mut_slice())
                            .map_err(|e| e.to_string())?;
                        out.truncate(len);
                        Ok(())
                    }
                    _ => Err(too_large(limit)),
                }
            }
        }
    }

    /// Puts as much of a block that was cut off into `out` as can be told.
    pub(super) fn unpack_part(&self, data: &[u8], limit: usize, out: &mut Vec<u8>) {
        out.clear();
        match self {
            Unpacker::Null => out.extend_from_slice(data),
            Unpacker::Deflate(_) => {
                let mut inflate = flate2::Decompress::new(false);
                out.reserve(limit.min(data.len() * 4));
                while (inflate.total_in() as usize) < data.len() && out.len() < limit {
                    let before = (inflate.total_in(), out.len());
                    let rest = &data[inflate.total_in() as usize..];
                    if inflate
                        .decompress_vec(rest, out, flate2::FlushDecompress::Sync)
                        .is_err()
                    {
                        break;
                    }
                    if out.len() == out.capacity() {
                        out.reserve(out.len().max(4096));
                    } else if (inflate.total_in(), out.len()) == before {
                        break;
                    }
                }
                out.truncate(limit);
            }
            // Nothing of a snappy block can be told without its end.
            Unpacker::Snappy => {}
            // What was read before the error stays in `out`.
            Unpacker::Zstd(_) => drop(unzstd(data, limit, out)),
        }
    }
}

fn inflate(
    deflate: &mut libdeflater::Decompressor,
    data: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    // The last block's length is a good guess for this one's.
    fit(out, (data.len() * 4).min(limit).max(4096));
    loop {
        match deflate.deflate_decompress(data, out) {
            Ok(len) if len <= limit => {
                out.truncate(len);
                return Ok(());
            }
            Err(libdeflater::DecompressionError::InsufficientSpace) if out.len() < limit => {
                let more = (out.len() * 2).min(limit);
                out.resize(more, 0);
            }
            Err(libdeflater::DecompressionError::BadData) => {
                return Err("a deflate block that cannot be uncompressed".into());
            }
            _ => return Err(too_large(limit)),
        }
    }
}

fn unzstd(data: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), String> {
    out.clear();
    let mut decoder = zstd::stream::read::Decoder::new(data).map_err(|e| e.to_string())?;
    decoder
        .window_log_max(WINDOW_LOG)
        .map_err(|e| e.to_string())?;
    decoder
        .by_ref()
        .take(limit as u64 + 1)
        .read_to_end(out)
        .map_err(|e| e.to_string())?;
    if out.len() > limit {
        out.truncate(limit);
        return Err(too_large(limit));
    }
    Ok(())
}

fn too_large(limit: usize) -> String {
    format!("a block of more than {limit} bytes")
}
