//! Makes the HTTP client and the signed request.

use live::Setup;
use plugin_api::{Context, StageError};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Url};

use super::config::{self, Endpoint, Options};
use crate::oauth::{self, Param};

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
            client: live::client(&Setup {
                base,
                ca_file: options.ca_file.as_deref(),
                user_agent: concat!("plugin-twitter/", env!("CARGO_PKG_VERSION")),
            })?,
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
