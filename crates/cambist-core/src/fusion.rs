//! Fusion: one answer made of the best of several (FusioN, arXiv 2510.00931).
//!
//! Which answers a fusor is shown, in which order, and what it gave back. Asking it is somebody else's affair.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{
    candidate::{Candidate, Row},
    chance::Chance,
    completion::FusionOutcome,
    pool::Query,
    router::by_rank,
};

/// What becomes of the answers to a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// One answer is made of them: for open tasks. The default.
    #[default]
    Fuse,
    /// The best of them is kept: for tasks whose answers can be verified, where a mixture of a right and a wrong one is
    /// wrong.
    Best,
}

/// Which answers are shown to a fusor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FusionRules {
    /// At most how many, the best first; 7 in the paper's curve, after which gains flatten.
    pub max_candidates: usize,
    /// Whether answers are scored: then one without a reward is not valid, as in every strategy.
    pub reads_rewards: bool,
}

/// What is to be done about one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Course<'r> {
    /// The candidates, the best first, at most as many as the rules say.
    pub ranked: Vec<&'r Candidate>,
    /// What is kept without asking anybody: the first candidate, or nothing. None where the candidates are to be fused,
    /// which are two or more then.
    pub settled: Option<FusionOutcome>,
}

impl FusionRules {
    /// Decides what is to be done about the answers to one prompt.
    ///
    /// Valid are answers of eligible teachers that passed every gate; of equal texts the best stands for all. The order is
    /// that of every strategy: higher reward, lower expected cost, smaller teacher id, smaller sample.
    pub fn course<'r>(&self, row: &'r Row, query: &Query<'_>, treatment: Treatment) -> Course<'r> {
        let mut ranked = self.ranked(row, query);
        let settled = match (ranked.len(), treatment) {
            (0, _) => Some(FusionOutcome::Nothing),
            (1, _) => Some(FusionOutcome::Only),
            (_, Treatment::Best) => Some(FusionOutcome::Best),
            (_, Treatment::Fuse) => None,
        };
        ranked.truncate(self.max_candidates);
        Course { ranked, settled }
    }

    fn ranked<'r>(&self, row: &'r Row, query: &Query<'_>) -> Vec<&'r Candidate> {
        let is_valid = |candidate: &&Candidate| {
            let is_scored = candidate.reward.is_some() || !self.reads_rewards;
            candidate.passed() && is_scored && query.is_eligible(&candidate.completion.teacher)
        };
        // Without an arbiter all are worth the same, and the rest of the order decides.
        let worth = |candidate: &Candidate| candidate.reward.filter(|_| self.reads_rewards).unwrap_or(0.0);
        let mut valid: Vec<&Candidate> = row.candidates.iter().filter(is_valid).collect();
        valid.sort_by(|a, b| by_rank(query, &(*a, worth(a)), &(*b, worth(b))));
        let mut seen = HashSet::new();
        valid.retain(|candidate| seen.insert(candidate.completion.text.trim()));
        valid
    }
}

/// Returns the candidates in the order in which a fusor sees them: fusors lean to what stands first, so it is drawn by
/// the seed and the prompt's id.
pub fn shuffled<'r>(ranked: &[&'r Candidate], (seed, prompt_id): (u64, &str)) -> Vec<&'r Candidate> {
    let mut shown = ranked.to_vec();
    Chance::new(seed, &["fusion", prompt_id]).shuffle(&mut shown);
    shown
}

/// Returns what stands in the last double square brackets, without white space around it; none where there are none, or
/// nothing in them.
///
/// Brackets of the answer's own (`[[1, 2], [3, 4]]`, links, lists) belong to it as long as each is closed; where they are
/// not, the answer begins at the last `[[`.
pub fn bracketed(text: &str) -> Option<&str> {
    let end = text.rfind("]]")?;
    let before = &text[..end];
    let start = opening(before).or_else(|| before.rfind("[[").map(|at| at + 2))?;
    let inner = before[start..].trim();
    (!inner.is_empty()).then_some(inner)
}

/// Where the text begins whose two closing brackets stand right behind `before`, by counting brackets backwards.
fn opening(before: &str) -> Option<usize> {
    let mut depth = 2u32;
    for (at, bracket) in before.bytes().enumerate().rev() {
        match bracket {
            b']' => depth += 1,
            b'[' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return before[at..].starts_with("[[").then_some(at + 2);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_is_the_answer() {
        for (text, answer) in [
            ("They differ.\n[[Rivers bend.]]", Some("Rivers bend.")),
            ("[[first]] and then [[ second ]] and more", Some("second")),
            ("[[two\nlines]]", Some("two\nlines")),
            ("[[m = [[1, 2], [3, 4]]]]", Some("m = [[1, 2], [3, 4]]")),
            ("[[[a link](https://x.example)]]", Some("[a link](https://x.example)")),
            ("[[the set [0, 1) and ]]", Some("the set [0, 1) and")),
            ("[[x[i[0]] is read]]", Some("x[i[0]] is read")),
            ("[[川は曲がる。]]", Some("川は曲がる。")),
            ("[[ ]]", None),
            ("[[never closed", None),
            ("never opened]]", None),
            ("no brackets", None),
            ("", None),
        ] {
            assert_eq!(bracketed(text), answer, "{text}");
        }
    }
}
