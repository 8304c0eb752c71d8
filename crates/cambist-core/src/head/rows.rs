//! Weights by feature, laid out for scoring: a feature's weights never lie across two cache lines where one holds them.

use crate::features::FeatureVector;

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
    pub(super) fn add_products(&self, features: &FeatureVector, scores: &mut [f64]) {
        let arch = pulp::Arch::new();
        match stride(self.n_teachers) {
            4 => arch.dispatch(Products::<4> { rows: self, features, scores }),
            8 => arch.dispatch(Products::<8> { rows: self, features, scores }),
            _ => arch.dispatch(Products::<IN_A_LINE> { rows: self, features, scores }),
        }
    }
}

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
    features: &'a FeatureVector,
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
            for (index, value) in features.iter() {
                let at = index as usize * stride + block * LANES;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_plain_sum_for_any_number_of_teachers() {
        for n_teachers in [1, 2, 4, 5, 8, 9, 16, 17, 40] {
            let weight = |feature: usize, teacher: usize| (feature * 31 + teacher * 7) as f32 / 8.0 - 3.0;
            let mut rows = Rows::zeros(7, n_teachers);
            (0..7).for_each(|feature| rows.set(feature, (0..n_teachers).map(|teacher| weight(feature, teacher))));
            let features = FeatureVector { indices: vec![3, 0, 6, 700], values: vec![0.5, -2.0, 1.5, 9.0] };
            let mut scores = vec![1.0; n_teachers];
            rows.add_products(&features, &mut scores);
            for (teacher, score) in scores.iter().enumerate() {
                let sum: f32 = [(3, 0.5), (0, -2.0), (6, 1.5)].map(|(f, v)| v * weight(f, teacher)).iter().sum();
                assert_eq!(*score, 1.0 + f64::from(sum), "{n_teachers} {teacher}");
            }
            assert!(rows.row(2).unwrap().eq((0..n_teachers).map(|teacher| weight(2, teacher))));
            assert!(rows.row(7).is_none());
        }
    }
}
