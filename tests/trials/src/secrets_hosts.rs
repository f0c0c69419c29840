//! The hosts of the trial `secrets`.

use e2e::kafka::free_ports;

use crate::secrets::canary;

const BY_FILE: &str = r#"{ consumer_key = "file:secret/C_KEY", consumer_secret = "file:secret/C_SECRET", token = "file:secret/C_TOKEN", token_secret = "file:secret/C_TOKEN_SECRET" }"#;
const BY_ENV: &str = r#"{ consumer_key = "env:C_KEY", consumer_secret = "env:C_SECRET", token = "env:C_TOKEN", token_secret = "env:C_TOKEN_SECRET" }"#;

/// Each secret option, by variable and by file, isolated and not; with librdkafka as talkative as
/// it can be, a client that is refused, and brokers that are not there.
pub fn run_toml() -> String {
    let [port] = free_ports();
    let mut text = format!(
        r#"
version = 1
[hosts.serve.sources.tweets]
plugin = "generate"
with.rate = 50
[hosts.serve.sinks.stream]
plugin = "twitter-server"
inputs = ["tweets"]
isolate = true
with = {{ listen = "127.0.0.1:{port}", credentials = {BY_FILE} }}
[hosts.read.sources.env]
plugin = "twitter"
with = {{ url = "http://127.0.0.1:{port}", endpoint = "sample", credentials = {BY_ENV} }}
[hosts.read.sources.file]
plugin = "twitter"
isolate = true
with = {{ url = "http://127.0.0.1:{port}", endpoint = "sample", credentials = {BY_FILE} }}
[hosts.read.sources.refused]
plugin = "twitter"
with = {{ url = "http://127.0.0.1:{port}", endpoint = "sample", credentials = {{ consumer_key = "env:C_KEY", consumer_secret = "env:C_TOKEN", token = "env:C_TOKEN", token_secret = "env:C_KEY" }} }}
[hosts.read.sinks.out]
plugin = "lines"
inputs = ["env", "file", "refused"]
with.path = "out/t.jsonl"
"#
    );
    for (name, isolate, by) in [
        ("env", false, "env:C_TOKEN_SECRET"),
        ("file", true, "file:secret/C_TOKEN_SECRET"),
    ] {
        text.push_str(&format!(
            r#"
[hosts.serve.sinks.page-{name}]
plugin = "websocket"
inputs = ["tweets"]
isolate = {isolate}
with = {{ listen = "127.0.0.1:0", token = "{by}" }}
"#
        ));
    }
    // One server refuses the tokens, and is none of theirs; the other is not there.
    for (name, isolate, by, port) in [
        ("env", false, "env:C_TOKEN", port),
        ("file", true, "file:secret/C_TOKEN", 1),
    ] {
        text.push_str(&format!(
            r#"
[hosts.networks-{name}.sources.mastodon]
plugin = "mastodon"
isolate = {isolate}
with = {{ url = "http://127.0.0.1:{port}", timeline = "public", access_token = "{by}" }}
[hosts.networks-{name}.sources.x]
plugin = "x"
isolate = {isolate}
with = {{ url = "http://127.0.0.1:{port}", track = ["rust"], bearer_token = "{by}" }}
[hosts.networks-{name}.sinks.out]
plugin = "lines"
inputs = ["mastodon", "x"]
with.path = "out/{name}.jsonl"
"#
        ));
    }
    for (name, isolate, by) in [
        ("a", false, "env:C_PASSWORD"),
        ("b", true, "file:secret/C_PASSWORD"),
    ] {
        text.push_str(&format!(
            r#"
[hosts.kafka.sources.from-{name}]
plugin = "kafka"
isolate = {isolate}
with = {{ brokers = "127.0.0.1:1", topic = "t", group = "g", format = "json", properties = {{ debug = "all" }}, security = {{ protocol = "SASL_PLAINTEXT", username = "u", password = "{by}" }} }}
[hosts.kafka.sinks.to-{name}]
plugin = "kafka"
inputs = ["from-{name}"]
isolate = {isolate}
with = {{ brokers = "127.0.0.1:1", topic = "t2", properties = {{ debug = "all" }}, security = {{ protocol = "SASL_PLAINTEXT", username = "u", password = "{by}" }} }}
[hosts.mtls-{name}.sources.from]
plugin = "kafka"
isolate = {isolate}
with = {{ brokers = "127.0.0.1:1", topic = "t", group = "g", format = "json", security = {{ key_file = "key.pem", cert_file = "key.pem", key_password = "{by}" }} }}
[hosts.mtls-{name}.sinks.to]
plugin = "kafka"
inputs = ["from"]
isolate = {isolate}
with = {{ brokers = "127.0.0.1:1", topic = "t2", security = {{ key_file = "key.pem", cert_file = "key.pem", key_password = "{by}" }} }}
"#
        ));
    }
    // One that cannot begin would end the others.
    text.replace(
        "[hosts.mtls-a.sources",
        "[hosts.mtls-a]\nautostart = false\n[hosts.mtls-a.sources",
    )
    .replace(
        "[hosts.mtls-b.sources",
        "[hosts.mtls-b]\nautostart = false\n[hosts.mtls-b.sources",
    )
}

