//! Verdicts of arbiters.

use cambist_core::digest::Digest;
use rusqlite::{Row, Statement, params};

use super::{Ledger, Result, call::check_finite, error::foreign};
use crate::exchange::FailureClass;

/// What one arbiter said of one candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreRecord {
    /// [`score_key`] of the verdict.
    pub key: Digest,
    /// The candidate's digest: prompt and answer as the arbiter saw them.
    pub candidate: Digest,
    /// The arbiter's identity, version included.
    pub arbiter: String,
    /// The prompt's name, for people; no part of the key.
    pub prompt_id: String,
    /// Who gave the answer, for people and totals; no part of the key.
    pub teacher: String,
    /// The prompt's language, for totals; no part of the key.
    pub language: String,
    /// The reward, higher is better; none when the arbiter could not say.
    pub value: Option<f64>,
    /// Why there is no value, when there is none.
    pub missing: Option<String>,
    /// What kind of failure it was, where an endpoint failed.
    pub failure_class: Option<FailureClass>,
    /// Tokens that the arbiter read, as the endpoint counts them; its share of a request for several answers.
    pub tokens_in: Option<u32>,
    /// Tokens that it wrote, where it writes any.
    pub tokens_out: Option<u32>,
    /// USD paid, all attempts together, as far as it is known.
    pub cost_usd: f64,
    /// Attempts whose cost nobody can tell.
    pub costs_unknown: u32,
    /// Seconds spent, all attempts together.
    pub seconds: f64,
    /// How often it was asked.
    pub attempts: u32,
    /// Milliseconds since 1970 (UTC) of the last attempt.
    pub created_at_unix_ms: u64,
}

/// What one arbiter was asked and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct ArbiterTotals {
    /// The arbiter's identity.
    pub arbiter: String,
    /// Verdicts with a value.
    pub n_scored: u64,
    /// Verdicts without one.
    pub n_missing: u64,
    /// USD, failed attempts included.
    pub cost_usd: f64,
    /// Seconds, failed attempts included.
    pub seconds: f64,
}

/// Returns the name of a verdict: the candidate and the arbiter's identity.
pub fn score_key(candidate: &Digest, arbiter: &str) -> Digest {
    Digest::of_parts(["cambist score", candidate.as_str(), arbiter].map(str::as_bytes))
}

const SELECT: &str = "SELECT candidate, arbiter, value, missing, cost_usd, seconds, attempts, created_at_unix_ms,
    prompt_id, teacher, language, failure_class, costs_unknown, tokens_in, tokens_out FROM scores WHERE key = ?1";

// A value is never replaced. A missing one is, and what asking cost stays.
const UPSERT: &str = "INSERT INTO scores
    (key, candidate, arbiter, value, missing, cost_usd, seconds, attempts, created_at_unix_ms, prompt_id, teacher,
    language, failure_class, costs_unknown, tokens_in, tokens_out)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, missing = excluded.missing,
    cost_usd = scores.cost_usd + excluded.cost_usd, seconds = scores.seconds + excluded.seconds,
    attempts = scores.attempts + excluded.attempts, created_at_unix_ms = excluded.created_at_unix_ms,
    failure_class = excluded.failure_class, costs_unknown = scores.costs_unknown + excluded.costs_unknown,
    tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out
    WHERE scores.value IS NULL";

const TOTALS: &str = "SELECT arbiter, SUM(value IS NOT NULL), SUM(value IS NULL), SUM(cost_usd), SUM(seconds)
    FROM scores GROUP BY arbiter ORDER BY arbiter";

impl Ledger {
    /// Returns what is known of each verdict, in the order and number of `keys`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn find_scores(&self, keys: &[Digest]) -> Result<Vec<Option<ScoreRecord>>> {
        self.find_all(SELECT, keys, read_score)
    }

    /// Keeps a batch of verdicts in one transaction: all are on the disk when it returns, or none.
    ///
    /// A verdict that has a value keeps it; a missing one takes the new outcome, and its costs add up.
    ///
    /// # Errors
    /// When a value or cost is no finite number, or the ledger cannot be written.
    pub fn put_scores(&mut self, scores: &[ScoreRecord]) -> Result<()> {
        for score in scores {
            check_finite("the score", &score.key, score.value.unwrap_or(0.0))?;
            check_finite("the cost", &score.key, score.cost_usd)?;
            check_finite("the time", &score.key, score.seconds)?;
        }
        self.put_all(UPSERT, scores, put_score)
    }

    /// Returns what each arbiter was asked and what it cost, in the order of their names.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn arbiter_totals(&self) -> Result<Vec<ArbiterTotals>> {
        self.all(TOTALS, read_totals)
    }
}

fn put_score(upsert: &mut Statement<'_>, score: &ScoreRecord) -> rusqlite::Result<usize> {
    upsert.execute(params![
        score.key.as_str(),
        score.candidate.as_str(),
        score.arbiter,
        score.value,
        score.missing,
        score.cost_usd,
        score.seconds,
        score.attempts,
        i64::try_from(score.created_at_unix_ms).unwrap_or(i64::MAX),
        score.prompt_id,
        score.teacher,
        score.language,
        score.failure_class.map(FailureClass::name),
        score.costs_unknown,
        score.tokens_in,
        score.tokens_out,
    ])
}

fn read_score(key: &Digest, row: &Row<'_>) -> rusqlite::Result<ScoreRecord> {
    let candidate: String = row.get(0)?;
    Ok(ScoreRecord {
        key: key.clone(),
        candidate: Digest::parse(&candidate).ok_or_else(|| foreign(0, &candidate, "64 hexadecimal digits"))?,
        arbiter: row.get(1)?,
        value: row.get(2)?,
        missing: row.get(3)?,
        cost_usd: row.get(4)?,
        seconds: row.get(5)?,
        attempts: row.get(6)?,
        created_at_unix_ms: row.get::<_, i64>(7)?.unsigned_abs(),
        prompt_id: row.get(8)?,
        teacher: row.get(9)?,
        language: row.get(10)?,
        failure_class: row.get::<_, Option<String>>(11)?.as_deref().and_then(FailureClass::parse),
        costs_unknown: row.get(12)?,
        tokens_in: row.get(13)?,
        tokens_out: row.get(14)?,
    })
}

fn read_totals(row: &Row<'_>) -> rusqlite::Result<ArbiterTotals> {
    Ok(ArbiterTotals {
        arbiter: row.get(0)?,
        n_scored: row.get::<_, i64>(1)?.unsigned_abs(),
        n_missing: row.get::<_, i64>(2)?.unsigned_abs(),
        cost_usd: row.get(3)?,
        seconds: row.get(4)?,
    })
}
