//! The stage: records in, to whoever is connected.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use plugin_api::prelude::*;

use crate::config::{HISTORY_BYTES, Options, READER_BYTES, TLS_BYTES, Topics};
use crate::hub::Hub;
use crate::limits;
use crate::page;
use crate::server::{Server, Setup};
use crate::tls;
use crate::trust::{Token, Trust};

/// How often the metrics are brought up to date.
const REPORT_NS: u64 = 1_000_000_000;

/// Longest name of a topic, in bytes.
const LONGEST_TOPIC: usize = 200;

/// The sink `websocket`. A record is consumed when it is among those that readers are served from:
/// with no reader connected too.
pub struct WebSocket {
    ctx: Context,
    hub: Arc<Hub>,
    server: Server,
    max_record: usize,
    reported: [u64; 4],
}

impl Sink for WebSocket {
    const NAME: &'static str = "websocket";
    type Options = Options;

    fn plan(options: &Options, inputs: &[ContentType]) -> Result<Planned, StageError> {
        let address = options.check()?;
        for (position, input) in inputs.iter().enumerate() {
            if !matches!(input.format, Format::Json | Format::Text | Format::Csv) {
                return Err(StageError::config(
                    &format!("/inputs/{position}"),
                    format!("the page shows json, text or csv, and this sends {input}"),
                ));
            }
        }
        let (kept, reader) = (
            match options.topics {
                Topics::None => HISTORY_BYTES,
                Topics::Key => 2 * HISTORY_BYTES,
            } as u64,
            match options.tls {
                None => READER_BYTES,
                Some(_) => READER_BYTES + TLS_BYTES,
            },
        );
        // Twice: as text, and packed for the readers that unpack it.
        let planned = Planned::sink()
            .memory("records kept for readers", 2 * kept)
            .memory("readers", options.max_clients as u64 * reader);
        Ok(match (&options.token, &options.tls) {
            _ if address.ip().is_loopback() => planned,
            (None, _) => planned.warn(format!(
                "the page on {address} is open to whoever reaches it: set `token`, or have a proxy ask"
            )),
            (Some(_), None) => planned.warn(format!(
                "the token crosses the network to {address} unencrypted: set `tls`, or have a proxy do so"
            )),
            (Some(_), Some(_)) => planned,
        })
    }

    fn open(options: Options, ctx: &Context) -> Result<Self, StageError> {
        if ctx.workers() > 1 {
            return Err(StageError::fatal(
                "the page is served from one place: leave `workers` out, or 1",
            ));
        }
        let address = options.check()?;
        let hub = Arc::new(Hub::new(options.bounds()));
        let tls = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        if let Some(warning) = limits::descriptors(options.max_clients) {
            ctx.warn(warning);
        }
        let setup = Setup {
            assets: page::assets(&options.title),
            trust: Trust::new(address, &options.allow_origins, options.token.is_some()),
            token: options
                .token
                .as_ref()
                .map(|token| Token::new(token.expose())),
            tls,
            max_clients: options.max_clients,
            max_clients_per_address: options.max_clients_per_address,
            history: options.history,
            ping: options.ping.duration(),
        };
        let server =
            Server::start(address, setup, Arc::clone(&hub)).map_err(|error| {
                match error.kind() {
                    ErrorKind::AddrInUse => {
                        StageError::unavailable(format!("{address} is in use by another program"))
                            .at("/listen")
                    }
                    _ => StageError::unavailable(format!("cannot listen on {address}: {error}"))
                        .at("/listen"),
                }
            })?;
        ctx.info(format!("page on {scheme}://{}", server.address()));
        Ok(Self {
            ctx: ctx.clone(),
            hub,
            server,
            max_record: options.max_record.bytes(),
            reported: [0; 4],
        })
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        for index in from..input.batch.len() {
            let record = input.batch.record(index);
            match self.check(&record) {
                Ok(text) => self.hub.add(text, topic(&record)),
                Err(why) => out.reject(record.index(), &why),
            }
        }
        self.hub.announce();
        Ok(input.batch.len() - from)
    }

    fn tick(&mut self, now_ns: u64, _: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        self.report(self.hub.clients.load(Ordering::Relaxed));
        Ok(Some(now_ns + REPORT_NS))
    }

    fn close(&mut self) -> Result<(), StageError> {
        self.server.stop();
        // Nobody is left: what hung was cut.
        self.report(0);
        Ok(())
    }
}

impl WebSocket {
    /// Brings the metrics up to date.
    fn report(&mut self, clients: usize) {
        self.ctx.gauge("websocket_clients", clients as f64);
        let counters = [
            ("websocket_sent", &self.hub.sent),
            ("websocket_sent_bytes", &self.hub.bytes),
            ("websocket_skipped", &self.hub.skipped),
            ("websocket_refused", &self.hub.refused),
        ];
        for ((name, counter), reported) in counters.into_iter().zip(&mut self.reported) {
            let count = counter.load(Ordering::Relaxed);
            if count > *reported {
                self.ctx.counter(name, count - *reported);
                *reported = count;
            }
        }
    }

    fn check<'a>(&self, record: &Record<'a>) -> Result<&'a str, Reject> {
        if record.value().is_none() {
            return Err(Reject::new("the value is absent"));
        }
        let text = record.text()?;
        if text.len() > self.max_record {
            return Err(Reject::new(format!(
                "{} bytes, and max_record is {}",
                text.len(),
                self.max_record
            )));
        }
        Ok(text)
    }
}

/// The topic of a record: its key, where that is a name that can be shown.
fn topic<'a>(record: &Record<'a>) -> Option<&'a str> {
    let name = std::str::from_utf8(record.key()?).ok()?;
    (name.len() <= LONGEST_TOPIC).then_some(name)
}
