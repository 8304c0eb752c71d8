//! Weights by feature, laid out for scoring: a feature's weights never lie across two cache lines where one holds them.

use rayon::prelude::*;

/// Numbers that fill a cache line.
const IN_A_LINE: usize = 16;

/// A cache line of weights.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
struct Line([f32; IN_A_LINE]);

/// Rows of weights, one for each feature, by teacher.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows {
    n_teachers: usize,
    n_features: usize,
    lines: Vec<Line>,
}

impl Rows {
    /// Rows for features below `n_features`, all 0.
    pub(super) fn zeros(n_features: usize, n_teachers: usize) -> Self {
        let n_lines = (n_features * stride(n_teachers)).div_ceil(IN_A_LINE);
        Self { n_teachers, n_features, lines: vec![Line([0.0; IN_A_LINE]); n_lines] }
    }

    pub(super) fn n_features(&self) -> usize {
        self.n_features
    }

    pub(super) fn is_empty(&self) -> bool {
        self.n_features == 0
    }

    /// The weights of a feature, by teacher; none beyond the last feature.
    pub(super) fn row(&self, feature: usize) -> Option<impl Iterator<Item = f32> + '_> {
        let at = feature * stride(self.n_teachers);
        let place = move |teacher| ((at + teacher) / IN_A_LINE, (at + teacher) % IN_A_LINE);
        let weight = move |(line, lane): (usize, usize)| self.lines[line].0[lane];
        (feature < self.n_features).then(|| (0..self.n_teachers).map(place).map(weight))
    }

    /// Sets the weights of a feature below the number of features.
    pub(super) fn set(&mut self, feature: usize, weights: impl Iterator<Item = f32>) {
        let at = feature * stride(self.n_teachers);
        for (teacher, weight) in weights.take(self.n_teachers).enumerate() {
            self.lines[(at + teacher) / IN_A_LINE].0[(at + teacher) % IN_A_LINE] = weight;
        }
    }

    /// Adds what the features come to, by teacher; features beyond the last play no part.
    pub(super) fn add_products(&self, features: Features<'_>, scores: &mut [f64]) {
        let arch = pulp::Arch::new();
        match stride(self.n_teachers) {
            4 => arch.dispatch(Products::<4> { rows: self, features, scores }),
            8 => arch.dispatch(Products::<8> { rows: self, features, scores }),
            _ => arch.dispatch(Products::<IN_A_LINE> { rows: self, features, scores }),
        }
    }

    /// Adds to the row of each feature a factor for each teacher, as often as there is of the feature; features beyond
    /// the last play no part.
    pub(super) fn add_outer(&mut self, features: Features<'_>, factors: &[f64]) {
        let arch = pulp::Arch::new();
        match stride(self.n_teachers) {
            4 => arch.dispatch(Outer::<4> { rows: self, features, factors }),
            8 => arch.dispatch(Outer::<8> { rows: self, features, factors }),
            _ => arch.dispatch(Outer::<IN_A_LINE> { rows: self, features, factors }),
        }
    }

    /// Rows of numbers that stand by feature, then teacher.
    pub(super) fn of(numbers: &[f64], n_teachers: usize) -> Self {
        let n = n_teachers.max(1);
        let mut rows = Self::zeros(numbers.len() / n, n_teachers);
        let stride = stride(n_teachers);
        // Rows that fill whole lines, so that no line is written by two threads.
        let parts =
            rows.lines.par_chunks_mut(stride * ROWS_AT_ONCE / IN_A_LINE).zip(numbers.par_chunks(n * ROWS_AT_ONCE));
        parts.for_each(|(lines, numbers)| {
            for (at, own) in (0..).step_by(stride).zip(numbers.chunks_exact(n)) {
                for (block, own) in own.chunks(IN_A_LINE).enumerate() {
                    let line = &mut lines[at / IN_A_LINE + block].0[at % IN_A_LINE..];
                    line.iter_mut().zip(own).for_each(|(to, number)| *to = *number as f32);
                }
            }
        });
        rows
    }

    /// Adds the rows from one feature on to numbers that stand by feature, then teacher.
    pub(super) fn add_to(&self, first: usize, numbers: &mut [f64]) {
        let stride = stride(self.n_teachers);
        let starts = (first * stride..).step_by(stride);
        for (at, own) in starts.zip(numbers.chunks_exact_mut(self.n_teachers.max(1))) {
            for (block, own) in own.chunks_mut(IN_A_LINE).enumerate() {
                let line = &self.lines[at / IN_A_LINE + block].0[at % IN_A_LINE..];
                own.iter_mut().zip(line).for_each(|(to, number)| *to += f64::from(*number));
            }
        }
    }
}

/// Features, and how much there is of each.
pub(super) type Features<'a> = (&'a [u32], &'a [f32]);

/// Rows that are converted together; they fill whole lines whatever the number of teachers.
const ROWS_AT_ONCE: usize = 4_096;

