//! HTTP clients, and why a request failed.

use std::{path::Path, time::Duration};

use plugin_api::StageError;
use reqwest::{Certificate, Client, Url, redirect};

use crate::refusal::printable;

/// A connection that takes longer is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What an HTTP client is made for.
pub struct Setup<'a> {
    /// The server.
    pub base: &'a Url,
    /// Certificates to trust in place of the system's, of the option `ca_file`.
    pub ca_file: Option<&'a Path>,
    /// Name and version of the plugin.
    pub user_agent: &'a str,
}

/// A client that follows no redirect: it would carry credentials that are for another address.
///
/// # Errors
/// If `ca_file` is none.
pub fn client(setup: &Setup<'_>) -> Result<Client, StageError> {
    // This library's own copy of rustls; a second call finds the first one's, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none())
        .user_agent(setup.user_agent);
    if setup.base.host_str().is_some_and(is_loopback) {
        builder = builder.no_proxy();
    }
    if let Some(path) = setup.ca_file {
        let wrong =
            |why: String| StageError::config("/ca_file", format!("{}: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| wrong(e.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("there is no certificate in it".into()));
        }
        builder = builder.tls_certs_only(certificates);
    } else if setup.base.scheme() == "http" {
        // The system's certificates are not needed, and take time and memory to load.
        builder = builder.tls_certs_only([]);
    }
    builder
        .build()
        .map_err(|e| StageError::fatal(format!("no HTTP client: {e}")))
}

/// An error with its causes, which reqwest leaves out. Never shows the request.
pub fn reason(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() {
        text = if error.is_timeout() {
            "it took too long".into()
        } else {
            "the connection failed".into()
        };
    }
    printable(&text)
}

/// Whether a host name means this machine.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_many_names() {
        assert!(is_loopback("localhost") && is_loopback("127.0.0.9") && is_loopback("[::1]"));
        assert!(!is_loopback("0.0.0.0") && !is_loopback("stream.twitter.com"));
    }
}
