//! What ends a lane early, and what becomes of what it held.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cambist_io::{
    endpoint::{Endpoint, Limits, Retries},
    exchange::FailureClass,
    money::{
        amount::PicoUsd,
        purse::{Listener, Purse, Reservation, TeacherPurse},
    },
    transport::{AuthHeaders, LaneOptions, SpendingCap, StopSignal, Tempo},
};

use crate::{
    ask::{Ask, Books, Run, client, client_with, endpoint, quick, run},
    server::{Play, Server},
};

fn asks(n: usize) -> Vec<Ask> {
    (0..n).map(Ask::new).collect()
}

fn n_all(run: &Run) -> usize {
    run.settled.len() + run.refused.len()
}

#[test]
fn a_refused_key_stops_the_endpoint_at_once_and_names_the_variable() {
    let server = Server::start(|_| Play::Status(401, "", "who are you"));
    let keys = AuthHeaders::bearer("canary-0123456789").looked_up("QWEN_KEY");
    let client = client_with(&endpoint(&server.url()), keys, quick());
    let run = run(&client, LaneOptions { queue: 16, ..LaneOptions::default() }, asks(1000));
    assert_eq!(n_all(&run), 1000);
    assert!(server.n_requests() <= 8, "no more than were in flight, but {}", server.n_requests());
    let refused = run.refused.first().unwrap();
    assert_eq!(refused.failure.class, FailureClass::Auth);
    assert!(refused.failure.reason.contains("`QWEN_KEY`"), "{refused}");
    assert!(run.classes().iter().all(|class| matches!(class, FailureClass::Auth | FailureClass::Stopped)));
    assert!(client.gauge().paused.unwrap().contains("QWEN_KEY"));
}

#[test]
fn an_empty_account_pauses_the_endpoint() {
    let empty = Play::Status(429, "", "{\"code\":\"insufficient_quota\"}");
    let server = Server::start(move |asked| if asked.number < 20 { Play::Answer } else { empty.clone() });
    let run = run(&client(&endpoint(&server.url()), quick()), LaneOptions::default(), asks(100));
    assert_eq!((n_all(&run), run.n_answered()), (100, 20));
    assert!(server.n_requests() <= 28);
    assert!(run.classes().contains(&FailureClass::Quota));
}

#[test]
fn a_wait_of_hours_pauses_the_endpoint_and_is_told() {
    let server = Server::start(|_| Play::Status(429, "retry-after: 7200", "tomorrow"));
    let began = Instant::now();
    let client = client(&endpoint(&server.url()), quick());
    let run = run(&client, LaneOptions::default(), asks(20));
    assert_eq!((n_all(&run), run.n_answered()), (20, 0));
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(client.gauge().paused.unwrap().contains("7200 s"));
}

#[test]
fn mostly_errors_stop_early_and_name_the_messages() {
    let server = Server::start(|_| Play::Status(400, "", "unknown field `n`"));
    let client = client(&endpoint(&server.url()), quick());
    let run = run(&client, LaneOptions { queue: 16, ..LaneOptions::default() }, asks(2000));
    assert_eq!(n_all(&run), 2000);
    assert!((25..=33).contains(&server.n_requests()), "{}", server.n_requests());
    let why = client.gauge().paused.unwrap();
    assert!(why.contains("25 of the last 25") && why.contains("unknown field `n`"), "{why}");
}

#[test]
fn a_few_errors_do_not_stop() {
    let server = Server::start(|asked| match asked.question.len() {
        3 => Play::Status(400, "", "odd"),
        _ => Play::Answer,
    });
    // Every tenth question has one digit, and so three bytes with its quotes.
    let asks = (0..1000).map(|n| Ask::new(if n % 10 == 0 { 7 } else { 1000 + n })).collect();
    let run = run(&client(&endpoint(&server.url()), quick()), LaneOptions::default(), asks);
    assert_eq!((run.settled.len(), run.n_answered()), (1000, 900));
}

#[test]
fn a_breaker_opens_after_five_failures_and_one_trial_closes_it() {
    let server = Server::start(|asked| match asked.number {
        0..=5 => Play::Status(500, "", "down"),
        _ => Play::Answer,
    });
    let endpoint = Endpoint { limits: Limits { concurrency: Some(1), ..Limits::default() }, ..endpoint(&server.url()) };
    let client = client(&endpoint, Tempo { breaker_open: 0.2, ..quick() });
    let watched = client.clone();
    let watch = thread::spawn(move || {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            if watched.gauge().breaker_open {
                return true;
            }
            thread::sleep(Duration::from_millis(2));
        }
        false
    });
    let began = Instant::now();
    let run = run(&client, LaneOptions::default(), asks(20));
    assert!(watch.join().unwrap());
    // Five failures, 0.2 s, a trial that fails, 0.2 s, a trial that does not.
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    assert_eq!(run.n_answered(), 20);
    assert!(!client.gauge().breaker_open);
}

#[test]
fn a_dead_host_is_given_up_when_patience_ends() {
    let server = Server::start(|_| Play::ResetBefore);
    let retries = Retries { max: 1000, budget_ratio: 1e9 };
    let client = client(&Endpoint { retries, ..endpoint(&server.url()) }, Tempo { first_patience: 0.2, ..quick() });
    let run = run(&client, LaneOptions::default(), asks(20));
    assert_eq!((n_all(&run), run.n_answered()), (20, 0));
    assert!(client.gauge().paused.unwrap().contains("no answer for"));
}

