//! Seats of readers: so many in all, and where that is wanted so many of one address, lest one
//! stranger take them all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The seats there are.
#[derive(Debug)]
pub struct Readers {
    seats: Arc<Semaphore>,
    /// Most of them, and most of one address.
    most: usize,
    each: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// The seat of one; dropping it leaves.
#[derive(Debug)]
pub struct Seat {
    readers: Arc<Readers>,
    of: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Readers {
    /// So many seats, all of them free.
    pub fn new(most: usize, each: Option<usize>) -> Self {
        Self {
            seats: Arc::new(Semaphore::new(most)),
            most,
            each: each.unwrap_or(most),
            taken: Mutex::default(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for a reader of this address, if it may have one.
    pub fn seat(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let permit = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        let of = holder(address);
        let mut taken = self.taken();
        let count = taken.entry(of).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Seat {
            readers: Arc::clone(self),
            of,
            _permit: permit,
        })
    }

    /// Whether there is no seat for this address.
    pub fn is_full(&self, address: IpAddr) -> bool {
        let taken = self.taken().get(&holder(address)).copied();
        self.seats.available_permits() == 0 || taken.unwrap_or(0) >= self.each
    }

    /// Waits until nobody has a seat.
    pub async fn empty(&self) {
        let most = u32::try_from(self.most).unwrap_or(u32::MAX);
        // It fails when the semaphore is closed, which this one never is.
        let _ = self.seats.acquire_many(most).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.readers.taken();
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

/// Whom an address belongs to: of IPv6 a household has 2^64.
fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_no_more_than_its_seats_and_gets_them_back() {
        let readers = Arc::new(Readers::new(4, Some(1)));
        let seat = |address: &str| readers.seat(address.parse().unwrap());
        let first = seat("192.0.2.1");
        assert!(first.is_some() && seat("192.0.2.1").is_none());
        assert!(seat("::ffff:192.0.2.1").is_none(), "it is the same");
        let others = [
            seat("192.0.2.2"),
            seat("2001:db8::1"),
            seat("2001:db8:0:1::1"),
        ];
        assert!(others.iter().all(Option::is_some));
        assert!(seat("192.0.2.3").is_none(), "there are four in all");
        drop(first);
        assert!(seat("2001:db8::2").is_none(), "one household");
        assert!(seat("192.0.2.1").is_some());
        drop(others);
        assert!(readers.taken().is_empty());
    }
}
