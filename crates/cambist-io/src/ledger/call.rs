//! Calls to teachers.

use cambist_core::{
    completion::FinishReason,
    digest::{Digest, put_part},
};
use rusqlite::{Row, Statement, params};
use serde_json::Value;

use super::{Ledger, LedgerError, Result, error::foreign, reply};
use crate::{canonical::canonical_json, exchange::FailureClass};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStatus {
    /// With an answer; it is never asked again.
    Answered,
    /// With a failure; it may be asked again.
    Failed,
}

/// One call to a teacher, named by the exact request and the endpoint's identity.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// [`call_key`] of the call.
    pub key: Digest,
    /// What answered: for a server its address, model and dialect; for a local model the digest of its weights.
    pub endpoint: String,
    /// The teacher's name in the pool, for totals; no part of the key.
    pub teacher: String,
    /// The prompt's name, for people; no part of the key.
    pub prompt_id: String,
    /// The prompt's language, for totals; no part of the key, empty where unknown.
    pub language: String,
    /// Which of several answers to the same request, from 0.
    pub sample: u32,
    /// The request as JSON text, without any key material.
    pub request: String,
    /// How it ended.
    pub status: CallStatus,
    /// The answer, untrimmed; empty when the call failed.
    pub text: String,
    /// Why the answer ended.
    pub finish_reason: FinishReason,
    /// Why the call failed, when it did.
    pub failure: Option<String>,
    /// What kind of failure it was, where an endpoint failed.
    pub failure_class: Option<FailureClass>,
    /// What the model thought before it answered, where it showed that.
    pub reasoning: Option<String>,
    /// What else is to be known of the answer: `thinking_unclosed`, `raw:end_turn`.
    pub marks: Vec<String>,
    /// The raw reply, where it is kept; on the disk it is compressed with Zstandard.
    pub reply: Option<Vec<u8>>,
    /// Where the answer came from when nobody was asked: the file of an import or of a batch; empty for a call.
    pub origin: String,
    /// Tokens of the request as the endpoint counts them; none when it does not say.
    pub tokens_in: Option<u32>,
    /// Tokens of the answer as the endpoint counts them; none when it does not say.
    pub tokens_out: Option<u32>,
    /// USD paid, all attempts together, as far as it is known.
    pub cost_usd: f64,
    /// Attempts whose cost nobody can tell.
    pub costs_unknown: u32,
    /// Failed attempts that may have been charged.
    pub n_maybe_charged: u32,
    /// Seconds spent, all attempts together.
    pub seconds: f64,
    /// How often it was asked.
    pub attempts: u32,
    /// Milliseconds since 1970 (UTC) of the last attempt.
    pub created_at_unix_ms: u64,
}

/// What one teacher at one endpoint was asked and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherTotals {
    /// The teacher's name in the pool.
    pub teacher: String,
    /// What answered.
    pub endpoint: String,
    /// Calls with an answer.
    pub n_answered: u64,
    /// Calls without one.
    pub n_failed: u64,
    /// Tokens of all requests that were counted.
    pub tokens_in: u64,
    /// Tokens of all answers that were counted.
    pub tokens_out: u64,
    /// USD, failed attempts included, as far as it is known.
    pub cost_usd: f64,
    /// Attempts whose cost nobody can tell.
    pub costs_unknown: u64,
    /// Failed attempts that may have been charged.
    pub n_maybe_charged: u64,
    /// Seconds, failed attempts included.
    pub seconds: f64,
}

/// Returns the name of a call: the endpoint's identity, the request (the order of its keys does not matter) and which
/// of several answers.
pub fn call_key(endpoint: &str, request: &Value, sample: u32) -> Digest {
    let mut name = Vec::new();
    put_call_name(&mut name, (endpoint, sample), |into| into.extend_from_slice(canonical_json(request).as_bytes()));
    Digest::of_bytes(&name)
}

/// Writes what [`call_key`] is the SHA-256 of, behind what is in `into`; `request` adds the request's [`canonical_json`].
pub fn put_call_name(into: &mut Vec<u8>, (endpoint, sample): (&str, u32), request: impl FnOnce(&mut Vec<u8>)) {
    put_part(into, |into| into.extend_from_slice(b"cambist call"));
    put_part(into, |into| into.extend_from_slice(endpoint.as_bytes()));
    put_part(into, request);
    put_part(into, |into| into.extend_from_slice(sample.to_string().as_bytes()));
}

const SELECT: &str = "SELECT endpoint, teacher, prompt_id, sample, request, status, text, finish_reason, failure,
    tokens_in, tokens_out, cost_usd, seconds, attempts, created_at_unix_ms, language, failure_class, reasoning, marks,
    reply, costs_unknown, n_maybe_charged, origin FROM calls WHERE key = ?1";

// An answer is never replaced. A failed attempt is, and what it cost stays.
const UPSERT: &str = "INSERT INTO calls (key, endpoint, teacher, prompt_id, sample, request, status, text,
    finish_reason, failure, tokens_in, tokens_out, cost_usd, seconds, attempts, created_at_unix_ms, language,
    failure_class, reasoning, marks, reply, costs_unknown, n_maybe_charged, origin)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22,
    ?23, ?24)
    ON CONFLICT (key) DO UPDATE SET
    status = excluded.status, text = excluded.text, finish_reason = excluded.finish_reason,
    failure = excluded.failure, tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out,
    cost_usd = calls.cost_usd + excluded.cost_usd, seconds = calls.seconds + excluded.seconds,
    attempts = calls.attempts + excluded.attempts, created_at_unix_ms = excluded.created_at_unix_ms,
    failure_class = excluded.failure_class, reasoning = excluded.reasoning, marks = excluded.marks,
    reply = excluded.reply, costs_unknown = calls.costs_unknown + excluded.costs_unknown,
    n_maybe_charged = calls.n_maybe_charged + excluded.n_maybe_charged, origin = excluded.origin
    WHERE calls.status = 'failed'";

