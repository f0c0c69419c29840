//! Records that come once a year.

use crate::{Batch, BatchBuilder, testing::batch_of};

/// Batches that no stage may panic at. Each comes with a name for messages.
pub(super) fn batches() -> Vec<(&'static str, Batch)> {
    let mut absent = BatchBuilder::new();
    absent.push(None).key(None);
    absent.push(None).key(Some(b"")).header("h", None);
    let mut odd = BatchBuilder::new();
    odd.push(Some(b"x")).ts_us(Some(i64::MAX));
    odd.push(Some(b"x")).ts_us(Some(i64::MIN + 1));
    odd.push(Some(b"{}"))
        .key(Some(b"\xff"))
        .header("", Some(b"\xff\0"));
    const MIB: usize = 1 << 20;
    vec![
        ("an empty batch", BatchBuilder::new().finish()),
        ("absent values", absent.finish()),
        ("values of length 0", batch_of(["", ""])),
        (
            "bytes that are no UTF-8",
            batch_of([&b"\xff\xfe\0"[..], b"\xc3", b"a\xed\xa0\x80"]),
        ),
        (
            "control characters",
            batch_of(["\0\u{1b}[2J\r\n\u{202e}", "\"\\\n,;"]),
        ),
        ("times and headers at the edge", odd.finish()),
        (
            "numbers at the edge",
            batch_of(["1e999", "-0", "18446744073709551616", "{\"a\":1e-999}"]),
        ),
        ("a record of 1 MiB", batch_of([vec![b'x'; MIB]])),
        ("1 MiB of open brackets", batch_of([vec![b'['; MIB]])),
        (
            "1 MiB of open objects",
            batch_of([b"{\"a\":".repeat(MIB / 5)]),
        ),
        ("1 MiB of bytes 0xff", batch_of([vec![0xff; MIB]])),
    ]
}
