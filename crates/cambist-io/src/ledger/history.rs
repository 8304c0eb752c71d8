//! What calls and scores cost so far: per teacher or arbiter and language, and by the hour.

use cambist_core::statistics::quantile_of_sorted;
use rusqlite::Row;

use super::{Ledger, LedgerError, Result};

/// What one teacher's calls in one language came to.
#[derive(Clone, Debug, PartialEq)]
pub struct CallHistory {
    /// The teacher's name in the pool.
    pub teacher: String,
    /// What answered.
    pub endpoint: String,
    /// The prompts' language; empty where it was not kept.
    pub language: String,
    /// Calls with an answer.
    pub n_answered: u64,
    /// Calls without one.
    pub n_failed: u64,
    /// Attempts, the failed ones included.
    pub n_attempts: u64,
    /// Tokens of the requests.
    pub tokens_in: Moments,
    /// Tokens of the answers.
    pub tokens_out: Moments,
    /// USD of the answered calls, all their attempts together.
    pub cost_usd: Moments,
    /// USD of the failed ones.
    pub failed_usd: f64,
    /// Seconds from sending to the answer.
    pub seconds: Moments,
    /// Attempts whose cost nobody can tell.
    pub costs_unknown: u64,
    /// Failed attempts that may have been charged.
    pub n_maybe_charged: u64,
}

/// What one arbiter's scores of answers in one language came to.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreHistory {
    /// The arbiter's identity.
    pub arbiter: String,
    /// The prompts' language; empty where it was not kept.
    pub language: String,
    /// Scores with a value.
    pub n_scored: u64,
    /// Tokens that it read for one score.
    pub tokens_in: Moments,
    /// Tokens that it wrote for one score.
    pub tokens_out: Moments,
}

/// What was spent in one hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HourlySpending {
    /// When the hour began, in milliseconds since 1970 (UTC).
    pub begin_unix_ms: u64,
    /// USD on calls and scores, as far as it is known.
    pub usd: f64,
}

/// Count, sum and sum of squares of a measured quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// How many were measured.
    pub n: u64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub sum_of_squares: f64,
}

impl Moments {
    /// The mean; none of nothing.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }

    /// The sample variance; none of fewer than two.
    pub fn variance(&self) -> Option<f64> {
        let mean = self.mean()?;
        (self.n > 1).then(|| ((self.sum_of_squares - self.sum * mean) / (self.n - 1) as f64).max(0.0))
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            sum: self.sum + other.sum,
            sum_of_squares: self.sum_of_squares + other.sum_of_squares,
        }
    }
}

// Answered from the index `call_costs` alone: no answer is read.
const CALLS: &str =
    "SELECT teacher, endpoint, language, SUM(status = 'answered'), SUM(status = 'failed'), SUM(attempts),
    COUNT(tokens_in), TOTAL(tokens_in), TOTAL(tokens_in * tokens_in),
    COUNT(tokens_out), TOTAL(tokens_out), TOTAL(tokens_out * tokens_out),
    SUM(status = 'answered' AND costs_unknown = 0),
    TOTAL(CASE WHEN status = 'answered' AND costs_unknown = 0 THEN cost_usd END),
    TOTAL(CASE WHEN status = 'answered' AND costs_unknown = 0 THEN cost_usd * cost_usd END),
    TOTAL(CASE WHEN status = 'failed' THEN cost_usd END),
    SUM(status = 'answered'), TOTAL(CASE WHEN status = 'answered' THEN seconds END),
    TOTAL(CASE WHEN status = 'answered' THEN seconds * seconds END),
    SUM(costs_unknown), SUM(n_maybe_charged)
    FROM calls INDEXED BY call_costs GROUP BY teacher, language, endpoint ORDER BY teacher, language, endpoint";

// Answered from the index `score_costs` alone.
const SCORES: &str = "SELECT arbiter, language, SUM(value IS NOT NULL),
    COUNT(tokens_in), TOTAL(tokens_in), TOTAL(tokens_in * tokens_in),
    COUNT(tokens_out), TOTAL(tokens_out), TOTAL(tokens_out * tokens_out)
    FROM scores INDEXED BY score_costs GROUP BY arbiter, language ORDER BY arbiter, language";

// A call that failed and was asked again counts whole at its last attempt: rather too much than too little.
const SPENT: &str = "SELECT created_at_unix_ms / 3600000 * 3600000 AS hour, TOTAL(cost_usd) FROM (
    SELECT created_at_unix_ms, cost_usd FROM calls WHERE created_at_unix_ms >= ?1
    UNION ALL SELECT created_at_unix_ms, cost_usd FROM scores WHERE created_at_unix_ms >= ?1
    ) GROUP BY hour ORDER BY hour";

