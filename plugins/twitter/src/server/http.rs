//! One request: who asks, for what, and what the answer is.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::time::{Sleep, sleep};
use track::{Filter, FilterError, Predicate};

use super::client::{Client, StreamBody};
use super::config::Fault;
use super::connection::Connection;
use super::shared::Shared;
use crate::oauth::Param;

/// The longest form: 5,000 users to follow are 100 kB.
const FORM_BYTES: usize = 256 << 10;
/// How long a form may take.
const FORM_TIME: Duration = Duration::from_secs(10);

/// The body of any answer.
pub(crate) enum Answer {
    Whole(Option<Bytes>),
    Stream(Box<StreamBody>),
    /// These bytes, then silence, or, where there is a time, a broken connection.
    Faulty(Option<Bytes>, Option<Pin<Box<Sleep>>>),
}

/// How long the bytes before a break have, to be sent.
const BREAK_TIME: Duration = Duration::from_millis(50);

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => stream.poll(task).map(|frame| frame.map(Ok)),
            Self::Faulty(bytes, breaks) => match (bytes.take(), breaks) {
                (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                (None, Some(time)) => time
                    .as_mut()
                    .poll(task)
                    .map(|()| Some(Err(io::Error::other("a fault that was asked for")))),
                (None, None) => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }
}

/// Answers a request.
pub(crate) async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
) -> Result<Response<Answer>, Infallible> {
    let reply = serve(request, &shared, &connection).await;
    Ok(reply.unwrap_or_else(Refused::response))
}

/// An answer that is no stream.
struct Refused {
    status: StatusCode,
    is_json: bool,
    body: String,
}

impl Refused {
    fn response(self) -> Response<Answer> {
        let mut response = Response::new(Answer::Whole(Some((self.body + "\r\n").into())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        // An idle connection would only be in the way of the server's end.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if self.is_json {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        response
    }
}

type Reply = Result<Response<Answer>, Refused>;

async fn serve(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
) -> Reply {
    let (head, body) = request.into_parts();
    let is_filter = match head.uri.path() {
        "/1.1/statuses/filter.json" => true,
        "/1.1/statuses/sample.json" => false,
        _ => {
            return Err(error(
                StatusCode::NOT_FOUND,
                34,
                "Sorry, that page does not exist.",
            ));
        }
    };
    if !matches!(head.method, Method::GET | Method::POST) {
        return Err(plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "Use GET or POST.".into(),
        ));
    }
    let mut params = pairs(head.uri.query().unwrap_or_default().as_bytes());
    params.extend(pairs(&form(&head.headers, body).await?));

    let host = text(&head.headers, HOST.as_str()).unwrap_or_default();
    let uri = format!(
        "{}://{}{}",
        connection.scheme,
        without_default_port(&host.to_ascii_lowercase(), connection.scheme),
        head.uri.path()
    );
    let now_s = u64::try_from(shared.ctx.now_us() / 1_000_000).unwrap_or(0);
    let header = text(&head.headers, AUTHORIZATION.as_str());
    if let Err(denied) = shared
        .auth
        .check(header, head.method.as_str(), &uri, &params, now_s)
    {
        shared.ctx.counter("twitter_server_denied", 1);
        return Err(error(StatusCode::UNAUTHORIZED, denied.code, denied.message));
    }
    let find = |name: &str| {
        params
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    };
    let filter = if is_filter {
        let filter = Filter::from_params(find("track"), find("follow"), find("locations"));
        Some(filter.map_err(|e| wrong_filter(&e))?)
    } else {
        None
    };
    let client = Client::new(
        filter,
        find("delimited") == Some("length"),
        shared.buffer_bytes,
    );
    let gzip = text(&head.headers, ACCEPT_ENCODING.as_str()).is_some_and(accepts_gzip);
    stream(Arc::new(client), gzip, shared, connection)
}

fn stream(
    client: Arc<Client>,
    gzip: bool,
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
) -> Reply {
    match shared.next_fault() {
        Fault::None => {}
        Fault::Stall => {
            return Ok(streaming(
                Answer::Faulty(Some(Bytes::from_static(b"\r\n")), None),
                false,
            ));
        }
        Fault::Cut => {
            let time = Box::pin(sleep(BREAK_TIME));
            return Ok(streaming(
                Answer::Faulty(Some(cut(&client)), Some(time)),
                false,
            ));
        }
        Fault::Unauthorized => {
            return Err(error(
                StatusCode::UNAUTHORIZED,
                32,
                "Could not authenticate you.",
            ));
        }
        Fault::CalmDown => return Err(calm_down("Enhance Your Calm")),
        Fault::TooMany => {
            return Err(error(
                StatusCode::TOO_MANY_REQUESTS,
                88,
                "Rate limit exceeded",
            ));
        }
        Fault::Overloaded => {
            return Err(plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "Service Unavailable".into(),
            ));
        }
        Fault::WrongLength => {
            let warning =
                br#"{"warning":{"code":"TEST","message":"the length before this is wrong"}}"#;
            if client.is_delimited() {
                client.send_raw(format!("{}\r\n", warning.len() - 5).as_bytes());
            }
            client.send_raw(warning);
            client.send_raw(b"\r\n");
        }
        Fault::Garbage => client.send_raw(b"<html>\x00\xff this is no JSON</html>\r\n"),
    }
    // The body takes the client off the list when it is dropped, so it comes first.
    let body = StreamBody::new(client.clone(), shared.clone(), gzip);
    if !shared.add(&client) {
        return Err(calm_down("Exceeded connection limit for user"));
    }
    connection.serves(&client);
    shared.ctx.debug("twitter-server: a client connected");
    Ok(streaming(Answer::Stream(Box::new(body)), gzip))
}

