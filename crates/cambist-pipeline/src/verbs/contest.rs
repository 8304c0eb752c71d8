//! Answers to one prompt that a judge compares two by two, each pair in both orders, through the ledger.
//!
//! A verdict is named by what the judge reads, and so by the order in which the two answers stand; who wrote them is no
//! part of it. Verdicts that the ledger has are never asked for again, so that one more answer costs its own
//! comparisons alone.

use std::collections::BTreeMap;

use cambist_core::{
    comparison::{Against, Agreement, Agreements, Comparison, pairings, win_shares},
    completion::{Completion, FinishReason},
    digest::Digest,
    language::Language,
    prompt::Prompt,
    score::Score,
};
use cambist_io::{
    dialect::judge::{
        combine::{PairOutcome, both_orders, points},
        verdict::JudgeVerdict,
    },
    ledger::ScoreRecord,
    store::{ManifestDraft, Scratch},
};
use serde_json::{Value, json};

use super::{remote_arbiter::RemoteArbiter, scoring::Candidate, tables::COMPARISONS};
use crate::{error::PipelineError, recipe::Compare, run::Workshop};

/// Answers to one prompt that are compared with each other, or each with one of them.
pub(super) struct Contest<'a> {
    prompt: &'a Prompt,
    answers: Vec<&'a Completion>,
    /// Places of the answers that were given.
    given: Vec<usize>,
    /// Among those that were given; none when the one to compare with gave no answer.
    against: Option<Against>,
}

/// The places of two answers among those that were given.
type Places = (usize, usize);

/// What became of a contest.
pub(super) struct Ruling {
    /// A score of each answer, in their order.
    pub scores: Vec<Score>,
    /// Whether the judge was asked about every pair in both orders.
    pub is_whole: bool,
    /// How the comparisons came out.
    pub agreement: Agreement,
}

impl<'a> Contest<'a> {
    /// The answers to `prompt`, compared as the recipe says.
    pub(super) fn new(prompt: &'a Prompt, answers: Vec<&'a Completion>, compare: &Compare) -> Self {
        match compare {
            Compare::All => Self::of(prompt, answers, |_| Some(Against::Everybody)),
            Compare::Baseline(teacher) => Self::with(prompt, answers, |answer| answer.teacher == *teacher),
        }
    }

    /// The answers to `prompt`, each compared with the first that `is_baseline`.
    pub(super) fn with(
        prompt: &'a Prompt,
        answers: Vec<&'a Completion>,
        is_baseline: impl Fn(&Completion) -> bool,
    ) -> Self {
        Self::of(prompt, answers, |given| given.iter().position(|answer| is_baseline(answer)).map(Against::One))
    }

    fn of(
        prompt: &'a Prompt,
        answers: Vec<&'a Completion>,
        against: impl Fn(&[&Completion]) -> Option<Against>,
    ) -> Self {
        let is_given = |&place: &usize| answers[place].finish_reason != FinishReason::Error;
        let given: Vec<usize> = (0..answers.len()).filter(is_given).collect();
        let against = against(&given.iter().map(|&place| answers[place]).collect::<Vec<_>>());
        Self { prompt, answers, given, against }
    }

    /// Everything that the judge has to be asked: each pair of different texts in both orders.
    pub(super) fn questions(&self, judge: &RemoteArbiter) -> Vec<Candidate> {
        let (different, _) = self.pairs();
        let orders = different.into_iter().flat_map(|(one, other)| [(one, other), (other, one)]);
        orders.map(|(shown_first, shown_second)| self.question(judge, shown_first, shown_second)).collect()
    }

    fn question(&self, judge: &RemoteArbiter, shown_first: usize, shown_second: usize) -> Candidate {
        let (one, other) = (self.answer(shown_first), self.answer(shown_second));
        Candidate {
            prompt: self.prompt.clone(),
            teacher: format!("{} | {}", one.teacher, other.teacher),
            text: one.text.clone(),
            rival: Some(other.text.clone()),
            digest: judge.comparison_digest(self.prompt, [&one.text, &other.text]),
        }
    }

