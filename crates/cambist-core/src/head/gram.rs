//! Few lessons, many features: the same head in as many dimensions as there are lessons.
//!
//! The best weights are a sum of the learned lessons' features (Kimeldorf and Wahba 1971), so any coordinates in which
//! lessons have the same inner products give the same scores and the same penalty. Those of Cholesky's factor are as
//! few as the lessons that are learned from, and lead back to weights of features.

use rayon::prelude::*;

use super::{
    design::{Design, Scorer, Slope, shared_features},
    lesson::Lesson,
    rows::Rows,
};

/// With more lessons than this, their inner products take longer than their features.
pub(super) const MAX_FOR_GRAM: usize = 2_000;

/// A pivot below this share of the lesson's own square is nothing but rounding.
const SMALLEST_PIVOT: f64 = 1e-9;

/// Inner products of the features of lessons.
pub(super) struct Gram {
    n: usize,
    /// How many features there can be.
    width: usize,
    /// The features of each lesson that count.
    features: Vec<Vec<(u32, f32)>>,
    /// `[lesson, lesson]`; the upper triangle is left at 0.
    products: Vec<f64>,
}

impl Gram {
    /// Of lessons with features below `width`; features that a single source has are left out.
    pub(super) fn of(lessons: &[&Lesson], width: usize) -> Self {
        let n = lessons.len();
        let mut is_shared = vec![false; width];
        shared_features(lessons, width).into_iter().for_each(|(index, _)| is_shared[index as usize] = true);
        let kept = |lesson: &&Lesson| lesson.features.iter().filter(|(at, _)| is_shared[*at as usize]).collect();
        let features: Vec<Vec<(u32, f32)>> = lessons.iter().map(kept).collect();
        let mut products = vec![0.0; n * n];
        let dense = || vec![0f32; width];
        products.par_chunks_mut(n.max(1)).enumerate().for_each_init(dense, |dense, (at, row)| {
            features[at].iter().for_each(|(index, value)| dense[*index as usize] = *value);
            for (product, other) in row[..=at].iter_mut().zip(&features) {
                let terms = other.iter().map(|(index, value)| f64::from(*value) * f64::from(dense[*index as usize]));
                *product = terms.sum();
            }
            features[at].iter().for_each(|(index, _)| dense[*index as usize] = 0.0);
        });
        Self { n, width, features, products }
    }

    fn product(&self, a: usize, b: usize) -> f64 {
        self.products[a.max(b) * self.n + a.min(b)]
    }

    /// Coordinates of the lessons at these places, of which the first `n_learned` span the space, from their mean: an
    /// intercept that costs nothing takes up what all lessons have in common, which would only slow a minimiser down.
    pub(super) fn coordinates(&self, places: &[usize], (n_learned, n_teachers): (usize, usize)) -> Coordinates {
        let width = n_learned;
        let learned = &places[..n_learned];
        let mean_with = |place: &usize| {
            learned.iter().map(|other| self.product(*place, *other)).sum::<f64>() / n_learned.max(1) as f64
        };
        let means: Vec<f64> = places.iter().map(mean_with).collect();
        let mean = means[..n_learned].iter().sum::<f64>() / n_learned.max(1) as f64;
        let product = |a: usize, b: usize| self.product(places[a], places[b]) - means[a] - means[b] + mean;
        let mut rows = vec![0.0; places.len() * width];
        for at in 0..places.len() {
            let (before, own) = rows.split_at_mut(at * width);
            for column in 0..width.min(at) {
                let pivot_row = &before[column * width..][..=column];
                let pivot = pivot_row[column];
                let left = product(at, column) - dot(&own[..column], &pivot_row[..column]);
                own[column] = if pivot > 0.0 { left / pivot } else { 0.0 };
            }
            if at < width {
                let square = product(at, at);
                let left = square - dot(&own[..at], &own[..at]);
                own[at] = if left > SMALLEST_PIVOT * square { left.sqrt() } else { 0.0 };
            }
        }
        Coordinates { width, n_teachers, learned: learned.to_vec(), means: means[..n_learned].to_vec(), rows }
    }