/// Half a message, framed as this client asked.
fn cut(client: &Client) -> Bytes {
    let half = r#"{"created_at":"Fri Jan 01 17:29:00 +0000 2021","id":1345059463120621570,"text":"cut in mid-li"#;
    let length = if client.is_delimited() { "400\r\n" } else { "" };
    format!("{length}{half}").into()
}

fn streaming(answer: Answer, gzip: bool) -> Response<Answer> {
    let mut response = Response::new(answer);
    let headers = response.headers_mut();
    let value = HeaderValue::from_static;
    headers.insert(CONTENT_TYPE, value("application/json"));
    headers.insert(CONNECTION, value("close"));
    if gzip {
        headers.insert(CONTENT_ENCODING, value("gzip"));
    }
    response
}

/// Reads the form of a request, within bounds.
async fn form(headers: &HeaderMap, body: Incoming) -> Result<Bytes, Refused> {
    let is_form = text(headers, CONTENT_TYPE.as_str()).is_some_and(|kind| {
        kind.trim_start()
            .starts_with("application/x-www-form-urlencoded")
    });
    let reading = Limited::new(body, FORM_BYTES).collect();
    match tokio::time::timeout(FORM_TIME, reading).await {
        Ok(Ok(body)) if is_form => Ok(body.to_bytes()),
        Ok(Ok(_)) => Ok(Bytes::new()),
        Ok(Err(_)) => Err(plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The form is longer than {FORM_BYTES} bytes."),
        )),
        Err(_) => Err(plain(
            StatusCode::REQUEST_TIMEOUT,
            "The form took too long.".into(),
        )),
    }
}

fn pairs(encoded: &[u8]) -> Vec<Param> {
    form_urlencoded::parse(encoded).into_owned().collect()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn without_default_port<'a>(host: &'a str, scheme: &str) -> &'a str {
    let default = if scheme == "https" { ":443" } else { ":80" };
    host.strip_suffix(default).unwrap_or(host)
}

fn accepts_gzip(header: &str) -> bool {
    header.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts.any(|weight| {
            weight
                .strip_prefix("q=")
                .is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        is_gzip && !refused
    })
}

fn wrong_filter(wrong: &FilterError) -> Refused {
    let status = if wrong.too_large {
        StatusCode::PAYLOAD_TOO_LARGE
    } else {
        StatusCode::NOT_ACCEPTABLE
    };
    let name = match wrong.predicate {
        Predicate::Track => "Parameter: track. ",
        Predicate::Follow => "Parameter: follow. ",
        Predicate::Locations => "Parameter: locations. ",
        Predicate::Missing => "No filter parameters found. ",
    };
    plain(status, format!("{name}{wrong}"))
}

fn calm_down(message: &str) -> Refused {
    let status = StatusCode::from_u16(420).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    plain(status, message.into())
}

fn plain(status: StatusCode, body: String) -> Refused {
    Refused {
        status,
        is_json: false,
        body,
    }
}

fn error(status: StatusCode, code: u32, message: &str) -> Refused {
    Refused {
        status,
        is_json: true,
        body: serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_for_those_who_take_it() {
        for yes in ["gzip", "gzip, deflate", "deflate, GZIP;q=0.5"] {
            assert!(accepts_gzip(yes), "{yes}");
        }
        for no in ["", "identity", "gzip;q=0", "xgzip"] {
            assert!(!accepts_gzip(no), "{no}");
        }
    }

    #[test]
    fn the_default_port_is_not_signed() {
        assert_eq!(without_default_port("a:443", "https"), "a");
        assert_eq!(without_default_port("a:443", "http"), "a:443");
        assert_eq!(without_default_port("a", "http"), "a");
    }
}
