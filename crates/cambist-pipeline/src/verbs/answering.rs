//! Answers and scores of rows that are in memory anyway, through the ledger like all others.

use std::collections::BTreeMap;

use cambist_core::{
    completion::{Completion, FinishReason},
    digest::Digest,
    prompt::Prompt,
    score::Score,
};
use cambist_io::store::{ManifestDraft, Scratch};
use cambist_model::Sampling;
use rayon::prelude::*;

use super::{
    arbiters::Member,
    asking::{Asking, Cells, wants_several},
    contest::{Contest, JudgesAgreement, Showing, rule},
    evaluate::variant_of,
    panel::{Hearing, Scorer, Verdicts},
    scoring::{Scoring, candidate_digest},
    tables::{DISAGREEMENT, MEMBER_SCORES, write_table},
    tally::Tally,
    voices::Voice,
};
use crate::{error::PipelineError, plan::Job, run::Workshop};

/// One answer to get: of which teacher, to which prompt, which of several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// Index of the voice that answers.
    pub voice: usize,
    /// Which of several answers, from 0.
    pub sample: u32,
}

/// Gets the answers to `cells`, in their order: from the ledger what was asked before, the rest from the voices.
pub(super) fn ask(
    workshop: &Workshop<'_>,
    job: &Job,
    voices: &[Voice],
    (cells, sampling): (&[Cell<'_>], &Sampling),
) -> Result<Vec<Completion>, PipelineError> {
    let key = |cell: &Cell<'_>| {
        let question = voices[cell.voice].question(cell.prompt, (sampling, cell.sample))?;
        Ok(question.map(|question| question.key))
    };
    let keys: Vec<Option<Digest>> = cells.iter().map(key).collect::<Result<_, PipelineError>>()?;
    let answered = workshop.ledger().settled_keys()?;
    let is_missing = |key: &Option<Digest>| key.as_ref().is_some_and(|key| !answered.contains(key));
    let missing: Vec<&Cell<'_>> = cells.iter().zip(&keys).filter(|(_, key)| is_missing(key)).map(|(c, _)| c).collect();
    let of = |voice: usize| missing.iter().filter(move |cell| cell.voice == voice);
    let wanted: Vec<u64> = (0..voices.len()).map(|voice| of(voice).count() as u64).collect();
    let several = (0..voices.len()).map(|voice| wants_several(of(voice).map(|cell| cell.prompt.id.as_str()))).collect();
    let asking = Asking { workshop, job, voices, sampling, scoring: None, several };
    let cells_of = |voice: usize| -> Result<Cells<'_>, PipelineError> {
        Ok(Box::new(of(voice).map(|cell| Ok((cell.prompt.clone(), cell.sample)))))
    };
    asking.ask(&cells_of, &Tally::new(&wanted, "answers"))?;
    let asked: Vec<Digest> = keys.iter().flatten().cloned().collect();
    let mut records = workshop.ledger().find_outcomes(&asked)?.into_iter();
    let lost = || PipelineError::Internal(format!("`{}`: an answer is not in the ledger", job.label));
    let read = |(cell, key): (&Cell<'_>, &Option<Digest>)| {
        let record = if key.is_some() { records.next().flatten() } else { None };
        voices[cell.voice].completion(cell.prompt, cell.sample, record).ok_or_else(lost)
    };
    cells.iter().zip(&keys).map(read).collect()
}

/// The scores of answers, in their order.
pub(super) struct Marks {
    /// A score of each answer.
    pub scores: Vec<Score>,
    /// What a panel rests on; none for an arbiter by itself.
    panel: Option<PanelMarks>,
    /// How the comparisons came out, where judges compared.
    agreement: JudgesAgreement,
}

impl Marks {
    /// Writes what the scores rest on beside them.
    pub(super) fn write_grounds(&self, scratch: &Scratch, draft: &mut ManifestDraft) -> Result<(), PipelineError> {
        self.agreement.write(scratch, draft)?;
        self.panel.as_ref().map_or(Ok(()), |panel| panel.write(scratch, draft))
    }
}

/// What the scores of a panel rest on.
struct PanelMarks {
    /// What each member said of each answer.
    members: Vec<Score>,
    /// What the panel made of it.
    verdicts: Verdicts,
}

/// Who competes with whom, where a judge compares answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rivals<'a> {
    /// The answers to one prompt, as the recipe says under `compare`.
    OfPrompt,
    /// The answers to one prompt with the same seed, each with that of this variant.
    Against(&'a str),
}

