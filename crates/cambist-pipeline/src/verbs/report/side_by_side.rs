//! Answers side by side: prompts on which teachers disagree, chosen by rule.

use std::collections::{BTreeMap, BTreeSet};

use cambist_core::{
    candidate::{Candidate, Row as AnswerRow},
    chance::Chance,
    language::Language,
    router::Outcome,
};

use super::{
    material::{AnswerSet, Material},
    teachers::gate_words,
};
use crate::report::{Answer, Block, Example, Origin, Section, Verdict, Words};

/// Prompts shown of each language, up to [`MANY_LANGUAGES`]; one beyond.
const PER_LANGUAGE: usize = 2;
const MANY_LANGUAGES: usize = 8;

/// One section over the first set of answers; none without any.
pub(super) fn section(material: &Material<'_>) -> Option<Section> {
    let answers = material.answers.first().filter(|answers| !answers.matrix.rows().is_empty())?;
    let seed = material.recipe.seed;
    let rows = answers.matrix.rows();
    let shown = choose(rows, seed);
    let n_split = rows.iter().filter(|row| disagree(row)).count();
    let text = format!(
        "Teachers disagree (their valid answers have different rewards) on {n_split} of {} prompts. Shown are up to \
         {} of each language, drawn by the recipe’s seed, prompts with disagreement first and one task after another.",
        rows.len(),
        per_language(rows),
    );
    let kept_by = kept_by(answers);
    let examples = shown.into_iter().map(|row| example(answers, row, &kept_by)).collect();
    let origin = Origin {
        n: format!("{} prompts", rows.len()),
        artifacts: answers
            .sources
            .iter()
            .cloned()
            .chain([answers.artifact.clone()])
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        ..Origin::default()
    };
    let blocks = vec![Block::Paragraph(text.into()), Block::Examples { examples, origin }];
    Some(Section { title: "Answers side by side".into(), blocks })
}

fn per_language(rows: &[AnswerRow]) -> usize {
    let n_languages = rows.iter().map(|row| &row.prompt.language).collect::<BTreeSet<_>>().len();
    if n_languages > MANY_LANGUAGES { 1 } else { PER_LANGUAGE }
}

/// Whether two valid answers have different rewards.
fn disagree(row: &AnswerRow) -> bool {
    let mut rewards = row.candidates.iter().filter_map(Candidate::valid_reward);
    rewards.next().is_some_and(|first| rewards.any(|other| other != first))
}

/// Draws prompts of every language: those with disagreement first, then by lot, no task twice before every task of the
/// language had its turn.
fn choose(rows: &[AnswerRow], seed: u64) -> Vec<&AnswerRow> {
    let mut languages: BTreeMap<&Language, Vec<&AnswerRow>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.candidates.is_empty()) {
        languages.entry(&row.prompt.language).or_default().push(row);
    }
    let n_shown = per_language(rows);
    languages.into_values().flat_map(|of_language| draw(of_language, seed, n_shown)).collect()
}

fn draw(mut rows: Vec<&AnswerRow>, seed: u64, n_shown: usize) -> Vec<&AnswerRow> {
    let lot = |row: &AnswerRow| Chance::new(seed, &["example", &row.prompt.id]).next_u64();
    rows.sort_by_cached_key(|row| (!disagree(row), lot(row)));
    let mut turns: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    let mut drawn = Vec::new();
    while drawn.len() < n_shown && !rows.is_empty() {
        let next = (0..rows.len())
            .min_by_key(|&at| (!disagree(rows[at]), turns.get(&rows[at].prompt.task.as_deref()).copied(), at));
        let Some(at) = next else { break };
        let row = rows.remove(at);
        *turns.entry(row.prompt.task.as_deref()).or_default() += 1;
        drawn.push(row);
    }
    drawn
}

/// By prompt, teacher and sample: the strategies that took the answer. Strategies with answers of their own are left
/// out, as theirs are not shown.
type KeptBy<'a> = BTreeMap<(&'a str, &'a str, u32), Vec<&'a str>>;

fn kept_by<'a>(answers: &'a AnswerSet) -> KeptBy<'a> {
    let mut kept = KeptBy::new();
    let shared = answers.selection.iter().flat_map(|selection| &selection.decisions).filter(|(_, (is_own, _))| !is_own);
    for (name, (_, decisions)) in shared {
        for decision in decisions.iter().filter(|decision| decision.outcome == Outcome::Chosen) {
            if let Some((teacher, sample)) = decision.teacher.as_deref().zip(decision.sample) {
                kept.entry((&decision.prompt_id, teacher, sample)).or_default().push(name);
            }
        }
    }
    kept
}

fn example(answers: &AnswerSet, row: &AnswerRow, kept_by: &KeptBy<'_>) -> Example {
    let prompt = &row.prompt;
    let answer = |candidate: &Candidate| {
        let (teacher, sample) = candidate.cell();
        let strategies = kept_by.get(&(prompt.id.as_str(), teacher, sample));
        let kept = strategies.map(|names| format!("by {}", names.join(", ")));
        let stopped = candidate.verdict.stopped.as_ref().map(|stop| gate_words(stop.reason.code()).to_owned());
        Answer {
            teacher: if sample == 0 { teacher.to_owned() } else { format!("{teacher}, answer {}", sample + 1) },
            text: Words::new(&candidate.completion.text, prompt.expected_language()),
            reward: candidate.reward,
            verdict: verdict(answers, candidate),
            kept: answers.selection.as_ref().map(|_| strategies.is_some()),
            note: [stopped, kept].into_iter().flatten().collect::<Vec<_>>().join("; "),
        }
    };
    Example {
        prompt_id: prompt.id.clone(),
        prompt: Words::new(prompt.instruction(), &prompt.language),
        reference: prompt.reference.as_ref().map(|text| Words::new(text, prompt.expected_language())),
        answers: row.candidates.iter().map(answer).collect(),
    }
}

fn verdict(answers: &AnswerSet, candidate: &Candidate) -> Verdict {
    match candidate.reward.filter(|_| answers.measure.is_exact) {
        Some(1.0) => Verdict::Right,
        Some(_) => Verdict::Wrong,
        None => Verdict::Unknown,
    }
}
