//! What a reader may say in a second, in messages and, below the codec, in bytes.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What may be used up in each second.
#[derive(Debug)]
pub struct Quota {
    most: usize,
    since: Instant,
    used: usize,
}

impl Quota {
    /// A quota of `most` a second.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            since: Instant::now(),
            used: 0,
        }
    }

    /// Whether there is so much left, which is gone now.
    pub fn spend(&mut self, amount: usize) -> bool {
        let now = Instant::now();
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.used) = (now, 0);
        }
        self.used += amount;
        self.used <= self.most
    }
}

/// A connection that fails with [`ErrorKind::QuotaExceeded`] when too much is read from it.
///
/// The codec reads until it has a whole message. Whoever sends one that never ends, in parts that
/// may be empty, would keep it reading for ever: only here it can be stopped.
#[derive(Debug)]
pub struct Metered<S> {
    io: S,
    quota: Quota,
}

impl<S> Metered<S> {
    /// Lets so many bytes a second in.
    pub fn new(io: S, most: usize) -> Self {
        Self {
            io,
            quota: Quota::new(most),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        match self.quota.spend(buf.filled().len() - before) {
            true => Poll::Ready(Ok(())),
            false => Poll::Ready(Err(ErrorKind::QuotaExceeded.into())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
