//! From the numbers of a run to the numbers of a page: names, units, intervals.

use cambist_core::{
    language::Language,
    metrics::{self, Accuracy, Bootstrap, Graded, PerLanguage, accuracy},
    prompt::Prompt,
};

use crate::{
    recipe::{Arbiter, Recipe},
    report::{Direction, Estimate, Style, Words},
};

/// Draws of the bootstrap for numbers that the report derives itself.
const DRAWS: usize = 2_000;

/// What an arbiter's values are called, and how they are written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measure {
    /// The arbiter; empty when nobody scored.
    pub arbiter: String,
    /// `accuracy`, `chrF`, `mean utility`, `ROUGE` or `score`.
    pub noun: &'static str,
    /// `%` or nothing.
    pub unit: &'static str,
    /// What a value is multiplied with to be in `unit`.
    pub factor: f64,
    pub style: Style,
    /// Whether values say right (1) or wrong (0).
    pub is_exact: bool,
}

impl Measure {
    /// The measure of the recipe's arbiter `id`.
    pub(super) fn of(recipe: &Recipe, id: Option<&str>) -> Self {
        let declared = recipe.arbiters.iter().find(|arbiter| Some(arbiter.id.as_str()) == id);
        let plain = |noun, digits| Self {
            arbiter: id.unwrap_or_default().to_owned(),
            noun,
            unit: "",
            factor: 1.0,
            style: Style::plain(digits),
            is_exact: false,
        };
        match declared {
            Some(arbiter) if is_right_or_wrong(arbiter) => {
                Self { unit: "%", factor: 100.0, is_exact: true, ..plain("accuracy", 1) }
            }
            Some(arbiter) if arbiter.chrf.is_some() => plain("chrF", 1),
            Some(arbiter) if arbiter.mbr.is_some() => plain("mean utility", 3),
            Some(arbiter) if arbiter.rouge.is_some() => plain("ROUGE", 3),
            _ => plain("score", 3),
        }
    }

    /// `accuracy, %`
    pub(super) fn title(&self) -> String {
        [self.noun, self.unit].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(", ")
    }

    /// `accuracy 57.8 % [52.3, 63.3]`
    pub(super) fn told(&self, estimate: &Estimate) -> String {
        let interval = estimate.interval.map(|ends| self.style.write_interval(ends));
        let unit = (!self.unit.is_empty()).then(|| self.unit.to_owned());
        let parts = [Some(self.noun.to_owned()), Some(self.style.write(estimate.value)), unit, interval];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// A mean grade in the measure's unit.
    pub(super) fn estimate(&self, accuracy: &Accuracy) -> Estimate {
        to_estimate(&accuracy.mean, self.factor, accuracy.n_prompts)
    }

    /// How values of this measure look as differences.
    pub(super) fn differences(&self) -> Style {
        Style { signed: true, ..self.style }
    }

    /// A column of this measure.
    pub(super) fn column(&self, title: impl Into<String>) -> crate::report::Column {
        crate::report::Column::numbers(title, self.unit, self.style).directed(Direction::HigherIsBetter)
    }
}

fn is_right_or_wrong(arbiter: &Arbiter) -> bool {
    let Arbiter { check, contains, r#match, numeric, .. } = arbiter;
    check.is_some() || contains.is_some() || r#match.is_some() || numeric.is_some()
}

/// The page's form of a number with its interval; `n` counts prompts.
pub(super) fn to_estimate(of: &metrics::Estimate, factor: f64, n: usize) -> Estimate {
    let interval = of.interval.map(|ends| [factor * ends.low, factor * ends.high]);
    Estimate { value: factor * of.value, interval, n: n as u64 }
}

/// `Ukrainian (uk)`
pub(super) fn name_of(language: &Language) -> String {
    language.english_name().map_or_else(|| language.to_string(), |name| format!("{name} ({language})"))
}

/// The label of a language's row.
pub(super) fn label(language: &Language) -> Words {
    name_of(language).into()
}

/// Means of values on prompts, per language and over languages, with intervals clustered by source.
pub(super) fn means<'a>(values: impl IntoIterator<Item = (&'a Prompt, f64)>, seed: u64) -> PerLanguage<Accuracy> {
    let grade = |(prompt, value): (&Prompt, f64)| Graded {
        prompt_id: prompt.id.clone(),
        source_id: prompt.source_id.clone(),
        language: prompt.language.clone(),
        seed: 0,
        value,
    };
    let grades: Vec<Graded> = values.into_iter().map(grade).collect();
    accuracy(&grades, Bootstrap { draws: DRAWS, seed })
}

/// What the intervals of [`means`] are.
pub(super) fn interval_of_means() -> String {
    interval(DRAWS)
}

/// What the intervals of a cluster bootstrap are.
pub(super) fn interval(draws: usize) -> String {
    format!("95 % bootstrap, clustered by source prompt, {} resamples", crate::report::number::count(draws as u64))
}
