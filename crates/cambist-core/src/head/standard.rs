//! Dense features on one scale: penalties then mean the same for each of them.

use super::{Lessons, LinearHead};

/// Center and scale of each feature over lessons.
///
/// Standardised features have mean 0 and variance 1 over the number of features, so that a prompt's vector has a length of
/// about 1, as that of hashed features: the same penalties are tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    centers: Vec<f64>,
    /// What a feature minus its center is multiplied with; 0 where it is the same in all lessons.
    scales: Vec<f64>,
}

impl Standard {
    /// Measures the features of lessons; one that a lesson does not have counts as 0.
    pub fn of(lessons: &Lessons) -> Self {
        let n = lessons.lessons.len().max(1) as f64;
        let mut centers = vec![0.0; lessons.width];
        for (index, value) in lessons.lessons.iter().flat_map(|lesson| lesson.features.iter()) {
            centers[index as usize] += f64::from(value) / n;
        }
        let mut squares: Vec<f64> = centers.iter().map(|center| n * center * center).collect();
        for (index, value) in lessons.lessons.iter().flat_map(|lesson| lesson.features.iter()) {
            let center = centers[index as usize];
            squares[index as usize] += (f64::from(value) - center).powi(2) - center * center;
        }
        let width = lessons.width.max(1) as f64;
        // What rounding leaves of a feature that never changes is no deviation.
        let scale = |(square, center): (f64, &f64)| {
            let deviation = (square / n).max(0.0).sqrt();
            let changes = deviation > 1e-12_f64.max(1e-6 * center.abs());
            if changes { 1.0 / (deviation * width.sqrt()) } else { 0.0 }
        };
        Self { scales: squares.into_iter().zip(&centers).map(scale).collect(), centers }
    }

    /// Puts the features of lessons on the scale.
    pub fn apply(&self, lessons: &mut Lessons) {
        for lesson in &mut lessons.lessons {
            let mut whole = vec![0.0; self.centers.len()];
            lesson.features.iter().for_each(|(index, value)| whole[index as usize] = f64::from(value));
            let scaled = whole.iter().zip(self.centers.iter().zip(&self.scales));
            lesson.features.values = scaled.map(|(value, (center, scale))| ((value - center) * scale) as f32).collect();
            lesson.features.indices = (0..self.centers.len() as u32).collect();
        }
    }

    /// Returns the head that says of features as they are what `head` says of them on the scale.
    pub fn undo(&self, head: LinearHead) -> LinearHead {
        head.rescaled(&self.centers, &self.scales)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chance::Chance,
        features::FeatureVector,
        head::{FitOptions, Lesson, SquaredError, fit},
        language::Language,
    };

    /// Features of very different sizes, around means far from 0; one that never changes.
    fn lessons() -> Lessons {
        let mut chance = Chance::new(1, &["standard"]);
        let lesson = |at: usize| {
            let own = [30.0 + 4.0 * chance.normal(), -0.2 + 0.01 * chance.normal(), 7.0, chance.normal()];
            let rewards = vec![Some(own[0] - 30.0), Some(100.0 * own[1])];
            let values = own.map(|value| value as f32).to_vec();
            Lesson { features: FeatureVector { indices: vec![0, 1, 2, 3], values }, language: 0, source: at, rewards }
        };
        Lessons {
            teachers: vec!["a".into(), "b".into()],
            languages: vec![Language::parse("tr").unwrap()],
            width: 4,
            sources: (0..80).map(|at: usize| at.to_string()).collect(),
            lessons: (0..80).map(lesson).collect(),
        }
    }

    #[test]
    fn features_come_to_a_length_of_one_and_heads_read_them_as_they_are() {
        let raw = lessons();
        let standard = Standard::of(&raw);
        let mut scaled = raw.clone();
        standard.apply(&mut scaled);
        let column = |at: usize| scaled.lessons.iter().map(move |lesson| f64::from(lesson.features.values[at]));
        for at in [0, 1, 3] {
            let (mean, square) = (column(at).sum::<f64>() / 80.0, column(at).map(|x| x * x).sum::<f64>() / 80.0);
            assert!(mean.abs() < 1e-5 && (square - 0.25).abs() < 1e-5, "{at}: {mean} {square}");
        }
        assert!(column(2).all(|value| value == 0.0));
        let options = FitOptions { penalty: 1e-6, ..FitOptions::default() };
        let head = fit(&scaled, &SquaredError, options);
        let undone = standard.undo(head.clone());
        for (own, scaled) in raw.lessons.iter().zip(&scaled.lessons) {
            let [found, expected] = [(&undone, own), (&head, scaled)]
                .map(|(head, lesson)| head.scores(&lesson.features, &raw.languages[0]));
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?} {expected:?}");
            assert!(found.iter().zip(&own.rewards).all(|(a, b)| (a - b.unwrap()).abs() < 0.1), "{found:?} {own:?}");
        }
    }
}
