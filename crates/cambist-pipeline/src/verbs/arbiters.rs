//! From a recipe's arbiter to whoever gives values.

use cambist_core::{
    arbiter::{Arbiter, Chrf, ChrfArbiter, Contains, ExactChecker, FoldedMatch, Recorded, RougeArbiter, score},
    completion::{Completion, FinishReason},
    digest::Digest,
    prompt::Prompt,
    score::Score,
};
use cambist_io::{formats, ledger::ScoreRecord};

use super::{consensus::Consensus, contest::Showing, local_arbiter::LocalArbiter, remote_arbiter::RemoteArbiter};
use crate::{
    error::PipelineError,
    plan::Job,
    recipe::{self, PoolMember},
    run::Workshop,
};

/// An arbiter under the name that the recipe gives it.
pub(super) struct Member {
    name: String,
    means: Means,
}

/// How an arbiter comes to its values.
enum Means {
    /// A rule, here and at once.
    Rule(Box<dyn Arbiter>),
    /// A rule about all answers to a prompt, here and at once.
    Consensus(Box<Consensus>),
    /// A server.
    Remote(Box<RemoteArbiter>),
    /// A reward model, here; its scores go through the ledger all the same, for they take their time.
    Local(Box<LocalArbiter>),
}

/// An arbiter whose scores the ledger keeps.
#[derive(Clone, Copy)]
pub(super) enum LedgerArbiter<'a> {
    Remote(&'a RemoteArbiter),
    Local(&'a LocalArbiter),
}

impl<'a> LedgerArbiter<'a> {
    /// What names it in the ledger.
    pub(super) fn identity(self) -> &'a str {
        match self {
            Self::Remote(arbiter) => arbiter.identity(),
            Self::Local(arbiter) => arbiter.identity(),
        }
    }

    /// The name of a candidate's score in the ledger.
    pub(super) fn key(self, candidate: &Digest) -> Digest {
        match self {
            Self::Remote(arbiter) => arbiter.key(candidate),
            Self::Local(arbiter) => arbiter.key(candidate),
        }
    }

    /// The judge that compares answers, and what it is shown; none for an arbiter of one answer.
    pub(super) fn judge(self) -> Option<(&'a RemoteArbiter, &'a Showing)> {
        match self {
            Self::Remote(arbiter) => Some((arbiter, arbiter.showing()?)),
            Self::Local(_) => None,
        }
    }

    /// Whether nobody has to be asked again; a model here says the same whenever it is asked.
    pub(super) fn is_settled(self, record: &ScoreRecord) -> bool {
        match self {
            Self::Remote(arbiter) => arbiter.is_settled(record),
            Self::Local(_) => true,
        }
    }
}

impl Member {
    /// Opens the arbiter that the recipe calls `id`.
    pub(super) fn open((workshop, job): (&Workshop<'_>, &Job), id: &str) -> Result<Self, PipelineError> {
        let declared = declared(workshop, id)?;
        if let Some(remote) = RemoteArbiter::open(declared, workshop.plan)? {
            return Ok(Self { name: id.to_owned(), means: Means::Remote(Box::new(remote)) });
        }
        if let Some(local) = LocalArbiter::open((workshop, job), declared)? {
            return Ok(Self { name: id.to_owned(), means: Means::Local(Box::new(local)) });
        }
        if let Some(consensus) = Consensus::open((workshop, job), declared)? {
            return Ok(Self { name: id.to_owned(), means: Means::Consensus(Box::new(consensus)) });
        }
        let arbiter: Box<dyn Arbiter> = if let Some(chrf) = &declared.chrf {
            Box::new(ChrfArbiter(Chrf { word_order: chrf.word_order, ..Chrf::default() }))
        } else if let Some(recorded) = &declared.recorded {
            Box::new(read_recorded(workshop, id, recorded)?)
        } else if let Some(numeric) = declared.numeric {
            Box::new(numeric)
        } else if let Some(rouge) = &declared.rouge {
            Box::new(RougeArbiter(rouge.kind.into()))
        } else if declared.contains.is_some() {
            Box::new(Contains)
        } else if declared.r#match.is_some() {
            Box::new(FoldedMatch)
        } else {
            Box::new(ExactChecker)
        };
        Ok(Self { name: id.to_owned(), means: Means::Rule(arbiter) })
    }

