//! Faults of connections and of time, and what a full server does.

use std::{
    io::{ErrorKind, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use cambist_io::mock::MockServer;
use serde_json::{Value, json};

use crate::client::{Got, get, post, start};

const CHAT: &str = "/v1/chat/completions";

fn ask(content: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": content}]})
}

fn with_fault(name: &str, params: Value) -> (Got, MockServer) {
    let server = start(&format!(r#"{{"faults": [{{"fault": "{name}", "params": {params}, "attempts": 1}}]}}"#));
    let got = post(&server, CHAT, &ask("Hi"));
    (got, server)
}

#[test]
fn resets_and_early_ends() {
    let (before, server) = with_fault("reset_before", json!({}));
    assert_eq!((before.status, before.error), (0, Some(ErrorKind::ConnectionReset)));
    assert_eq!(server.stats().answered, 0);
    assert_eq!(post(&server, CHAT, &ask("Hi")).status, 200);
    assert_eq!((server.stats().answered, server.stats().max_attempts), (1, 2));

    let (mid, server) = with_fault("reset_mid", json!({"after_bytes": 20}));
    assert_eq!((mid.status, mid.error, mid.body.len()), (200, Some(ErrorKind::ConnectionReset), 20));
    assert_eq!(server.stats().answered, 0);

    let (half, _server) = with_fault("half_close", json!({}));
    assert_eq!((half.status, half.error), (200, None));
    assert!(half.is_short() && !half.body.is_empty());
}

#[test]
fn delays_fall_where_they_say() {
    let params = json!({"delay_ms": 60});
    let (first, _server) = with_fault("slow_first_byte", params.clone());
    assert!(first.first_byte >= Duration::from_millis(60), "{:?}", first.first_byte);
    for name in ["slow", "stall_mid"] {
        let after_head = || {
            let (got, _server) = with_fault(name, params.clone());
            assert!(got.whole >= Duration::from_millis(60), "{name}: {:?}", got.whole);
            assert_eq!(got.json()["choices"][0]["finish_reason"], "stop");
            got.whole - got.first_byte
        };
        // A busy machine may read the first byte late, but not every time.
        assert!((0..5).any(|_| after_head() >= Duration::from_millis(40)), "{name}: the wait is before the head");
    }
}

/// Asks `n` different things at once and returns the statuses and the longest wait.
fn crowd(server: &MockServer, n: usize) -> (Vec<u16>, Duration) {
    let start = Instant::now();
    let statuses = std::thread::scope(|scope| {
        let one = |i: usize| scope.spawn(move || post(server, CHAT, &ask(&format!("Number {i}?"))).status);
        let asking: Vec<_> = (0..n).map(one).collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    (statuses, start.elapsed())
}

#[test]
fn queues_make_wait() {
    let server = start(r#"{"capacity": {"queue": {"n": 2}}, "latency": {"fixed_ms": 40}}"#);
    let (statuses, time) = crowd(&server, 8);
    assert_eq!(statuses, [200; 8]);
    assert!(time >= Duration::from_millis(160), "{time:?}");
    assert!(server.stats().max_in_flight > 2);
    let fault = start(
        r#"{"latency": {"fixed_ms": 20}, "faults": [{"fault": "queue", "params": {"above": 1, "delay_ms": 30}}]}"#,
    );
    let (statuses, time) = crowd(&fault, 4);
    assert_eq!(statuses, [200; 4]);
    assert!(time >= Duration::from_millis(110), "{time:?}");
}

#[test]
fn metrics_show_the_queue() {
    let server = start(r#"{"capacity": {"queue": {"n": 1}}, "latency": {"fixed_ms": 100}}"#);
    std::thread::scope(|scope| {
        scope.spawn(|| crowd(&server, 3));
        let until = Instant::now() + Duration::from_secs(3);
        while server.stats().in_flight < 3 && Instant::now() < until {
            std::thread::yield_now();
        }
        let text = get(&server, "/metrics").text();
        assert!(text.contains("vllm:num_requests_running{engine=\"0\",model_name=\"mock-teacher\"} 1.0"), "{text}");
        assert!(text.contains("vllm:num_requests_waiting{engine=\"0\",model_name=\"mock-teacher\"} 2.0"), "{text}");
        assert_eq!(get(&server, "/slots?fail_on_no_slot=1").status, 503);
    });
    assert_eq!(server.stats().in_flight, 0);
}

#[test]
fn caps_refuse() {
    let options = [
        r#"{"capacity": {"hard_cap": {"n": 2}}, "latency": {"fixed_ms": 200}}"#,
        r#"{"faults": [{"fault": "hard_cap", "params": {"above": 2}}], "latency": {"fixed_ms": 200}}"#,
        r#"{"faults": [{"fault": "slots", "params": {"above": 2}}], "latency": {"fixed_ms": 200}}"#,
    ];
    for (options, status) in options.into_iter().zip([429, 429, 503]) {
        let (statuses, _) = crowd(&start(options), 6);
        assert_eq!(statuses.iter().filter(|found| **found == 200).count(), 2, "{options} {statuses:?}");
        assert_eq!(statuses.iter().filter(|found| **found == status).count(), 4, "{options} {statuses:?}");
    }
}

#[test]
fn latency_is_drawn_from_the_request() {
    let server = start(r#"{"latency": {"fixed_ms": 10, "per_token_ms": 0.2, "jitter": 0.5}}"#);
    let shortest = || (0..4).map(|_| post(&server, CHAT, &ask("Why?")).first_byte).min().unwrap();
    let times = [shortest(), shortest()];
    assert!(times[0] >= Duration::from_millis(5), "{times:?}");
    assert!(times[0].abs_diff(times[1]) < Duration::from_millis(60), "{times:?}");
}

#[test]
fn an_answer_that_nobody_waits_for_is_none() {
    let server = start(r#"{"latency": {"fixed_ms": 60}}"#);
    let body = ask("Hi").to_string();
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: mock\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all((head + &body).as_bytes()).unwrap();
    let until = Instant::now() + Duration::from_secs(3);
    while server.stats().in_flight == 0 && Instant::now() < until {
        std::thread::yield_now();
    }
    drop(stream);
    while server.stats().in_flight > 0 && Instant::now() < until {
        std::thread::yield_now();
    }
    let stats = server.stats();
    assert_eq!((stats.attempts, stats.answered, stats.in_flight), (1, 0, 0));
}
