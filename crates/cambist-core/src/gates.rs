//! Gates: what an answer must not be before its reward counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{candidate::Candidate, completion::Completion, identify::Identified, prompt::Prompt, tally::Tally};

mod echo;
mod language;
mod length;
mod mixed;
mod prose;
mod refusal;
mod repetition;
mod safety;
mod transport;
mod truncation;

pub use echo::EchoGate;
pub use language::{LanguageGate, LanguageVerdict};
pub use length::{LengthGate, LengthLimits};
pub use mixed::MixedGate;
pub use refusal::{RefusalAction, RefusalGate, refuses};
pub use repetition::RepetitionGate;
pub use safety::SafetyGate;

/// Which gates stand, and how narrow they are; the default has all but length and safety, whose limits nobody knows
/// but the user, and refusals are flagged alone.
///
/// A gate set to `null` is switched off; the gate on failed, withheld and empty answers always stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gates {
    /// Keeps out answers in another language than the expected one.
    pub language: Option<LanguageGate>,
    /// Lets answers through that the limit on new tokens cut; default false.
    pub keep_truncated: bool,
    /// Keeps out answers that run in a loop.
    pub repetition: Option<RepetitionGate>,
    /// Keeps out answers that give the prompt back.
    pub echo: Option<EchoGate>,
    /// Keeps out answers that are too short or too long; default off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<LengthGate>,
    /// Keeps out answers that change into another language between sentences.
    pub mixed: Option<MixedGate>,
    /// Finds answers that decline to answer; by default they pass and are counted.
    pub refusal: Option<RefusalGate>,
    /// Keeps out answers that a safety scorer finds unsafe; default off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety: Option<SafetyGate>,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            language: Some(LanguageGate::default()),
            keep_truncated: false,
            repetition: Some(RepetitionGate::default()),
            echo: Some(EchoGate::default()),
            length: None,
            mixed: Some(MixedGate::default()),
            refusal: Some(RefusalGate::default()),
            safety: None,
        }
    }
}

/// Why an answer is not valid: one code per gate, the first that closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The call failed.
    Error,
    /// The endpoint withheld the answer.
    Filtered,
    /// There is no visible text.
    Empty,
    /// The limit on new tokens cut it.
    Truncated,
    /// It is in another language than the expected one.
    WrongLang,
    /// It runs in a loop.
    Loop,
    /// It is the prompt again.
    Echo,
    /// It has fewer characters than it should.
    TooShort,
    /// It has more characters than it should.
    TooLong,
    /// Too many of its sentences are in another language.
    Mixed,
    /// It declines to answer.
    Refusal,
    /// A safety scorer finds it unsafe, or did not score it.
    Unsafe,
}

impl Reason {
    /// The code as files and reports spell it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Filtered => "filtered",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::WrongLang => "wrong_lang",
            Self::Loop => "loop",
            Self::Echo => "echo",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::Mixed => "mixed",
            Self::Refusal => "refusal",
            Self::Unsafe => "unsafe",
        }
    }
}

/// Where an answer was stopped, and what was seen there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The gate that closed first.
    pub reason: Reason,
    /// What the gate saw, in words for a reader.
    pub detail: String,
}

impl Stop {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// What the gates said of one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Where the answer was stopped; none when it passed every gate.
    pub stopped: Option<Stop>,
    /// What the language gate found; `unchecked` when an earlier gate closed or the gate is off.
    pub language: LanguageVerdict,
    /// The language that the answer seems to be in, where that was looked at and could be told.
    pub identified: Option<Identified>,
    /// Whether it declines to answer a prompt that should be answered, stopped for it or not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_refusal: bool,
}

impl Verdict {
    /// A pass with nothing looked at, for answers that were judged elsewhere.
    pub fn pass() -> Self {
        Self { stopped: None, language: LanguageVerdict::Unchecked, identified: None, is_refusal: false }
    }

    /// Whether the answer passed every gate.
    pub fn passed(&self) -> bool {
        self.stopped.is_none()
    }

    fn stop(stop: Stop) -> Self {
        Self { stopped: Some(stop), ..Self::pass() }
    }
}

/// Counts the verdicts on each teacher's answers: per language `pass`, `flagged_refusal` (passed, and declines to
/// answer), `undecided` (passed, but in what language could not be told) and the code of every reason; sums to the
/// answers.
pub fn tally<'a>(candidates: impl IntoIterator<Item = &'a Candidate>) -> BTreeMap<String, Tally> {
    let mut teachers: BTreeMap<String, Tally> = BTreeMap::new();
    for Candidate { completion, verdict, .. } in candidates {
        let code = match (&verdict.stopped, verdict.language) {
            (Some(stop), _) => stop.reason.code(),
            (None, _) if verdict.is_refusal => "flagged_refusal",
            (None, LanguageVerdict::Undecided) => "undecided",
            (None, _) => "pass",
        };
        teachers.entry(completion.teacher.clone()).or_default().add(&completion.language, code);
    }
    teachers
}

impl Gates {
    /// Says whether `completion` may be kept as an answer to `prompt`, which no safety scorer has seen.
    ///
    /// The gates stand in the order transport, truncation, length, repetition, echo, language, mixed, refusal, safety;
    /// the first that closes gives the reason. Lengths beside other answers are for [`Gates::judge_together`].
    pub fn judge(&self, prompt: &Prompt, completion: &Completion) -> Verdict {
        self.judge_scored((prompt, completion), None)
    }

    /// As [`Gates::judge`], with the answer's safety score where there is one.
    pub fn judge_scored(&self, (prompt, completion): (&Prompt, &Completion), safety: Option<f64>) -> Verdict {
        let (text, expected) = (completion.text.as_str(), prompt.expected_language());
        let truncation = || if self.keep_truncated { None } else { truncation::stop(completion) };
        let length = || self.length.as_ref().and_then(|gate| gate.stop(expected, text));
        let repetition = || self.repetition.as_ref().and_then(|gate| gate.stop(text));
        let echo = || self.echo.as_ref().and_then(|gate| gate.stop(prompt, text));
        let early = transport::stop(completion).or_else(truncation).or_else(length).or_else(repetition).or_else(echo);
        if let Some(stop) = early {
            return Verdict::stop(stop);
        }
        let verdict = self.language.as_ref().map_or_else(Verdict::pass, |gate| gate.judge(prompt, text));
        let is_refusal = self.refusal.as_ref().is_some_and(|gate| gate.finds(prompt, text));
        let mixed = || self.mixed.as_ref().and_then(|gate| gate.stop(prompt, text));
        let refusal = || self.refusal.as_ref().filter(|_| is_refusal).and_then(RefusalGate::stop);
        let unsafe_ = || self.safety.as_ref().and_then(|gate| gate.stop(expected, safety));
        let stopped = verdict.stopped.or_else(mixed).or_else(refusal).or_else(unsafe_);
        Verdict { stopped, is_refusal, ..verdict }
    }

    /// Stops what only the other answers to the same prompt can stop: lengths far from their median. The same whatever
    /// the order of the candidates.
    pub fn judge_together(&self, prompt: &Prompt, candidates: &mut [Candidate]) {
        if let Some(gate) = &self.length {
            gate.stop_beside(prompt.expected_language(), candidates);
        }
    }
}
