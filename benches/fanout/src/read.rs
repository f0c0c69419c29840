//! The readers: as little work as can be for each, so that the server is what is measured.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead};
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::LocalSet;

use crate::{EVERY, Error, now_us};

/// Handshakes under way at a time.
const AT_ONCE: usize = 64;
/// What a reader asks for.
pub const HANDSHAKE: &str = "GET /feed HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[derive(Default)]
struct Seen {
    /// Ages of frames, in microseconds.
    ages: RefCell<Vec<u64>>,
    /// Frames that were passed over for newer ones.
    skipped: Cell<u64>,
    lost: Cell<usize>,
    /// Reports so far: between them there may have been no frames.
    reports: Cell<u32>,
}

/// Connects, says so, and answers each line with `FRAMES P50 P99 SKIPPED LOST` since the last.
pub fn run(address: &str, count: &str) -> Result<(), Error> {
    let count: usize = count.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (orders, mut ordered) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if line.is_err() || orders.send(()).is_err() {
                return;
            }
        }
    });
    let seen = Rc::new(Seen::default());
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let (ready, mut readied) = mpsc::unbounded_channel();
        let gate = Rc::new(Semaphore::new(AT_ONCE));
        for _ in 0..count {
            let (address, seen) = (address.to_owned(), Rc::clone(&seen));
            let (ready, gate) = (ready.clone(), Rc::clone(&gate));
            tokio::task::spawn_local(async move {
                if let Err(error) = follow(&address, &seen, &ready, &gate).await {
                    eprintln!("a reader: {error}");
                }
                seen.lost.set(seen.lost.get() + 1);
            });
        }
        for _ in 0..count {
            readied.recv().await.ok_or("no readers")?;
        }
        println!("ready");
        while ordered.recv().await.is_some() {
            let mut ages = seen.ages.take();
            ages.sort_unstable();
            let at = |part: f64| {
                let place = (ages.len() as f64 * part) as usize;
                ages.get(place.min(ages.len().saturating_sub(1)))
                    .copied()
                    .unwrap_or(0)
            };
            let (skipped, lost) = (seen.skipped.take(), seen.lost.get());
            println!("{} {} {} {skipped} {lost}", ages.len(), at(0.5), at(0.99));
            seen.reports.set(seen.reports.get() + 1);
        }
        Ok(())
    })
}

async fn follow(
    address: &str,
    seen: &Seen,
    ready: &mpsc::UnboundedSender<()>,
    gate: &Semaphore,
) -> Result<(), Error> {
    let turn = gate.acquire().await?;
    let stream = TcpStream::connect(address).await?;
    let mut sent = 0;
    while sent < HANDSHAKE.len() {
        stream.writable().await?;
        match stream.try_write(&HANDSHAKE.as_bytes()[sent..]) {
            Ok(more) => sent += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut turn = Some(turn);
    let mut head = Vec::new();
    let mut frame = Frame::default();
    loop {
        stream.readable().await?;
        // One for all: nothing is kept in it between two waits.
        let read = BUFFER.with_borrow_mut(|buffer| -> Result<usize, Error> {
            let read = match stream.try_read(buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(usize::MAX),
                Err(error) => return Err(error.into()),
            };
            let mut data = &buffer[..read];
            if turn.is_some() {
                head.extend_from_slice(data);
                let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
                    return Ok(read);
                };
                if !head.starts_with(b"HTTP/1.1 101") {
                    return Err("no websocket".into());
                }
                turn = None;
                ready.send(())?;
                data = &data[data.len() - (head.len() - end - 4)..];
                frame.feed(data, seen);
                head = Vec::new();
            } else {
                frame.feed(data, seen);
            }
            Ok(read)
        })?;
        if read == 0 {
            return Err("the server has closed".into());
        }
    }
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]);
}

/// What is known of the frame that is coming in.
#[derive(Default)]
struct Frame {
    start: [u8; 32],
    seen: usize,
    /// Length with its head; 0: not yet known.
    total: usize,
    head: usize,
    /// The report under way at the last frame, and when that was made.
    last: Option<(u32, u64)>,
}

impl Frame {
    fn feed(&mut self, mut data: &[u8], seen: &Seen) {
        while !data.is_empty() {
            if self.total == 0 {
                self.start[self.seen] = data[0];
                data = &data[1..];
                self.seen += 1;
                self.measure();
            } else {
                let more = data.len().min(self.total - self.seen);
                if self.seen < self.start.len() {
                    let room = more.min(self.start.len() - self.seen);
                    self.start[self.seen..self.seen + room].copy_from_slice(&data[..room]);
                }
                self.seen += more;
                data = &data[more..];
            }
            if self.total > 0 && self.seen == self.total {
                let last = self.end(seen);
                *self = Self {
                    last,
                    ..Self::default()
                };
            }
        }
    }

    fn measure(&mut self) {
        if self.seen < 2 {
            return;
        }
        self.head = match self.start[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        if self.seen == self.head {
            let length = match self.head {
                2 => usize::from(self.start[1]),
                head => self.start[2..head]
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte)),
            };
            self.total = self.head + length;
        }
    }

    /// Takes down how old the frame is. One that was passed over counts, too: it was made good
    /// only when this newer one was there.
    fn end(&self, seen: &Seen) -> Option<(u32, u64)> {
        // `{"t":123,` is how a frame of ours begins; pings and the like have no age.
        let Some(stamp) = self.start[self.head..].strip_prefix(b"{\"t\":") else {
            return self.last;
        };
        let made = stamp
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0_u64, |all, digit| all * 10 + u64::from(digit - b'0'));
        let (now, every) = (now_us(), EVERY.as_micros() as u64);
        let mut ages = seen.ages.borrow_mut();
        ages.push(now.saturating_sub(made));
        if let Some((report, before)) = self.last
            && report == seen.reports.get()
        {
            let skipped = (made.saturating_sub(before) + every / 2) / every;
            for back in 1..skipped {
                ages.push((now + every * back).saturating_sub(made));
            }
            seen.skipped
                .set(seen.skipped.get() + skipped.saturating_sub(1));
        }
        Some((seen.reports.get(), made))
    }
}
