//! Answers side by side: what was asked, what the gates said, what the arbiter gave.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    completion::Completion,
    gates::{Gates, Verdict},
    prompt::Prompt,
    score::Score,
};

/// One answer with the gates' verdict and the arbiter's reward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The answer.
    pub completion: Completion,
    /// What the gates said.
    pub verdict: Verdict,
    /// The arbiter's reward, higher is better; none when it could not say, which is never 0.
    pub reward: Option<f64>,
}

impl Candidate {
    /// Whether it passed every gate, scored or not.
    pub fn passed(&self) -> bool {
        self.verdict.passed()
    }

    /// The reward of a valid candidate: one that passed every gate and has a reward.
    pub fn valid_reward(&self) -> Option<f64> {
        self.reward.filter(|_| self.passed())
    }

    /// Teacher and sample, its name among the answers to one prompt.
    pub fn cell(&self) -> (&str, u32) {
        (&self.completion.teacher, self.completion.sample)
    }
}

/// One prompt and the answers to it, sorted by teacher id (bytes), then sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The prompt.
    pub prompt: Prompt,
    /// The answers; empty when nobody was asked.
    pub candidates: Vec<Candidate>,
}

impl Row {
    /// Returns the answer of `teacher` with number `sample`.
    pub fn candidate(&self, teacher: &str, sample: u32) -> Option<&Candidate> {
        let at = self.candidates.binary_search_by(|candidate| candidate.cell().cmp(&(teacher, sample))).ok()?;
        self.candidates.get(at)
    }
}

/// Answers grouped by prompt, in the order of the prompts; the same for any order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Matrix {
    rows: Vec<Row>,
}

/// Why answers do not form a matrix.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MatrixError {
    /// Two prompts have one id.
    #[error("two prompts have the id `{id}`: ids must be unique in a set")]
    DuplicatePrompt {
        /// The id.
        id: String,
    },
    /// An answer to a prompt that is not there.
    #[error(
        "teacher `{teacher}` answered prompt `{prompt_id}`, which is not among the prompts: give the prompts that were asked"
    )]
    UnknownPrompt {
        /// The prompt that the answer names.
        prompt_id: String,
        /// Who answered.
        teacher: String,
    },
    /// One teacher answered one prompt twice under one sample number.
    #[error("teacher `{teacher}` answered prompt `{prompt_id}` twice as sample {sample}: number the answers from 0")]
    DuplicateAnswer {
        /// The prompt.
        prompt_id: String,
        /// Who answered.
        teacher: String,
        /// The number that occurs twice.
        sample: u32,
    },
    /// One answer has two scores.
    #[error(
        "teacher `{teacher}` has two scores on prompt `{prompt_id}`, sample {sample}: give the scores of one arbiter"
    )]
    DuplicateScore {
        /// The prompt.
        prompt_id: String,
        /// Who answered.
        teacher: String,
        /// Which of the teacher's answers.
        sample: u32,
    },
    /// A reward that is no number.
    #[error(
        "the reward of teacher `{teacher}` on prompt `{prompt_id}` is {reward}, expected a finite number: leave a reward out that the arbiter could not give"
    )]
    NotFinite {
        /// The prompt.
        prompt_id: String,
        /// Who answered.
        teacher: String,
        /// What the arbiter gave.
        reward: f64,
    },
}