impl Ledger {
    /// Returns what each arbiter's scores came to in each language, in the order of their names.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn score_history(&self) -> Result<Vec<ScoreHistory>> {
        self.all(SCORES, read_scores)
    }

    /// Returns what all runs spent since a moment, hour by hour.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn spent_since(&self, unix_ms: u64) -> Result<Vec<HourlySpending>> {
        let read = |row: &Row<'_>| {
            Ok(HourlySpending { begin_unix_ms: row.get::<_, i64>(0)?.unsigned_abs(), usd: row.get(1)? })
        };
        let since = i64::try_from(unix_ms).unwrap_or(i64::MAX);
        let read_all = || {
            let mut select = self.connection.prepare_cached(SPENT)?;
            let hours = select.query_map([since], read)?;
            hours.collect::<rusqlite::Result<Vec<_>>>()
        };
        read_all().map_err(|source| LedgerError::of(&self.path, source))
    }

    /// Returns what each teacher's calls came to in each language, in the order of their names.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn call_history(&self) -> Result<Vec<CallHistory>> {
        self.all(CALLS, read_history)
    }
}

/// How long one teacher's answered calls in one language took: seconds in flight, all attempts together.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// The teacher's name in the pool.
    pub teacher: String,
    /// The prompts' language; empty where it was not kept.
    pub language: String,
    /// How many calls.
    pub n: u64,
    /// The median.
    pub p50: f64,
    /// What 95 of 100 calls do not exceed.
    pub p95: f64,
}

// Answered from the index `call_costs`, which has the rows of a teacher and language side by side; what was imported was
// not timed.
const SECONDS: &str = "SELECT teacher, language, seconds FROM calls INDEXED BY call_costs
    WHERE status = 'answered' AND seconds > 0 ORDER BY teacher, language";

impl Ledger {
    /// Returns how long the answered calls took, by teacher and language, in the order of their names; the numbers of
    /// one teacher and language are in memory at once.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn latencies(&self) -> Result<Vec<Latency>> {
        let read = || {
            let mut select = self.connection.prepare_cached(SECONDS)?;
            let mut rows = select.query([])?;
            let (mut found, mut seconds) = (Vec::new(), Vec::new());
            let mut open: Option<(String, String)> = None;
            while let Some(row) = rows.next()? {
                let (teacher, language) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
                if open.as_ref().is_none_or(|(t, l)| (t.as_str(), l.as_str()) != (teacher, language)) {
                    found.extend(
                        open.replace((teacher.to_owned(), language.to_owned()))
                            .and_then(|of| latency(of, &mut seconds)),
                    );
                }
                seconds.push(row.get(2)?);
            }
            found.extend(open.and_then(|of| latency(of, &mut seconds)));
            Ok(found)
        };
        read().map_err(|source| LedgerError::of(&self.path, source))
    }
}

/// Sums up the seconds of one teacher and language, and takes them out.
fn latency((teacher, language): (String, String), seconds: &mut Vec<f64>) -> Option<Latency> {
    let mut seconds = std::mem::take(seconds);
    seconds.sort_by(f64::total_cmp);
    let n = seconds.len() as u64;
    let (p50, p95) = (quantile_of_sorted(&seconds, 0.5)?, quantile_of_sorted(&seconds, 0.95)?);
    Some(Latency { teacher, language, n, p50, p95 })
}

fn read_scores(row: &Row<'_>) -> rusqlite::Result<ScoreHistory> {
    Ok(ScoreHistory {
        arbiter: row.get(0)?,
        language: row.get(1)?,
        n_scored: row.get::<_, i64>(2)?.unsigned_abs(),
        tokens_in: moments(row, 3)?,
        tokens_out: moments(row, 6)?,
    })
}

/// Three columns from this one on.
fn moments(row: &Row<'_>, column: usize) -> rusqlite::Result<Moments> {
    let n = row.get::<_, i64>(column)?.unsigned_abs();
    Ok(Moments { n, sum: row.get(column + 1)?, sum_of_squares: row.get(column + 2)? })
}

fn read_history(row: &Row<'_>) -> rusqlite::Result<CallHistory> {
    let count = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs());
    let moments = |column| moments(row, column);
    Ok(CallHistory {
        teacher: row.get(0)?,
        endpoint: row.get(1)?,
        language: row.get(2)?,
        n_answered: count(3)?,
        n_failed: count(4)?,
        n_attempts: count(5)?,
        tokens_in: moments(6)?,
        tokens_out: moments(9)?,
        cost_usd: moments(12)?,
        failed_usd: row.get(15)?,
        seconds: moments(16)?,
        costs_unknown: count(19)?,
        n_maybe_charged: count(20)?,
    })
}