/// Scores answers; what the arbiter cannot say is missing.
pub(super) fn score(
    (workshop, job): (&Workshop<'_>, &Job),
    scorer: &Scorer,
    (answers, rivals): (&[(&Prompt, &Completion)], Rivals<'_>),
) -> Result<Marks, PipelineError> {
    let is_answered = |completion: &Completion| completion.finish_reason != FinishReason::Error;
    let groups = rivals.groups(answers);
    Scoring::beside((workshop, job), &scorer.ledgered(), |scoring| {
        let Some(scoring) = scoring else { return Ok(()) };
        for (prompt, completion) in answers.iter().filter(|(_, completion)| is_answered(completion)) {
            scoring.submit(prompt, &completion.teacher, completion.text.clone())?;
        }
        for group in &groups {
            scoring.compare(|showing| rivals.contest((answers, group), showing));
        }
        Ok(())
    })?;
    let mut agreement = JudgesAgreement::default();
    let mut by_member = Vec::new();
    for member in scorer.members() {
        by_member.push(match (member.judge(), member.consensus()) {
            (Some((judge, showing)), _) => {
                let contests = groups.iter().map(|group| rivals.contest((answers, group), showing));
                let rulings = rule(workshop, judge, &contests.collect::<Vec<_>>())?;
                let languages = groups.iter().map(|group| &answers[group[0]].0.language);
                languages.zip(&rulings).for_each(|(language, ruling)| agreement.add(judge, language, ruling.agreement));
                in_place(answers.len(), &groups, rulings.into_iter().map(|ruling| ruling.scores))
            }
            (None, Some(consensus)) => {
                let scores: Vec<Vec<Score>> =
                    groups.par_iter().map(|group| consensus.of_group(answers, group)).collect();
                in_place(answers.len(), &groups, scores)
            }
            (None, None) => of_member(workshop, member, answers)?,
        });
    }
    let Some(hearing) = scorer.hearing() else {
        return Ok(Marks { scores: by_member.into_iter().flatten().collect(), panel: None, agreement });
    };
    Ok(Marks { agreement, ..decide(hearing, answers, by_member)? })
}

impl Rivals<'_> {
    /// The places of the answers that compete with each other.
    fn groups(self, answers: &[(&Prompt, &Completion)]) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<(&str, Option<u64>), Vec<usize>> = BTreeMap::new();
        for (at, (prompt, completion)) in answers.iter().enumerate() {
            let seed = match self {
                Self::OfPrompt => None,
                Self::Against(_) => variant_of(&completion.teacher).1,
            };
            groups.entry((&prompt.id, seed)).or_default().push(at);
        }
        groups.into_values().collect()
    }

    fn contest<'a>(
        self,
        (answers, group): (&[(&'a Prompt, &'a Completion)], &[usize]),
        showing: &Showing,
    ) -> Contest<'a> {
        let prompt = answers[group[0]].0;
        let of_group = group.iter().map(|&at| answers[at].1).collect();
        match self {
            Self::OfPrompt => Contest::new(prompt, of_group, showing),
            Self::Against(variant) => Contest::with(prompt, of_group, |of| variant_of(&of.teacher).0 == variant),
        }
    }
}

/// Brings the scores of groups into the order of the answers.
fn in_place(n: usize, groups: &[Vec<usize>], of_groups: impl IntoIterator<Item = Vec<Score>>) -> Vec<Score> {
    let mut scores: Vec<Option<Score>> = vec![None; n];
    for (group, of_group) in groups.iter().zip(of_groups) {
        for (&at, score) in group.iter().zip(of_group) {
            scores[at] = Some(score);
        }
    }
    scores.into_iter().flatten().collect()
}

fn of_member(
    workshop: &Workshop<'_>,
    member: &Member,
    answers: &[(&Prompt, &Completion)],
) -> Result<Vec<Score>, PipelineError> {
    let Some(arbiter) = member.ledgered() else {
        return answers.iter().map(|(prompt, completion)| member.score(prompt, completion)).collect();
    };
    let digest =
        |(prompt, completion): &(&Prompt, &Completion)| arbiter.key(&candidate_digest(prompt, &completion.text));
    let keys: Vec<Digest> = answers.iter().map(digest).collect();
    let records = workshop.ledger().find_scores(&keys)?;
    let read = |((_, completion), record): (&(&Prompt, &Completion), Option<_>)| member.recorded(completion, record);
    Ok(answers.iter().zip(records).map(read).collect())
}

/// Lets a panel decide about the answers to each prompt.
fn decide(
    mut hearing: Hearing,
    answers: &[(&Prompt, &Completion)],
    by_member: Vec<Vec<Score>>,
) -> Result<Marks, PipelineError> {
    let said: Vec<Vec<Score>> =
        (0..answers.len()).map(|at| by_member.iter().filter_map(|scores| scores.get(at).cloned()).collect()).collect();
    let mut prompts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, (prompt, _)) in answers.iter().enumerate() {
        said[at].iter().for_each(|score| hearing.hear(&prompt.language, score));
        prompts.entry(&prompt.id).or_default().push(at);
    }
    let mut verdicts = hearing.close();
    let mut scores: Vec<Option<Score>> = vec![None; answers.len()];
    for places in prompts.values() {
        let of_prompt: Vec<&[Score]> = places.iter().map(|&at| said[at].as_slice()).collect();
        let language = &answers[places[0]].0.language;
        for (&at, score) in places.iter().zip(verdicts.decide(language, &of_prompt)?) {
            scores[at] = Some(score);
        }
    }
    let members = said.into_iter().flatten().collect();
    let panel = Some(PanelMarks { members, verdicts });
    Ok(Marks { scores: scores.into_iter().flatten().collect(), panel, agreement: JudgesAgreement::default() })
}

impl PanelMarks {
    /// Writes what the panel rests on beside its scores.
    fn write(&self, scratch: &Scratch, draft: &mut ManifestDraft) -> Result<(), PipelineError> {
        write_table(scratch, MEMBER_SCORES, &self.members)?;
        write_disagreement(scratch, draft, &self.verdicts)
    }
}

/// Writes `disagreement.json` and counts it in the manifest.
pub(super) fn write_disagreement(
    scratch: &Scratch,
    draft: &mut ManifestDraft,
    verdicts: &Verdicts,
) -> Result<(), PipelineError> {
    let text = serde_json::to_vec_pretty(&verdicts.disagreement());
    scratch.write(DISAGREEMENT, &text.map_err(|error| PipelineError::Internal(error.to_string()))?)?;
    let (compared, apart) = verdicts.counts();
    draft.counts.insert("prompts compared by arbiters".into(), compared);
    draft.counts.insert("prompts with different winners".into(), apart);
    Ok(())
}
