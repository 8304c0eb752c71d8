//! The learned router: one call, to the teacher that a head expects most of by the prompt's words.

use super::{
    Play, Player, Preference, Strategist,
    strategies::{FLOOR_QUANTILE, first_open, open_order},
};
use crate::{
    features::FeatureVector,
    head::{Lesson, Lessons, LinearHead, TuneOptions, tune},
    language::Language,
    reward_table::{Opened, RewardTable},
    statistics::quantile,
};

/// More calibration prompts than this are thinned out.
const MAX_LESSONS: usize = 10_000;

/// Asks the teacher of the highest score. Head and penalty are chosen inside the calibration prompts, and the table of
/// `fixed` is taken where no head beats it there.
pub struct Learned {
    /// What each prompt of the table tells.
    features: Vec<FeatureVector>,
    /// How many features there can be.
    width: usize,
    options: TuneOptions,
}

impl Learned {
    /// Of features below `width`, one vector for each prompt of the table.
    pub fn new(features: Vec<FeatureVector>, width: usize, options: TuneOptions) -> Self {
        Self { features, width, options }
    }

    fn lessons(&self, table: &RewardTable, calibration: &[usize]) -> Lessons {
        let floors = floors(table, calibration);
        let step = calibration.len().div_ceil(MAX_LESSONS).max(1);
        let lesson = |at: &usize| {
            let (own, floor) = (&table.prompts()[*at], floors[table.prompts()[*at].language]);
            let reward = |cell: &Opened| match cell {
                Opened::Closed => None,
                Opened::Failed => Some(floor),
                Opened::Reward(reward) => Some(*reward),
            };
            Lesson {
                features: self.features[*at].clone(),
                language: own.language,
                source: own.source,
                rewards: table.row(*at).iter().map(reward).collect(),
            }
        };
        Lessons {
            teachers: table.teachers().to_vec(),
            languages: table.languages().to_vec(),
            width: self.width,
            sources: (0..table.n_sources()).map(|at| at.to_string()).collect(),
            lessons: calibration.iter().step_by(step).map(lesson).collect(),
        }
    }
}

/// What an invalid answer counts as, by language.
fn floors(table: &RewardTable, calibration: &[usize]) -> Vec<f64> {
    let mut rewards = vec![Vec::new(); table.languages().len()];
    for &at in calibration {
        rewards[table.prompts()[at].language].extend(table.row(at).iter().filter_map(|cell| cell.reward()));
    }
    rewards.iter().map(|own| quantile(own, FLOOR_QUANTILE).unwrap_or(0.0)).collect()
}

impl Strategist for Learned {
    fn names(&self) -> Vec<String> {
        vec!["learned".to_owned()]
    }

    /// Nothing where fewer than 50 calibration prompts tell teachers apart.
    fn fit(&self, table: &RewardTable, calibration: &[usize]) -> Option<Box<dyn Player>> {
        let lessons = self.lessons(table, calibration);
        lessons.is_enough().then(|| {
            let head = tune(&lessons, &self.options).head;
            let orders = table.prompts().iter().zip(&self.features).map(|(prompt, features)| {
                let language = &table.languages()[prompt.language];
                order((&head, features, language), table.expected_usd(prompt.language))
            });
            Box::new(Orders(orders.collect())) as Box<dyn Player>
        })
    }
}

/// Teachers from the highest score on; ties go to the lower cost, then to the smaller id.
fn order((head, features, language): (&LinearHead, &FeatureVector, &Language), costs: &[f64]) -> Vec<usize> {
    let scores = head.scores(features, language);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then_with(|| costs[a].total_cmp(&costs[b])));
    order
}

/// Teachers in the order of their scores, by prompt.
struct Orders(Vec<Vec<usize>>);

impl Player for Orders {
    fn play(&self, table: &RewardTable, prompt: usize) -> Vec<Play> {
        vec![first_open(table, prompt, &self.0[prompt])]
    }

    fn prefer(&self, table: &RewardTable, prompt: usize) -> Preference {
        open_order(table, prompt, &self.0[prompt])
    }
}
