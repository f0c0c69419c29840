//! Seeded random numbers: the same on every machine and in every version, unlike a library's.

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `limit`, which is at least 1.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let wide = u128::from(self.next()) * limit as u128;
        (wide >> 64) as usize
    }

    /// From 0 to 1, without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// One of a list, each as likely.
    pub(crate) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// One of a list, the first the likeliest and the rest in ever rarer turn, roughly as words
    /// are in a language.
    pub(crate) fn favour<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.favoured(list.len())]
    }

    /// An index below `limit`, low ones the likelier.
    pub(crate) fn favoured(&mut self, limit: usize) -> usize {
        let unit = self.unit();
        ((unit * unit * limit as f64) as usize).min(limit - 1)
    }
}

/// A number that looks random and depends on nothing but `value`.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
