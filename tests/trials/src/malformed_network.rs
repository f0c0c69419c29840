//! Malformed bytes from the network.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use e2e::{host::PATIENCE, kafka::free_ports, summary::Summary};

use crate::{
    frame::Run,
    malformed::{CREDENTIALS, MESSAGES, Malformed, SOON, letters, start, well},
    mutate::mutated,
};

/// A server that sends malformed tweets and closes in good order.
pub fn twitter(malformed: &Malformed, run: &mut Run) -> Result<(), String> {
    let corpus: Vec<_> = malformed.tweets.lines().lines().collect();
    let mut body = Vec::new();
    for _ in 0..MESSAGES {
        body.extend(mutated(&corpus, &mut run.rng));
        body.extend_from_slice(b"\r\n");
    }
    let pieces = pieces(&body);
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    let server = thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes())?;
        stream.write_all(&body)
    });
    let hosts = format!(
        r#"
version = 1
[hosts.m.sources.in]
plugin = "twitter"
with = {{ url = "http://127.0.0.1:{port}", endpoint = "sample", on_close = "finish", credentials = {CREDENTIALS} }}
[hosts.m.sinks.out]
plugin = "lines"
inputs = ["in"]
with.path = "out/a.jsonl"
"#
    );
    let ran = well(start(&run.folder, &hosts).finish(PATIENCE))?;
    let served = server.join().map_err(|_| "the server panicked")?;
    served.map_err(|e| format!("the server: {e}"))?;
    let summary = Summary::read(&ran.stdout);
    let received = summary.stage("m/in").received;
    if received != pieces {
        return Err(format!(
            "{pieces} messages were sent, {received} were received"
        ));
    }
    letters(&run.folder, &summary)
}

/// Messages as the protocol tells them apart: by CR LF, empty ones are none.
fn pieces(body: &[u8]) -> u64 {
    let mut count = 0;
    let mut from = 0;
    for end in memchr::memmem::find_iter(body, b"\r\n") {
        count += u64::from(end > from);
        from = end + 2;
    }
    count
}

/// Strangers that do not speak HTTP; each is answered or let go of, and a reader is served still.
pub fn websocket(_: &Malformed, run: &mut Run) -> Result<(), String> {
    let [port] = free_ports();
    let hosts = format!(
        r#"
version = 1
plugin_dirs = ["plugins.d"]
[hosts.m.sources.in]
plugin = "generate"
with.rate = 5
[hosts.m.sinks.page]
plugin = "websocket"
inputs = ["in"]
with.listen = "127.0.0.1:{port}"
"#
    );
    let mut host = start(&run.folder, &hosts);
    host.wait_for("address", SOON, |_, line| {
        line.contains(&format!("127.0.0.1:{port}")).then_some(())
    });
    let good = format!(
        "GET /feed?history=2 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://127.0.0.1:{port}\r\n\r\n"
    );
    let page = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: a=b\r\n\r\n");
    // A frame from a reader: masked, of one byte.
    let with_frame = [good.as_bytes(), &[0x81, 0x81, 1, 2, 3, 4, b'a' ^ 1]].concat();
    let corpus = [good.clone().into_bytes(), page.into_bytes(), with_frame];
    for number in 0..MESSAGES {
        let message = mutated(&corpus, &mut run.rng);
        exchange(port, &message, false).map_err(|why| {
            let shown = String::from_utf8_lossy(&message[..message.len().min(600)]).into_owned();
            format!("handshake {number}, {shown:?}: {why}")
        })?;
    }
    let answer = exchange(port, good.as_bytes(), true)?;
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        let answer = String::from_utf8_lossy(&answer).into_owned();
        return Err(format!(
            "after them a good handshake is answered with {answer}"
        ));
    }
    host.signal("INT");
    let ran = host.finish(PATIENCE);
    if ran.code != Some(130) || ran.stderr.contains("panicked") {
        return Err(format!("exit code {:?}: {}", ran.code, ran.stderr));
    }
    Ok(())
}

/// Sends everything, then nothing more: the answer until the server closes or speaks as a feed.
/// `stays`: the one who asks stays to hear the rest, and the head of the answer is enough.
fn exchange(port: u16, message: &[u8], stays: bool) -> Result<Vec<u8>, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
    stream
        .set_read_timeout(Some(SOON))
        .map_err(|e| e.to_string())?;
    // A server may have answered and closed before it has read all.
    let _ = stream.write_all(message);
    if !stays {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !stays || memchr::memmem::find(&answer, b"\r\n\r\n").is_none() {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(e) => return Err(format!("neither an answer nor an end: {e}")),
        }
    }
    // A request made to say HTTP/1.0 is answered in that version.
    if answer.is_empty() || answer.starts_with(b"HTTP/1.1 ") || answer.starts_with(b"HTTP/1.0 ") {
        Ok(answer)
    } else {
        Err(format!("no HTTP: {:?}", String::from_utf8_lossy(&answer)))
    }
}
