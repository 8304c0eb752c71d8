//! Whatever goes wrong, every exchange that was accepted comes back exactly once.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    thread,
    time::Duration,
};

use cambist_io::transport::{LaneOptions, StopSignal, Tempo};
use proptest::prelude::*;

use crate::{
    ask::{Ask, client, endpoint, quick, run},
    server::{Asked, Play, Server},
};

/// A fault drawn from the question and how often it was asked.
fn draw(asked: &Asked, (seed, per_thousand): (u64, u64)) -> Play {
    let mut hasher = DefaultHasher::new();
    (seed, &asked.question, asked.attempt).hash(&mut hasher);
    let drawn = hasher.finish();
    if drawn % 1000 >= per_thousand {
        return Play::Answer;
    }
    match (drawn >> 20) % 9 {
        0 => Play::Status(500, "", "down"),
        1 => Play::Status(429, "retry-after-ms: 1", "full"),
        2 => Play::Status(400, "", "wrong"),
        3 => Play::ResetBefore,
        4 => Play::ResetMid,
        5 => Play::Truncated,
        6 => Play::Status(200, "content-type: text/html", "<html>"),
        7 => Play::Status(200, "content-type: application/json", "{\"answer\":\"\"}"),
        _ => Play::Slow(3),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_many_come_back_as_went_in(
        seed in any::<u64>(),
        per_thousand in 0..700u64,
        n_asks in 1..150usize,
        queue in 1..40usize,
        stops_after_ms in prop::option::of(0..60u64),
    ) {
        let server = Server::start(move |asked| draw(asked, (seed, per_thousand)));
        let stop = StopSignal::new();
        if let Some(milliseconds) = stops_after_ms {
            let signal = stop.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(milliseconds));
                if milliseconds % 2 == 0 { signal.drain() } else { signal.abandon() }
            });
        }
        let client = client(&endpoint(&server.url()), Tempo { breaker_open: 0.005, ..quick() });
        let options = LaneOptions { queue, stop, ..LaneOptions::default() };
        let run = run(&client, options, (0..n_asks).map(Ask::new).collect());
        let accepted = n_asks - run.refused.len();
        prop_assert_eq!(run.settled.len(), accepted);
        let questions: BTreeSet<&str> = run.settled.iter().map(|settled| settled.exchange.question.as_str())
            .chain(run.refused.iter().map(|refused| refused.exchange.question.as_str())).collect();
        prop_assert_eq!(questions.len(), n_asks);
        let gauge = client.gauge();
        prop_assert_eq!((gauge.in_flight, gauge.queued), (0, 0));
        prop_assert_eq!(gauge.answered + gauge.failed(), accepted as u64);
        let n_attempts: u64 = run.settled.iter().map(|settled| u64::from(settled.attempts)).sum();
        prop_assert_eq!(gauge.sent, n_attempts);
    }
}

#[test]
fn what_is_not_kept_yet_counts_as_in_flight() {
    const LIMIT: usize = 16;
    let server = Server::start(|_| Play::Answer);
    let mut endpoint = endpoint(&server.url());
    endpoint.limits.concurrency = Some(LIMIT);
    let (submit, mut outcomes) = client(&endpoint, quick()).lane(LaneOptions { queue: 8, ..LaneOptions::default() });
    let sender = thread::spawn(move || (0..3000).filter(|n| submit.send(Ask::new(n)).is_ok()).count());
    let first = outcomes.next().unwrap();
    assert!(first.outcome.is_ok());
    thread::sleep(Duration::from_millis(100));
    // A process that is killed now loses what it was asked to keep and has not, and no more than could be in flight.
    assert!(server.n_requests() <= LIMIT, "{} were sent though nobody keeps answers", server.n_requests());
    assert_eq!(outcomes.count() + 1, 3000);
    assert_eq!(sender.join().unwrap(), 3000);
}

#[test]
fn an_empty_lane_ends() {
    let server = Server::start(|_| Play::Answer);
    let client = client(&endpoint(&server.url()), quick());
    let (submit, outcomes) = client.lane::<Ask>(LaneOptions::default());
    drop(submit);
    assert_eq!(outcomes.count(), 0);
}

#[test]
fn a_lane_outlives_its_client_and_its_transport() {
    let server = Server::start(|_| Play::Slow(20));
    let (submit, outcomes) = client(&endpoint(&server.url()), quick()).lane(LaneOptions::default());
    submit.send(Ask::new("why")).unwrap();
    drop(submit);
    assert_eq!(outcomes.filter(|settled| settled.outcome.is_ok()).count(), 1);
}
