//! The server itself: keys, models, information, counts, starting and stopping.

use std::{net::TcpStream, sync::Arc};

use cambist_io::mock::{MockKey, MockOptions, MockServer};
use serde_json::{Value, json};

use crate::client::{get, post, post_with, start};

const CHAT: &str = "/v1/chat/completions";

fn ask() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
}

#[test]
fn only_the_key_opens() {
    let options = MockOptions { auth: Some(MockKey::new("canary-key")), ..MockOptions::default() };
    assert!(!format!("{options:?}").contains("canary"));
    let server = MockServer::start(options).unwrap();
    assert!(!format!("{server:?}").contains("canary"));
    let status = |headers: &str| post_with(&server, CHAT, headers, ask().to_string().as_bytes()).status;
    assert_eq!(status("authorization: Bearer canary-key"), 200);
    assert_eq!(status("x-api-key: canary-key"), 200);
    assert_eq!(status("authorization: Bearer other"), 401);
    let closed = post(&server, CHAT, &ask());
    assert_eq!(closed.status, 401);
    assert!(!closed.text().contains("canary"));
}

#[test]
fn unknown_models_routes_and_bodies() {
    let server = start(r#"{"models": ["m", "mock-rm"]}"#);
    assert_eq!(post(&server, CHAT, &ask()).status, 200);
    let unknown = post(&server, CHAT, &json!({"model": "x", "messages": []}));
    assert_eq!((unknown.status, &unknown.json()["error"]["type"]), (404, &json!("model_not_found")));
    assert_eq!(post(&server, "/v1/nothing", &ask()).status, 404);
    assert_eq!(post_with(&server, CHAT, "content-type: application/json", b"{").status, 400);
    assert_eq!(post(&server, CHAT, &json!({"model": "m"})).status, 400);
    assert_eq!(get(&server, "/v1/models").json()["data"].as_array().unwrap().len(), 2);
}

#[test]
fn servers_say_who_they_are() {
    let server = start(r#"{"capacity": {"hard_cap": {"n": 4}}, "max_model_len": 4096}"#);
    assert_eq!(get(&server, "/v1/models").json()["data"][0]["max_model_len"], 4096);
    assert!(get(&server, "/version").json()["version"].is_string());
    assert_eq!(get(&server, "/health").status, 200);
    assert_eq!(get(&server, "/info").json()["max_concurrent_requests"], 4);
    assert_eq!(get(&server, "/props").json()["total_slots"], 4);
    assert_eq!(get(&server, "/slots").json().as_array().unwrap().len(), 4);
    assert_eq!(get(&server, "/load").json()["server_load"], 0);
    assert!(get(&server, "/get_model_info").json()["model_path"].is_string());
    assert!(get(&server, "/metrics").text().contains("vllm:num_requests_waiting"));
    let text = "Größe 你好";
    let tokens = post(&server, "/tokenize", &json!({"model": "m", "prompt": text})).json();
    assert_eq!(tokens["count"].as_u64(), Some(text.len() as u64));
    assert_eq!(post(&server, "/detokenize", &json!({"tokens": tokens["tokens"]})).json()["prompt"], text);
    let turns = json!({"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": false});
    assert!(post(&server, "/tokenize", &turns).json()["count"].as_u64().unwrap() > 2);
}

#[test]
fn counts_are_shown_and_forgotten() {
    let server = start("{}");
    post(&server, CHAT, &ask());
    post(&server, CHAT, &ask());
    let shown = get(&server, "/__mock/stats").json();
    assert_eq!(
        (&shown["answered"], &shown["cells"], &shown["cells_answered_again"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!((&shown["calls"][CHAT], &shown["statuses"]["200"]), (&json!(2), &json!(2)));
    post_with(&server, "/__mock/reset", "x-none: 1", b"");
    assert_eq!(get(&server, "/__mock/stats").json()["cells"], 0);
}

#[test]
fn requests_about_the_server_are_counted_apart() {
    let rules = r#"{"faults": [{"fault": "status:500", "match": {"probe": true}, "at": [2]},
                               {"fault": "status:503", "at": [1]}], "models": ["m"]}"#;
    let server = start(rules);
    let probe = || post_with(&server, CHAT, "x-cambist-probe: 1", ask().to_string().as_bytes()).status;
    assert_eq!([probe(), probe(), probe()], [200, 500, 200], "rules about them are about nothing else");
    assert_eq!(server.stats().attempts, 0);
    assert_eq!([post(&server, CHAT, &ask()).status, post(&server, CHAT, &ask()).status], [503, 200]);
    let stats = server.stats();
    assert_eq!((stats.probes[CHAT], stats.calls[CHAT]), (3, 2));
    assert_eq!((stats.attempts, stats.answered, stats.cells), (2, 1, 1));
    assert_eq!([get(&server, "/v1/models/m").status, get(&server, "/v1/models/x").status], [200, 404]);
    assert_eq!(get(&start("{}"), "/v1/models/x").json()["id"], "x");
}

#[test]
fn stopping_frees_the_port_and_wakes_who_waits() {
    let server = Arc::new(start(r#"{"workers": 2}"#));
    assert_eq!(post(&server, CHAT, &ask()).status, 200);
    let waiting = std::thread::spawn({
        let server = Arc::clone(&server);
        move || server.wait()
    });
    server.stop();
    waiting.join().unwrap();
    assert!(TcpStream::connect(server.address()).is_err());
    let again = MockServer::start(MockOptions { port: server.address().port(), ..MockOptions::default() }).unwrap();
    assert_eq!(again.base_url(), format!("http://{}", server.address()));
    assert!(MockServer::start(MockOptions { port: again.address().port(), ..MockOptions::default() }).is_err());
}
