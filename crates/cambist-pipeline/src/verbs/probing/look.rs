//! What a server says of itself.

use std::sync::Arc;

use crate::run::Workshop;
use cambist_io::{
    dialect::{
        probe::{MODELS_PATH, ServerFacts, info_call, naming_paths},
        teacher::{ServerKind, TeacherDialect},
    },
    exchange::{Exchange, Failure, FailureClass, HttpCall, HttpReply, TokenEstimate},
    transport::{Client, LaneOptions, SpendingCap},
};

/// Asks a server what it is and which models it has; says whether `model` is among them, as far as that is known.
///
/// A page that it does not have says nothing. A model that its list does not name is asked for by itself: hosted
/// services have aliases.
///
/// # Errors
/// When nobody answers at all.
pub(super) fn look(
    (workshop, client): (&Workshop<'_>, &Client),
    dialect: Option<TeacherDialect>,
    model: &str,
) -> Result<(ServerFacts, bool), Failure> {
    let mut facts = ServerFacts::default();
    let page = |path: &str| match ask((workshop, client), Page(info_call(dialect, path)), None) {
        Ok(reply) => Ok(Some(reply)),
        Err(failure) if matches!(failure.class, FailureClass::Transport | FailureClass::Stopped) => Err(failure),
        Err(_) => Ok(None),
    };
    if let Some(reply) = page(MODELS_PATH)? {
        facts.learn(model, MODELS_PATH, &reply);
    }
    for path in naming_paths(facts.kind) {
        if let Some(reply) = page(path)? {
            facts.learn(model, path, &reply);
        }
        if facts.kind != ServerKind::None {
            break;
        }
    }
    if facts.may_serve(model) {
        return Ok((facts, true));
    }
    let card = page(&format!("{MODELS_PATH}/{model}"))?;
    let has_model = card.is_some_and(|reply| facts.learn_card(model, &reply));
    Ok((facts, has_model))
}

/// Sends one exchange and waits for what becomes of it.
///
/// # Errors
/// What it failed with after all its attempts.
pub(super) fn ask<E: Exchange>(
    (workshop, client): (&Workshop<'_>, &Client),
    exchange: E,
    cap: Option<Arc<dyn SpendingCap>>,
) -> Result<E::Answer, Failure> {
    let options = LaneOptions { queue: 1, cap, stop: workshop.runtime.calls.clone() };
    let (submit, mut outcomes) = client.lane::<E>(options);
    if let Err(closed) = submit.send(exchange) {
        return Err(closed.failure);
    }
    drop(submit);
    let lost = || Err(Failure::new(FailureClass::Stopped, "nothing came of it"));
    outcomes.next().map_or_else(lost, |settled| settled.outcome)
}

/// A page about the server: any reply is one, but that it has no room.
pub(super) struct Page(pub HttpCall);

impl Exchange for Page {
    type Answer = HttpReply;

    fn call(&self, _attempt: u32) -> HttpCall {
        self.0.clone()
    }

    fn read(&mut self, reply: &HttpReply) -> Result<HttpReply, Failure> {
        match reply.status {
            429 => Err(Failure::new(FailureClass::Capacity, "the server has no room")),
            _ => Ok(reply.clone()),
        }
    }

    fn tokens(&self) -> TokenEstimate {
        TokenEstimate::default()
    }

    fn tokens_done(&self, _reply: &HttpReply) -> u32 {
        0
    }

    fn worst_cost_usd(&self) -> Option<f64> {
        None
    }

    fn cost_usd(&self, _reply: &HttpReply) -> Option<f64> {
        None
    }
}
