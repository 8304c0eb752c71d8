//! What is never exceeded, and what adapts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cambist_io::{
    endpoint::{Endpoint, Limits, Retries},
    transport::{LaneOptions, Tempo},
};

use crate::{
    ask::{Ask, client, endpoint, quick, run},
    server::{Play, Server},
};

fn limited(url: &str, limits: Limits) -> Endpoint {
    Endpoint { limits, ..endpoint(url) }
}

#[test]
fn a_fixed_number_in_flight_is_used_and_not_exceeded() {
    let server = Server::start(|_| Play::Slow(20));
    let client = client(&endpoint(&server.url()), quick());
    let run = run(&client, LaneOptions { queue: 4, ..LaneOptions::default() }, (0..80).map(Ask::new).collect());
    assert_eq!((run.n_answered(), server.most_in_flight()), (80, 8));
    let gauge = client.gauge();
    assert_eq!((gauge.sent, gauge.answered, gauge.in_flight, gauge.queued, gauge.limit), (80, 80, 0, 0, 8));
    assert_eq!(gauge.tokens_done, 400);
}

#[test]
fn the_salvage_round_runs_at_a_quarter() {
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let server = Server::start(move |asked| match asked.attempt {
        1 => Play::ResetBefore,
        _ => {
            seen.fetch_max(asked.in_flight, Ordering::SeqCst);
            Play::Slow(10)
        }
    });
    let retries = Retries { max: 0, budget_ratio: 0.2 };
    let client = client(&Endpoint { retries, ..endpoint(&server.url()) }, quick());
    let run = run(&client, LaneOptions::default(), (0..20).map(Ask::new).collect());
    assert_eq!((run.n_answered(), server.n_requests()), (20, 40));
    assert_eq!((most.load(Ordering::SeqCst), client.gauge().limit), (2, 8));
}

#[test]
fn lanes_of_one_client_share_its_limit() {
    let server = Server::start(|_| Play::Slow(10));
    let client = client(&endpoint(&server.url()), quick());
    let runs: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            std::thread::spawn(move || run(&client, LaneOptions::default(), (0..40).map(Ask::new).collect()))
        })
        .collect();
    for run in runs {
        assert_eq!(run.join().unwrap().n_answered(), 40);
    }
    assert_eq!(server.most_in_flight(), 8);
}

#[test]
fn requests_per_minute_are_spread_evenly() {
    let server = Server::start(|_| Play::Answer);
    let limits = Limits { concurrency: Some(8), rpm: Some(1200.0), ..Limits::default() };
    let began = Instant::now();
    run(&client(&limited(&server.url(), limits), quick()), LaneOptions::default(), (0..11).map(Ask::new).collect());
    // Ten gaps of 50 ms; a late timer may make up for 50 ms.
    assert!(began.elapsed() >= Duration::from_millis(449), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
}

#[test]
fn tokens_per_minute_hold_back_and_what_was_not_used_is_given_back() {
    let server = Server::start(|_| Play::Answer);
    // Each uses 10 + 5 tokens: 150 a second are ten requests a second.
    let limits = Limits { concurrency: Some(8), tpm: Some(9000.0), ..Limits::default() };
    let began = Instant::now();
    run(&client(&limited(&server.url(), limits), quick()), LaneOptions::default(), (0..6).map(Ask::new).collect());
    assert!(began.elapsed() >= Duration::from_millis(440), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_millis(1000), "{:?}", began.elapsed());
}

#[test]
fn limits_that_the_server_states_are_heeded() {
    let stated = "x-ratelimit-limit-requests: 1200\r\ncontent-type: application/json";
    let server = Server::start(move |_| Play::Status(200, stated, "{\"answer\":\"yes\"}"));
    let limits = Limits { concurrency: Some(1), ..Limits::default() };
    let began = Instant::now();
    run(&client(&limited(&server.url(), limits), quick()), LaneOptions::default(), (0..8).map(Ask::new).collect());
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());
}

#[test]
fn a_start_is_slow_and_doubles() {
    let server = Server::start(|_| Play::Slow(2));
    let tempo = Tempo { doubling: 0.1, epoch: 0.02, ..quick() };
    let limits = Limits { max_concurrency: 64, ..Limits::default() };
    let client = client(&limited(&server.url(), limits), tempo);
    let (submit, outcomes) = client.lane(LaneOptions { queue: 64, ..LaneOptions::default() });
    let reader = std::thread::spawn(move || outcomes.count());
    let began = Instant::now();
    let mut most = 0;
    while began.elapsed() < Duration::from_millis(90) {
        submit.send(Ask::new("early")).unwrap();
        most = most.max(server.most_in_flight());
    }
    assert!((4..=8).contains(&most), "{most}");
    while began.elapsed() < Duration::from_millis(1000) && server.most_in_flight() <= 8 {
        submit.send(Ask::new("late")).unwrap();
    }
    assert!(server.most_in_flight() > 8);
    drop(submit);
    reader.join().unwrap();
}

#[test]
fn a_server_that_refuses_above_its_room_is_filled_and_seldom_refuses() {
    let server = Server::start(|asked| match asked.in_flight {
        0..=12 => Play::Slow(2),
        _ => Play::Status(429, "", "full"),
    });
    let tempo = Tempo { doubling: 0.02, epoch: 0.05, start_in_flight: 8, ..quick() };
    let limits = Limits { max_concurrency: 64, ..Limits::default() };
    let client = client(&limited(&server.url(), limits), tempo);
    let run = run(&client, LaneOptions::default(), (0..4000).map(Ask::new).collect());
    assert_eq!(run.n_answered(), 4000);
    let share = (server.n_requests() - 4000) as f64 / server.n_requests() as f64;
    assert!(share < 0.05, "{share} of the requests were refused");
    assert!(client.gauge().limit <= 16, "{:?}", client.gauge());
}

/// The limit after two hundred questions to a server whose metrics say that so many wait.
fn limit_with_waiting(metrics: &'static str) -> usize {
    let server = Server::start(move |asked| match asked.question.as_str() {
        "" => Play::Status(200, "content-type: text/plain", metrics),
        _ => Play::Slow(4),
    });
    // An epoch that never ends, so that only the metrics move the limit.
    let tempo = Tempo { doubling: 0.001, epoch: 1e9, metrics_every: 0.01, start_in_flight: 6, ..quick() };
    let client = client(&limited(&server.url(), Limits { max_concurrency: 40, ..Limits::default() }), tempo);
    let run = run(&client, LaneOptions::default(), (0..200).map(Ask::new).collect());
    assert_eq!(run.n_answered(), 200);
    client.gauge().limit
}

#[test]
fn the_limit_follows_what_the_server_tells_about_its_queue() {
    let idle = "vllm:num_requests_running{model_name=\"m\"} 6\nvllm:num_requests_waiting{model_name=\"m\"} 0\n";
    let crowded = "vllm:num_requests_running{model_name=\"m\"} 6\nvllm:num_requests_waiting{model_name=\"m\"} 9\n";
    assert_eq!(limit_with_waiting("process_cpu_seconds_total 1\n"), 6, "a server that tells nothing");
    assert!(limit_with_waiting(idle) > 6);
    assert_eq!(limit_with_waiting(crowded), 1);
}
