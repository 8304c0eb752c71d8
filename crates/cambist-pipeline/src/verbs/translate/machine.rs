//! A translation engine behind a server: texts in, texts out, through the ledger.

use std::collections::{BTreeMap, HashMap};

use cambist_core::{
    completion::{Completion, FinishReason},
    digest::Digest,
    language::Language,
    teacher::Price,
};
use cambist_io::{
    clock,
    dialect::{
        identity::endpoint_identity,
        probe::ServerFacts,
        teacher::KeyHeader,
        translation::{
            TranslationDialect, TranslationRequest, decode_translations, encode_translation, translation_call,
        },
    },
    endpoint::Endpoint,
    exchange::{Exchange, Failure, FailureClass, HttpCall, HttpReply, Settled, TokenEstimate},
    ledger::{CallOutcome, CallRecord, CallStatus, call_key},
    transport::{LaneOptions, Outcomes, Submit},
};
use serde_json::Value;

use super::Piece;
use crate::{
    error::PipelineError,
    plan::Job,
    progress::Advance,
    recipe::PoolMember,
    run::Workshop,
    verbs::{asking::why_closed, remote::estimated_tokens},
};

/// Requests that wait to be sent.
const QUEUE: usize = 256;

/// Outcomes that are kept in one transaction, at most.
const COMMIT: usize = 256;

/// A translation engine behind a server.
pub(super) struct Machine {
    name: String,
    endpoint: Endpoint,
    dialect: TranslationDialect,
    identity: String,
    price: Option<Price>,
    batch: usize,
}

/// A text without what must stay as it is, and what names it.
struct Wanted<'a> {
    piece: &'a Piece<'a>,
    text: &'a str,
    key: Digest,
}

/// A text on its way, with all that its record needs.
struct Ticket {
    key: Digest,
    prompt_id: String,
    text: String,
    from: Language,
    to: Language,
    /// The body that asks for this text alone, as the ledger names it.
    request: Value,
}

impl Machine {
    /// Reads what the recipe says of the engine; none for a teacher.
    pub(super) fn open(member: &PoolMember) -> Option<Self> {
        let (dialect, endpoint) = (member.translation_dialect()?, member.endpoint.clone()?);
        Some(Self {
            name: member.id.clone(),
            identity: endpoint_identity(&endpoint, dialect.name(), &ServerFacts::default()),
            endpoint,
            dialect,
            price: member.price,
            batch: member.request.batch.map_or(1, usize::from),
        })
    }

    /// Returns the name of a text's translation in the ledger, and what asks for it alone.
    pub(super) fn question(&self, text: &str, (from, to): (&Language, &Language)) -> (Digest, Value) {
        let request = TranslationRequest { texts: &[text], source: from, target: to };
        let body = encode_translation(self.dialect, &request, self.endpoint.extra_body.as_ref());
        (call_key(&self.identity, &body, 0), body)
    }

