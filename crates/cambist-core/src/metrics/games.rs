//! Two strategies' students on the same prompts: wins, ties and losses.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Bootstrap, ClusterSums, Estimate, Graded, Interval, PerLanguage, Resampled, holm, seeds::means_by_seed,
    seeds::n_distinct, sign_flip,
};
use crate::{language::Language, statistics::standard_deviation};

/// How a game ended for the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GameResult {
    /// Its answer is the better one.
    Win,
    /// Neither is better.
    Tie,
    /// The baseline's answer is the better one.
    Loss,
}

/// One prompt, answered by a candidate and a baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Game {
    /// The prompt.
    pub prompt_id: String,
    /// The prompt's source, the cluster of the bootstrap.
    pub source_id: String,
    /// The prompt's language.
    pub language: Language,
    /// The seed that both students were trained with.
    pub seed: u64,
    /// How it ended.
    pub result: GameResult,
}

/// Two strategies were not graded on the same prompts with the same seeds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "prompt `{prompt_id}` with seed {seed} was graded {n_candidate} time(s) for the candidate and {n_baseline} time(s) for the baseline, expected once each: evaluate both on the same prompts and seeds"
)]
pub struct UnevenGrades {
    /// The prompt.
    pub prompt_id: String,
    /// The seed.
    pub seed: u64,
    /// How many grades of the candidate there are.
    pub n_candidate: usize,
    /// How many grades of the baseline there are.
    pub n_baseline: usize,
}

/// Pairs the grades of two strategies by prompt and seed, in that order; the higher grade wins.
///
/// # Errors
/// When a prompt and seed was not graded exactly once on both sides.
pub fn play(candidate: &[Graded], baseline: &[Graded]) -> Result<Vec<Game>, UnevenGrades> {
    let mut sides: BTreeMap<(&str, u64), [Vec<&Graded>; 2]> = BTreeMap::new();
    for (side, grades) in [candidate, baseline].into_iter().enumerate() {
        for grade in grades {
            sides.entry((&grade.prompt_id, grade.seed)).or_default()[side].push(grade);
        }
    }
    let paired =
        sides.into_iter().map(|((prompt_id, seed), [ours, theirs])| match (ours.as_slice(), theirs.as_slice()) {
            ([ours], [theirs]) => Ok(game(ours, theirs)),
            _ => Err(UnevenGrades {
                prompt_id: prompt_id.to_owned(),
                seed,
                n_candidate: ours.len(),
                n_baseline: theirs.len(),
            }),
        });
    paired.collect()
}

fn game(ours: &Graded, theirs: &Graded) -> Game {
    let result = match ours.value.total_cmp(&theirs.value) {
        std::cmp::Ordering::Greater => GameResult::Win,
        std::cmp::Ordering::Equal => GameResult::Tie,
        std::cmp::Ordering::Less => GameResult::Loss,
    };
    let Graded { prompt_id, source_id, language, seed, .. } = ours.clone();
    Game { prompt_id, source_id, language, seed, result }
}

/// A candidate against a baseline; every share is over games, one per prompt and seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WinRate {
    /// How many prompts.
    pub n_prompts: usize,
    /// How many sources they come from.
    pub n_clusters: usize,
    /// How many pairs of students, one per seed.
    pub n_seeds: usize,
    /// Share of games won, W.
    pub wins: f64,
    /// Share of games tied, T.
    pub ties: f64,
    /// Share of games lost, L.
    pub losses: f64,
    /// 100 (W - L), in points: the headline.
    pub difference_points: Estimate,
    /// 100 (W + T / 2), in points.
    pub half_credit_points: Estimate,
    /// 100 (W - L) / L, in percent: a form that fits the relative gains of arXiv 2408.14960, to be shown beside the
    /// points only; none when no game was lost.
    pub relative_percent: Option<Estimate>,
    /// Standard deviation over the seeds of 100 (W - L); none with one seed.
    pub seed_sd_points: Option<f64>,
    /// The smallest difference that this many prompts can be expected to show (80 % power, two-sided 5 %): 2.8 standard
    /// errors of `difference_points`.
    pub detectable_points: Option<f64>,
    /// Two-sided p-value of W = L by sign flips of whole sources; none without sources.
    pub p_value: Option<f64>,
    /// The p-value after Holm's correction over the languages of the table; none for the mean over languages.
    pub p_holm: Option<f64>,
}

const GAMES: usize = 0;
const WINS: usize = 1;
const LOSSES: usize = 2;
const COLUMNS: usize = 3;

