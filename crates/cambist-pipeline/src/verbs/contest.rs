//! Answers to one prompt that a judge compares, two by two in both orders, or all together, through the ledger.
//!
//! A verdict is named by what the judge reads, and so by the order in which the answers stand; who wrote them is no part
//! of it. Verdicts that the ledger has are never asked for again, so that one more answer costs its own pairs alone;
//! a list with one more answer is another list.

use std::collections::BTreeMap;

use cambist_core::{
    chance::Chance,
    comparison::{Against, Agreement, Agreements, Comparison, pairings, win_shares},
    completion::{Completion, FinishReason},
    digest::Digest,
    language::Language,
    listwise::{pick_shares, shuffled},
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
use crate::{
    error::PipelineError,
    recipe::{Compare, JudgeManner},
    run::Workshop,
};

/// How a judge is shown the answers to one prompt.
#[derive(Clone, Debug)]
pub(super) enum Showing {
    /// Two at a time, in both orders.
    Pairs(Compare),
    /// All together, in an order that `seed` draws, and when `double` in that order turned round too.
    Lists { double: bool, seed: u64 },
}

impl Showing {
    /// What the recipe says; none for a judge of one answer at a time.
    pub(super) fn of(judge: &JudgeManner, seed: u64) -> Option<Self> {
        match judge.mode {
            mode if mode.is_pair() => Some(Self::Pairs(judge.compare.clone())),
            mode if mode.is_listwise() => Some(Self::Lists { double: judge.double, seed }),
            _ => None,
        }
    }
}

/// Answers to one prompt that are compared with each other, or each with one of them.
pub(super) struct Contest<'a> {
    prompt: &'a Prompt,
    answers: Vec<&'a Completion>,
    /// Places of the answers that were given.
    given: Vec<usize>,
    form: Form,
}

/// Who meets whom, by their places among the answers that were given.
enum Form {
    /// Two meet at a time; none when the one to compare with gave no answer.
    Pairs(Option<Against>),
    /// All that are different meet, in each of these orders; in none where no two are different.
    Lists(Vec<Vec<usize>>),
}

/// The places of two answers among those that were given.
type Places = (usize, usize);

/// What became of a contest.
pub(super) struct Ruling {
    /// A score of each answer, in their order.
    pub scores: Vec<Score>,
    /// Whether the judge was asked about everything in every order.
    pub is_whole: bool,
    /// How the comparisons came out.
    pub agreement: Agreement,
}

/// The share of points or picks of each answer that was given, and how the comparisons came out.
type Shares = (Vec<Option<f64>>, Agreement);

impl<'a> Contest<'a> {
    /// The answers to `prompt`, compared as the recipe says.
    pub(super) fn new(prompt: &'a Prompt, answers: Vec<&'a Completion>, showing: &Showing) -> Self {
        match showing {
            Showing::Pairs(Compare::All) => Self::of(prompt, answers, |_| Form::Pairs(Some(Against::Everybody))),
            Showing::Pairs(Compare::Baseline(teacher)) => {
                Self::with(prompt, answers, |answer| answer.teacher == *teacher)
            }
            Showing::Lists { double, seed } => Self::of(prompt, answers, |given| {
                let texts: Vec<&str> = given.iter().map(|answer| answer.text.as_str()).collect();
                let forth = shuffled(&texts, Chance::new(*seed, &["checklist", &prompt.id]));
                let back = forth.iter().rev().copied().collect();
                let orders = if *double { vec![forth, back] } else { vec![forth] };
                Form::Lists(orders.into_iter().filter(|order| !order.is_empty()).collect())
            }),
        }
    }

    /// The answers to `prompt`, each compared with the first that `is_baseline`.
    pub(super) fn with(
        prompt: &'a Prompt,
        answers: Vec<&'a Completion>,
        is_baseline: impl Fn(&Completion) -> bool,
    ) -> Self {
        Self::of(prompt, answers, |given| {
            Form::Pairs(given.iter().position(|answer| is_baseline(answer)).map(Against::One))
        })
    }

    fn of(prompt: &'a Prompt, answers: Vec<&'a Completion>, form: impl Fn(&[&Completion]) -> Form) -> Self {
        let is_given = |&place: &usize| answers[place].finish_reason != FinishReason::Error;
        let given: Vec<usize> = (0..answers.len()).filter(is_given).collect();
        let form = form(&given.iter().map(|&place| answers[place]).collect::<Vec<_>>());
        Self { prompt, answers, given, form }
    }

    /// Everything that the judge has to be asked: each pair of different texts in both orders, or each order of all.
    pub(super) fn questions(&self, judge: &RemoteArbiter) -> Vec<Candidate> {
        self.orders().iter().map(|order| self.question(judge, order)).collect()
    }

    fn question(&self, judge: &RemoteArbiter, order: &[usize]) -> Candidate {
        let texts = self.texts(order);
        let teachers: Vec<&str> = order.iter().map(|&place| self.answer(place).teacher.as_str()).collect();
        let mut shown = texts.iter().map(|text| (*text).to_owned());
        Candidate {
            prompt: self.prompt.clone(),
            teacher: teachers.join(" | "),
            text: shown.next().unwrap_or_default(),
            rivals: shown.collect(),
            digest: judge.comparison_digest(self.prompt, &texts),
        }
    }

