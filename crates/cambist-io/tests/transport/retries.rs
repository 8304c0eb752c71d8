//! What is asked again, how often, and what is not.

use std::time::{Duration, Instant};

use cambist_io::{
    endpoint::{Retries, Timeouts},
    exchange::FailureClass,
    transport::{LaneOptions, Tempo},
};

use crate::{
    ask::{Ask, client, endpoint, quick, run},
    server::{Play, Server},
};

const EMPTY: Play = Play::Status(200, "content-type: application/json", "{\"answer\":\"\"}");
const SHAPELESS: Play = Play::Status(200, "content-type: application/json", "{}");
const PAGE: Play = Play::Status(200, "content-type: text/html", "<html>log in</html>");

/// What becomes of one question when the server plays `play` for its first `n_times` requests: its outcome, attempts
/// and attempts that may have been charged. The salvage round is one attempt more.
fn ask_one(play: Play, n_times: usize) -> (Result<String, FailureClass>, u32, u32) {
    let server = Server::start(move |asked| if asked.number < n_times { play.clone() } else { Play::Answer });
    let tempo = Tempo { breaker_open: 0.01, ..quick() };
    let run = run(&client(&endpoint(&server.url()), tempo), LaneOptions::default(), vec![Ask::new("why")]);
    let [settled] = run.settled.try_into().unwrap();
    assert_eq!(server.n_requests(), settled.attempts as usize);
    (settled.outcome.map_err(|failure| failure.class), settled.attempts, settled.n_maybe_charged)
}

/// The answer to the question itself, or to its n-th sample.
fn answer(sample: u32) -> Result<String, FailureClass> {
    Ok(if sample == 1 { "why".to_owned() } else { format!("why sample {sample}") })
}

#[test]
fn an_answer_comes_back_with_its_question() {
    assert_eq!(ask_one(Play::Answer, 0), (answer(1), 1, 0));
}

#[test]
fn a_failing_server_is_asked_six_more_times_and_once_in_the_salvage_round() {
    let down = || Play::Status(500, "", "down");
    assert_eq!(ask_one(down(), 1), (answer(1), 2, 0));
    assert_eq!(ask_one(down(), 6), (answer(1), 7, 0));
    assert_eq!(ask_one(down(), 7), (answer(1), 8, 0), "salvaged");
    assert_eq!(ask_one(down(), 99), (Err(FailureClass::Server), 8, 0));
}

#[test]
fn a_connection_that_breaks_before_a_byte_is_no_charge() {
    assert_eq!(ask_one(Play::ResetBefore, 3), (answer(1), 4, 0));
    assert_eq!(ask_one(Play::ResetBefore, 99), (Err(FailureClass::Transport), 8, 0));
}

#[test]
fn a_reply_that_breaks_off_is_asked_again_twice_and_may_be_charged() {
    assert_eq!(ask_one(Play::ResetMid, 2), (answer(1), 3, 2));
    assert_eq!(ask_one(Play::Truncated, 2), (answer(1), 3, 2));
    assert_eq!(ask_one(Play::Truncated, 99), (Err(FailureClass::TransportMid), 4, 4));
}

#[test]
fn a_page_instead_of_json_is_asked_again() {
    assert_eq!(ask_one(PAGE, 2), (answer(1), 3, 0));
    assert_eq!(ask_one(PAGE, 99), (Err(FailureClass::ContentType), 8, 0));
}

#[test]
fn a_useless_answer_is_asked_again_as_another_sample_and_is_charged() {
    assert_eq!(ask_one(SHAPELESS, 2), (answer(3), 3, 2));
    assert_eq!(ask_one(SHAPELESS, 99), (Err(FailureClass::Shape), 3, 3));
    assert_eq!(ask_one(EMPTY, 1), (answer(2), 2, 1));
    assert_eq!(ask_one(EMPTY, 99), (Err(FailureClass::Empty), 2, 2));
}

