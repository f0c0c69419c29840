//! Records a second through the sink: `cargo run --release -p plugin-kafka --example throughput`
//! writes a million records of 600 bytes to the embedded broker, or to `KAFKA_BROKERS`.

use std::time::Instant;

use plugin_api::{BatchBuilder, ContentType, testing::Harness};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let brokers = std::env::var("KAFKA_BROKERS").unwrap_or_else(|_| "embedded".into());
    let mut builder = BatchBuilder::new();
    for i in 0..1000u32 {
        let value = [i.to_le_bytes(); 150].concat();
        builder
            .push(Some(&value))
            .header("id", Some(&i.to_le_bytes()));
    }
    let batch = builder.finish();
    for (name, key) in [("none", "none"), ("lz4", "record")] {
        let topic = format!("throughput-{name}-{}", std::process::id());
        let options = json!({
            "brokers": brokers, "topic": topic, "partitions": 1, "compression": name, "key": key,
        });
        let mut sink =
            Harness::<plugin_kafka::ThisPlugin>::sink("kafka", &options, &[ContentType::bytes()])?;
        let began = Instant::now();
        let mut reported = 0;
        for _ in 0..1000 {
            reported += sink.write(&batch)?.consumed_count();
        }
        reported += sink.checkpoint(1, true)?.1.consumed_count();
        let rate = reported as f64 / began.elapsed().as_secs_f64();
        println!(
            "{brokers}, compression {name}: {rate:.0} records/s, {:.0} MB/s",
            rate * 600.0 / 1e6
        );
        sink.close()?;
    }
    Ok(())
}
