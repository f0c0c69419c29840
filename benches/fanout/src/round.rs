//! Rounds of both servers.

use crate::child::Helper;
use crate::{Error, slow};

/// Frames that are measured, and those before them that are not.
const FRAMES: u32 = 16;
const WARMING: u32 = 4;
const STUCK: &str = "20";
const STRANGERS: usize = 100;
const HANDSHAKES: usize = 50;

pub fn all(readers: &str, rounds: &str) -> Result<(), Error> {
    for _ in 0..rounds.parse()? {
        for who in ["peer", "ours"] {
            one(who, readers)?;
        }
    }
    Ok(())
}

fn one(who: &str, readers: &str) -> Result<(), Error> {
    let mut server = Helper::start(&["serve", who])?;
    let address = server.answer()?;
    let count: f64 = readers.parse()?;
    let empty = server.resident()?;
    let mut crowd = Helper::start(&["read", &address, readers])?;
    crowd.answer()?;
    let idle = (server.resident()? - empty) / count;
    println!("{who} KiB/idle reader {idle:.2}");

    let ages = frames(&mut server, &mut crowd)?;
    // What sending leaves behind, too: buffers that have grown stay as they are.
    let kept = (server.resident()? - empty) / count;
    println!("{who} KiB/reader {kept:.2}");
    println!("{who} p50 ms {:.1}", ages.p50);
    println!("{who} p99 ms {:.1}", ages.p99);
    println!("{who} skipped % {:.2}", ages.skipped);
    println!("{who} CPU ms/frame {:.1}", ages.cpu);
    if who != "ours" {
        return Ok(());
    }
    let alone = slow::longest_handshake(&address, HANDSHAKES)?;
    let strangers = slow::strangers(&address, STRANGERS)?;
    let among = slow::longest_handshake(&address, HANDSHAKES)?;
    drop(strangers);
    println!("handshake ms {:.2}", alone.as_secs_f64() * 1e3);
    println!("among {STRANGERS} slow ms {:.2}", among.as_secs_f64() * 1e3);

    let before = server.resident()?;
    let mut held = Helper::start(&["hold", &address, STUCK])?;
    held.answer()?;
    let ages = frames(&mut server, &mut crowd)?;
    println!("p99 beside {STUCK} stuck ms {:.1}", ages.p99);
    // Less than before: it has given back more than they take.
    let taken = (server.resident()? - before).max(0.0);
    println!("MiB for {STUCK} stuck {:.2}", taken / 1024.0);
    Ok(())
}

struct Ages {
    p50: f64,
    p99: f64,
    /// Per cent of the frames.
    skipped: f64,
    /// The server's, in milliseconds a frame.
    cpu: f64,
}

fn frames(server: &mut Helper, crowd: &mut Helper) -> Result<Ages, Error> {
    server.ask(&format!("go {WARMING}"))?;
    crowd.ask("report")?;
    let spent = server.cpu()?;
    server.ask(&format!("go {FRAMES}"))?;
    let told = crowd.ask("report")?;
    let told: Vec<f64> = told.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [seen, p50, p99, skipped, lost] = told[..] else {
        return Err("a report has five numbers".into());
    };
    if lost > 0.0 {
        return Err(format!("{lost} readers were lost").into());
    }
    Ok(Ages {
        p50: p50 / 1e3,
        p99: p99 / 1e3,
        skipped: 100.0 * skipped / seen,
        cpu: (server.cpu()? - spent) / f64::from(FRAMES),
    })
}