    /// Its name in the recipe.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The server or the model behind it; none for a rule.
    pub(super) fn ledgered(&self) -> Option<LedgerArbiter<'_>> {
        match &self.means {
            Means::Remote(remote) => Some(LedgerArbiter::Remote(remote)),
            Means::Local(local) => Some(LedgerArbiter::Local(local)),
            Means::Rule(_) | Means::Consensus(_) => None,
        }
    }

    /// The rule about all answers to a prompt that it is.
    pub(super) fn consensus(&self) -> Option<&Consensus> {
        match &self.means {
            Means::Consensus(consensus) => Some(consensus),
            _ => None,
        }
    }

    /// The judge that it is and what it is shown, where it compares answers; none for an arbiter of one answer.
    pub(super) fn judge(&self) -> Option<(&RemoteArbiter, &Showing)> {
        self.ledgered()?.judge()
    }

    /// Returns what the ledger knows of a score; an answer without one is unscored, not 0.
    pub(super) fn recorded(&self, completion: &Completion, record: Option<ScoreRecord>) -> Score {
        let blank = Score {
            prompt_id: completion.prompt_id.clone(),
            teacher: completion.teacher.clone(),
            sample: completion.sample,
            arbiter: self.name.clone(),
            value: None,
            missing: None,
        };
        match record {
            _ if completion.finish_reason == FinishReason::Error => {
                Score { missing: Some("no_answer".to_owned()), ..blank }
            }
            Some(record) => Score { value: record.value, missing: record.missing, ..blank },
            None => Score { missing: Some("not_asked".to_owned()), ..blank },
        }
    }

    /// Scores one answer by a rule; what the arbiter cannot say is missing.
    pub(super) fn score(&self, prompt: &Prompt, completion: &Completion) -> Result<Score, PipelineError> {
        let Means::Rule(arbiter) = &self.means else {
            return Err(PipelineError::Internal(format!("`{}` was asked as a rule and is none", self.name)));
        };
        let given = score(arbiter.as_ref(), prompt, completion);
        let given = given.map_err(|error| PipelineError::input(&self.name, error.to_string(), "mend the scores"))?;
        Ok(Score { arbiter: self.name.clone(), ..given })
    }
}

/// What the recipe says of the arbiter called `id`.
pub(super) fn declared<'a>(workshop: &Workshop<'a>, id: &str) -> Result<&'a recipe::Arbiter, PipelineError> {
    let found = workshop.plan.recipe.arbiters.iter().find(|arbiter| arbiter.id == id);
    found.ok_or_else(|| PipelineError::Internal(format!("the arbiter `{id}` passed the check and is not there")))
}

fn read_recorded(workshop: &Workshop<'_>, id: &str, recorded: &recipe::Recorded) -> Result<Recorded, PipelineError> {
    let path = workshop.plan.folder.join(&recorded.file);
    let scores = by_teacher(&workshop.plan.recipe.pool, formats::read_scores(&path, &recorded.columns, id)?);
    let of_judge = recorded.judge.as_deref().unwrap_or(id);
    let remedy = "mend the file, or name the judge's column in `columns.arbiter`";
    Recorded::new(of_judge, &scores).map_err(|error| PipelineError::input(id, error.to_string(), remedy))
}

/// Recorded scores know a replayed teacher by the name of its model; here they get the teacher's own.
fn by_teacher(pool: &[PoolMember], scores: Vec<Score>) -> Vec<Score> {
    let replays = |member: &&PoolMember, score: &Score| {
        member.replay.as_ref().and_then(|replay| replay.model.as_ref()).is_some_and(|model| *model == score.teacher)
    };
    let renamed = |score: Score| {
        let teachers: Vec<&PoolMember> = pool.iter().filter(|member| replays(member, &score)).collect();
        if teachers.is_empty() {
            return vec![score];
        }
        teachers.into_iter().map(|teacher| Score { teacher: teacher.id.clone(), ..score.clone() }).collect()
    };
    scores.into_iter().flat_map(renamed).collect()
}