    /// Leads back from weights of coordinates to weights by feature, and to what intercepts gain because coordinates
    /// start from the mean of the lessons.
    pub(super) fn spread(&self, coordinates: &Coordinates, weights: &[f64]) -> (Rows, Vec<f64>) {
        let mut rows = vec![0.0; self.width * coordinates.n_teachers];
        let mut gained = vec![0.0; coordinates.n_teachers];
        for (teacher, own) in weights.chunks_exact(coordinates.width.max(1)).enumerate() {
            let shares = coordinates.shares(own);
            for ((share, place), mean) in shares.iter().zip(&coordinates.learned).zip(&coordinates.means) {
                gained[teacher] -= share * mean;
                for (index, value) in &self.features[*place] {
                    rows[*index as usize * coordinates.n_teachers + teacher] += share * f64::from(*value);
                }
            }
        }
        let mut spread = Rows::zeros(self.width, coordinates.n_teachers);
        for (index, own) in rows.chunks_exact(coordinates.n_teachers.max(1)).enumerate() {
            spread.set(index, own.iter().map(|weight| *weight as f32));
        }
        (spread, gained)
    }
}

/// Lessons in the coordinates of Cholesky's factor, the learned ones first: lesson `i` of those has `i + 1` of them.
/// Weights stand by teacher, then coordinate.
pub(super) struct Coordinates {
    width: usize,
    n_teachers: usize,
    /// Places of the learned lessons, and their inner products with the mean of these.
    learned: Vec<usize>,
    means: Vec<f64>,
    rows: Vec<f64>,
}

impl Coordinates {
    fn row(&self, lesson: usize) -> &[f64] {
        &self.rows[lesson * self.width..][..self.width.min(lesson + 1)]
    }

    /// Rows of some lessons, as long as the longest.
    fn rows<const N: usize>(&self, lessons: [usize; N]) -> [&[f64]; N] {
        let longest = lessons.iter().map(|lesson| self.width.min(lesson + 1)).max().unwrap_or(0);
        lessons.map(|lesson| &self.rows[lesson * self.width..][..longest])
    }

    /// How much of the features of each learned lesson a teacher's weights are made of: the factor's transpose solved
    /// from the last lesson back, and taken from the mean.
    fn shares(&self, weights: &[f64]) -> Vec<f64> {
        let mut shares = weights.to_vec();
        for at in (0..self.width).rev() {
            let row = self.row(at);
            let (before, own) = shares.split_at_mut(at);
            own[0] = if row[at] > 0.0 { own[0] / row[at] } else { 0.0 };
            before.iter_mut().zip(row).for_each(|(share, value)| *share -= own[0] * value);
        }
        let mean = shares.iter().sum::<f64>() / self.width.max(1) as f64;
        shares.iter_mut().for_each(|share| *share -= mean);
        shares
    }
}

impl Design for Coordinates {
    fn n_weights(&self) -> usize {
        self.width * self.n_teachers
    }

    fn scorer<'a>(&'a self, weights: &'a [f64]) -> Box<dyn Scorer + 'a> {
        Box::new(Weighted { coordinates: self, weights })
    }

    fn slope(&self) -> Box<dyn Slope + '_> {
        Box::new(Summed { coordinates: self, sums: vec![0.0; self.n_weights()] })
    }

    fn add_squares(&self, lessons: &[usize], squares: &mut [f64]) {
        for row in lessons.iter().map(|lesson| self.row(*lesson)) {
            for of_teacher in squares.chunks_exact_mut(self.width.max(1)) {
                of_teacher.iter_mut().zip(row).for_each(|(square, value)| *square += value * value);
            }
        }
    }
}

/// Coordinates with weights.
struct Weighted<'a> {
    coordinates: &'a Coordinates,
    weights: &'a [f64],
}

impl Scorer for Weighted<'_> {
    fn add_scores(&self, lessons: &[usize], scores: &mut [f64]) {
        let Self { coordinates, weights: others } = *self;
        let (n, width, arch) = (coordinates.n_teachers, coordinates.width.max(1), pulp::Arch::new());
        let (blocks, rest) = lessons.as_chunks::<BLOCK>();
        let (of_blocks, of_rest) = scores.split_at_mut(blocks.len() * BLOCK * n);
        for (block, sums) in blocks.iter().zip(of_blocks.chunks_exact_mut(BLOCK * n)) {
            arch.dispatch(Products { rows: coordinates.rows(*block), others, width, sums });
        }
        for (lesson, sums) in rest.iter().zip(of_rest.chunks_exact_mut(n)) {
            arch.dispatch(Products { rows: coordinates.rows([*lesson]), others, width, sums });
        }
    }
}

/// Coordinates with sums of what lessons say about weights.
struct Summed<'a> {
    coordinates: &'a Coordinates,
    sums: Vec<f64>,
}