    fn answer(&self, place_among_given: usize) -> &'a Completion {
        self.answers[self.given[place_among_given]]
    }

    fn texts(&self, order: &[usize]) -> Vec<&'a str> {
        order.iter().map(|&place| self.answer(place).text.as_str()).collect()
    }

    /// The places of the answers as they are shown, question by question.
    fn orders(&self) -> Vec<Vec<usize>> {
        match &self.form {
            Form::Pairs(against) => {
                let (different, _) = self.pairs(*against);
                different.into_iter().flat_map(|(one, other)| [vec![one, other], vec![other, one]]).collect()
            }
            Form::Lists(orders) => orders.clone(),
        }
    }

    /// The pairs of different texts, and those of equal ones, which are ties without asking.
    fn pairs(&self, against: Option<Against>) -> (Vec<Places>, Vec<Places>) {
        let all = against.map(|against| pairings(self.given.len(), against)).unwrap_or_default();
        all.into_iter().partition(|&(one, other)| self.answer(one).text != self.answer(other).text)
    }

    /// The names of the verdicts, in the order of the questions.
    fn keys(&self, judge: &RemoteArbiter) -> Vec<Digest> {
        let key = |order: &Vec<usize>| judge.key(&judge.comparison_digest(self.prompt, &self.texts(order)));
        self.orders().iter().map(key).collect()
    }

    /// Makes scores of the verdicts, which stand in the order of the keys.
    fn ruling(&self, judge: &RemoteArbiter, records: &[Option<ScoreRecord>]) -> Ruling {
        let verdict = |record: &Option<ScoreRecord>| record.as_ref().and_then(|record| judge.verdict(record.value?));
        let verdicts: Vec<Option<JudgeVerdict>> = records.iter().map(verdict).collect();
        let (shares, agreement) = match &self.form {
            Form::Pairs(against) => self.of_pairs(*against, &verdicts),
            Form::Lists(orders) => self.of_lists(orders, &verdicts),
        };
        Ruling {
            scores: (0..self.answers.len()).map(|place| self.score(judge, place, &shares)).collect(),
            is_whole: records.iter().all(Option::is_some),
            agreement,
        }
    }

    fn of_pairs(&self, against: Option<Against>, verdicts: &[Option<JudgeVerdict>]) -> Shares {
        let (different, equal) = self.pairs(against);
        let mut agreement =
            Agreement { n_comparisons: different.len() as u64, n_equal: equal.len() as u64, ..Agreement::default() };
        let mut played: Vec<Comparison> =
            equal.into_iter().map(|(first, second)| Comparison { first, second, points: Some(0.5) }).collect();
        for ((first, second), orders) in different.into_iter().zip(verdicts.chunks(2)) {
            let [forward, backward] = orders[..] else { continue };
            match both_orders(forward, backward) {
                PairOutcome::Missing => agreement.n_missing += 1,
                PairOutcome::Tie { flipped: true } => agreement.n_flipped += 1,
                _ => {}
            }
            played.push(Comparison { first, second, points: points(forward, backward) });
        }
        let shares = against.map(|against| win_shares(self.given.len(), &played, against)).unwrap_or_default();
        (shares, agreement)
    }

    /// A list without a verdict in one of its orders has no best answer.
    fn of_lists(&self, orders: &[Vec<usize>], verdicts: &[Option<JudgeVerdict>]) -> Shares {
        let pick = |(order, verdict): (&Vec<usize>, &Option<JudgeVerdict>)| match verdict {
            Some(JudgeVerdict::Best(at)) => order.get(*at).copied(),
            _ => None,
        };
        let picks: Option<Vec<usize>> = orders.iter().zip(verdicts).map(pick).collect();
        let n = self.given.len();
        let texts = self.texts(&(0..n).collect::<Vec<_>>());
        let agreement = Agreement {
            n_comparisons: u64::from(!orders.is_empty()),
            n_equal: u64::from(orders.is_empty() && n > 1),
            n_flipped: u64::from(matches!(picks.as_deref(), Some([forth, back]) if texts[*forth] != texts[*back])),
            n_missing: u64::from(picks.is_none()),
            n_once: u64::from(matches!(picks.as_deref(), Some([_]))),
        };
        let shares = picks.map(|picks| pick_shares(&texts, &picks).into_iter().map(Some).collect());
        (shares.unwrap_or_else(|| vec![None; n]), agreement)
    }

    fn score(&self, judge: &RemoteArbiter, place: usize, shares: &[Option<f64>]) -> Score {
        let among_given = self.given.iter().position(|&given| given == place);
        let value = among_given.and_then(|at| shares.get(at).copied().flatten());
        let reason = || match (among_given, &self.form) {
            (None, _) => "no_answer",
            (_, Form::Lists(_)) => "no verdict",
            (_, Form::Pairs(None)) => "no_baseline",
            _ if self.given.len() < 2 => "no_opponent",
            _ => "too few verdicts",
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
