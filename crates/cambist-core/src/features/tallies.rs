//! How often each hash occurs, in the order in which they first came.

use super::hashed::weight;

/// Places of numbers in an open hash table that is used again and again.
#[derive(Default)]
struct Slots {
    /// The number and its place plus one; a place of 0 is empty.
    slots: Vec<(u32, u32)>,
    mask: usize,
}

impl Slots {
    /// Empties the table and makes it large enough for `n` numbers.
    fn clear_for(&mut self, n: usize) {
        let n_slots = (2 * n).next_power_of_two().max(2);
        if self.slots.len() < n_slots {
            self.slots.resize(n_slots, (0, 0));
        }
        self.slots[..n_slots].fill((0, 0));
        self.mask = n_slots - 1;
    }

    /// Returns the place of a number that is there; else puts it at `next`.
    #[inline(always)]
    fn place(&mut self, number: u32, next: u32) -> Option<u32> {
        let slots = &mut self.slots[..=self.mask];
        let mut slot = number as usize & self.mask;
        loop {
            match slots[slot] {
                (_, 0) => {
                    slots[slot] = (number, next + 1);
                    return None;
                }
                (known, place) if known == number => return Some(place - 1),
                _ => slot = (slot + 1) & self.mask,
            }
        }
    }
}

/// How often each hash occurs.
#[derive(Default)]
pub(super) struct Tallies {
    slots: Slots,
    /// Hashes with how often each came, in the order in which they first did.
    pub(super) counted: Vec<(u32, u32)>,
}

impl Tallies {
    pub(super) fn clear_for(&mut self, n: usize) {
        self.slots.clear_for(n);
        self.counted.clear();
    }

    #[inline(always)]
    pub(super) fn add(&mut self, hash: u32) {
        match self.slots.place(hash, self.counted.len() as u32) {
            Some(place) => self.counted[place as usize].1 += 1,
            None => self.counted.push((hash, 1)),
        }
    }

    /// The length of the vector of weights.
    pub(super) fn length(&self) -> f32 {
        let square = |n: u32| if n == 1 { 1.0 } else { weight(n).powi(2) };
        self.counted.iter().map(|(_, n)| square(*n)).sum::<f32>().sqrt()
    }
}
