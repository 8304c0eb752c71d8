//! How far asking is, per teacher and language.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use cambist_io::{
    ledger::{CallRecord, CallStatus},
    transport::Client,
};

use super::voices::Voice;
use crate::{
    plan::Job,
    progress::{Advance, TeacherProgress},
    run::Workshop,
};

/// How far asking is, per teacher and language.
pub(super) struct Tally {
    unit: &'static str,
    seats: Mutex<Vec<Seat>>,
}

#[derive(Default)]
struct Seat {
    wanted: u64,
    client: Option<Client>,
    progress: TeacherProgress,
}

impl Tally {
    /// Begins with the number of cells wanted of each voice, in the order of the voices.
    pub(super) fn new(wanted: &[u64], unit: &'static str) -> Self {
        let seat = |&wanted: &u64| Seat { wanted, ..Seat::default() };
        Self { unit, seats: Mutex::new(wanted.iter().map(seat).collect()) }
    }

    /// How many cells are wanted of a voice.
    pub(super) fn wanted(&self, voice: usize) -> u64 {
        self.lock().get(voice).map_or(0, |seat| seat.wanted)
    }

    /// Looks at a voice's connection when it tells how far it is.
    pub(super) fn watch(&self, voice: usize, client: Client) {
        if let Some(seat) = self.lock().get_mut(voice) {
            seat.client = Some(client);
        }
    }

    /// Counts a call that ended.
    pub(super) fn settle(&self, voice: usize, record: &CallRecord) {
        let mut seats = self.lock();
        let Some(seat) = seats.get_mut(voice) else { return };
        seat.progress.done += 1;
        seat.progress.cost_usd += record.cost_usd;
        if record.status == CallStatus::Failed {
            seat.progress.failed += 1;
        }
        *seat.progress.languages.entry(record.language.clone()).or_default() += 1;
    }

    /// Tells whoever listens.
    pub(super) fn show(&self, workshop: &Workshop<'_>, job: &Job, voices: &[Voice]) {
        let seats = self.lock();
        let done = seats.iter().map(|seat| seat.progress.done).sum();
        let total = seats.iter().map(|seat| seat.wanted).sum();
        let at = Advance { done, total, unit: self.unit, note: "" };
        let teachers: BTreeMap<&str, TeacherProgress> = voices
            .iter()
            .zip(seats.iter())
            .filter(|(_, seat)| seat.wanted > 0)
            .map(|(voice, seat)| (voice.name.as_str(), seat.now()))
            .collect();
        drop(seats);
        workshop.runtime.progress.advance(&job.label, at);
        workshop.runtime.progress.teachers(&job.label, &teachers);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn now(&self) -> TeacherProgress {
        let mut progress = self.progress.clone();
        progress.total = self.wanted;
        if let Some(gauge) = self.client.as_ref().map(Client::gauge) {
            progress.in_flight = gauge.in_flight as u64;
            progress.limit = gauge.limit as u64;
            progress.retries = gauge.retries;
            progress.paused = gauge.paused;
        }
        progress
    }
}