const TOTALS: &str = "SELECT teacher, endpoint, SUM(status = 'answered'), SUM(status = 'failed'),
    COALESCE(SUM(tokens_in), 0), COALESCE(SUM(tokens_out), 0), SUM(cost_usd), SUM(seconds), SUM(costs_unknown),
    SUM(n_maybe_charged) FROM calls GROUP BY teacher, endpoint ORDER BY teacher, endpoint";

impl Ledger {
    /// Returns what is known of each call, in the order and number of `keys`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn find_calls(&self, keys: &[Digest]) -> Result<Vec<Option<CallRecord>>> {
        self.find_all(SELECT, keys, read_call)
    }

    /// Keeps a batch of calls in one transaction: all are on the disk when it returns, or none.
    ///
    /// A call that has an answer keeps it; one that failed takes the new outcome, and its costs add up.
    ///
    /// # Errors
    /// When a cost is no finite number, or the ledger cannot be written.
    pub fn put_calls(&mut self, calls: &[CallRecord]) -> Result<()> {
        for call in calls {
            check_finite("the cost", &call.key, call.cost_usd)?;
            check_finite("the time", &call.key, call.seconds)?;
        }
        let mut packer = reply::Packer::new();
        self.put_all(UPSERT, calls, |upsert, call| put_call(upsert, call, &mut packer))
    }

    /// Returns what each teacher was asked and what it cost, in the order of their names.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn teacher_totals(&self) -> Result<Vec<TeacherTotals>> {
        self.all(TOTALS, read_totals)
    }
}

/// Refuses numbers that SQLite would turn into NULL.
pub(super) fn check_finite(field: &'static str, key: &Digest, value: f64) -> Result<()> {
    if value.is_finite() { Ok(()) } else { Err(LedgerError::NotFinite { field, key: key.to_string(), value }) }
}

/// Binds by position: looking 24 names up costs more than the insertion itself.
fn put_call(upsert: &mut Statement<'_>, call: &CallRecord, packer: &mut reply::Packer) -> rusqlite::Result<usize> {
    upsert.execute(params![
        call.key.as_str(),
        call.endpoint,
        call.teacher,
        call.prompt_id,
        call.sample,
        call.request,
        if call.status == CallStatus::Answered { "answered" } else { "failed" },
        call.text,
        finish_name(call.finish_reason),
        call.failure,
        call.tokens_in,
        call.tokens_out,
        call.cost_usd,
        call.seconds,
        call.attempts,
        i64::try_from(call.created_at_unix_ms).unwrap_or(i64::MAX),
        call.language,
        call.failure_class.map(FailureClass::name),
        call.reasoning,
        call.marks.join(" "),
        call.reply.as_deref().map(|reply| packer.packed(reply)),
        call.costs_unknown,
        call.n_maybe_charged,
        call.origin,
    ])
}

fn read_call(key: &Digest, row: &Row<'_>) -> rusqlite::Result<CallRecord> {
    let finish: String = row.get(7)?;
    Ok(CallRecord {
        key: key.clone(),
        endpoint: row.get(0)?,
        teacher: row.get(1)?,
        prompt_id: row.get(2)?,
        sample: row.get(3)?,
        request: row.get(4)?,
        status: read_status(&row.get::<_, String>(5)?)?,
        text: row.get(6)?,
        finish_reason: read_finish(7, &finish)?,
        failure: row.get(8)?,
        tokens_in: row.get(9)?,
        tokens_out: row.get(10)?,
        cost_usd: row.get(11)?,
        seconds: row.get(12)?,
        attempts: row.get(13)?,
        created_at_unix_ms: row.get::<_, i64>(14)?.unsigned_abs(),
        language: row.get(15)?,
        failure_class: row.get::<_, Option<String>>(16)?.as_deref().and_then(FailureClass::parse),
        reasoning: row.get(17)?,
        marks: row.get::<_, String>(18)?.split_whitespace().map(str::to_owned).collect(),
        reply: row.get::<_, Option<Vec<u8>>>(19)?.map(|kept| reply::unpacked(19, kept)).transpose()?,
        costs_unknown: row.get(20)?,
        n_maybe_charged: row.get(21)?,
        origin: row.get(22)?,
    })
}

fn read_status(found: &str) -> rusqlite::Result<CallStatus> {
    match found {
        "answered" => Ok(CallStatus::Answered),
        "failed" => Ok(CallStatus::Failed),
        _ => Err(foreign(5, found, "`answered` or `failed`")),
    }
}

fn read_totals(row: &Row<'_>) -> rusqlite::Result<TeacherTotals> {
    let count = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs());
    Ok(TeacherTotals {
        teacher: row.get(0)?,
        endpoint: row.get(1)?,
        n_answered: count(2)?,
        n_failed: count(3)?,
        tokens_in: count(4)?,
        tokens_out: count(5)?,
        cost_usd: row.get(6)?,
        seconds: row.get(7)?,
        costs_unknown: count(8)?,
        n_maybe_charged: count(9)?,
    })
}

fn finish_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Error => "error",
    }
}

pub(super) fn read_finish(column: usize, name: &str) -> rusqlite::Result<FinishReason> {
    finish_reason(name).ok_or_else(|| foreign(column, name, "`stop`, `length`, `content_filter` or `error`"))
}

fn finish_reason(name: &str) -> Option<FinishReason> {
    let all = [FinishReason::Stop, FinishReason::Length, FinishReason::ContentFilter, FinishReason::Error];
    all.into_iter().find(|reason| finish_name(*reason) == name)
}
