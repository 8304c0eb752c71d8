//! The answers to one prompt scored by how much they agree: minimum Bayes risk, here and at once.

use std::collections::HashMap;

use cambist_core::{
    arbiter::{Contender, Evidence, mean_utilities},
    candidate::Candidate,
    completion::{Completion, FinishReason},
    gates::Gates,
    prompt::Prompt,
    score::Score,
};

use super::tables::{COMPLETIONS, read_table};
use crate::{error::PipelineError, plan::Job, recipe, run::Workshop};

/// An arbiter that reads all answers to a prompt together.
pub(super) struct Consensus {
    name: String,
    /// What an answer must pass for others to be measured against it.
    gates: Gates,
    /// Answers that support others and are no candidates, by their prompt.
    evidence: HashMap<String, Vec<Completion>>,
    weight: f64,
}

impl Consensus {
    /// Reads what the recipe says, and the evidence that it names; none for another arbiter.
    pub(super) fn open(
        (workshop, job): (&Workshop<'_>, &Job),
        declared: &recipe::Arbiter,
    ) -> Result<Option<Self>, PipelineError> {
        let Some(manner) = &declared.mbr else { return Ok(None) };
        let mut evidence: HashMap<String, Vec<Completion>> = HashMap::new();
        for input in job.inputs(&format!("evidence {}", declared.id)) {
            for completion in read_table::<Completion>(&workshop.artifact(&input.id)?, COMPLETIONS)? {
                evidence.entry(completion.prompt_id.clone()).or_default().push(completion);
            }
        }
        let weight = manner.evidence.as_ref().map_or(1.0, |evidence| evidence.weight);
        Ok(Some(Self { name: declared.id.clone(), gates: manner.gates.clone(), evidence, weight }))
    }

    /// Scores the answers to one prompt, in their order; a failed call alone has no score.
    pub(super) fn scores(&self, prompt: &Prompt, answers: &[&Completion]) -> Vec<Score> {
        let given = self.judged(prompt, answers.iter().copied().filter(|answer| is_given(answer)));
        let contenders: Vec<Contender<'_>> =
            given.iter().map(|of| Contender { text: &of.completion.text, has_vote: of.passed() }).collect();
        let evidence = self.judged(prompt, self.evidence.get(&prompt.id).into_iter().flatten());
        let texts: Vec<&str> = evidence.iter().filter(|of| of.passed()).map(|of| of.completion.text.as_str()).collect();
        let mut values = mean_utilities(&contenders, Evidence { texts: &texts, weight: self.weight }).into_iter();
        let score = |answer: &&Completion| {
            let value = if is_given(answer) { values.next() } else { None };
            Score {
                prompt_id: answer.prompt_id.clone(),
                teacher: answer.teacher.clone(),
                sample: answer.sample,
                arbiter: self.name.clone(),
                value,
                missing: value.is_none().then(|| "no_answer".to_owned()),
            }
        };
        answers.iter().map(score).collect()
    }

    /// What the gates say of each, and of each beside the others.
    fn judged<'c>(&self, prompt: &Prompt, answers: impl Iterator<Item = &'c Completion>) -> Vec<Candidate> {
        let judge = |completion: &Completion| {
            let verdict = self.gates.judge(prompt, completion);
            Candidate { completion: completion.clone(), verdict, reward: None }
        };
        let mut candidates: Vec<Candidate> = answers.map(judge).collect();
        self.gates.judge_together(prompt, &mut candidates);
        candidates
    }

    /// As [`Consensus::scores`], of those of the answers that stand at the places of `group`, all to one prompt.
    pub(super) fn of_group(&self, answers: &[(&Prompt, &Completion)], group: &[usize]) -> Vec<Score> {
        let of_group: Vec<&Completion> = group.iter().map(|&at| answers[at].1).collect();
        group.first().map(|&first| self.scores(answers[first].0, &of_group)).unwrap_or_default()
    }
}

fn is_given(answer: &Completion) -> bool {
    answer.finish_reason != FinishReason::Error
}