impl Slope for Summed<'_> {
    fn add(&mut self, lessons: &[usize], blame: &[f64]) {
        let coordinates = self.coordinates;
        let (n, width, arch) = (coordinates.n_teachers, coordinates.width.max(1), pulp::Arch::new());
        let (blocks, rest) = lessons.as_chunks::<BLOCK>();
        let (of_blocks, of_rest) = blame.split_at(blocks.len() * BLOCK * n);
        for (block, factors) in blocks.iter().zip(of_blocks.chunks_exact(BLOCK * n)) {
            arch.dispatch(Additions { rows: coordinates.rows(*block), factors, width, others: &mut self.sums });
        }
        for (lesson, factors) in rest.iter().zip(of_rest.chunks_exact(n)) {
            arch.dispatch(Additions { rows: coordinates.rows([*lesson]), factors, width, others: &mut self.sums });
        }
    }

    fn add_to(&self, first: usize, slope: &mut [f64]) {
        slope.iter_mut().zip(&self.sums[first..]).for_each(|(to, sum)| *to += sum);
    }
}

/// Rows that are gone through together, so that what they meet is read once for all of them.
const BLOCK: usize = 4;

/// Lanes of a sum: as many as keep vector instructions busy, for a block of rows.
const LANES: usize = 16;

/// The inner product of two rows of one length.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sum = [0.0];
    pulp::Arch::new().dispatch(Products { rows: [a], others: b, width: a.len().max(1), sums: &mut sum });
    sum[0]
}

/// Adds the inner products of rows with the beginnings of others, which stand end to end: `[row, other]`.
struct Products<'a, const N: usize> {
    rows: [&'a [f64]; N],
    others: &'a [f64],
    /// How long each of the others is.
    width: usize,
    sums: &'a mut [f64],
}

impl<const N: usize> pulp::NullaryFnOnce for Products<'_, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let length = self.rows[0].len();
        let n_others = self.others.len() / self.width;
        let rows = self.rows.map(|row| row.as_chunks::<LANES>());
        for (place, other) in self.others.chunks_exact(self.width).enumerate() {
            let (whole, rest) = other[..length].as_chunks::<LANES>();
            let rows_whole = rows.map(|(row, _)| &row[..whole.len()]);
            let mut lanes = [[0.0; LANES]; N];
            // Whole arrays are read before any is written, and no bound is checked inside: else it is no vector.
            for at in 0..whole.len() {
                let other = whole[at];
                for number in 0..N {
                    let (row, mut sums) = (rows_whole[number][at], lanes[number]);
                    for lane in 0..LANES {
                        sums[lane] += row[lane] * other[lane];
                    }
                    lanes[number] = sums;
                }
            }
            for (number, (lanes, (_, of_row))) in lanes.iter().zip(&rows).enumerate() {
                let mut all = 0.0;
                for lane in lanes {
                    all += lane;
                }
                for (a, b) in of_row.iter().zip(rest) {
                    all += a * b;
                }
                self.sums[number * n_others + place] += all;
            }
        }
    }
}

/// Adds rows, times a factor for each of them and each other, to the beginnings of others, which stand end to end;
/// factors are `[row, other]`.
struct Additions<'a, const N: usize> {
    rows: [&'a [f64]; N],
    factors: &'a [f64],
    width: usize,
    others: &'a mut [f64],
}

