//! Gates: what an answer must not be before its reward counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{candidate::Candidate, completion::Completion, identify::Identified, prompt::Prompt, tally::Tally};

mod echo;
mod language;
mod prose;
mod repetition;
mod transport;
mod truncation;

pub use echo::EchoGate;
pub use language::{LanguageGate, LanguageVerdict};
pub use repetition::RepetitionGate;

/// Which gates stand, and how narrow they are; the default has all of them.
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
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            language: Some(LanguageGate::default()),
            keep_truncated: false,
            repetition: Some(RepetitionGate::default()),
            echo: Some(EchoGate::default()),
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
}

impl Verdict {
    /// A pass with nothing looked at, for answers that were judged elsewhere.
    pub fn pass() -> Self {
        Self { stopped: None, language: LanguageVerdict::Unchecked, identified: None }
    }

    /// Whether the answer passed every gate.
    pub fn passed(&self) -> bool {
        self.stopped.is_none()
    }

    fn stop(stop: Stop) -> Self {
        Self { stopped: Some(stop), ..Self::pass() }
    }
}

/// Counts the verdicts on each teacher's answers: per language `pass`, `undecided` (passed, but in what language could
/// not be told) and the code of every reason; sums to the answers.
pub fn tally<'a>(candidates: impl IntoIterator<Item = &'a Candidate>) -> BTreeMap<String, Tally> {
    let mut teachers: BTreeMap<String, Tally> = BTreeMap::new();
    for Candidate { completion, verdict, .. } in candidates {
        let code = match (&verdict.stopped, verdict.language) {
            (Some(stop), _) => stop.reason.code(),
            (None, LanguageVerdict::Undecided) => "undecided",
            (None, _) => "pass",
        };
        teachers.entry(completion.teacher.clone()).or_default().add(&completion.language, code);
    }
    teachers
}

impl Gates {
    /// Says whether `completion` may be kept as an answer to `prompt`.
    ///
    /// The gates stand in the order transport, truncation, repetition, echo, language; the first that closes gives
    /// the reason.
    pub fn judge(&self, prompt: &Prompt, completion: &Completion) -> Verdict {
        let truncation = || if self.keep_truncated { None } else { truncation::stop(completion) };
        let repetition = || self.repetition.as_ref().and_then(|gate| gate.stop(&completion.text));
        let echo = || self.echo.as_ref().and_then(|gate| gate.stop(prompt, &completion.text));
        match transport::stop(completion).or_else(truncation).or_else(repetition).or_else(echo) {
            Some(stop) => Verdict::stop(stop),
            None => self.language.as_ref().map_or_else(Verdict::pass, |gate| gate.judge(prompt, &completion.text)),
        }
    }
}
