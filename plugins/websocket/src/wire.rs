//! The connection below HTTP and TLS, shared so that its reader can also be asked whether the
//! kernel has room for more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Bytes of a record that the kernel may hold unsent for a reader; more would go out stale.
const UNSENT: u32 = 16 * 1024;

/// A connection; its clones are the same one.
#[derive(Debug, Clone)]
pub struct Wire(Arc<TcpStream>);

impl Wire {
    /// Prepares a connection for small, prompt messages.
    pub fn new(stream: TcpStream) -> Self {
        // Neither option is needed to serve: without them frames go out a little later.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
        Self(Arc::new(stream))
    }

    /// Whether the kernel holds so little unsent that another record would not go out stale.
    ///
    /// A write would begin all the same as long as anything is free, and a record that is begun has
    /// to be ended, however old it is by then. A poll minds the mark that was set for what is unsent,
    /// and arms the event that ends a wait.
    pub fn has_room(&self) -> bool {
        let mut fds = [PollFd::new(&*self.0, PollFlags::OUT)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // A broken connection has room, too: the write will say what is wrong.
        !matches!(poll(&mut fds, Some(&now)), Ok(0))
    }

    /// Waits until there is room.
    pub async fn room(&self) -> io::Result<()> {
        let look = || match self.has_room() {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        loop {
            self.0.writable().await?;
            match self.0.try_io(Interest::WRITABLE, look) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }
}
