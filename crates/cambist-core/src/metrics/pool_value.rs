//! What each teacher adds to the pool, exactly.
//!
//! A set of teachers is worth the best of their rewards: `v(S) = max over S of R`, and the floor when it is empty. For
//! this game the Shapley value has a closed form, so nothing is sampled and nothing is exponential.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PerLanguage;
use crate::{
    candidate::{Matrix, Row},
    pool::Pool,
    reward::Scales,
    statistics::mean,
};

/// One teacher's worth in one language, in normalised rewards; a prompt to which it gave no valid answer counts as the
/// lowest valid reward of that prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeacherValue {
    /// The teacher.
    pub teacher: String,
    /// How many prompts it is measured on: those with a valid answer of anyone.
    pub n: usize,
    /// Its Shapley value; those of a pool sum to the mean of the best reward minus the lowest.
    pub shapley: f64,
    /// What the pool loses without it. Two equal teachers both have 0 here and share a Shapley value.
    pub leave_one_out: f64,
    /// Its mean reward.
    pub mean: f64,
    /// Share of prompts of which it has the best reward; shared among those who tie.
    pub win_share: f64,
}

/// Returns the Shapley value of each teacher for one prompt: with rewards sorted ascending and the floor before them,
/// teacher j gets the sum over k up to j of (r(k) - r(k-1)) / (M - k + 1), as those who reach r(k) share that step.
///
/// Rewards below `floor` count as the floor.
pub fn shapley(rewards: &[f64], floor: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..rewards.len()).collect();
    order.sort_by(|&a, &b| rewards[a].total_cmp(&rewards[b]));
    let mut values = vec![0.0; rewards.len()];
    let (mut shared, mut below) = (0.0, floor);
    for (rank, at) in order.into_iter().enumerate() {
        let reward = rewards[at].max(floor);
        shared += (reward - below) / (rewards.len() - rank) as f64;
        values[at] = shared;
        below = reward;
    }
    values
}

/// Returns what a prompt loses without each teacher, in the order of the rewards; a teacher alone loses down to `floor`.
pub fn leave_one_out(rewards: &[f64], floor: f64) -> Vec<f64> {
    let best_but = |out: usize| {
        let others = rewards.iter().enumerate().filter(|(at, _)| *at != out).map(|(_, reward)| *reward);
        others.fold(floor, f64::max)
    };
    rewards.iter().enumerate().map(|(at, reward)| (reward - best_but(at)).max(0.0)).collect()
}

/// Returns the mean of the best reward over all pools of `size` teachers: the sum over j from k of
/// r(j) C(j-1, k-1) / C(M, k), with rewards ascending. None when there is no such pool.
pub fn best_of_random_pool(rewards: &[f64], size: usize) -> Option<f64> {
    let n = rewards.len();
    if size == 0 || size > n {
        return None;
    }
    let mut sorted = rewards.to_vec();
    sorted.sort_by(f64::total_cmp);
    // The chance that r(j) is the best of a pool: from j = M down, times (j - k) / (j - 1) at each step.
    let (mut chance, mut expected) = (size as f64 / n as f64, 0.0);
    for j in (size..=n).rev() {
        expected += chance * sorted[j - 1];
        chance *= (j - size) as f64 / (j - 1).max(1) as f64;
    }
    Some(expected)
}

/// Returns each teacher's worth per language, from the most worth on (ties: smaller id), and over languages.
///
/// Rewards are those of first answers on the scale of `scales`; prompts without any valid answer say nothing.
pub fn pool_value(matrix: &Matrix, pool: &Pool, scales: &Scales) -> PerLanguage<Vec<TeacherValue>> {
    let mut rows: BTreeMap<_, Vec<Vec<f64>>> = BTreeMap::new();
    for row in matrix.rows() {
        if let Some(rewards) = floored(row, pool, scales) {
            rows.entry(row.prompt.language.clone()).or_default().push(rewards);
        }
    }
    let languages: BTreeMap<_, Vec<TeacherValue>> =
        rows.into_iter().map(|(language, rows)| (language, teacher_values(pool, &rows))).collect();
    let macro_mean = (!languages.is_empty()).then(|| average(&languages.values().flatten().collect::<Vec<_>>()));
    let ranked = languages.into_iter().map(|(language, values)| (language, by_worth(values))).collect();
    PerLanguage { languages: ranked, macro_mean: macro_mean.map(by_worth) }
}

/// The rewards of the pool's teachers, the lowest in place of invalid ones.
fn floored(row: &Row, pool: &Pool, scales: &Scales) -> Option<Vec<f64>> {
    let reward = |id: &str| scales.normalize(&row.prompt.language, row.candidate(id, 0)?.valid_reward()?);
    let rewards: Vec<Option<f64>> = pool.teachers().iter().map(|teacher| reward(&teacher.id)).collect();
    let floor = rewards.iter().flatten().copied().reduce(f64::min)?;
    Some(rewards.into_iter().map(|reward| reward.unwrap_or(floor)).collect())
}

fn teacher_values(pool: &Pool, rows: &[Vec<f64>]) -> Vec<TeacherValue> {
    let mut sums = vec![[0.0; 4]; pool.teachers().len()];
    for rewards in rows {
        let floor = rewards.iter().copied().fold(f64::INFINITY, f64::min);
        let top = rewards.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let n_top = rewards.iter().filter(|reward| **reward == top).count() as f64;
        let shares = shapley(rewards, floor).into_iter().zip(leave_one_out(rewards, floor));
        for ((sum, reward), (shapley, leave_one_out)) in sums.iter_mut().zip(rewards).zip(shares) {
            let win = if *reward == top { 1.0 / n_top } else { 0.0 };
            let more = [shapley, leave_one_out, *reward, win];
            sum.iter_mut().zip(more).for_each(|(sum, value)| *sum += value);
        }
    }
    let n = rows.len();
    let value = |(teacher, sum): (&crate::teacher::Teacher, [f64; 4])| {
        let [shapley, leave_one_out, mean, win_share] = sum.map(|sum| sum / n as f64);
        TeacherValue { teacher: teacher.id.clone(), n, shapley, leave_one_out, mean, win_share }
    };
    pool.teachers().iter().zip(sums).map(value).collect()
}

fn average(values: &[&TeacherValue]) -> Vec<TeacherValue> {
    let mut teachers: BTreeMap<&str, Vec<&TeacherValue>> = BTreeMap::new();
    values.iter().for_each(|value| teachers.entry(&value.teacher).or_default().push(value));
    let of_teacher = |(teacher, each): (&str, Vec<&TeacherValue>)| {
        let mean_of = |part: fn(&TeacherValue) -> f64| mean(&each.iter().map(|v| part(v)).collect::<Vec<_>>());
        Some(TeacherValue {
            teacher: teacher.to_owned(),
            n: each.iter().map(|value| value.n).sum(),
            shapley: mean_of(|v| v.shapley)?,
            leave_one_out: mean_of(|v| v.leave_one_out)?,
            mean: mean_of(|v| v.mean)?,
            win_share: mean_of(|v| v.win_share)?,
        })
    };
    teachers.into_iter().filter_map(of_teacher).collect()
}

fn by_worth(mut values: Vec<TeacherValue>) -> Vec<TeacherValue> {
    values.sort_by(|a, b| b.shapley.total_cmp(&a.shapley).then_with(|| a.teacher.cmp(&b.teacher)));
    values
}
