//! A server that sends the same posts to each client, one text frame each, and closes.

use std::{io::Write, net::TcpListener, sync::Arc, thread};

use tokio_tungstenite::tungstenite::{
    accept,
    protocol::frame::{
        FrameHeader,
        coding::{Data, OpCode},
    },
};

use crate::Error;

pub struct Server(String);

impl Server {
    /// The thread ends with the process.
    pub fn start(posts: Vec<String>) -> Result<Self, Error> {
        let mut wire = Vec::new();
        for post in posts {
            let header = FrameHeader {
                opcode: OpCode::Data(Data::Text),
                ..FrameHeader::default()
            };
            header.format(post.len() as u64, &mut wire)?;
            wire.extend_from_slice(post.as_bytes());
        }
        let wire = Arc::new(wire);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("ws://{}/subscribe", listener.local_addr()?);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let wire = wire.clone();
                thread::spawn(move || {
                    // A client that leaves early has measured what it wanted.
                    if let Ok(mut socket) = accept(socket) {
                        let _ = socket.get_mut().write_all(&wire);
                        let _ = socket.close(None);
                        while socket.read().is_ok() {}
                    }
                });
            }
        });
        Ok(Self(address))
    }

    pub fn address(&self) -> String {
        self.0.clone()
    }
}