    fn answer(&self, place_among_given: usize) -> &'a Completion {
        self.answers[self.given[place_among_given]]
    }

    /// The pairs of different texts, and those of equal ones, which are ties without asking.
    fn pairs(&self) -> (Vec<Places>, Vec<Places>) {
        let all = self.against.map(|against| pairings(self.given.len(), against)).unwrap_or_default();
        all.into_iter().partition(|&(one, other)| self.answer(one).text != self.answer(other).text)
    }

    /// The names of the verdicts on the pairs of different texts, one order after the other.
    fn keys(&self, judge: &RemoteArbiter) -> Vec<Digest> {
        let (different, _) = self.pairs();
        let orders = different.into_iter().flat_map(|(one, other)| [(one, other), (other, one)]);
        let key = |(one, other)| {
            let texts = [self.answer(one).text.as_str(), self.answer(other).text.as_str()];
            judge.key(&judge.comparison_digest(self.prompt, texts))
        };
        orders.map(key).collect()
    }

    /// Makes scores of the verdicts, which stand in the order of the keys.
    fn ruling(&self, judge: &RemoteArbiter, verdicts: &[Option<ScoreRecord>]) -> Ruling {
        let (different, equal) = self.pairs();
        let mut agreement =
            Agreement { n_comparisons: different.len() as u64, n_equal: equal.len() as u64, ..Agreement::default() };
        let verdict = |record: &Option<ScoreRecord>| record.as_ref().and_then(|record| judge.verdict(record.value?));
        let mut played: Vec<Comparison> =
            equal.into_iter().map(|(first, second)| Comparison { first, second, points: Some(0.5) }).collect();
        for ((first, second), orders) in different.into_iter().zip(verdicts.chunks(2)) {
            let said: Vec<Option<JudgeVerdict>> = orders.iter().map(verdict).collect();
            let [forward, backward] = said[..] else { continue };
            match both_orders(forward, backward) {
                PairOutcome::Missing => agreement.n_missing += 1,
                PairOutcome::Tie { flipped: true } => agreement.n_flipped += 1,
                _ => {}
            }
            played.push(Comparison { first, second, points: points(forward, backward) });
        }
        let shares = self.against.map(|against| win_shares(self.given.len(), &played, against)).unwrap_or_default();
        Ruling {
            scores: (0..self.answers.len()).map(|place| self.score(judge, place, &shares)).collect(),
            is_whole: verdicts.iter().all(Option::is_some),
            agreement,
        }
    }

    fn score(&self, judge: &RemoteArbiter, place: usize, shares: &[Option<f64>]) -> Score {
        let among_given = self.given.iter().position(|&given| given == place);
        let value = among_given.and_then(|at| shares.get(at).copied().flatten());
        let reason = || match among_given {
            None => "no_answer",
            Some(_) if self.against.is_none() => "no_baseline",
            Some(_) if self.given.len() < 2 => "no_opponent",
            Some(_) => "too few verdicts",
        };
        let answer = self.answers[place];
        Score {
            prompt_id: answer.prompt_id.clone(),
            teacher: answer.teacher.clone(),
            sample: answer.sample,
            arbiter: judge.name().to_owned(),
            value,
            missing: value.is_none().then(|| reason().to_owned()),
        }
    }
}

/// Returns what the verdicts in the ledger make of each contest.
pub(super) fn rule(
    workshop: &Workshop<'_>,
    judge: &RemoteArbiter,
    contests: &[Contest<'_>],
) -> Result<Vec<Ruling>, PipelineError> {
    let keys: Vec<Vec<Digest>> = contests.iter().map(|contest| contest.keys(judge)).collect();
    let mut records = workshop.ledger().find_scores(&keys.concat())?.into_iter();
    let ruling = |(contest, keys): (&Contest<'_>, &Vec<Digest>)| {
        let verdicts: Vec<Option<ScoreRecord>> = records.by_ref().take(keys.len()).collect();
        contest.ruling(judge, &verdicts)
    };
    Ok(contests.iter().zip(&keys).map(ruling).collect())
}

/// How the comparisons of a step came out, by judge and language.
#[derive(Default)]
pub(super) struct JudgesAgreement(BTreeMap<String, Agreements>);

impl JudgesAgreement {
    /// Takes the comparisons of one prompt in.
    pub(super) fn add(&mut self, judge: &RemoteArbiter, language: &Language, agreement: Agreement) {
        self.0.entry(judge.name().to_owned()).or_default().entry(language.clone()).or_default().add(agreement);
    }

    /// Writes `comparisons.json` and counts them in the manifest; nothing where nobody compared.
    pub(super) fn write(&self, scratch: &Scratch, draft: &mut ManifestDraft) -> Result<(), PipelineError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let judges: BTreeMap<&String, Value> = self.0.iter().map(|(judge, all)| (judge, told(all))).collect();
        let told = json!({ "schema_version": 1, "judges": judges });
        let text = serde_json::to_vec_pretty(&told).map_err(|error| PipelineError::Internal(error.to_string()))?;
        scratch.write(COMPARISONS, &text)?;
        let mut sum = Agreement::default();
        self.0.values().flat_map(BTreeMap::values).for_each(|agreement| sum.add(*agreement));
        draft.counts.insert("comparisons".into(), sum.n_comparisons);
        draft.counts.insert("comparisons that changed with the order".into(), sum.n_flipped);
        draft.counts.insert("comparisons without a verdict".into(), sum.n_missing);
        Ok(())
    }
}

/// The numbers of one judge, by language.
fn told(languages: &Agreements) -> Value {
    let of_language = |(language, agreement): (&Language, &Agreement)| {
        let mut numbers = json!(agreement);
        numbers["flip_rate"] = json!(agreement.flip_rate());
        numbers["missing_rate"] = json!(agreement.missing_rate());
        (language.to_string(), numbers)
    };
    json!({ "languages": languages.iter().map(of_language).collect::<BTreeMap<String, Value>>() })
}
