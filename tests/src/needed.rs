//! What tests name in their list when they need one of the real parts.

use needs::Need;

/// Python with the packages of `requirements.txt`.
#[must_use]
pub fn python() -> Need {
    needs::part("python/bin/python")
}

/// Apache Kafka, to start brokers of one's own.
#[must_use]
pub fn kafka() -> Need {
    needs::part("kafka")
}

/// The brokers that tests share: those of `KAFKA_BROKERS`, or one of this process.
#[must_use]
pub fn shared_kafka() -> Need {
    if std::env::var_os("KAFKA_BROKERS").is_some() {
        Need::nothing()
    } else {
        kafka()
    }
}

/// Debian's compiler.
#[must_use]
pub fn debian_rustc() -> Need {
    needs::part("rustc-web/rustc")
}

/// What a test named in its list and therefore has.
///
/// # Panics
/// If it did not name it.
pub fn given<T>(part: Option<T>) -> T {
    part.expect("the list of tests says that this one needs it")
}