impl Matrix {
    /// Groups the answers by prompt.
    ///
    /// # Errors
    /// When two prompts or two answers share a name, an answer belongs to no prompt, or a reward is not finite.
    pub fn new(prompts: Vec<Prompt>, candidates: Vec<Candidate>) -> Result<Self, MatrixError> {
        let mut rows: Vec<Row> = prompts.into_iter().map(|prompt| Row { prompt, candidates: Vec::new() }).collect();
        let mut index: HashMap<String, usize> = HashMap::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            if index.insert(row.prompt.id.clone(), at).is_some() {
                return Err(MatrixError::DuplicatePrompt { id: row.prompt.id.clone() });
            }
        }
        for candidate in candidates {
            let at = index.get(&candidate.completion.prompt_id).copied();
            let at = at.ok_or_else(|| unknown(&candidate.completion))?;
            rows[at].candidates.push(candidate);
        }
        for row in &mut rows {
            row.candidates.sort_by(|a, b| a.cell().cmp(&b.cell()));
            check(row)?;
        }
        Ok(Self { rows })
    }

    /// Brings answers together with what `gates` say of them and with the scores of one arbiter.
    ///
    /// An answer without a score, or with a missing one, has no reward.
    ///
    /// # Errors
    /// When two scores are of one answer, or as [`Matrix::new`].
    pub fn judged(
        prompts: Vec<Prompt>,
        completions: Vec<Completion>,
        scores: &[Score],
        gates: &Gates,
    ) -> Result<Self, MatrixError> {
        Self::judged_safe(prompts, completions, (scores, &[]), gates)
    }

    /// As [`Matrix::judged`], with the scores of a safety scorer behind those of the arbiter, for the safety gate.
    ///
    /// # Errors
    /// As [`Matrix::judged`].
    pub fn judged_safe(
        prompts: Vec<Prompt>,
        completions: Vec<Completion>,
        (scores, safety): (&[Score], &[Score]),
        gates: &Gates,
    ) -> Result<Self, MatrixError> {
        let (rewards, safety) = (by_cell(scores)?, by_cell(safety)?);
        let by_id: HashMap<&str, &Prompt> = prompts.iter().map(|prompt| (prompt.id.as_str(), prompt)).collect();
        let judge = |completion: Completion| {
            let prompt = by_id.get(completion.prompt_id.as_str());
            let prompt = prompt.ok_or_else(|| unknown(&completion))?;
            let cell = (completion.prompt_id.as_str(), completion.teacher.as_str(), completion.sample);
            let value = |of: &ByCell<'_>| of.get(&cell).copied().flatten();
            let verdict = gates.judge_scored((prompt, &completion), value(&safety));
            let reward = value(&rewards);
            Ok(Candidate { completion, verdict, reward })
        };
        let candidates = completions.into_iter().map(judge).collect::<Result<Vec<_>, _>>()?;
        let mut matrix = Self::new(prompts, candidates)?;
        for Row { prompt, candidates } in &mut matrix.rows {
            gates.judge_together(prompt, candidates);
        }
        Ok(matrix)
    }

    /// The rows in the order of the prompts.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// The values of one arbiter by prompt, teacher and sample.
type ByCell<'a> = HashMap<(&'a str, &'a str, u32), Option<f64>>;

fn by_cell(scores: &[Score]) -> Result<ByCell<'_>, MatrixError> {
    let mut values = HashMap::with_capacity(scores.len());
    for Score { prompt_id, teacher, sample, value, .. } in scores {
        if values.insert((prompt_id.as_str(), teacher.as_str(), *sample), *value).is_some() {
            let (prompt_id, teacher) = (prompt_id.clone(), teacher.clone());
            return Err(MatrixError::DuplicateScore { prompt_id, teacher, sample: *sample });
        }
    }
    Ok(values)
}

fn unknown(completion: &Completion) -> MatrixError {
    let Completion { prompt_id, teacher, .. } = completion.clone();
    MatrixError::UnknownPrompt { prompt_id, teacher }
}

fn check(row: &Row) -> Result<(), MatrixError> {
    let prompt_id = || row.prompt.id.clone();
    for pair in row.candidates.windows(2) {
        if let [a, b] = pair
            && a.cell() == b.cell()
        {
            let (teacher, sample) = (a.completion.teacher.clone(), a.completion.sample);
            return Err(MatrixError::DuplicateAnswer { prompt_id: prompt_id(), teacher, sample });
        }
    }
    let unfit = row.candidates.iter().find_map(|c| c.reward.filter(|r| !r.is_finite()).map(|r| (c, r)));
    unfit.map_or(Ok(()), |(candidate, reward)| {
        Err(MatrixError::NotFinite { prompt_id: prompt_id(), teacher: candidate.completion.teacher.clone(), reward })
    })
}
