//! Outcomes as the ledger keeps them.

use cambist_core::completion::FinishReason;
use cambist_io::{
    canonical::json_text,
    clock,
    exchange::{Failure, FailureClass, Settled},
    ledger::{CallRecord, CallStatus},
};
use serde_json::Value;

use super::Ticket;
use crate::verbs::remote::{Answered, Asked, Remote, Share};

/// What asking for an answer together with others has cost, when none came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::verbs) struct Earlier {
    attempts: u32,
    seconds: f64,
    n_maybe_charged: u32,
}

/// An answer that has to be asked for by itself.
pub(in crate::verbs) struct Left {
    /// Which.
    pub ticket: Ticket,
    /// The body as the ledger names it.
    pub body: Value,
}

/// What an outcome came to.
#[derive(Default)]
pub(in crate::verbs) struct Kept {
    /// Records to keep, with their tickets.
    pub calls: Vec<(Ticket, CallRecord)>,
    /// What has to be asked for by itself.
    pub left: Vec<Left>,
}

/// Returns an outcome as the ledger keeps it; nothing for what was never sent.
///
/// One reply may hold several answers: each becomes a record with its share of tokens, time and cost. What is missing
/// from it, and what the server does not want to give together, has to be asked for by itself.
pub(in crate::verbs) fn records(remote: &Remote, teacher: &str, settled: Settled<Asked<Vec<Ticket>>>) -> Kept {
    let Settled { exchange, outcome, attempts, seconds, n_maybe_charged } = settled;
    let spent = Earlier { attempts, seconds, n_maybe_charged };
    let is_alone = exchange.is_alone();
    let Asked { ticket: tickets, body, .. } = exchange;
    let blank = |ticket: &Ticket, spent: Earlier| blank((remote, teacher), (ticket, &body), spent);
    match outcome {
        Ok(answered) => answered_records(tickets, (answered, spent), &body, blank),
        Err(failure) if failure.class == FailureClass::Stopped || attempts == 0 => Kept::default(),
        Err(failure) if tickets.len() > 1 && !is_alone && is_for_all(failure.class) => {
            let charge = |(at, ticket): (usize, Ticket)| match at {
                0 => Ticket { earlier: ticket.earlier.plus(spent), ..ticket },
                _ => ticket,
            };
            let left = tickets.into_iter().enumerate().map(charge);
            Kept { calls: Vec::new(), left: left.map(|ticket| Left { ticket, body: body.clone() }).collect() }
        }
        Err(failure) => {
            let failed = |(ticket, spent): (Ticket, Earlier)| {
                let record = failed_record(blank(&ticket, spent), &failure);
                (ticket, record)
            };
            let parts = spent.parts(tickets.len());
            Kept { calls: tickets.into_iter().zip(parts).map(failed).collect(), left: Vec::new() }
        }
    }
}

/// Whether a failure may be one of asking for several answers together.
fn is_for_all(class: FailureClass) -> bool {
    matches!(class, FailureClass::Request | FailureClass::Shape | FailureClass::Empty)
}

fn answered_records(
    tickets: Vec<Ticket>,
    (answered, spent): (Answered, Earlier),
    body: &Value,
    blank: impl Fn(&Ticket, Earlier) -> CallRecord,
) -> Kept {
    let n = tickets.len();
    let mut raw = answered.raw;
    let mut parts = spent.parts(answered.shares.iter().flatten().count()).into_iter();
    let mut kept = Kept::default();
    for (at, (ticket, share)) in tickets.into_iter().zip(answered.shares).enumerate() {
        let Some(share) = share else {
            kept.left.push(Left { ticket, body: body.clone() });
            continue;
        };
        let mut record = answered_record(blank(&ticket, parts.next().unwrap_or_default()), share);
        if n > 1 {
            record.marks.push(format!("choice:{}/{n}", at + 1));
        }
        // The reply is kept once, with the first of its answers.
        record.reply = raw.take();
        kept.calls.push((ticket, record));
    }
    kept
}

impl Earlier {
    fn plus(self, more: Self) -> Self {
        Self {
            attempts: self.attempts + more.attempts,
            seconds: self.seconds + more.seconds,
            n_maybe_charged: self.n_maybe_charged + more.n_maybe_charged,
        }
    }

    /// Splits it among `n` cells: each was asked for as often, the time is shared, and what may have been charged
    /// counts once.
    fn parts(self, n: usize) -> Vec<Self> {
        let of = |at: usize| Self {
            seconds: self.seconds / n as f64,
            n_maybe_charged: if at == 0 { self.n_maybe_charged } else { 0 },
            ..self
        };
        (0..n).map(of).collect()
    }
}

fn blank((remote, teacher): (&Remote, &str), (ticket, body): (&Ticket, &Value), spent: Earlier) -> CallRecord {
    let spent = ticket.earlier.plus(spent);
    CallRecord {
        key: ticket.key.clone(),
        endpoint: remote.identity().to_owned(),
        teacher: teacher.to_owned(),
        prompt_id: ticket.prompt.id.clone(),
        language: ticket.prompt.language.to_string(),
        sample: ticket.sample,
        request: json_text(body),
        status: CallStatus::Failed,
        text: String::new(),
        finish_reason: FinishReason::Error,
        failure: None,
        failure_class: None,
        reasoning: None,
        marks: Vec::new(),
        reply: None,
        origin: String::new(),
        tokens_in: None,
        tokens_out: None,
        cost_usd: 0.0,
        costs_unknown: 0,
        n_maybe_charged: spent.n_maybe_charged,
        seconds: spent.seconds,
        attempts: spent.attempts,
        created_at_unix_ms: clock::now_unix_ms(),
    }
}

fn failed_record(blank: CallRecord, failure: &Failure) -> CallRecord {
    let reason = format!("{}: {}", failure.class.name(), failure.reason);
    CallRecord { failure: Some(reason), failure_class: Some(failure.class), ..blank }
}

fn answered_record(blank: CallRecord, Share { answer, cost_usd }: Share) -> CallRecord {
    let mut marks: Vec<String> = answer.marks.iter().map(|mark| mark.name().to_owned()).collect();
    if !answer.raw_finish.is_empty() {
        marks.push(format!("finish:{}", answer.raw_finish.replace(char::is_whitespace, "_")));
    }
    CallRecord {
        status: CallStatus::Answered,
        text: answer.text,
        finish_reason: answer.finish,
        reasoning: answer.reasoning,
        marks,
        tokens_in: answer.usage.input,
        tokens_out: answer.usage.output,
        cost_usd: cost_usd.unwrap_or(0.0),
        costs_unknown: u32::from(cost_usd.is_none()),
        ..blank
    }
}
