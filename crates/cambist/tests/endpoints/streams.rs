//! Replies in events leave the ledger that plain replies leave.

use cambist_io::mock::MockServer;
use serde_json::{Value, json};

use super::pool::{Pool, mock, said};

/// Three teachers, one in each dialect whose replies come in events; `request` goes into each.
fn recipe(server: &MockServer, request: &str, endpoint: &str) -> String {
    let base_url = server.base_url();
    let teacher = |id: &str, dialect: &str, more: &str| {
        format!(
            "- {{id: {id}, license: MIT, price: {{input: 100, output: 300}}, request: {{{more}{request}}}, \
             endpoint: {{dialect: {dialect}, base_url: \"{base_url}\", model: {id}{endpoint}}}}}\n"
        )
    };
    format!(
        "name: long\npool:\n{}{}{}steps:\n- id: prompts\n  prompts: {{polyglot: {{sources: 4}}, languages: [ja, tr]}}\n\
         - id: answers\n  generate: {{prompts: prompts, router: {{all-bon: {{samples: 2}}}}, sampling: {{max_new_tokens: 64}}}}\n",
        teacher("alpha", "openai-chat", ""),
        teacher("beta", "openai-completions", "tokenizer: tok, "),
        teacher("gamma", "anthropic", ""),
    )
}

fn pool(text: &str) -> Pool {
    let pool = Pool::new(text);
    super::capabilities::write_tokenizer(&pool.path("tok"), 3);
    pool
}

/// What the ledger says of every call, but when and how long.
fn ledger(pool: &Pool) -> Vec<Value> {
    let ledger = rusqlite::Connection::open(pool.path("store/ledger.sqlite")).unwrap();
    let sql = "SELECT json_array(key, teacher, sample, request, status, text, finish_reason, failure, tokens_in,
               tokens_out, cost_usd, marks, reasoning) FROM calls ORDER BY key";
    let mut select = ledger.prepare(sql).unwrap();
    let rows = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|row| serde_json::from_str(&row.unwrap()).unwrap()).collect()
}

fn maybe_charged(pool: &Pool) -> i64 {
    let ledger = rusqlite::Connection::open(pool.path("store/ledger.sqlite")).unwrap();
    ledger.query_row("SELECT SUM(n_maybe_charged) FROM calls", [], |row| row.get(0)).unwrap()
}

fn run(pool: &Pool) {
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
}

/// A fault that only requests for events meet, each once.
fn once(fault: &str, params: Value) -> Value {
    json!({ "faults": [{ "fault": fault, "match": {"contains": "\"stream\":true"}, "attempts": 1, "params": params }] })
}

#[test]
fn events_and_plain_replies_are_the_same_calls() {
    let server = mock(json!({}));
    let (plain, streamed) = (pool(&recipe(&server, "", "")), pool(&recipe(&server, "stream: true", "")));
    run(&plain);
    run(&streamed);
    assert_eq!(ledger(&plain).len(), 48);
    assert_eq!(ledger(&streamed), ledger(&plain));
    // A longer patience asks for events by itself, and finds what was paid for.
    let before = server.stats().attempts;
    let text = recipe(&server, "", ", timeouts: {total: 7200}");
    std::fs::write(streamed.path("recipe.yaml"), &text).unwrap();
    run(&streamed);
    assert_eq!(server.stats().attempts, before);
}

#[test]
fn long_patience_asks_for_events_unless_told_not_to() {
    let refuses = || mock(json!({ "faults": [{ "fault": "status:400", "match": {"contains": "\"stream\":true"} }] }));
    for (request, endpoint, is_streamed) in [
        ("", "", false),
        ("", ", timeouts: {total: 600}", false),
        ("", ", timeouts: {total: 601}", true),
        ("stream: false", ", timeouts: {total: 7200}", false),
    ] {
        let server = refuses();
        let output = pool(&recipe(&server, request, endpoint)).run("store");
        assert_eq!(output.status.success(), !is_streamed, "{request}{endpoint}: {}", said(&output));
    }
}

#[test]
fn streams_that_break_off_are_asked_for_again() {
    let server = mock(json!({}));
    let calm = pool(&recipe(&server, "stream: true", ""));
    run(&calm);
    let wanted = ledger(&calm);
    let retries = ", retries: {budget_ratio: 50.0}";
    for fault in ["reset_mid", "half_close", "truncated_json"] {
        let server = mock(once(fault, json!({"after_bytes": 300})));
        let pool = pool(&recipe(&server, "stream: true", retries));
        run(&pool);
        assert_eq!(ledger(&pool), wanted, "{fault}");
        assert_eq!(maybe_charged(&pool), server.stats().faults[fault] as i64, "{fault}");
    }
    // A line that falls silent is given up long before the reply would be late.
    let server = mock(once("stall_mid", json!({"after_bytes": 300, "delay_ms": 3_600_000})));
    let pool = pool(&recipe(&server, "stream: true", ", retries: {budget_ratio: 50.0}, timeouts: {idle: 2}"));
    run(&pool);
    assert_eq!(ledger(&pool), wanted);
    assert!(maybe_charged(&pool) >= server.stats().faults["stall_mid"] as i64);
}
