//! Options of the stages that the tests plan.

use std::collections::BTreeMap;

use plugin_api::prelude::*;

options! {
    /// Makes tweets. As many as wanted.
    pub struct Generate {
        /// Tweets a second. Default: as fast as possible.
        #[serde(default)]
        pub rate: Option<f64>,
        /// Start of the random numbers. Default 1.
        #[serde(default = "one")]
        pub seed: u64,
        /// Share of retweets in percent.
        #[serde(default)]
        pub retweets: u8,
    }
}

fn one() -> u64 {
    1
}

options! {
    /// Reads Twitter's stream.
    pub struct Twitter {
        /// Phrases to follow.
        #[serde(default)]
        pub track: Vec<String>,
        /// OAuth 1.0a.
        pub credentials: Credentials,
        /// Longest silence. Default 90 s.
        #[serde(default)]
        pub stall: Option<Span>,
        /// Where to connect.
        #[serde(default)]
        pub endpoint: Option<Endpoint>,
    }
}

options! {
    /// Four parts.
    pub struct Credentials {
        /// Consumer key.
        pub consumer_key: Secret,
        /// Consumer secret.
        pub consumer_secret: Secret,
        /// Proxy in between.
        #[serde(default)]
        pub proxy: Option<String>,
    }
}

options! {
    /// Somewhere.
    #[serde(tag = "kind")]
    pub enum Endpoint {
        /// A well-known one.
        Known {
            /// Its name.
            name: String,
        },
        /// Any other.
        Url {
            /// Its address.
            url: String,
            /// Its port.
            port: u16,
        },
    }
}

options! {
    /// Reads a topic.
    pub struct KafkaSource {
        /// Addresses, or `embedded`.
        pub brokers: String,
        /// The topic.
        pub topic: String,
        /// Consumer group.
        pub group: String,
        /// Format of the payloads.
        #[serde(default)]
        pub format: PayloadFormat,
        /// Avro schema.
        #[serde(default)]
        pub schema: Option<FilePath>,
        /// Properties of librdkafka.
        #[serde(default)]
        pub properties: BTreeMap<String, Scalar>,
    }
}

options! {
    /// How payloads are written.
    #[derive(Default)]
    pub enum PayloadFormat {
        /// JSON.
        #[default]
        Json,
        /// Avro.
        Avro,
        /// PNG.
        Png,
    }
}

options! {
    /// A plain value.
    #[serde(untagged)]
    pub enum Scalar {
        /// Text.
        Text(String),
        /// A number.
        Number(i64),
        /// Yes or no.
        Flag(bool),
    }
}

options! {
    /// Writes a topic.
    pub struct KafkaSink {
        /// Addresses, or `embedded`.
        pub brokers: String,
        /// The topic.
        pub topic: String,
        /// Password for SASL.
        #[serde(default)]
        pub password: Option<Secret>,
        /// Largest batch.
        #[serde(default)]
        pub batch_bytes: Option<ByteSize>,
        /// How payloads are compressed.
        #[serde(default)]
        pub compression: Option<Compression>,
    }
}

options! {
    /// Codecs of Kafka.
    pub enum Compression {
        /// Plain.
        None,
        /// Deflate.
        Gzip,
        /// Zstandard.
        Zstd,
    }
}

options! {
    /// Turns JSON into Avro.
    pub struct AvroEncode {
        /// The schema's file.
        pub schema: FilePath,
    }
}

options! {
    /// Sends records to ports.
    pub struct Route {
        /// What to look for.
        pub contains: String,
    }
}

options! {
    /// Counts words and draws them.
    pub struct Wordcloud {
        /// Words drawn at most. Default 100.
        #[serde(default)]
        #[schemars(range(min = 1, max = 500))]
        pub words: Option<u32>,
    }
}

options! {
    /// Joins two streams.
    pub struct Join {
    }
}

options! {
    /// Prints records.
    pub struct Console {
        /// Write there.
        #[serde(default)]
        pub path: Option<FilePath>,
        /// Colours.
        #[serde(default)]
        pub color: bool,
    }
}

options! {
    /// Panics.
    pub struct Broken {
    }
}
