//! Makes the HTTP client and the signed request.

use std::time::Duration;

use plugin_api::{Context, StageError};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Certificate, Client, RequestBuilder, Url, redirect};

use super::config::{self, Endpoint, Options};
use super::refusal::printable;
use crate::oauth::{self, Param};

/// A connection that takes longer is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything that stays the same from attempt to attempt.
pub(crate) struct Requests {
    client: Client,
    options: Options,
    endpoint: Url,
    params: Vec<Param>,
}

impl Requests {
    pub fn new(options: Options, base: &Url) -> Result<Self, StageError> {
        let path = match options.endpoint {
            Endpoint::Filter => "/1.1/statuses/filter.json",
            Endpoint::Sample => "/1.1/statuses/sample.json",
        };
        let mut endpoint = base.clone();
        endpoint.set_path(path);
        Ok(Self {
            client: client(&options, base)?,
            params: config::params(&options),
            options,
            endpoint,
        })
    }

    pub fn host(&self) -> &str {
        self.endpoint.host_str().unwrap_or_default()
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// A request that is signed anew, for now.
    pub fn sign(&self, ctx: &Context) -> RequestBuilder {
        let seconds = u64::try_from(ctx.now_us() / 1_000_000).unwrap_or(0);
        let method = match self.options.endpoint {
            Endpoint::Filter => "POST",
            Endpoint::Sample => "GET",
        };
        let authorization = oauth::authorize(
            &self.options.credentials,
            method,
            self.endpoint.as_str(),
            &self.params,
            seconds,
            None,
        );
        let form = oauth::form(&self.params);
        let request = match self.options.endpoint {
            Endpoint::Filter => self
                .client
                .post(self.endpoint.clone())
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form),
            Endpoint::Sample => {
                let mut url = self.endpoint.clone();
                url.set_query(Some(&form));
                self.client.get(url)
            }
        };
        let is_local = config::is_local(&self.endpoint);
        let encoding = if self.options.gzip.unwrap_or(!is_local) {
            "gzip"
        } else {
            "identity"
        };
        request
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT_ENCODING, encoding)
    }
}

fn client(options: &Options, base: &Url) -> Result<Client, StageError> {
    // This library's own copy of rustls; a second call finds the first one's, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirect would carry a signature that is for another address.
        .redirect(redirect::Policy::none())
        .user_agent(concat!("plugin-twitter/", env!("CARGO_PKG_VERSION")));
    if config::is_local(base) {
        builder = builder.no_proxy();
    }
    if let Some(path) = &options.ca_file {
        let wrong =
            |why: String| StageError::config("/ca_file", format!("{}: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| wrong(e.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("there is no certificate in it".into()));
        }
        builder = builder.tls_certs_only(certificates);
    } else if base.scheme() == "http" {
        // The system's certificates are not needed, and take time and memory to load.
        builder = builder.tls_certs_only([]);
    }
    builder
        .build()
        .map_err(|e| StageError::fatal(format!("no HTTP client: {e}")))
}

/// An error with its causes, which reqwest leaves out. Never shows the request.
pub(crate) fn reason(error: &reqwest::Error) -> String {
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
