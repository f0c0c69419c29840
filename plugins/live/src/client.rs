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

/// The option `url`: scheme, host and port of a server. What is wrong with it is told without the
/// rest of it, which may hold a secret; those belong into the option `secret`.
///
/// # Errors
/// If it is no such address.
pub fn base_url(text: &str, secret: &str) -> Result<Url, StageError> {
    let wrong = |why: String| StageError::config("/url", why);
    let url = Url::parse(text).map_err(|e| {
        wrong(format!(
            "this is no address: {e}; give scheme, host and port, such as https://example.org"
        ))
    })?;
    let Some(host) = url.host_str() else {
        return Err(wrong("it must begin with https:// (or http://)".into()));
    };
    let shown = format!("`{}://{host}`", url.scheme());
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!(
            "{shown} must begin with https:// (or http://)"
        )));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(format!(
            "credentials do not belong into the url; use the option `{secret}`"
        )));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(format!(
            "{shown} must have nothing behind host and port; secrets go into the option `{secret}`"
        )));
    }
    Ok(url)
}

/// A token goes to another machine only where nobody on the way can read it.
///
/// # Errors
/// If it is sent in the clear.
pub fn keeps_secrets(url: &Url, secret: &str) -> Result<(), StageError> {
    match url.host_str() {
        Some(host) if url.scheme() == "http" && !is_loopback(host) => Err(StageError::config(
            "/url",
            format!("`http://{host}` would show `{secret}` to everybody on the way; use https://"),
        )),
        _ => Ok(()),
    }
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
    fn an_address_is_scheme_host_and_port_and_shows_no_secret() {
        for (text, says) in [
            ("CANARY", "no address"),
            ("https://CANARY:CANARY@host:99999", "no address"),
            ("mailto:CANARY", "must begin with"),
            ("ftp://u:CANARY@host/CANARY", "must begin with"),
            ("wss://host/?token=CANARY", "must begin with"),
            ("https://u:CANARY@host", "use the option `token`"),
            ("https://CANARY@host", "use the option `token`"),
            ("https://host/CANARY", "nothing behind"),
            ("https://host?token=CANARY", "nothing behind"),
            ("https://host#CANARY", "nothing behind"),
        ] {
            let error = base_url(text, "token").unwrap_err();
            assert_eq!(error.pointer, "/url");
            assert!(error.message.contains(says), "{text}: {error}");
            assert!(!error.message.contains("CANARY"), "{error}");
        }
        let sealed = |text| keeps_secrets(&base_url(text, "token").unwrap(), "token").is_ok();
        assert!(sealed("https://example.org") && sealed("http://localhost:8080"));
        assert!(!sealed("http://example.org"));
    }

    #[test]
    fn this_machine_has_many_names() {
        assert!(is_loopback("localhost") && is_loopback("127.0.0.9") && is_loopback("[::1]"));
        assert!(!is_loopback("0.0.0.0") && !is_loopback("stream.twitter.com"));
    }
}
