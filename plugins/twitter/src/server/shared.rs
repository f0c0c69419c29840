//! What the stage's thread and the network's share: who is connected, and news of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plugin_api::Context;

use super::auth::Auth;
use super::client::Client;
use super::config::Fault;

pub(crate) struct Shared {
    pub ctx: Context,
    pub auth: Auth,
    pub keep_alive: Duration,
    pub buffer_bytes: usize,
    max_clients: usize,
    clients: Mutex<Clients>,
    /// Something changed that a waiting stage may want to see.
    news: Condvar,
    /// Counts changes of the list, so that the stage need not copy it each time.
    version: AtomicU64,
    faults: Mutex<VecDeque<Fault>>,
    /// The input has ended and streams are to end with it.
    ended: AtomicBool,
}

#[derive(Default)]
struct Clients {
    list: Vec<Arc<Client>>,
    /// Open connections, of clients and of others.
    connections: usize,
}

impl Shared {
    pub fn new(
        ctx: Context,
        auth: Auth,
        keep_alive: Duration,
        buffer_bytes: usize,
        max_clients: usize,
        faults: Vec<Fault>,
    ) -> Self {
        Self {
            ctx,
            auth,
            keep_alive,
            buffer_bytes,
            max_clients,
            clients: Mutex::default(),
            news: Condvar::new(),
            version: AtomicU64::new(1),
            faults: Mutex::new(faults.into()),
            ended: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a client; false if there are too many.
    pub fn add(&self, client: &Arc<Client>) -> bool {
        let mut clients = self.lock();
        if clients.list.len() >= self.max_clients {
            return false;
        }
        clients.list.push(client.clone());
        if self.ended.load(SeqCst) {
            client.close();
        }
        self.changed(clients);
        true
    }

    pub fn remove(&self, client: &Arc<Client>) {
        let mut clients = self.lock();
        clients.list.retain(|other| !Arc::ptr_eq(other, client));
        self.changed(clients);
    }

    fn changed(&self, clients: MutexGuard<'_, Clients>) {
        self.version.fetch_add(1, SeqCst);
        self.ctx
            .gauge("twitter_server_clients", clients.list.len() as f64);
        drop(clients);
        self.news.notify_all();
    }

    /// Brings `list` up to date, if it is not of version `seen`.
    pub fn refresh(&self, seen: &mut u64, list: &mut Vec<Arc<Client>>) {
        if *seen == self.version.load(SeqCst) {
            return;
        }
        let clients = self.lock();
        *seen = self.version.load(SeqCst);
        list.clone_from(&clients.list);
    }

    /// A client's buffer was emptied, or its socket took all.
    pub fn room(&self) {
        // The lock closes the gap between a stage's look and its wait.
        drop(self.lock());
        self.news.notify_all();
    }

    /// Waits for news until `is_there` or the time is over.
    pub fn wait(&self, time: Duration, mut is_there: impl FnMut() -> bool) {
        self.wait_until(time, |_| is_there());
    }

    /// The same for a number of clients.
    pub fn wait_for_clients(&self, time: Duration, wanted: usize) {
        self.wait_until(time, |clients| clients.list.len() >= wanted);
    }

    /// The same for all connections to be closed; false if the time is over before.
    pub fn wait_for_silence(&self, time: Duration) -> bool {
        self.wait_until(time, |clients| clients.connections == 0)
    }

    fn wait_until(&self, time: Duration, mut is_there: impl FnMut(&Clients) -> bool) -> bool {
        let until = Instant::now() + time;
        let mut clients = self.lock();
        while !is_there(&clients) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            clients = self
                .news
                .wait_timeout(clients, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Ends all streams, also of those who come later.
    pub fn close_all(&self) {
        self.ended.store(true, SeqCst);
        for client in &self.lock().list {
            client.close();
        }
    }

    /// A connection opens; false if there are too many.
    pub fn connect(&self) -> bool {
        let mut clients = self.lock();
        let free = clients.connections < self.max_clients * 2 + 16;
        clients.connections += usize::from(free);
        free
    }

    pub fn disconnect(&self) {
        self.lock().connections -= 1;
        self.news.notify_all();
    }

    /// What the next valid request meets.
    pub fn next_fault(&self) -> Fault {
        self.faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
            .unwrap_or(Fault::None)
    }
}