/// Numbers from the beginning of one row to that of the next: a quarter or half of a line, or whole lines.
fn stride(n_teachers: usize) -> usize {
    match n_teachers {
        0..=4 => 4,
        5..=8 => 8,
        _ => n_teachers.next_multiple_of(IN_A_LINE),
    }
}

/// Sums over features in single precision, as many teachers at a time as a row has, or a line.
struct Products<'a, const LANES: usize> {
    rows: &'a Rows,
    features: Features<'a>,
    scores: &'a mut [f64],
}

impl<const LANES: usize> pulp::NullaryFnOnce for Products<'_, LANES> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { rows, features, scores } = self;
        let stride = stride(rows.n_teachers);
        for (block, scores) in scores.chunks_mut(LANES).enumerate() {
            let mut sums = [0f32; LANES];
            for (index, value) in features.0.iter().zip(features.1) {
                let at = *index as usize * stride + block * LANES;
                let Some(line) = rows.lines.get(at / IN_A_LINE) else { continue };
                let weights = &line.0.as_chunks::<LANES>().0[at % IN_A_LINE / LANES];
                for lane in 0..LANES {
                    sums[lane] += value * weights[lane];
                }
            }
            scores.iter_mut().zip(sums).for_each(|(score, sum)| *score += f64::from(sum));
        }
    }
}

/// Adds factors times how much there is of a feature, as many teachers at a time as a row has, or a line.
struct Outer<'a, const LANES: usize> {
    rows: &'a mut Rows,
    features: Features<'a>,
    factors: &'a [f64],
}

impl<const LANES: usize> pulp::NullaryFnOnce for Outer<'_, LANES> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { rows, features, factors } = self;
        let stride = stride(rows.n_teachers);
        for (block, factors) in factors.chunks(LANES).enumerate() {
            let mut own = [0f32; LANES];
            own.iter_mut().zip(factors).for_each(|(own, factor)| *own = *factor as f32);
            for (index, value) in features.0.iter().zip(features.1) {
                let at = *index as usize * stride + block * LANES;
                let Some(line) = rows.lines.get_mut(at / IN_A_LINE) else { continue };
                let row = &mut line.0.as_chunks_mut::<LANES>().0[at % IN_A_LINE / LANES];
                // All are read before any is written: else they are no vector.
                let mut sums = *row;
                for lane in 0..LANES {
                    sums[lane] += value * own[lane];
                }
                *row = sums;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_plain_sum_for_any_number_of_teachers() {
        for n_teachers in [1, 2, 4, 5, 8, 9, 16, 17, 40] {
            let weight = |feature: usize, teacher: usize| (feature * 31 + teacher * 7) as f32 / 8.0 - 3.0;
            let mut rows = Rows::zeros(7, n_teachers);
            (0..7).for_each(|feature| rows.set(feature, (0..n_teachers).map(|teacher| weight(feature, teacher))));
            let features: Features<'_> = (&[3, 0, 6, 700], &[0.5, -2.0, 1.5, 9.0]);
            let mut scores = vec![1.0; n_teachers];
            rows.add_products(features, &mut scores);
            for (teacher, score) in scores.iter().enumerate() {
                let sum: f32 = [(3, 0.5), (0, -2.0), (6, 1.5)].map(|(f, v)| v * weight(f, teacher)).iter().sum();
                assert_eq!(*score, 1.0 + f64::from(sum), "{n_teachers} {teacher}");
            }
            assert!(rows.row(2).unwrap().eq((0..n_teachers).map(|teacher| weight(2, teacher))));
            assert!(rows.row(7).is_none());
        }
    }

    #[test]
    fn outer_products_are_added_row_by_row_for_any_number_of_teachers() {
        for n_teachers in [1, 2, 4, 5, 8, 9, 16, 17, 40] {
            let before: Vec<f64> = (0..7 * n_teachers).map(|at| at as f64 / 4.0 - 3.0).collect();
            let factors: Vec<f64> = (0..n_teachers).map(|teacher| teacher as f64 - 2.5).collect();
            let mut rows = Rows::of(&before, n_teachers);
            rows.add_outer((&[3, 0, 700], &[0.5, -2.0, 9.0]), &factors);
            let mut after = vec![1.0; 6 * n_teachers];
            rows.add_to(1, &mut after);
            for (at, number) in after.iter().enumerate() {
                let (feature, teacher) = (1 + at / n_teachers, at % n_teachers);
                let gained = if feature == 3 { 0.5 * factors[teacher] } else { 0.0 };
                assert_eq!(*number, 1.0 + before[n_teachers + at] + gained, "{n_teachers} {feature} {teacher}");
            }
            let first = rows.row(0).unwrap().zip(before.iter().zip(&factors));
            first.for_each(|(number, (before, factor))| assert_eq!(f64::from(number), before - 2.0 * factor));
        }
    }
}
