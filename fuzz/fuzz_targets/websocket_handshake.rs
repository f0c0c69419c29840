//! What a stranger sends to the live page: an answer in HTTP or an end of the connection, and no
//! panic of the server.
#![no_main]

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::{Arc, OnceLock},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use plugin_websocket::{
    hub::{Bounds, Hub},
    page,
    server::{Server, Setup},
    trust::Trust,
};

fn address() -> SocketAddr {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let setup = Setup {
            assets: page::assets("fuzz"),
            // Requests name this one, whatever the port that was free.
            trust: Trust::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)), &[], false),
            token: None,
            tls: None,
            max_clients: 10,
            max_clients_per_address: None,
            history: 3,
            ping: Duration::from_secs(20),
        };
        let hub = Arc::new(Hub::new(Bounds {
            records: 3,
            bytes: 1000,
            topics: 2,
        }));
        hub.add("{\"a\":1}", Some("a"));
        hub.announce();
        Server::start(any, setup, hub).expect("a free port")
    });
    server.address()
}

const READER: &str = "GET /feed?history=2 HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fuzz_target!(
    init: {
        // A Rust program ignores it from its start; this one is started by libFuzzer.
        let broken_pipe = Arc::default();
        signal_hook::flag::register(signal_hook::consts::SIGPIPE, broken_pipe).expect("a handler");
        // A task's panic would be swallowed by the runtime.
        std::panic::set_hook(Box::new(|panic| {
            eprintln!("{panic}");
            std::process::abort();
        }));
        fuzz::begin_with(&[
            READER.as_bytes().to_vec(),
            [READER.as_bytes(), &[0x81, 0x86, 0, 0, 0, 0], b"alive?"].concat(),
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n".to_vec(),
        ]);
    },
    |data: &[u8]| {
        let mut stream = TcpStream::connect(address()).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        let _ = stream.write_all(data);
        let _ = stream.shutdown(Shutdown::Write);
        let mut start = [0; 9];
        if stream.read_exact(&mut start).is_ok() {
            assert!(start.starts_with(b"HTTP/1."), "{start:?}");
        }
    }
);
