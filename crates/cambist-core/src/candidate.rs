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

/// What somebody said of one of the answers to a prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored<'a> {
    /// Whose answer.
    pub teacher: &'a str,
    /// Which of the teacher's answers.
    pub sample: u32,
    /// The value; none when there is none, which is never 0.
    pub value: Option<f64>,
}

impl<'a> From<&'a Score> for Scored<'a> {
    fn from(score: &'a Score) -> Self {
        Self { teacher: &score.teacher, sample: score.sample, value: score.value }
    }
}

impl Scored<'_> {
    fn cell(&self) -> (&str, u32) {
        (self.teacher, self.sample)
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
    /// Brings the answers to one prompt together with what `gates` say of them, with the scores of one arbiter and with
    /// those of a safety scorer, in any order.
    ///
    /// An answer without a score, or with a missing one, has no reward; scores of other answers play no part.
    ///
    /// # Errors
    /// When two answers or two scores are of one cell, or a reward is not finite.
    pub fn judged(
        prompt: Prompt,
        completions: Vec<Completion>,
        (scores, safety): (Vec<Scored<'_>>, Vec<Scored<'_>>),
        gates: &Gates,
    ) -> Result<Self, MatrixError> {
        let (rewards, safety) = (by_cell(&prompt, scores)?, by_cell(&prompt, safety)?);
        let judge = |completion: Completion| {
            let cell = (completion.teacher.as_str(), completion.sample);
            let verdict = gates.judge_scored((&prompt, &completion), value_of(&safety, cell));
            let reward = value_of(&rewards, cell);
            Candidate { completion, verdict, reward }
        };
        let candidates = completions.into_iter().map(judge).collect();
        let mut row = Self { prompt, candidates };
        row.settle()?;
        gates.judge_together(&row.prompt, &mut row.candidates);
        Ok(row)
    }

    /// Sorts the answers, and finds out what does not belong.
    fn settle(&mut self) -> Result<(), MatrixError> {
        self.candidates.sort_by(|a, b| a.cell().cmp(&b.cell()));
        check(self)
    }

    /// Returns the answer of `teacher` with number `sample`.
    pub fn candidate(&self, teacher: &str, sample: u32) -> Option<&Candidate> {
        self.candidates.get(self.place((teacher, sample))?)
    }

    /// Returns where the answer of this teacher and sample stands among the candidates.
    pub fn place(&self, cell: (&str, u32)) -> Option<usize> {
        self.candidates.binary_search_by(|candidate| candidate.cell().cmp(&cell)).ok()
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
        let index = index_of(rows.iter().map(|row| &row.prompt))?;
        for candidate in candidates {
            let at = index.get(&candidate.completion.prompt_id).copied();
            let at = at.ok_or_else(|| unknown(&candidate.completion))?;
            rows[at].candidates.push(candidate);
        }
        rows.iter_mut().try_for_each(Row::settle)?;
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
        let index = index_of(&prompts)?;
        let mut answers: Vec<Vec<Completion>> = prompts.iter().map(|_| Vec::new()).collect();
        for completion in completions {
            let at = index.get(&completion.prompt_id).ok_or_else(|| unknown(&completion))?;
            answers[*at].push(completion);
        }
        let (scores, safety) = (by_prompt(&index, scores), by_prompt(&index, safety));
        let rows = prompts.into_iter().zip(answers).zip(scores.into_iter().zip(safety));
        let judge = |((prompt, answers), scores)| Row::judged(prompt, answers, scores, gates);
        Ok(Self { rows: rows.map(judge).collect::<Result<_, _>>()? })
    }

    /// The rows in the order of the prompts.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// The places of prompts by their ids.
fn index_of<'a>(prompts: impl IntoIterator<Item = &'a Prompt>) -> Result<HashMap<String, usize>, MatrixError> {
    let mut index = HashMap::new();
    for (at, prompt) in prompts.into_iter().enumerate() {
        if index.insert(prompt.id.clone(), at).is_some() {
            return Err(MatrixError::DuplicatePrompt { id: prompt.id.clone() });
        }
    }
    Ok(index)
}

/// The scores of each prompt's answers; those of other prompts are left out.
fn by_prompt<'a>(index: &HashMap<String, usize>, scores: &'a [Score]) -> Vec<Vec<Scored<'a>>> {
    let mut grouped = vec![Vec::new(); index.len()];
    for score in scores {
        if let Some(at) = index.get(&score.prompt_id) {
            grouped[*at].push(score.into());
        }
    }
    grouped
}

/// Sorts the scores of the answers to one prompt by teacher and sample.
fn by_cell<'a>(prompt: &Prompt, mut scores: Vec<Scored<'a>>) -> Result<Vec<Scored<'a>>, MatrixError> {
    scores.sort_by(|a, b| a.cell().cmp(&b.cell()));
    let twin = scores.windows(2).find(|pair| pair[0].cell() == pair[1].cell());
    match twin.and_then(<[_]>::first) {
        Some(Scored { teacher, sample, .. }) => Err(MatrixError::DuplicateScore {
            prompt_id: prompt.id.clone(),
            teacher: (*teacher).to_owned(),
            sample: *sample,
        }),
        None => Ok(scores),
    }
}

fn value_of(sorted: &[Scored<'_>], cell: (&str, u32)) -> Option<f64> {
    let at = sorted.binary_search_by(|score| score.cell().cmp(&cell)).ok()?;
    sorted[at].value
}

fn unknown(completion: &Completion) -> MatrixError {
    MatrixError::UnknownPrompt { prompt_id: completion.prompt_id.clone(), teacher: completion.teacher.clone() }
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
