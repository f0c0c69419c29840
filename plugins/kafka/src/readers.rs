//! The sources of this process whose offsets a sink puts into its transactions.
//!
//! A group's coordinator takes offsets of a transaction only from whom it knows as the partitions'
//! owner. That is proved by the consumer itself, so a sink has to find it: by an identity that the
//! source's snapshot carries.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};

use crate::source::Client;

/// A number that no other process, and no other use in this one, has come by.
pub(crate) fn unheard_of() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}", RandomState::new().hash_one(n))
}

/// A source that leaves its offsets to a sink.
pub(crate) struct Reader {
    id: String,
    consumer: Weak<Client>,
    /// The last epoch whose offsets a transaction holds.
    sealed: AtomicU64,
}

static READERS: LazyLock<Mutex<HashMap<String, Weak<Reader>>>> = LazyLock::new(Mutex::default);

fn readers() -> MutexGuard<'static, HashMap<String, Weak<Reader>>> {
    READERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reader {
    /// Makes a source known, until it is dropped.
    pub fn enter(consumer: &Arc<Client>) -> Arc<Self> {
        let reader = Arc::new(Self {
            id: unheard_of(),
            consumer: Arc::downgrade(consumer),
            sealed: AtomicU64::new(0),
        });
        readers().insert(reader.id.clone(), Arc::downgrade(&reader));
        reader
    }

    /// The source of this identity, if it is in this process.
    pub fn find(id: &str) -> Option<Arc<Self>> {
        readers().get(id)?.upgrade()
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// What proves that the source is a member of its group now; `None`: it is gone.
    pub fn membership(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.upgrade()?.group_metadata()
    }

    /// A transaction holds the offsets of this epoch.
    pub fn seal(&self, epoch: u64) {
        self.sealed.store(epoch, Ordering::Release);
    }

    pub fn is_sealed(&self, epoch: u64) -> bool {
        self.sealed.load(Ordering::Acquire) == epoch
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        readers().remove(&self.id);
    }
}
