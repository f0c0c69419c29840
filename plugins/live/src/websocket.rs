//! From a request of HTTP to a websocket, so that TLS, trusted certificates, proxies and refusals
//! are those of any other request.

use reqwest::{
    RequestBuilder, Response, Upgraded,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use crate::{client::reason, keep::End};

/// A handshake of RFC 6455 that the server has yet to answer.
#[derive(Debug)]
pub struct Handshake {
    accept: String,
}

impl Handshake {
    /// Makes a request one to change over.
    pub fn ask(request: RequestBuilder) -> (RequestBuilder, Self) {
        let key = generate_key();
        let request = request
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let accept = derive_accept_key(key.as_bytes());
        (request, Self { accept })
    }

    /// The connection behind an answer of status 101.
    ///
    /// # Errors
    /// If the server did not answer this handshake, or the connection broke.
    pub async fn complete(self, response: Response) -> Result<Upgraded, End> {
        let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accept.is_none_or(|accept| accept.as_bytes() != self.accept.as_bytes()) {
            let why = "it is no websocket server: it answered with another's key, or none";
            return Err(End::Unreachable(why.into()));
        }
        let upgraded = response.upgrade().await;
        upgraded.map_err(|error| End::Unreachable(reason(&error)))
    }
}
