//! What reward models give, in every dialect.

use cambist_io::mock::MockServer;
use serde_json::{Value, json};

use crate::client::{post, start};

const PROMPT: &str = "Why do rivers bend in a valley?";
const GOOD: &str = "Water on the outer side of a bend runs faster, so it takes soil away there and drops it inside.";
const BAD: &str = "asdf asdf asdf";

fn turns(answer: &str) -> Value {
    json!([{"role": "user", "content": PROMPT}, {"role": "assistant", "content": answer}])
}

fn rendered(answer: &str) -> String {
    format!("<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n")
}

/// Asks with the good answer and with the bad one, and reads a value of each.
fn compare(server: &MockServer, path: &str, body: impl Fn(&str) -> Value, pointer: &str) -> [f64; 2] {
    [GOOD, BAD].map(|answer| {
        let reply = post(server, path, &body(answer)).json();
        reply.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {pointer} in {reply}"))
    })
}

#[test]
fn every_dialect_gives_the_same_reward() {
    let server = start("{}");
    let nim = |answer: &str| json!({"model": "mock-nim-rm", "messages": turns(answer)});
    let classify = |answer: &str| json!({"model": "mock-rm", "messages": turns(answer), "use_activation": false});
    let pooling = |answer: &str| json!({"model": "mock-rm", "messages": turns(answer), "task": "classify"});
    let sglang = |answer: &str| json!({"model": "mock-rm", "text": [rendered(answer)]});
    let embeddings = |answer: &str| json!({"model": "mock-rm", "input": [rendered(answer)]});
    let score = |answer: &str| json!({"model": "mock-rm", "queries": PROMPT, "documents": [answer]});
    let older = |answer: &str| json!({"model": "mock-rm", "text_1": PROMPT, "text_2": answer});
    let items = |answer: &str| json!({"model": "mock-rm", "query": PROMPT, "items": [answer]});
    let openrlhf = |answer: &str| json!({"query": [rendered(answer)]});
    let predict = |answer: &str| json!({"inputs": [[PROMPT, answer]], "raw_scores": true});
    let all = [
        compare(&server, "/classify", classify, "/data/0/probs/0"),
        compare(&server, "/pooling", pooling, "/data/0/data/0"),
        compare(&server, "/classify", sglang, "/0/embedding/0"),
        compare(&server, "/v1/embeddings", embeddings, "/data/0/embedding/0"),
        compare(&server, "/score", score, "/data/0/score"),
        compare(&server, "/score", older, "/data/0/score"),
        compare(&server, "/v1/score", items, "/scores/0/0"),
        compare(&server, "/get_reward", openrlhf, "/rewards/0"),
        compare(&server, "/predict", predict, "/0/0/score"),
        compare(&server, "/v1/chat/completions", nim, "/choices/0/logprobs/content/0/logprob"),
    ];
    for values in all {
        assert_eq!(values, all[0]);
        assert!(values[0] > values[1] + 2.0, "{values:?}");
    }
}

#[test]
fn reranked_texts_come_best_first() {
    let server = start("{}");
    let body = json!({"query": PROMPT, "texts": [BAD, GOOD], "raw_scores": true});
    let rows = post(&server, "/rerank", &body).json();
    assert_eq!((&rows[0]["index"], &rows[1]["index"]), (&json!(1), &json!(0)));
    assert!(rows[0]["score"].as_f64() > rows[1]["score"].as_f64());
}

#[test]
fn ids_are_scored_one_list_or_several() {
    let server = start("{}");
    let many: Vec<u32> = (0..300).collect();
    let body = json!({"model": "mock-rm", "input": [many, vec![7; 300]], "use_activation": false});
    let reply = post(&server, "/classify", &body).json();
    assert!(reply["data"][0]["probs"][0].as_f64().unwrap() > reply["data"][1]["probs"][0].as_f64().unwrap() + 2.0);
    assert_eq!(reply["data"][1]["index"], 1);
    assert_eq!(reply["usage"]["prompt_tokens"], 600);
    let one = post(&server, "/classify", &json!({"model": "mock-rm", "input": [1, 2, 3]})).json();
    assert_eq!(one["data"].as_array().unwrap().len(), 1);
}

#[test]
fn heads_that_are_wrongly_set_up() {
    let server = start("{}");
    let value = |model: &str, activation: Value| {
        let body = json!({"model": model, "messages": turns(GOOD), "use_activation": activation});
        post(&server, "/classify", &body).json()["data"][0]["probs"].as_array().unwrap().clone()
    };
    let raw = value("mock-rm", json!(false))[0].as_f64().unwrap();
    let squeezed = 1.0 / (1.0 + (-raw).exp());
    let near = |found: &Value, wanted: f64| (found.as_f64().unwrap() - wanted).abs() < 1e-12;
    assert!(near(&value("mock-rm-sigmoid", json!(false))[0], squeezed));
    assert!(near(&value("mock-rm-sigmoid-default", Value::Null)[0], squeezed));
    assert!(near(&value("mock-rm-sigmoid-default", json!(false))[0], raw));
    assert_eq!(value("mock-rm-softmax", json!(false)), [json!(1.0)]);
    assert_eq!(value("mock-rm-hidden", json!(false)).len(), 4096);
    assert!(near(&value("mock-rm-l2", json!(false))[0], 1.0) || near(&value("mock-rm-l2", json!(false))[0], -1.0));
    let states = post(&server, "/pooling", &json!({"model": "mock-rm", "messages": turns(GOOD)})).json();
    assert_eq!(states["data"][0]["data"].as_array().unwrap().len(), 4096);
}
