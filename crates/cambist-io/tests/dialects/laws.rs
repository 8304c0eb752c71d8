//! What holds for any bytes.

use cambist_io::{
    dialect::{
        batch::read_batch_line,
        decode::decode_all,
        identity::{request_body_star, seed_for},
        request::Thinking,
        reward::{RewardDialect, RewardOptions, decode::decode_rewards},
        teacher::TeacherDialect,
        waits::{asked_wait, rate_hints},
    },
    exchange::HttpReply,
    ledger::call_key,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::raw;

/// Good replies of all dialects, for mutation.
fn seeds() -> Vec<String> {
    [
        json!({"choices": [{"index": 0, "message": {"content": "<think>x</think>é"}, "text": "é", "finish_reason": "stop",
            "logprobs": {"content": [{"token": "a", "logprob": -1.0}], "tokens": ["a"], "token_logprobs": [-1.0]}}],
            "usage": {"prompt_tokens": 3}}),
        json!({"content": [{"type": "text", "text": "日本"}], "stop_reason": "end_turn", "usage": {"input_tokens": 1}}),
        json!({"message": {"content": [{"type": "text", "text": "a"}]}, "finish_reason": "COMPLETE"}),
        json!([{"text": "a", "meta_info": {"finish_reason": {"type": "stop"}}, "embedding": [1.5], "index": 0, "score": 2}]),
        json!({"generated_text": "a", "details": {"finish_reason": "length", "prefill": [], "tokens": []}}),
        json!({"content": "a", "stop_type": "limit", "data": [{"index": 0, "probs": [1.5], "data": [[1, 2]]}], "rewards": [1]}),
        json!({"error": {"message": "Bearer abcdefghijkl", "type": "x", "code": 3}, "retry_after": 3}),
        json!({"custom_id": "c", "response": {"status_code": 200, "body": {}}, "error": null}),
    ]
    .iter()
    .map(Value::to_string)
    .collect()
}

/// A good reply with some bytes replaced, cut or doubled.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), any::<u8>(), 0u8..3);
    (prop::sample::select(seeds()), prop::collection::vec(edit, 0..6)).prop_map(|(seed, edits)| {
        let mut bytes = seed.into_bytes();
        for (at, byte, kind) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

fn read_in_every_way(reply: &HttpReply) {
    for dialect in TeacherDialect::ALL {
        for thinking in [Thinking::Strip, Thinking::Keep] {
            if let Err(failure) = decode_all(dialect, thinking, reply) {
                assert!(failure.reason.chars().count() <= 300);
            }
        }
    }
    for dialect in RewardDialect::ALL {
        for n in [1, 2] {
            if let Ok(rewards) = decode_rewards(dialect, &RewardOptions::default(), n, reply) {
                assert_eq!(rewards.len(), n);
                assert!(rewards.into_iter().flatten().all(f64::is_finite));
            }
        }
    }
    let _ = read_batch_line(&String::from_utf8_lossy(&reply.body));
}

proptest! {
    #[test]
    fn no_bytes_bring_a_reader_down(body in mutated(), status in prop::sample::select(vec![200u16, 400, 401, 429, 503])) {
        read_in_every_way(&raw(status, body));
    }

    #[test]
    fn no_headers_bring_a_reader_down(value in "\\PC{0,20}", status in 0u16..600, now in any::<u64>()) {
        for name in ["retry-after", "retry-after-ms", "x-ratelimit-reset-requests", "x-ratelimit-remaining-tokens", "date"] {
            let headers = vec![(name.to_owned(), value.clone())];
            let reply = HttpReply { status, headers, ..HttpReply::default() };
            asked_wait(&reply, now);
            rate_hints(&reply);
        }
    }

    #[test]
    fn volatile_members_change_neither_key_nor_seed(
        noise in prop::collection::btree_map(
            prop::sample::select(vec!["stream", "user", "metadata", "service_tier", "priority", "cache_salt", "n", "seed"]),
            any::<i32>(), 0..8),
        temperature in 0.0f64..2.0,
        sample in 0u32..64,
    ) {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": temperature});
        let mut noisy = body.clone();
        for (name, value) in noise {
            noisy[name] = json!(value);
        }
        let (star, noisy) = (request_body_star(&body), request_body_star(&noisy));
        prop_assert_eq!(call_key("e", &star, sample), call_key("e", &noisy, sample));
        prop_assert_eq!(seed_for(42, &star, sample), seed_for(42, &noisy, sample));
        let mut other = body;
        other["temperature"] = json!(temperature + 0.5);
        prop_assert_ne!(call_key("e", &star, sample), call_key("e", &request_body_star(&other), sample));
    }
}
