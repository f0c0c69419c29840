//! Makes the HTTP client and the requests.

use live::Setup;
use plugin_api::StageError;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Url};

use crate::config::{self, Options};

const STREAM: &str = "/2/tweets/search/stream";
const RULES: &str = "/2/tweets/search/stream/rules";
/// What a document is made of.
const EXPANSIONS: [&str; 4] = [
    "author_id",
    "in_reply_to_user_id",
    "referenced_tweets.id",
    "referenced_tweets.id.author_id",
];
const TWEET_FIELDS: [&str; 12] = [
    "author_id",
    "conversation_id",
    "created_at",
    "edit_history_tweet_ids",
    "entities",
    "id",
    "in_reply_to_user_id",
    "lang",
    "note_tweet",
    "public_metrics",
    "referenced_tweets",
    "text",
];
const USER_FIELDS: [&str; 7] = [
    "created_at",
    "description",
    "id",
    "location",
    "name",
    "public_metrics",
    "username",
];

/// Everything that stays the same from request to request.
pub(crate) struct Requests {
    client: Client,
    base: Url,
    authorization: HeaderValue,
    encoding: &'static str,
    query: Vec<(&'static str, String)>,
}

impl Requests {
    pub fn new(options: &Options, base: &Url) -> Result<Self, StageError> {
        let bearer = format!("Bearer {}", options.bearer_token.expose().trim());
        let mut authorization = HeaderValue::from_str(&bearer).map_err(|_| {
            let why = "a bearer token has only letters, digits and a few marks";
            StageError::config("/bearer_token", why)
        })?;
        authorization.set_sensitive(true);
        let gzip = options.gzip.unwrap_or(!config::is_local(base));
        Ok(Self {
            client: live::client(&Setup {
                base,
                ca_file: options.ca_file.as_deref(),
                user_agent: concat!("plugin-x/", env!("CARGO_PKG_VERSION")),
            })?,
            base: base.clone(),
            authorization,
            encoding: if gzip { "gzip" } else { "identity" },
            query: query(options),
        })
    }

    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// The stream, from so many minutes ago.
    pub fn stream(&self, backfill_minutes: u64) -> RequestBuilder {
        let mut url = self.url(STREAM, &self.query);
        if backfill_minutes > 0 {
            let minutes = backfill_minutes.to_string();
            url.query_pairs_mut()
                .append_pair("backfill_minutes", &minutes);
        }
        self.request(Method::GET, url)
            .header(ACCEPT_ENCODING, self.encoding)
    }

    /// A page of the account's rules.
    pub fn rules(&self, token: Option<&str>) -> RequestBuilder {
        let page: Vec<_> = token
            .map(|t| ("pagination_token", t.to_owned()))
            .into_iter()
            .collect();
        self.request(Method::GET, self.url(RULES, &page))
    }

    /// A change of them.
    pub fn change_rules(&self, body: Vec<u8>, dry_run: bool) -> RequestBuilder {
        let dry: &[_] = if dry_run {
            &[("dry_run", "true".to_owned())]
        } else {
            &[]
        };
        self.request(Method::POST, self.url(RULES, dry))
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body)
    }

    fn url(&self, path: &str, query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client
            .request(method, url)
            .header(AUTHORIZATION, self.authorization.clone())
    }
}

fn query(options: &Options) -> Vec<(&'static str, String)> {
    let fields = &options.fields;
    let lists: [(&str, &[&str], &[String]); 6] = [
        ("expansions", &EXPANSIONS, &options.expansions),
        ("tweet.fields", &TWEET_FIELDS, &fields.tweet),
        ("user.fields", &USER_FIELDS, &fields.user),
        ("media.fields", &[], &fields.media),
        ("place.fields", &[], &fields.place),
        ("poll.fields", &[], &fields.poll),
    ];
    let joined = lists.into_iter().map(|(name, always, more)| {
        let mut all = always.to_vec();
        for field in more {
            if !all.contains(&field.as_str()) {
                all.push(field);
            }
        }
        (name, all.join(","))
    });
    joined.filter(|(_, list)| !list.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_document_needs_is_asked_for_and_more_on_demand() {
        let options: Options = serde_json::from_value(json!({
            "bearer_token": "t",
            "expansions": ["attachments.media_keys", "author_id"],
            "fields": {"media": ["alt_text"], "tweet": ["lang", "source"]},
        }))
        .unwrap();
        let base = "http://127.0.0.1:1".parse().unwrap();
        let request = Requests::new(&options, &base).unwrap();
        let url = request.stream(3).build().unwrap().url().to_string();
        let expected = "http://127.0.0.1:1/2/tweets/search/stream?expansions=author_id%2C\
            in_reply_to_user_id%2Creferenced_tweets.id%2Creferenced_tweets.id.author_id%2C\
            attachments.media_keys&tweet.fields=author_id%2Cconversation_id%2Ccreated_at%2C\
            edit_history_tweet_ids%2Centities%2Cid%2Cin_reply_to_user_id%2Clang%2Cnote_tweet%2C\
            public_metrics%2Creferenced_tweets%2Ctext%2Csource&user.fields=created_at%2C\
            description%2Cid%2Clocation%2Cname%2Cpublic_metrics%2Cusername&media.fields=alt_text&\
            backfill_minutes=3";
        assert_eq!(url, expected);
    }
}
