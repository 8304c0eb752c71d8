//! The order in which rows are seen.

use cambist_core::chance::Chance;

/// Row indices without end: one permutation after another, each drawn from the seed and its number.
pub(super) struct Order {
    permutation: Vec<usize>,
    next: usize,
    n_passes: usize,
    seed: u64,
}

impl Order {
    pub(super) fn new(n_rows: usize, seed: u64) -> Self {
        Self { permutation: (0..n_rows).collect(), next: n_rows, n_passes: 0, seed }
    }

    /// Goes on as if `n` indices had been taken.
    pub(super) fn skip(&mut self, n: usize) {
        let n_rows = self.permutation.len();
        if n == 0 || n_rows == 0 {
            return;
        }
        // The last pass that was begun; one that was just finished counts as that.
        self.n_passes += (n - 1) / n_rows;
        self.next = n_rows;
        self.take(n - (n - 1) / n_rows * n_rows).count();
    }

    /// Returns the next `n` indices.
    pub(super) fn take(&mut self, n: usize) -> impl Iterator<Item = usize> {
        let mut taken = Vec::with_capacity(n);
        while taken.len() < n && !self.permutation.is_empty() {
            if self.next == self.permutation.len() {
                self.permutation.sort_unstable();
                Chance::new(self.seed, &["order", &self.n_passes.to_string()]).shuffle(&mut self.permutation);
                (self.next, self.n_passes) = (0, self.n_passes + 1);
            }
            taken.push(self.permutation[self.next]);
            self.next += 1;
        }
        taken.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipping_is_taking_without_looking() {
        for n in [0, 1, 6, 7, 8, 13, 14, 15, 40] {
            let (mut taken, mut skipped) = (Order::new(7, 3), Order::new(7, 3));
            assert_eq!(taken.take(n).count(), n);
            skipped.skip(n);
            assert_eq!(taken.take(20).collect::<Vec<_>>(), skipped.take(20).collect::<Vec<_>>(), "{n}");
        }
    }

    #[test]
    fn each_pass_sees_every_row_once_in_another_order() {
        let mut order = Order::new(50, 3);
        let passes: Vec<Vec<usize>> = (0..2).map(|_| order.take(50).collect()).collect();
        for pass in &passes {
            let mut sorted = pass.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        }
        assert_ne!(passes[0], passes[1]);
    }
}
