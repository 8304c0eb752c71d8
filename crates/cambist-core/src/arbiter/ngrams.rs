//! The n-grams of a sequence, counted once for many comparisons.

use std::cmp::Ordering;

/// All n-grams of a sequence up to a longest one, as places where they begin.
///
/// The places are sorted by what begins there, so that cut to any `n` they are sorted too: one list serves all orders,
/// and two lists are compared in one walk.
#[derive(Clone, Debug)]
pub(super) struct Ngrams<T> {
    symbols: Vec<T>,
    starts: Vec<usize>,
}

impl<T: Ord> Ngrams<T> {
    /// Sorts the n-grams of up to `longest` symbols.
    pub(super) fn new(symbols: Vec<T>, longest: usize) -> Self {
        let mut starts: Vec<usize> = (0..symbols.len()).collect();
        let cut = |at: usize| &symbols[at..symbols.len().min(at + longest)];
        starts.sort_unstable_by(|&a, &b| cut(a).cmp(cut(b)));
        Self { symbols, starts }
    }

    /// How many n-grams of order `n` there are, repeated ones counted again; `n` is 1 or more.
    pub(super) fn count(&self, n: usize) -> usize {
        (self.symbols.len() + 1).saturating_sub(n)
    }

    /// How many n-grams of order `n` both have, each counted as often as the one that has it less often.
    pub(super) fn n_shared(&self, other: &Self, n: usize) -> usize {
        let (mut ours, mut theirs) = (self.of_order(n).peekable(), other.of_order(n).peekable());
        let mut n_shared = 0;
        while let (Some(a), Some(b)) = (ours.peek(), theirs.peek()) {
            let order = a.cmp(b);
            n_shared += usize::from(order == Ordering::Equal);
            if order != Ordering::Greater {
                ours.next();
            }
            if order != Ordering::Less {
                theirs.next();
            }
        }
        n_shared
    }

    fn of_order(&self, n: usize) -> impl Iterator<Item = &[T]> {
        self.starts.iter().filter_map(move |&at| self.symbols.get(at..at + n))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn counts(text: &[char], n: usize) -> HashMap<&[char], usize> {
        let mut counts = HashMap::new();
        text.windows(n).for_each(|gram| *counts.entry(gram).or_default() += 1);
        counts
    }

    proptest! {
        #[test]
        fn shared_ngrams_are_those_of_two_tables(a in "[abc]{0,30}", b in "[abc]{0,30}") {
            let [a, b] = [a, b].map(|text| text.chars().collect::<Vec<char>>());
            let (of_a, of_b) = (Ngrams::new(a.clone(), 6), Ngrams::new(b.clone(), 6));
            for n in 1..=6 {
                let table = counts(&b, n);
                let direct: usize =
                    counts(&a, n).into_iter().map(|(gram, times)| times.min(table.get(gram).copied().unwrap_or(0))).sum();
                prop_assert_eq!(of_a.n_shared(&of_b, n), direct);
                prop_assert_eq!(of_a.count(n), a.windows(n).count());
            }
        }
    }
}
