//! From comparisons of the answers to one prompt to a score of each.
//!
//! A candidate's score is its *win share*: the points that it made in its comparisons, a win counting 1, a tie 0.5 and
//! a loss 0, over the number of those that were decided (Copeland 1951, with ties half). It is the same whatever the
//! order of candidates and comparisons, and it means something inside one prompt only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::language::Language;

/// Who is compared with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// Everybody with everybody.
    Everybody,
    /// Everybody with the candidate at this place.
    One(usize),
}

/// Two candidates of one prompt, by their places, and what came of showing them in both orders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The first candidate's place.
    pub first: usize,
    /// The second's.
    pub second: usize,
    /// The first one's points, 0 to 1; the second has the rest. None when it was not decided.
    pub points: Option<f64>,
}

/// Returns the pairs of places to compare among `n` candidates: n(n - 1)/2 of them, or n - 1 against one.
pub fn pairings(n: usize, against: Against) -> Vec<(usize, usize)> {
    match against {
        Against::Everybody => (0..n).flat_map(|first| (first + 1..n).map(move |second| (first, second))).collect(),
        Against::One(one) => (0..n).filter(|&other| other != one).map(|other| (other, one)).collect(),
    }
}

/// Returns each candidate's win share, 0 to 1; none where fewer than half of its comparisons were decided, or it had
/// none. A score is never made up.
///
/// Against one candidate, that one has 0.5 as soon as anything was decided: every other share is its answer to "better
/// than this one?", and nobody is better or worse than itself.
pub fn win_shares(n: usize, comparisons: &[Comparison], against: Against) -> Vec<Option<f64>> {
    let mut records = vec![Record::default(); n];
    for comparison in comparisons {
        let sides = [(comparison.first, comparison.points), (comparison.second, comparison.points.map(|p| 1.0 - p))];
        for (place, points) in sides {
            if let Some(record) = records.get_mut(place) {
                record.add(points);
            }
        }
    }
    let share = |(place, record): (usize, &Record)| match against {
        Against::One(one) if one == place => (!record.points.is_empty()).then_some(0.5),
        _ => record.share(),
    };
    records.iter().enumerate().map(share).collect()
}

/// One candidate's comparisons.
#[derive(Clone, Debug, Default)]
struct Record {
    n: usize,
    points: Vec<f64>,
}

impl Record {
    fn add(&mut self, points: Option<f64>) {
        self.n += 1;
        self.points.extend(points);
    }

    fn share(&self) -> Option<f64> {
        let is_enough = !self.points.is_empty() && 2 * self.points.len() >= self.n;
        // Sorted, so that the sum does not depend on the order of the comparisons.
        let mut points = self.points.clone();
        points.sort_by(f64::total_cmp);
        is_enough.then(|| points.iter().sum::<f64>() / points.len() as f64)
    }
}

/// How comparisons came out in one language, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Comparisons of different answers: two, each shown in both orders, or all those to one prompt.
    pub n_comparisons: u64,
    /// Comparisons of equal answers: ties that nobody is asked about.
    pub n_equal: u64,
    /// Those of `n_comparisons` whose orders prefer different answers.
    pub n_flipped: u64,
    /// Those of `n_comparisons` of which at least one order has no verdict.
    pub n_missing: u64,
    /// Those of `n_comparisons` that have a verdict and were shown in one order alone, so that nothing could flip.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_once: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Agreement {
    /// Takes others in.
    pub fn add(&mut self, other: Self) {
        self.n_comparisons += other.n_comparisons;
        self.n_equal += other.n_equal;
        self.n_flipped += other.n_flipped;
        self.n_missing += other.n_missing;
        self.n_once += other.n_once;
    }

    /// Share of the comparisons with verdicts in both orders whose orders prefer different answers; none of none.
    pub fn flip_rate(self) -> Option<f64> {
        let n_decided = self.n_comparisons - self.n_missing - self.n_once;
        (n_decided > 0).then(|| self.n_flipped as f64 / n_decided as f64)
    }

    /// Share of the comparisons without a verdict in both orders; none of none.
    pub fn missing_rate(self) -> Option<f64> {
        (self.n_comparisons > 0).then(|| self.n_missing as f64 / self.n_comparisons as f64)
    }
}