    /// Translates texts, in their order: from the ledger what was translated before, the rest by the engine.
    pub(super) fn translate(
        &self,
        (workshop, job): (&Workshop<'_>, &Job),
        texts: &[(&Piece<'_>, &str)],
    ) -> Result<Vec<Completion>, PipelineError> {
        let want = |&(piece, text)| Wanted { piece, text, key: self.question(text, (piece.from, piece.to)).0 };
        let wanted: Vec<Wanted<'_>> = texts.iter().map(want).collect();
        let settled = workshop.ledger().settled_keys()?;
        let open = wanted.iter().filter(|text| !settled.contains(&text.key));
        let missing: BTreeMap<&Digest, &Wanted<'_>> = open.map(|text| (&text.key, text)).collect();
        let asking = Asking { machine: self, workshop, job, total: missing.len() as u64 };
        // What an engine refuses among others may be fine alone: too long together, one bad text.
        let alone = asking.ask(self.batches(missing.into_values(), self.batch))?;
        asking.ask(alone)?;
        let keys: Vec<Digest> = wanted.iter().map(|text| text.key.clone()).collect();
        let records: HashMap<Digest, CallOutcome> = workshop
            .ledger()
            .find_outcomes(&keys)?
            .into_iter()
            .flatten()
            .map(|record| (record.key.clone(), record))
            .collect();
        let lost = || PipelineError::Internal(format!("`{}`: a translation is not in the ledger", job.label));
        let read = |text: &Wanted<'_>| Ok(self.completion(text, records.get(&text.key).ok_or_else(lost)?));
        wanted.iter().map(read).collect()
    }

    /// Texts of one pair of languages together.
    fn batches<'a>(&self, missing: impl Iterator<Item = &'a Wanted<'a>>, size: usize) -> Vec<Batch> {
        let mut by_pair: BTreeMap<(&Language, &Language), Vec<Ticket>> = BTreeMap::new();
        for Wanted { piece, text, key } in missing {
            let (_, request) = self.question(text, (piece.from, piece.to));
            let ticket = Ticket {
                key: key.clone(),
                prompt_id: piece.id.clone(),
                text: (*text).to_owned(),
                from: piece.from.clone(),
                to: piece.to.clone(),
                request,
            };
            by_pair.entry((piece.from, piece.to)).or_default().push(ticket);
        }
        let mut batches = Vec::new();
        for tickets in by_pair.into_values() {
            let mut tickets = tickets.into_iter().peekable();
            while tickets.peek().is_some() {
                batches.push(self.batch_of(tickets.by_ref().take(size).collect()));
            }
        }
        batches
    }

    /// One request for texts of the same two languages.
    fn batch_of(&self, tickets: Vec<Ticket>) -> Batch {
        let texts: Vec<&str> = tickets.iter().map(|ticket| ticket.text.as_str()).collect();
        let body = match tickets.first() {
            Some(Ticket { from, to, .. }) => {
                let request = TranslationRequest { texts: &texts, source: from, target: to };
                encode_translation(self.dialect, &request, self.endpoint.extra_body.as_ref())
            }
            None => Value::Null,
        };
        Batch { dialect: self.dialect, cost_usd: self.price.map(|price| cost_usd(price, &texts)), tickets, body }
    }

    fn completion(&self, text: &Wanted<'_>, record: &CallOutcome) -> Completion {
        let is_answered = record.failure.is_none();
        let price = self.price.unwrap_or_default();
        let list_price = if is_answered { price.of_characters(text.text.chars().count()) } else { 0.0 };
        Completion {
            prompt_id: text.piece.id.clone(),
            source_id: text.piece.source_id.to_owned(),
            language: text.piece.to.clone(),
            teacher: self.name.clone(),
            sample: 0,
            text: record.text.clone(),
            finish_reason: record.finish_reason,
            failure: record.failure.clone(),
            tokens_in: None,
            tokens_out: None,
            cost_usd: list_price,
            origin: None,
        }
    }

    /// Returns what became of a batch as the ledger keeps it, and the texts that are to be asked for alone.
    fn settle(&self, settled: Settled<Batch>) -> (Vec<CallRecord>, Vec<Batch>) {
        let Settled { exchange: Batch { tickets, .. }, outcome, attempts, seconds, n_maybe_charged, .. } = settled;
        let n = tickets.len();
        match outcome {
            Err(failure) if failure.class == FailureClass::Stopped || attempts == 0 => (Vec::new(), Vec::new()),
            Err(failure) if n > 1 && !failure.class.may_pass() => {
                (Vec::new(), tickets.into_iter().map(|ticket| self.batch_of(vec![ticket])).collect())
            }
            outcome => {
                let (texts, failure) = match outcome {
                    Ok(texts) => (texts.into_iter().map(Some).collect(), None),
                    Err(failure) => (vec![None; n], Some(failure)),
                };
                let record = |(at, (ticket, text)): (usize, (Ticket, Option<String>))| CallRecord {
                    seconds: seconds / n as f64,
                    attempts,
                    // A request that failed counts once, whatever number of texts was in it.
                    n_maybe_charged: if at == 0 { n_maybe_charged } else { 0 },
                    ..self.record(ticket, text, failure.as_ref())
                };
                (tickets.into_iter().zip(texts).enumerate().map(record).collect(), Vec::new())
            }
        }
    }

    fn record(&self, ticket: Ticket, text: Option<String>, failure: Option<&Failure>) -> CallRecord {
        let price = self.price.filter(|_| text.is_some()).unwrap_or_default();
        CallRecord {
            key: ticket.key,
            endpoint: self.identity.clone(),
            teacher: self.name.clone(),
            prompt_id: ticket.prompt_id,
            language: ticket.to.to_string(),
            sample: 0,
            request: ticket.request.to_string(),
            status: if text.is_some() { CallStatus::Answered } else { CallStatus::Failed },
            finish_reason: if text.is_some() { FinishReason::Stop } else { FinishReason::Error },
            text: text.unwrap_or_default(),
            failure: failure.map(|failure| format!("{}: {}", failure.class.name(), failure.reason)),
            failure_class: failure.map(|failure| failure.class),
            reasoning: None,
            marks: Vec::new(),
            reply: None,
            origin: String::new(),
            tokens_in: None,
            tokens_out: None,
            cost_usd: price.of_characters(ticket.text.chars().count()),
            costs_unknown: 0,
            n_maybe_charged: 0,
            seconds: 0.0,
            attempts: 0,
            created_at_unix_ms: clock::now_unix_ms(),
        }
    }
}

fn cost_usd(price: Price, texts: &[&str]) -> f64 {
    texts.iter().map(|text| price.of_characters(text.chars().count())).sum()
}

/// What one step asks an engine for.
struct Asking<'a> {
    machine: &'a Machine,
    workshop: &'a Workshop<'a>,
    job: &'a Job,
    total: u64,
}

impl Asking<'_> {
    /// Asks until every batch is answered or given up; returns the texts that are to be asked for alone.
    fn ask(&self, batches: Vec<Batch>) -> Result<Vec<Batch>, PipelineError> {
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let Self { machine, workshop, .. } = self;
        let client = workshop.client(&machine.endpoint, KeyHeader::BodyMember)?;
        let options =
            LaneOptions { queue: QUEUE, cap: workshop.purse(&machine.name), stop: workshop.runtime.calls.clone() };
        let (submit, outcomes) = client.lane::<Batch>(options);
        let (closed, alone) = std::thread::scope(|scope| {
            let collector = scope.spawn(|| self.collect(outcomes));
            let fed = feed(batches, submit);
            let collected =
                collector.join().unwrap_or_else(|_| Err(PipelineError::Internal("a collector panicked".to_owned())));
            let (closed, alone) = collected?;
            Ok::<_, PipelineError>((fed.or(closed), alone))
        })?;
        why_closed(workshop, &machine.name, closed)?;
        workshop.checkpoint()?;
        Ok(alone)
    }