impl<const N: usize> pulp::NullaryFnOnce for Additions<'_, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let length = self.rows[0].len();
        let n_others = self.others.len() / self.width;
        let rows = self.rows.map(|row| row.as_chunks::<LANES>());
        for (place, other) in self.others.chunks_exact_mut(self.width).enumerate() {
            let factors: [f64; N] = std::array::from_fn(|number| self.factors[number * n_others + place]);
            let (whole, rest) = other[..length].as_chunks_mut::<LANES>();
            let rows_whole = rows.map(|(row, _)| &row[..whole.len()]);
            for at in 0..whole.len() {
                let mut sums = whole[at];
                for number in 0..N {
                    let row = rows_whole[number][at];
                    for lane in 0..LANES {
                        sums[lane] += factors[number] * row[lane];
                    }
                }
                whole[at] = sums;
            }
            for (at, to) in rest.iter_mut().enumerate() {
                for (factor, (_, row)) in factors.iter().zip(&rows) {
                    *to += factor * row[at];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FeatureVector;

    fn lessons() -> Vec<Lesson> {
        let lesson = |at: usize| Lesson {
            features: FeatureVector {
                indices: (0..5).map(|k| ((at * 7 + k * 2) % 9) as u32).collect(),
                values: (0..5).map(|k| ((at + 2 * k) % 4) as f32 - 1.5).collect(),
            },
            language: 0,
            source: at,
            rewards: Vec::new(),
        };
        // One twin, so that the factor has a pivot of 0.
        (0..6).map(lesson).chain([lesson(2)]).collect()
    }

    #[test]
    fn coordinates_have_the_inner_products_of_the_centred_features() {
        let lessons = lessons();
        let chosen: Vec<&Lesson> = lessons.iter().collect();
        let gram = Gram::of(&chosen, 9);
        let made = gram.coordinates(&[2, 6, 0, 1, 3, 4, 5], (7, 1));
        let dense = |lesson: &Lesson| {
            let mut all = [0.0; 9];
            lesson.features.iter().for_each(|(at, value)| all[at as usize] += f64::from(value));
            all
        };
        let mean: [f64; 9] =
            std::array::from_fn(|at| lessons.iter().map(|lesson| dense(lesson)[at]).sum::<f64>() / 7.0);
        let centred = |lesson: &Lesson| -> [f64; 9] { std::array::from_fn(|at| dense(lesson)[at] - mean[at]) };
        for (a, place) in [2, 6, 0, 1, 3, 4, 5].into_iter().enumerate() {
            for (b, other) in [2, 6, 0, 1, 3, 4, 5].into_iter().enumerate() {
                let expected = dot(&centred(&lessons[place]), &centred(&lessons[other]));
                let own: f64 = made.row(a).iter().zip(made.row(b)).map(|(x, y)| x * y).sum();
                assert!((own - expected).abs() < 1e-9, "{a} {b}: {own}, expected {expected}");
            }
        }
    }

    #[test]
    fn weights_of_features_give_the_scores_of_weights_of_coordinates() {
        let lessons = lessons();
        let chosen: Vec<&Lesson> = lessons.iter().collect();
        let gram = Gram::of(&chosen, 9);
        let made = gram.coordinates(&[2, 6, 0, 1, 3, 4, 5], (7, 2));
        let weights: Vec<f64> = (0..14).map(|at| f64::from(at % 5) - 1.5).collect();
        let (rows, gained) = gram.spread(&made, &weights);
        let mut scores = [0.0; 14];
        made.scorer(&weights).add_scores(&[0, 1, 2, 3, 4, 5, 6], &mut scores);
        for (own, place) in scores.chunks(2).zip([2, 6, 0, 1, 3, 4, 5]) {
            let mut spread = gained.clone();
            let features = &lessons[place].features;
            rows.add_products((&features.indices, &features.values), &mut spread);
            for (a, b) in own.iter().zip(&spread) {
                assert!((a - b).abs() < 1e-4, "{place}: {own:?}, {spread:?}");
            }
        }
    }

    #[test]
    fn slopes_are_plain_sums_in_blocks_and_alone() {
        let lessons = lessons();
        let chosen: Vec<&Lesson> = lessons.iter().collect();
        let made = Gram::of(&chosen, 9).coordinates(&[0, 1, 2, 3, 4, 5, 6], (7, 3));
        let blame: Vec<f64> = (0..21).map(|at| f64::from(at % 4) - 1.0).collect();
        let mut slope = vec![0.5; 21];
        let mut sum = made.slope();
        sum.add(&[0, 1, 2, 3, 4, 5, 6], &blame);
        sum.add_to(0, &mut slope);
        for (at, slope) in slope.iter().enumerate() {
            let terms = (0..7).filter_map(|lesson| Some(blame[lesson * 3 + at / 7] * made.row(lesson).get(at % 7)?));
            assert!((slope - 0.5 - terms.sum::<f64>()).abs() < 1e-9, "{at}: {slope}");
        }
    }

    #[test]
    fn a_held_out_lesson_is_scored_by_its_part_in_the_space() {
        let lessons = lessons();
        let chosen: Vec<&Lesson> = lessons.iter().collect();
        let made = Gram::of(&chosen, 9).coordinates(&[0, 1, 2, 6], (3, 1));
        // The twin of the third lesson gets the score of the third lesson.
        let weights = [0.3, -1.0, 2.0];
        let (mut third, mut twin) = ([0.0], [0.0]);
        made.scorer(&weights).add_scores(&[2], &mut third);
        made.scorer(&weights).add_scores(&[3], &mut twin);
        assert!((third[0] - twin[0]).abs() < 1e-9, "{third:?} {twin:?}");
    }
}