/// How comparisons came out, by language.
pub type Agreements = BTreeMap<Language, Agreement>;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn played(points: &[(usize, usize, f64)]) -> Vec<Comparison> {
        points.iter().map(|&(first, second, p)| Comparison { first, second, points: Some(p) }).collect()
    }

    #[test]
    fn shares_by_hand() {
        // 0 beats 1 and 2, 1 and 2 tie.
        let games = played(&[(0, 1, 1.0), (0, 2, 1.0), (1, 2, 0.5)]);
        assert_eq!(win_shares(3, &games, Against::Everybody), [Some(1.0), Some(0.25), Some(0.25)]);
        // 0 and 2 against 1: better, and not better.
        let games = played(&[(0, 1, 1.0), (2, 1, 0.0)]);
        assert_eq!(win_shares(3, &games, Against::One(1)), [Some(1.0), Some(0.5), Some(0.0)]);
    }

    #[test]
    fn what_is_not_decided_is_no_half() {
        let open = |first, second| Comparison { first, second, points: None };
        let win = Comparison { first: 0, second: 1, points: Some(1.0) };
        assert_eq!(win_shares(2, &[open(0, 1)], Against::Everybody), [None, None]);
        assert_eq!(win_shares(1, &[], Against::Everybody), [None]);
        assert_eq!(win_shares(2, &[open(0, 1)], Against::One(1)), [None, None]);
        // 0 and 1 have one decided comparison of two, 2 has none.
        assert_eq!(win_shares(3, &[win, open(0, 2), open(1, 2)], Against::Everybody), [Some(1.0), Some(0.0), None]);
        // One of three is too few.
        let few = [win, open(0, 2), open(0, 3), open(1, 2), open(1, 3), open(2, 3)];
        assert_eq!(win_shares(4, &few, Against::Everybody), [None; 4]);
    }

    #[test]
    fn rates_are_over_what_they_say() {
        let mut all = Agreement { n_comparisons: 4, n_equal: 2, n_flipped: 1, n_missing: 2, n_once: 0 };
        assert_eq!((all.flip_rate(), all.missing_rate()), (Some(0.5), Some(0.5)));
        all.add(Agreement { n_comparisons: 4, ..Agreement::default() });
        assert_eq!((all.flip_rate(), all.missing_rate()), (Some(1.0 / 6.0), Some(0.25)));
        all.add(Agreement { n_comparisons: 2, n_once: 2, ..Agreement::default() });
        assert_eq!((all.flip_rate(), all.missing_rate()), (Some(1.0 / 6.0), Some(0.2)));
        let none = Agreement { n_equal: 3, ..Agreement::default() };
        assert_eq!((none.flip_rate(), none.missing_rate()), (None, None));
    }

    #[test]
    fn every_pair_stands_once() {
        assert_eq!(pairings(3, Against::Everybody), [(0, 1), (0, 2), (1, 2)]);
        assert_eq!(pairings(3, Against::One(1)), [(0, 1), (2, 1)]);
        assert!(pairings(1, Against::Everybody).is_empty() && pairings(0, Against::One(0)).is_empty());
    }

    proptest! {
        #[test]
        fn decided_shares_sum_to_half_of_the_candidates_in_any_order(points in prop::collection::vec(0u8..=2, 6), by in 0usize..6) {
            let mut games: Vec<Comparison> = pairings(4, Against::Everybody)
                .into_iter()
                .zip(&points)
                .map(|((first, second), &p)| Comparison { first, second, points: Some(f64::from(p) / 2.0) })
                .collect();
            let shares = win_shares(4, &games, Against::Everybody);
            prop_assert!((shares.iter().flatten().sum::<f64>() - 2.0).abs() < 1e-12);
            games.rotate_left(by);
            for game in games.iter_mut().step_by(2) {
                *game = Comparison { first: game.second, second: game.first, points: game.points.map(|p| 1.0 - p) };
            }
            prop_assert_eq!(win_shares(4, &games, Against::Everybody), shares);
        }
    }
}