#[test]
fn a_drain_sends_nothing_new_and_waits_for_what_is_in_flight() {
    let server = Server::start(|_| Play::Slow(150));
    let stop = StopSignal::new();
    let signal = stop.clone();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        signal.drain();
    });
    let run =
        run(&client(&endpoint(&server.url()), quick()), LaneOptions { stop, ..LaneOptions::default() }, asks(100));
    assert_eq!((n_all(&run), run.n_answered(), server.n_requests()), (100, 8, 8));
    assert!(run.classes().iter().all(|class| *class == FailureClass::Stopped));
    let unsent = run.settled.iter().find(|settled| settled.outcome.is_err()).unwrap();
    assert_eq!(unsent.attempts, 0);
}

#[test]
fn a_second_signal_or_the_end_of_patience_drops_what_is_in_flight() {
    for abandons in [true, false] {
        let server = Server::start(|_| Play::Slow(3000));
        let stop = StopSignal::new();
        let signal = stop.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            signal.drain();
            if abandons {
                signal.abandon();
            }
        });
        let client = client(&endpoint(&server.url()), Tempo { drain: if abandons { 60.0 } else { 0.05 }, ..quick() });
        let began = Instant::now();
        let run = run(&client, LaneOptions { stop, ..LaneOptions::default() }, asks(100));
        assert!(began.elapsed() < Duration::from_secs(1));
        assert_eq!((n_all(&run), run.n_answered()), (100, 0));
        assert_eq!(run.settled.iter().filter(|settled| settled.attempts == 1).count(), 8);
    }
}

#[test]
fn a_cap_is_never_exceeded_and_used_as_far_as_it_goes() {
    let server = Server::start(|asked| match asked.number % 5 {
        4 => Play::Status(500, "", "down"),
        _ => Play::Answer,
    });
    // Each is reserved with 1 USD and costs half.
    let books = Books::new(10.0);
    let cap: Arc<dyn SpendingCap> = books.clone();
    let asks = (0..100).map(|n| Ask { usd: Some(1.0), ..Ask::new(n) }).collect();
    let client = client(&endpoint(&server.url()), quick());
    let run = run(&client, LaneOptions { cap: Some(cap), ..LaneOptions::default() }, asks);
    let (spent, reserved) = books.totals();
    assert_eq!(n_all(&run), 100);
    assert!(spent <= 10.0 && spent > 9.0, "{spent}");
    assert!(reserved.abs() < 1e-9);
    assert_eq!(run.n_answered(), 19, "the twentieth would need 1 USD where 0.5 are left");
    assert!(run.settled.iter().any(|settled| settled.outcome.as_ref().is_err_and(|f| f.reason.contains("cap"))));
}

#[test]
fn a_lane_without_room_waits_for_what_another_holds_under_the_same_cap() {
    // The first question is held until the second lane was refused a reservation, which it was when it asked for more.
    let (refused, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let server = Server::start(move |asked| {
        if asked.question.contains("first") {
            held.lock().unwrap().recv().unwrap();
        }
        Play::Answer
    });
    let purse = Arc::new(Purse::new(Some(PicoUsd::from_usd(1.0)), Default::default()));
    let cap = |name: &str, refused: Option<std::sync::mpsc::Sender<()>>| -> Option<Arc<dyn SpendingCap>> {
        Some(Arc::new(Told { purse: purse.for_teacher(name), refused: refused.map(std::sync::Mutex::new) }))
    };
    // Of one dollar the first lane reserves 0.9 and spends half of it; the second needs 0.5.
    let one = client(&endpoint(&server.url()), quick());
    let other = client(&endpoint(&server.url()), quick());
    let (submit, outcomes) = one.lane(LaneOptions { cap: cap("one", None), ..LaneOptions::default() });
    submit.send(Ask { usd: Some(0.9), ..Ask::new("first") }).unwrap();
    while purse.total().reserved == PicoUsd::ZERO {
        thread::yield_now();
    }
    let options = LaneOptions { cap: cap("other", Some(refused)), ..LaneOptions::default() };
    let run = run(&other, options, vec![Ask { usd: Some(0.5), ..Ask::new("second") }]);
    assert_eq!((n_all(&run), run.n_answered()), (1, 1), "{:?}", run.classes());
    drop(submit);
    assert_eq!(outcomes.filter(|settled| settled.outcome.is_ok()).count(), 1);
    assert_eq!(purse.total().reserved, PicoUsd::ZERO);
    assert_eq!(purse.total().spent, PicoUsd::from_usd(0.7));
}

/// A purse that tells when it has no room yet.
struct Told {
    purse: TeacherPurse,
    refused: Option<std::sync::Mutex<std::sync::mpsc::Sender<()>>>,
}

impl SpendingCap for Told {
    fn reserve(&self, usd: f64) -> Reservation {
        let made = self.purse.reserve(usd);
        if let (Reservation::Later, Some(refused)) = (made, &self.refused) {
            refused.lock().unwrap().send(()).unwrap();
        }
        made
    }

    fn settle(&self, reserved_usd: f64, spent_usd: f64) {
        self.purse.settle(reserved_usd, spent_usd);
    }

    fn follow(&self, listener: Listener) {
        self.purse.follow(listener);
    }
}

#[test]
fn nobody_who_reads_ends_the_lane() {
    let server = Server::start(|_| Play::Answer);
    let client = client(&endpoint(&server.url()), quick());
    let (submit, outcomes) = client.lane(LaneOptions { queue: 4, ..LaneOptions::default() });
    drop(outcomes);
    let refused = (0..10_000).find_map(|n| submit.send(Ask::new(n)).err());
    assert_eq!(refused.unwrap().failure.class, FailureClass::Stopped);
}