#[test]
fn a_wrong_request_is_asked_again_only_when_it_was_changed() {
    let wrong = || Play::Status(400, "", "no such field");
    assert_eq!(ask_one(wrong(), 1), (Err(FailureClass::Request), 1, 0));
    let server = Server::start(move |asked| if asked.question.contains("old") { wrong() } else { Play::Answer });
    let ask = Ask { mended: Some("new".to_owned()), ..Ask::new("old") };
    let run = run(&client(&endpoint(&server.url()), quick()), LaneOptions::default(), vec![ask]);
    assert_eq!(run.of("new").outcome.as_deref(), Ok("new"));
    assert_eq!(run.of("new").attempts, 2);
}

#[test]
fn no_room_spends_no_retry() {
    let full = Play::Status(429, "retry-after-ms: 3", "full");
    let server = Server::start(move |asked| if asked.number < 20 { full.clone() } else { Play::Answer });
    let endpoint =
        cambist_io::endpoint::Endpoint { retries: Retries { max: 0, budget_ratio: 0.0 }, ..endpoint(&server.url()) };
    let client = client(&endpoint, quick());
    let run = run(&client, LaneOptions::default(), vec![Ask::new("why")]);
    assert_eq!(run.of("why").outcome.as_deref(), Ok("why"));
    assert_eq!(run.of("why").attempts, 21);
    let gauge = client.gauge();
    assert_eq!((gauge.retries, gauge.attempts_failed_by_class[&FailureClass::Capacity]), (0, 20));
}

#[test]
fn the_wait_that_a_server_asks_for_is_kept() {
    let full = Play::Status(429, "retry-after-ms: 300", "full");
    let server = Server::start(move |asked| if asked.number == 0 { full.clone() } else { Play::Answer });
    let began = Instant::now();
    run(&client(&endpoint(&server.url()), quick()), LaneOptions::default(), vec![Ask::new("why")]);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(began.elapsed() < Duration::from_millis(900));
}

#[test]
fn retries_beyond_the_budget_wait_for_their_window() {
    let server = Server::start(|asked| match asked.attempt {
        1 => Play::Status(500, "", "down"),
        _ => Play::Answer,
    });
    let endpoint =
        cambist_io::endpoint::Endpoint { retries: Retries { max: 6, budget_ratio: 0.2 }, ..endpoint(&server.url()) };
    let tempo = Tempo { retry_window: 0.3, retry_floor: 2, breaker_open: 0.001, ..quick() };
    let began = Instant::now();
    let run = run(&client(&endpoint, tempo), LaneOptions::default(), (0..8).map(Ask::new).collect());
    assert_eq!(run.n_answered(), 8);
    // Two retries in each 0.3 s: the last two begin in the fourth window.
    assert!(began.elapsed() >= Duration::from_millis(800), "{:?}", began.elapsed());
}

#[test]
fn each_phase_has_its_timeout() {
    let cases = [
        (Play::Slow(400), Timeouts { first_byte: 0.03, ..Timeouts::default() }, "first byte"),
        (Play::Slow(400), Timeouts { total: Some(0.03), ..Timeouts::default() }, "first byte"),
        (Play::Drip(4), Timeouts { idle: 0.002, ..Timeouts::default() }, "next byte"),
        (Play::Drip(4), Timeouts { total: Some(0.6), idle: 0.5, ..Timeouts::default() }, "next byte"),
    ];
    for (play, timeouts, phase) in cases {
        let server = Server::start(move |_| play.clone());
        let endpoint = cambist_io::endpoint::Endpoint {
            timeouts,
            retries: Retries { max: 0, budget_ratio: 1.0 },
            ..endpoint(&server.url())
        };
        let run = run(&client(&endpoint, quick()), LaneOptions::default(), vec![Ask::new("why")]);
        let failure = run.of("why").outcome.clone().unwrap_err();
        assert_eq!(failure.class, FailureClass::Timeout);
        assert!(failure.reason.contains(phase), "{failure}");
        assert_eq!(run.of("why").n_maybe_charged, 2, "one attempt and one in the salvage round");
    }
}

#[test]
fn a_host_that_refuses_is_named_as_such() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let run = run(&client(&endpoint(&url), quick()), LaneOptions::default(), vec![Ask::new("why")]);
    let failure = run.of("why").outcome.clone().unwrap_err();
    assert_eq!(failure.class, FailureClass::Transport);
    assert!(failure.reason.contains("refused"), "{failure}");
}