/// Returns wins, ties and losses per language and over languages.
pub fn win_rates(games: &[Game], bootstrap: Bootstrap) -> PerLanguage<WinRate> {
    let languages: Vec<&Language> =
        games.iter().map(|game| &game.language).collect::<BTreeSet<_>>().into_iter().collect();
    let mut sums = ClusterSums::new(COLUMNS * languages.len());
    for game in games {
        let at = COLUMNS * languages.partition_point(|language| **language < game.language);
        sums.add(&game.source_id, at + GAMES, 1.0);
        sums.add(&game.source_id, at + WINS, f64::from(game.result == GameResult::Win));
        sums.add(&game.source_id, at + LOSSES, f64::from(game.result == GameResult::Loss));
    }
    let resampled = bootstrap.resample(&sums);
    let mut table = PerLanguage { languages: BTreeMap::new(), macro_mean: None };
    for (at, language) in languages.iter().enumerate() {
        let own: Vec<&Game> = games.iter().filter(|game| game.language == **language).collect();
        table.languages.extend(rate(&own, &resampled, &[at], bootstrap).map(|rate| ((*language).clone(), rate)));
    }
    let p_values: Vec<f64> = table.languages.values().filter_map(|rate| rate.p_value).collect();
    for (rate, p) in table.languages.values_mut().zip(holm(&p_values)) {
        rate.p_holm = Some(p);
    }
    let all: Vec<usize> = (0..languages.len()).collect();
    table.macro_mean = rate(&games.iter().collect::<Vec<_>>(), &resampled, &all, bootstrap);
    table
}

/// Shares of wins and losses, mean over `languages`; none when one of them has no game.
fn shares(totals: &[f64], languages: &[usize]) -> Option<(f64, f64)> {
    let (mut wins, mut losses) = (0.0, 0.0);
    for at in languages.iter().map(|language| COLUMNS * language) {
        let n_games = totals[at + GAMES];
        if n_games == 0.0 {
            return None;
        }
        wins += totals[at + WINS] / n_games;
        losses += totals[at + LOSSES] / n_games;
    }
    let n_languages = languages.len() as f64;
    (n_languages > 0.0).then(|| (wins / n_languages, losses / n_languages))
}

fn rate(games: &[&Game], resampled: &Resampled, languages: &[usize], bootstrap: Bootstrap) -> Option<WinRate> {
    let estimate = |form: fn(f64, f64) -> Option<f64>| {
        resampled.estimate(|totals| shares(totals, languages).and_then(|(wins, losses)| form(wins, losses)))
    };
    let (wins, losses) = shares(resampled.observed(), languages)?;
    let difference_points = estimate(|w, l| Some(100.0 * (w - l)))?;
    let by_seed = means_by_seed(games.iter().map(|game| (game.seed, &game.language, 100.0 * points(game))));
    Some(WinRate {
        n_prompts: n_distinct(games.iter().map(|game| &game.prompt_id)),
        n_clusters: n_distinct(games.iter().map(|game| &game.source_id)),
        n_seeds: by_seed.len(),
        wins,
        ties: 1.0 - wins - losses,
        losses,
        difference_points,
        half_credit_points: half_credit(&difference_points),
        relative_percent: estimate(|w, l| (l > 0.0).then(|| 100.0 * (w - l) / l)),
        seed_sd_points: standard_deviation(&by_seed),
        detectable_points: difference_points.standard_error.map(|se| 2.8 * se),
        p_value: sign_flip(&cluster_differences(games), bootstrap),
        p_holm: None,
    })
}

/// W + T / 2 is (1 + W - L) / 2, in every draw too.
fn half_credit(difference: &Estimate) -> Estimate {
    let half = |points: f64| 50.0 + points / 2.0;
    Estimate {
        value: half(difference.value),
        standard_error: difference.standard_error.map(|error| error / 2.0),
        interval: difference.interval.map(|Interval { low, high }| Interval { low: half(low), high: half(high) }),
    }
}

/// +1 per win and -1 per loss, each over the games of its language so that languages weigh the same, summed per source.
fn cluster_differences(games: &[&Game]) -> Vec<f64> {
    let mut n_games: BTreeMap<&Language, f64> = BTreeMap::new();
    games.iter().for_each(|game| *n_games.entry(&game.language).or_default() += 1.0);
    let mut sums = ClusterSums::new(1);
    for game in games {
        sums.add(&game.source_id, 0, points(game) / n_games[&game.language]);
    }
    sums.column(0)
}

fn points(game: &Game) -> f64 {
    match game.result {
        GameResult::Win => 1.0,
        GameResult::Tie => 0.0,
        GameResult::Loss => -1.0,
    }
}
