//! A TCP proxy that misbehaves when told to.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What the proxy does to its connections, old and new, until it is told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Each piece comes later.
    Latency(Duration),
    /// One byte a second.
    Trickle,
    /// Connections are reset.
    Reset,
    /// Nothing comes through and nobody is told; at the end of the fault the connection is reset.
    HalfOpen,
    /// Towards the client, so many bytes come through, then the connection ends in good order.
    Cut(usize),
}

impl Fault {
    /// One of each kind.
    pub fn random(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(0..5) {
            0 => Self::Latency(Duration::from_millis(rng.u64(20..400))),
            1 => Self::Trickle,
            2 => Self::Reset,
            3 => Self::HalfOpen,
            _ => Self::Cut(rng.usize(1..5_000)),
        }
    }
}

/// A proxy on a port of its own, gone when dropped.
pub struct Proxy {
    port: u16,
    to: Arc<AtomicU16>,
    faults: watch::Sender<Fault>,
    passed: Arc<Mutex<Vec<u8>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Proxy {
    /// One that is not aimed yet.
    pub fn open() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        listener.set_nonblocking(true).expect("a socket");
        let (faults, fault) = watch::channel(Fault::None);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let to = Arc::new(AtomicU16::new(0));
        let passed = Arc::new(Mutex::new(Vec::new()));
        let (target, log) = (Arc::clone(&to), Arc::clone(&passed));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a socket");
                tokio::select! {
                    () = accept(listener, target, fault, log) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            port,
            to,
            faults,
            passed,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where clients go.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where new connections go to.
    pub fn aim(&self, port: u16) {
        self.to.store(port, Ordering::Relaxed);
    }

    /// Begins another fault, or ends all with [`Fault::None`].
    pub fn set(&self, fault: Fault) {
        self.faults.send_replace(fault);
    }

    /// Everything that was passed on to clients so far, in the order that it was.
    pub fn passed(&self) -> Vec<u8> {
        self.passed.lock().expect("no panic holds it").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: TcpListener,
    to: Arc<AtomicU16>,
    fault: watch::Receiver<Fault>,
    passed: Arc<Mutex<Vec<u8>>>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of descriptors: those in use end in a moment.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let target = SocketAddr::from(([127, 0, 0, 1], to.load(Ordering::Relaxed)));
        let (fault, passed) = (fault.clone(), Arc::clone(&passed));
        tokio::spawn(async move {
            // A target that refuses shows as a connection that ends.
            if let Ok(server) = TcpStream::connect(target).await {
                join(client, server, fault, passed).await;
            }
        });
    }
}

/// How a connection ends before both sides have closed it.
enum Broken {
    /// In good order.
    Closed,
    /// By a reset.
    Reset,
}

async fn join(
    client: TcpStream,
    server: TcpStream,
    fault: watch::Receiver<Fault>,
    passed: Arc<Mutex<Vec<u8>>>,
) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut up = Pump {
        from: from_client,
        to: to_server,
        fault: fault.clone(),
        log: None,
        left: usize::MAX,
    };
    let mut down = Pump {
        from: from_server,
        to: to_client,
        fault,
        log: Some(passed),
        left: usize::MAX,
    };
    let broken = tokio::try_join!(up.run(), down.run());
    if let Err(Broken::Reset) = broken {
        for half in [up.to, down.to] {
            // It may be gone already.
            let _ = half.as_ref().set_zero_linger();
            // Dropped otherwise, it would end its direction in good order first.
            half.forget();
        }
    }
}

/// One direction of a connection.
struct Pump {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    fault: watch::Receiver<Fault>,
    /// Where the direction to the client writes down what passed.
    log: Option<Arc<Mutex<Vec<u8>>>>,
    /// Bytes before a cut.
    left: usize,
}

impl Pump {
    /// Passes everything on, until this side has ended in good order.
    async fn run(&mut self) -> Result<(), Broken> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let fault = *self.fault.borrow_and_update();
            self.left = usize::MAX;
            match fault {
                Fault::Reset => return Err(Broken::Reset),
                Fault::HalfOpen => {
                    let _ = self.fault.changed().await;
                    return Err(Broken::Reset);
                }
                Fault::Cut(bytes) if self.log.is_some() => self.left = bytes,
                _ => {}
            }
            // Within one fault.
            while !self.fault.has_changed().unwrap_or(false) {
                tokio::select! {
                    biased;
                    _ = self.fault.changed() => self.fault.mark_changed(),
                    read = self.from.read(&mut buffer) => match read {
                        Ok(0) => {
                            let _ = self.to.shutdown().await;
                            return Ok(());
                        }
                        Ok(n) => self.pass(fault, &buffer[..n]).await?,
                        Err(_) => return Err(Broken::Reset),
                    },
                }
            }
        }
    }

    async fn pass(&mut self, fault: Fault, piece: &[u8]) -> Result<(), Broken> {
        match fault {
            Fault::Latency(time) => {
                tokio::time::sleep(time).await;
                self.write(piece).await
            }
            Fault::Trickle => self.trickle(piece).await,
            Fault::Cut(_) if piece.len() >= self.left => {
                self.write(&piece[..self.left]).await?;
                Err(Broken::Closed)
            }
            _ => {
                self.left = self.left.saturating_sub(piece.len());
                self.write(piece).await
            }
        }
    }

    /// A byte a second, and what is left at once when the fault is over.
    async fn trickle(&mut self, piece: &[u8]) -> Result<(), Broken> {
        for (at, byte) in piece.iter().enumerate() {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                _ = self.fault.changed() => {
                    self.fault.mark_changed();
                    return self.write(&piece[at..]).await;
                }
            }
            self.write(&[*byte]).await?;
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let written: io::Result<()> = self.to.write_all(bytes).await;
        written.map_err(|_| Broken::Reset)?;
        if let Some(log) = &self.log {
            log.lock()
                .expect("no panic holds it")
                .extend_from_slice(bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read as _, Write as _},
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;

    /// A client and a server with the proxy between.
    fn joined() -> (Proxy, TcpStream, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::open();
        proxy.aim(server.local_addr().unwrap().port());
        let client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let (server, _) = server.accept().unwrap();
        for end in [&client, &server] {
            end.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        }
        (proxy, client, server)
    }

    fn echoed(client: &mut TcpStream, server: &mut TcpStream) {
        server.write_all(b"hello").unwrap();
        let mut hello = [0; 5];
        client.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"hello");
    }

    #[test]
    fn without_a_fault_everything_passes() {
        let (proxy, mut client, mut server) = joined();
        echoed(&mut client, &mut server);
        // It is written down once it was passed on, which the client may see before.
        while proxy.passed() != b"hello" {
            std::thread::yield_now();
        }
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_reset_is_one() {
        let (proxy, mut client, mut server) = joined();
        echoed(&mut client, &mut server);
        proxy.set(Fault::Reset);
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_cut_ends_in_good_order_after_so_many_bytes() {
        let (proxy, mut client, mut server) = joined();
        echoed(&mut client, &mut server);
        proxy.set(Fault::Cut(3));
        server.write_all(b"hello").unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"hel");
    }

    #[test]
    fn half_open_is_silent_until_it_is_over() {
        let (proxy, mut client, mut server) = joined();
        echoed(&mut client, &mut server);
        proxy.set(Fault::HalfOpen);
        server.write_all(b"hello").unwrap();
        client
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        proxy.set(Fault::None);
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn slow_ones_are_slow_and_lose_nothing() {
        let (proxy, mut client, mut server) = joined();
        proxy.set(Fault::Latency(Duration::from_millis(200)));
        let started = Instant::now();
        echoed(&mut client, &mut server);
        assert!(started.elapsed() >= Duration::from_millis(200));
        proxy.set(Fault::Trickle);
        let started = Instant::now();
        server.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 2]).unwrap();
        assert!(started.elapsed() >= Duration::from_secs(2));
        proxy.set(Fault::None);
        client.read_exact(&mut [0; 3]).unwrap();
        assert!(started.elapsed() < Duration::from_secs(4));
    }
}
