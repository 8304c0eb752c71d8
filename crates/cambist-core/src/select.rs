//! What is kept of the answers to one prompt.

use serde::{Deserialize, Serialize};

use crate::{
    candidate::{Candidate, Matrix, Row},
    pool::{Pool, Query},
    resemblance::near_duplicates,
    router::{Decision, Outcome, by_rank},
    tally::Tally,
};

/// Two answers to one prompt whose character 5-grams overlap by more than this (Jaccard) count as one.
pub const NEAR_DUPLICATE: f64 = 0.9;

/// An answer that is kept for supervised fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The prompt.
    pub prompt_id: String,
    /// Whose answer.
    pub teacher: String,
    /// Which of the teacher's answers.
    pub sample: u32,
    /// Its reward, where known.
    pub score: Option<f64>,
}

/// A prompt of which no answer is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The prompt.
    pub prompt_id: String,
    /// Why, as a code: `none_asked` (no answer came in), `none_passed` (the gates stopped all), `none_scored` (none
    /// that passed has a reward), or the outcome of a strategy.
    pub reason: String,
}

/// At most one answer per prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// The answers kept, in the order of the prompts.
    pub kept: Vec<Kept>,
    /// The prompts left out, in the order of the prompts.
    pub left_out: Vec<LeftOut>,
    /// Per language: `kept` and every reason; sums to the prompts.
    pub tally: Tally,
}

/// Keeps what a strategy chose.
pub fn keep_chosen(decisions: &[Decision]) -> Selection {
    let mut selection = Selection::default();
    for decision in decisions {
        let answer = decision.teacher.as_ref().zip(decision.sample).filter(|_| decision.outcome == Outcome::Chosen);
        let kept = answer.map(|(teacher, sample)| Kept {
            prompt_id: decision.prompt_id.clone(),
            teacher: teacher.clone(),
            sample,
            score: decision.score,
        });
        selection.tally.add(&decision.language, kept.as_ref().map_or(decision.outcome.code(), |_| "kept"));
        match kept {
            Some(kept) => selection.kept.push(kept),
            None => selection.left_out.push(left_out(&decision.prompt_id, decision.outcome.code())),
        }
    }
    selection
}

/// Keeps the best valid answer of each prompt, whoever was asked; ties as in every strategy.
pub fn keep_best(matrix: &Matrix, pool: &Pool) -> Selection {
    let mut selection = Selection::default();
    for row in matrix.rows() {
        let best = valid_by_rank(row, &pool.query(&row.prompt)).into_iter().next();
        let code = if best.is_some() { "kept" } else { lack(row) };
        selection.tally.add(&row.prompt.language, code);
        match best {
            Some((candidate, score)) => selection.kept.push(Kept {
                prompt_id: row.prompt.id.clone(),
                teacher: candidate.completion.teacher.clone(),
                sample: candidate.completion.sample,
                score: Some(score),
            }),
            None => selection.left_out.push(left_out(&row.prompt.id, code)),
        }
    }
    selection
}

fn left_out(prompt_id: &str, reason: &str) -> LeftOut {
    LeftOut { prompt_id: prompt_id.to_owned(), reason: reason.to_owned() }
}

/// Returns why a row without a valid candidate has none.
pub(crate) fn lack(row: &Row) -> &'static str {
    if row.candidates.is_empty() {
        "none_asked"
    } else if row.candidates.iter().all(|candidate| !candidate.passed()) {
        "none_passed"
    } else {
        "none_scored"
    }
}

/// Returns the valid candidates with their rewards from the best on.
pub(crate) fn valid_by_rank<'a>(row: &'a Row, query: &Query<'_>) -> Vec<(&'a Candidate, f64)> {
    let mut valid: Vec<_> = row.candidates.iter().filter_map(|c| Some((c, c.valid_reward()?))).collect();
    valid.sort_by(|a, b| by_rank(query, a, b));
    valid
}

/// Returns the group of each text, named by its first member: [`near_duplicates`], where equal texts are alike at any
/// threshold.
pub(crate) fn alike(texts: &[&str], threshold: f64) -> Vec<usize> {
    // Equal texts have a similarity of 1, which is above every lower threshold.
    if threshold < 1.0 {
        return near_duplicates(texts, threshold);
    }
    let first = |text: &&str| texts.iter().position(|other| other == text).unwrap_or(0);
    texts.iter().map(first).collect()
}
