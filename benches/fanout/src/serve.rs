//! The servers: ours, and what one writes first with tungstenite. On the order `go N` both send N
//! frames, each with the time at which it was made.

use std::io::BufRead;
use std::thread::sleep;
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use plugin_api::ContentType;
use plugin_api::testing::{Harness, batch_of};
use plugin_websocket::ThisPlugin;
use serde_json::json;
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Message;

use crate::{EVERY, Error, now_us};

pub fn run(who: &str) -> Result<(), Error> {
    match who {
        "ours" => ours(),
        "peer" => peer(),
        _ => Err("serve ours, or peer".into()),
    }
}

fn ours() -> Result<(), Error> {
    let options = json!({"listen": "127.0.0.1:0", "max_clients": 50_000});
    let open = Harness::<ThisPlugin>::sink("websocket", &options, &[ContentType::json()]);
    let mut stage = open.map_err(|error| error.message)?;
    let lines = stage.host().log_lines();
    let address = lines
        .iter()
        .find_map(|line| line.message.strip_prefix("page on http://"))
        .ok_or("no address")?;
    obey(address, |frame| {
        stage
            .write(&batch_of([frame]))
            .map_err(|error| error.message)?;
        Ok(())
    })
}

/// A task for each reader, and a channel that all of them listen to; every setting is the default.
fn peer() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let (frames, _) = broadcast::channel::<Message>(16);
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?.to_string();
    let source = frames.clone();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut frames = source.subscribe();
            tokio::spawn(async move {
                let Ok(socket) = tokio_tungstenite::accept_async(stream).await else {
                    return;
                };
                let (mut out, mut back) = socket.split();
                loop {
                    tokio::select! {
                        frame = frames.recv() => match frame {
                            Ok(frame) => if out.send(frame).await.is_err() { return },
                            Err(broadcast::error::RecvError::Lagged(_)) => {}
                            Err(broadcast::error::RecvError::Closed) => return,
                        },
                        said = back.next() => if !matches!(said, Some(Ok(_))) { return },
                    }
                }
            });
        }
    });
    obey(&address, |frame| {
        // Nobody listens: then nobody misses it.
        let _ = frames.send(Message::text(frame));
        Ok(())
    })
}

fn obey(address: &str, mut send: impl FnMut(String) -> Result<(), Error>) -> Result<(), Error> {
    println!("{address}");
    let words = words();
    for order in std::io::stdin().lock().lines() {
        let order = order?;
        let count: u32 = order.strip_prefix("go ").ok_or("go N")?.parse()?;
        let begun = Instant::now();
        for number in 0..count {
            sleep((EVERY * number).saturating_sub(begun.elapsed()));
            send(format!("{{\"t\":{},{words}", now_us()))?;
        }
        sleep((EVERY * count).saturating_sub(begun.elapsed()));
        println!("done");
    }
    Ok(())
}

/// The rest of a frame of 200 words, as long as a real one.
fn words() -> String {
    let words: Vec<_> = (0..200_u32)
        .map(|rank| {
            json!({"text": format!("word{rank:04}"), "count": 1000 / (rank + 1), "x": f64::from(rank) + 640.0,
                   "y": f64::from(rank) + 360.5, "size": 17.25, "width": 80.5, "rotate": 0, "color": rank % 8})
        })
        .collect();
    let frame =
        json!({"type": "wordcloud", "width": 1280, "height": 720, "words": words}).to_string();
    frame[1..].to_owned()
}