    fn collect(&self, mut outcomes: Outcomes<Batch>) -> Result<(Option<Failure>, Vec<Batch>), PipelineError> {
        let (mut batch, mut alone, mut done) = (Vec::new(), Vec::new(), 0);
        while let Some(settled) = outcomes.next() {
            batch.push(settled);
            while batch.len() < COMMIT
                && let Some(settled) = outcomes.next_of_batch()
            {
                batch.push(settled);
            }
            let mut records = Vec::new();
            for settled in batch.drain(..) {
                let (kept, apart) = self.machine.settle(settled);
                records.extend(kept);
                alone.extend(apart);
            }
            self.workshop.ledger().put_calls(&records)?;
            done += records.len() as u64;
            let at = Advance { done, total: self.total, unit: "translations", note: "" };
            self.workshop.runtime.progress.advance(&self.job.label, at);
        }
        Ok((outcomes.closed(), alone))
    }
}

fn feed(batches: Vec<Batch>, submit: Submit<Batch>) -> Option<Failure> {
    batches.into_iter().find_map(|batch| submit.send(batch).err()).map(|closed| closed.failure)
}

/// Texts that are translated by one request.
struct Batch {
    dialect: TranslationDialect,
    tickets: Vec<Ticket>,
    body: Value,
    cost_usd: Option<f64>,
}

impl Exchange for Batch {
    type Answer = Vec<String>;

    fn call(&self, _attempt: u32) -> HttpCall {
        translation_call(self.dialect, &self.body)
    }

    fn read(&mut self, reply: &HttpReply) -> Result<Vec<String>, Failure> {
        decode_translations(self.dialect, self.tickets.len(), reply)
    }

    fn tokens(&self) -> TokenEstimate {
        let input = estimated_tokens(&self.body);
        TokenEstimate { input, output_max: input }
    }

    fn tokens_done(&self, answer: &Vec<String>) -> u32 {
        let n_bytes: usize = answer.iter().map(String::len).sum();
        u32::try_from(n_bytes / 3).unwrap_or(u32::MAX).max(1)
    }

    fn worst_cost_usd(&self) -> Option<f64> {
        self.cost_usd
    }

    fn cost_usd(&self, _answer: &Vec<String>) -> Option<f64> {
        self.cost_usd
    }
}