/// Stages that panic and fail with their options in what they say.
pub fn crash_toml() -> String {
    let mut text = "version = 1\nplugin_dirs = [\"plugins.d\"]\n".to_owned();
    for (host, how, isolate) in [
        ("a", "panic", false),
        ("b", "panic", true),
        ("c", "fatal", false),
        ("d", "fatal", true),
    ] {
        let by = if isolate {
            "file:secret/C_TOKEN"
        } else {
            "env:C_TOKEN"
        };
        let with = format!("with = {{ how = \"{how}\", token = \"{by}\" }}");
        text.push_str(&format!(
            "[hosts.{host}.sources.in]\nplugin = \"wrong-source\"\non_crash = \"stop\"\nisolate = {isolate}\n{with}\n\
             [hosts.{host}.sinks.out]\nplugin = \"wrong-sink\"\ninputs = [\"in\"]\n"
        ));
        text.push_str(&format!(
            "[hosts.{host}2.sources.in]\nplugin = \"wrong-source\"\n\
             [hosts.{host}2.sinks.out]\nplugin = \"wrong-sink\"\non_crash = \"stop\"\nisolate = {isolate}\ninputs = [\"in\"]\n{with}\n"
        ));
    }
    text
}

/// Isolated stages whose process ends in each way.
pub fn die_toml() -> String {
    let mut text = "version = 1\nplugin_dirs = [\"plugins.d\"]\n".to_owned();
    for how in ["segfault", "abort", "overflow", "exit", "garbage"] {
        text.push_str(&format!(
            "[hosts.{how}.sources.in]\nplugin = \"fault-count\"\nisolate = true\non_crash = \"stop\"\n\
             with = {{ how = \"{how}\", at = \"555\", token = \"file:secret/C_TOKEN\" }}\n\
             [hosts.{how}.sinks.out]\nplugin = \"fault-discard\"\ninputs = [\"in\"]\n"
        ));
    }
    text
}

/// Secrets where none may stand, under the right key and beside it.
pub fn literal_toml() -> String {
    let c = canary("LITERAL");
    format!(
        r#"
version = 1
[hosts.a.sources.in]
plugin = "twitter"
with = {{ url = "http://127.0.0.1:1", track = [], credentials = {{ consumer_key = "{c}", consumer_secrets = "{c}", token = ["{c}"], token_secret = "env:C_KEY?{c}" }} }}
[hosts.a.sources.topic]
plugin = "kafka"
with = {{ brokers = "127.0.0.1:1", topic = "t", group = "g", format = "json", security = {{ username = "u", pasword = "{c}", key_password = {{ x = "{c}" }} }} }}
[hosts.a.sinks.out]
plugin = "lines"
inputs = ["in", "topic"]
with.path = "out/a"
"#
    )
}
