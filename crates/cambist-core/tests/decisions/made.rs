//! Prompts, teachers and answers to decide about.

use cambist_core::{
    candidate::{Candidate, Matrix},
    completion::{Completion, FinishReason},
    gates::{Reason, Stop, Verdict},
    language::Language,
    pool::{Eligibility, Pool},
    prompt::{Message, Prompt},
    teacher::{Coverage, Price, Teacher, TeacherKind},
};
use proptest::prelude::*;

pub(crate) const LANGUAGES: [&str; 3] = ["tr", "uk", "zh"];

pub(crate) fn language(tag: &str) -> Language {
    Language::parse(tag).unwrap()
}

pub(crate) fn prompt(id: &str, tag: &str) -> Prompt {
    Prompt {
        id: id.into(),
        source_id: id.into(),
        language: language(tag),
        answer_language: None,
        messages: vec![Message::user(format!("question {id}"))],
        task: None,
        reference: None,
        check: None,
        source: String::new(),
        origin: None,
        mt_engine: None,
    }
}

pub(crate) fn teacher(id: &str, languages: Coverage) -> Teacher {
    let price = Price { input: 1.0, output: 2.0, ..Price::default() };
    Teacher {
        id: id.into(),
        kind: TeacherKind::Multilingual,
        languages,
        license: "Apache-2.0".into(),
        outputs_may_train: None,
        price,
    }
}

pub(crate) fn pool(ids: &[&str]) -> Pool {
    let teachers = ids.iter().map(|id| teacher(id, Coverage::All)).collect();
    Pool::new(teachers, Eligibility::default()).unwrap()
}

pub(crate) fn answer(prompt: &Prompt, teacher: &str, sample: u32, reward: Option<f64>) -> Candidate {
    let completion = Completion {
        prompt_id: prompt.id.clone(),
        source_id: prompt.source_id.clone(),
        language: prompt.language.clone(),
        teacher: teacher.into(),
        sample,
        text: format!("{teacher} says {sample} to {}", prompt.id),
        finish_reason: FinishReason::Stop,
        failure: None,
        tokens_in: Some(10),
        tokens_out: Some(20),
        cost_usd: 0.5,
        origin: None,
    };
    Candidate { completion, verdict: Verdict::pass(), reward }
}

pub(crate) fn stopped(candidate: Candidate) -> Candidate {
    let stop = Stop { reason: Reason::Loop, detail: "again and again".into() };
    Candidate { verdict: Verdict { stopped: Some(stop), ..Verdict::pass() }, ..candidate }
}

/// Matrices with up to five teachers `a` to `e`, each asked everything once; rewards tie often, some are missing, some
/// answers were stopped.
pub(crate) fn matrices() -> impl Strategy<Value = (Matrix, Pool)> {
    let reward = prop_oneof![
        1 => Just((None, false)),
        1 => (0..4u8).prop_map(|r| (Some(f64::from(r)), true)),
        6 => (0..4u8).prop_map(|r| (Some(f64::from(r)), false)),
    ];
    (1..6usize).prop_flat_map(move |n_teachers| {
        let row = prop::collection::vec(reward.clone(), n_teachers);
        prop::collection::vec((0..LANGUAGES.len(), row), 1..12).prop_map(move |rows| matrix(n_teachers, &rows))
    })
}

type MadeRow = (usize, Vec<(Option<f64>, bool)>);

fn matrix(n_teachers: usize, rows: &[MadeRow]) -> (Matrix, Pool) {
    let ids = &["a", "b", "c", "d", "e"][..n_teachers];
    let prompts: Vec<Prompt> =
        rows.iter().enumerate().map(|(at, (l, _))| prompt(&format!("p{at}"), LANGUAGES[*l])).collect();
    let mut candidates = Vec::new();
    for (prompt, (_, rewards)) in prompts.iter().zip(rows) {
        for (id, (reward, is_stopped)) in ids.iter().zip(rewards) {
            let candidate = answer(prompt, id, 0, *reward);
            candidates.push(if *is_stopped { stopped(candidate) } else { candidate });
        }
    }
    (Matrix::new(prompts, candidates).unwrap(), pool(ids))
}

/// The same answers in another order of arrival, with other rewards.
pub(crate) fn rewarded(matrix: &Matrix, reward: impl Fn(&Prompt, f64) -> f64) -> Matrix {
    let prompts = matrix.rows().iter().map(|row| row.prompt.clone()).collect();
    let answers = matrix.rows().iter().flat_map(|row| row.candidates.iter().map(move |c| (row, c)));
    let mut candidates: Vec<Candidate> =
        answers.map(|(row, c)| Candidate { reward: c.reward.map(|r| reward(&row.prompt, r)), ..c.clone() }).collect();
    candidates.reverse();
    Matrix::new(prompts, candidates).unwrap()
}
