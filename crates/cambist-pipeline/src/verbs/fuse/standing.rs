//! Where one prompt stands: its candidates, what the fusor said, and what is kept of it all.

use std::collections::BTreeSet;

use cambist_core::{
    candidate::{Candidate, Row},
    completion::{Completion, FinishReason, Fusion, FusionOutcome, Origin},
    fusion::Course,
};

use crate::{recipe::fusion::FuseParams, verbs::failed::Failed};

/// Where one prompt stands.
pub(super) struct Standing<'r> {
    /// The prompt with everything that was said to it.
    pub row: &'r Row,
    /// The candidates, best first.
    pub ranked: Vec<&'r Candidate>,
    /// What is kept.
    pub kept: FusionOutcome,
    /// Whether the fusor is to be asked.
    pub is_fused: bool,
    /// What it said: nothing, one answer, or two where the first could not be read.
    pub said: Vec<Completion>,
    /// The fused answer, or why there is none; none where nobody was asked.
    pub fused: Option<Result<String, Failed>>,
    /// Whether the best candidate has a higher reward than the fused answer; none where they were not compared.
    pub is_below: Option<bool>,
}

impl<'r> Standing<'r> {
    pub(super) fn new(row: &'r Row, course: Course<'r>) -> Self {
        let Course { ranked, settled } = course;
        let (kept, is_fused) = (settled.unwrap_or(FusionOutcome::Fused), settled.is_none());
        Self { row, ranked, kept, is_fused, said: Vec::new(), fused: None, is_below: None }
    }

    /// Takes in what the fusor said; the best candidate is kept as long as that cannot be used.
    pub(super) fn hear(&mut self, said: Completion, fused: Result<String, Failed>) {
        self.kept = if fused.is_ok() { FusionOutcome::Fused } else { FusionOutcome::Best };
        self.said.push(said);
        self.fused = Some(fused);
    }

    /// Why the fusor's last answer cannot be used; none where it can, or was not asked for.
    pub(super) fn failed(&self) -> Option<&Failed> {
        self.fused.as_ref().and_then(|fused| fused.as_ref().err())
    }

    /// The fused text, kept or not.
    pub(super) fn text(&self) -> Option<&str> {
        self.fused.as_ref().and_then(|fused| fused.as_deref().ok())
    }

    /// The answer that is kept; none where nobody answered the prompt, so that there is nothing to keep.
    pub(super) fn completion(&self, params: &FuseParams) -> Option<Completion> {
        if self.row.candidates.is_empty() {
            return None;
        }
        let blank = self.blank(params);
        Some(match (self.text().filter(|_| self.kept == FusionOutcome::Fused), self.ranked.first()) {
            (Some(text), _) => Completion { text: text.to_owned(), ..blank },
            (None, Some(best)) => {
                let Completion { text, finish_reason, .. } = best.completion.clone();
                Completion { text, finish_reason, ..blank }
            }
            (None, None) => Completion {
                finish_reason: FinishReason::Error,
                failure: Some("none_valid: no candidate is valid".to_owned()),
                ..blank
            },
        })
    }

    /// The answer without its text: it costs everything that was asked for on the way to it.
    fn blank(&self, params: &FuseParams) -> Completion {
        let candidates = self.row.candidates.iter().map(|candidate| &candidate.completion);
        let paid = || candidates.clone().chain(&self.said);
        let sum = |tokens: fn(&Completion) -> Option<u32>| paid().filter_map(tokens).reduce(u32::saturating_add);
        let prompt = &self.row.prompt;
        Completion {
            prompt_id: prompt.id.clone(),
            source_id: prompt.source_id.clone(),
            language: prompt.language.clone(),
            teacher: params.name.clone(),
            sample: 0,
            text: String::new(),
            finish_reason: FinishReason::Stop,
            failure: None,
            tokens_in: sum(|answer| answer.tokens_in),
            tokens_out: sum(|answer| answer.tokens_out),
            cost_usd: paid().map(|answer| answer.cost_usd).sum(),
            origin: Some(self.origin(&params.fusor)),
        }
    }

    fn origin(&self, fusor: &str) -> Origin {
        let kept = self.ranked.first().filter(|_| self.kept != FusionOutcome::Fused);
        let (teacher, mt_engine) = match kept.map(|candidate| &candidate.completion) {
            None => (fusor.to_owned(), None),
            Some(Completion { origin: Some(origin), .. }) => (origin.teacher.clone(), origin.mt_engine.clone()),
            Some(completion) => (completion.teacher.clone(), None),
        };
        let authors: BTreeSet<String> = match (self.kept, kept) {
            (FusionOutcome::Fused, _) => self.ranked.iter().flat_map(|candidate| authors(candidate)).collect(),
            (_, Some(candidate)) => authors(candidate).into_iter().collect(),
            (_, None) => BTreeSet::new(),
        };
        let fusion = Fusion {
            kept: self.kept,
            fallback: self.failed().is_some(),
            authors,
            n_asked: u32::try_from(self.row.candidates.len()).unwrap_or(u32::MAX),
            n_fusions: u32::try_from(self.said.len()).unwrap_or(u32::MAX),
        };
        Origin { prompt_id: self.row.prompt.id.clone(), teacher, mt_engine, fusion: Some(fusion) }
    }
}

/// The members of the pool behind a candidate.
fn authors(candidate: &Candidate) -> Vec<String> {
    match &candidate.completion.origin {
        Some(origin) => origin.authors().map(str::to_owned).collect(),
        None => vec![candidate.completion.teacher.clone()],
    }
}
