//! What teachers say, in every dialect.

use cambist_core::{identify::identify_expecting, language::Language};
use cambist_io::mock::mock_quality;
use serde_json::{Value, json};

use crate::client::{post, start};

const QUESTION: &str = "Warum fließt der Fluss in den Bergen so schnell, und was trägt er mit sich?";

fn chat(model: &str, content: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": content}], "temperature": 0.3})
}

fn language_of(text: &str, expected: &str) -> String {
    identify_expecting(text, &Language::parse(expected).unwrap()).unwrap().language.to_string()
}

#[test]
fn chat_answers_in_the_prompts_language() {
    let server = start("{}");
    let got = post(&server, "/v1/chat/completions", &chat("teacher", QUESTION));
    let reply = got.json();
    let text = reply["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(language_of(text, "de"), "de", "{text}");
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    assert_eq!(reply["object"], "chat.completion");
    assert_eq!(reply["model"], "teacher");
    let usage = &reply["usage"];
    assert_eq!(
        usage["total_tokens"].as_u64(),
        Some(usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap())
    );
    for tag in ["ar", "de", "en", "es", "fr", "hi", "ja", "ko", "pt", "ru", "tr", "uk", "vi", "zh"] {
        let reply = post(&server, "/v1/chat/completions", &chat(&format!("mock-lang-{tag}"), "What is up?")).json();
        assert_eq!(language_of(reply["choices"][0]["message"]["content"].as_str().unwrap(), tag), tag);
    }
}

#[test]
fn replies_are_a_pure_function() {
    let (one, other, third) = (start("{}"), start("{}"), start(r#"{"seed": 1}"#));
    let text = |server, body: &Value| post(server, "/v1/chat/completions", body).json()["choices"].clone();
    let mut body = chat("teacher", QUESTION);
    let first = text(&one, &body);
    assert_eq!(first, text(&other, &body));
    assert_ne!(first, text(&third, &body));
    body["user"] = json!("somebody");
    assert_eq!(first, text(&one, &body));
    body["n"] = json!(3);
    let three = text(&one, &body);
    assert_eq!(three[0], first[0]);
    assert_ne!(three[1]["message"], three[2]["message"]);
    assert_eq!(three.as_array().unwrap().len(), 3);
    body["seed"] = json!(7);
    assert_ne!(first[0], text(&one, &body)[0]);
    assert_eq!(one.stats().cells_answered_again, 1);
}

#[test]
fn qualities_decide_what_is_on_topic() {
    let server = start(r#"{"min_chars": 1500, "max_chars": 1600}"#);
    let on_topic = |model: &str| {
        let body = chat(model, "Please explain to me why rivers bend in the valley of the mountains.");
        let reply = post(&server, "/v1/chat/completions", &body).json();
        let text = reply["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
        text.matches('“').count() as f64 / text.matches(". ").count() as f64
    };
    let mut models: Vec<String> = (0..12).map(|i| format!("teacher-{i}")).collect();
    models.sort_by(|a, b| mock_quality(a, "en").total_cmp(&mock_quality(b, "en")));
    let low = models[..3].iter().map(|model| on_topic(model)).sum::<f64>();
    let high = models[9..].iter().map(|model| on_topic(model)).sum::<f64>();
    assert!(high > low + 0.9, "{low} {high}");
    assert_eq!(mock_quality("m", "pt-BR"), mock_quality("m", "pt"));
}

#[test]
fn streams_add_up_to_the_reply() {
    let server = start("{}");
    let mut body = chat("teacher", QUESTION);
    body["n"] = json!(2);
    let whole = post(&server, "/v1/chat/completions", &body).json();
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let got = post(&server, "/v1/chat/completions", &body);
    assert!(got.header("content-type").unwrap().starts_with("text/event-stream"));
    let text = got.text();
    let events: Vec<&str> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    assert_eq!(events.last(), Some(&"[DONE]"));
    let mut texts = [String::new(), String::new()];
    let mut usage = Value::Null;
    for event in &events[..events.len() - 1] {
        let event: Value = serde_json::from_str(event).unwrap();
        for choice in event["choices"].as_array().unwrap() {
            let index = choice["index"].as_u64().unwrap() as usize;
            texts[index].push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        }
        usage = event["usage"].clone();
    }
    assert_eq!(usage, whole["usage"]);
    for (index, text) in texts.iter().enumerate() {
        assert_eq!(whole["choices"][index]["message"]["content"], **text);
    }
}

#[test]
fn limits_echo_schemas_and_translations() {
    let server = start("{}");
    let ask = |body: &Value| post(&server, "/v1/chat/completions", body).json()["choices"][0].clone();
    let mut body = chat("teacher", QUESTION);
    body["max_tokens"] = json!(5);
    body["logprobs"] = json!(true);
    body["top_logprobs"] = json!(3);
    let cut = ask(&body);
    assert_eq!(cut["finish_reason"], "length");
    assert_eq!(cut["logprobs"]["content"].as_array().unwrap().len(), 5);
    assert_eq!(cut["logprobs"]["content"][0]["top_logprobs"].as_array().unwrap().len(), 3);
    assert_eq!(ask(&chat("mock-echo", "Say it again."))["message"]["content"], "Say it again.");
    let mut shaped = chat("teacher", "Who?");
    let schema = json!({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]});
    shaped["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let content: Value = serde_json::from_str(ask(&shaped)["message"]["content"].as_str().unwrap()).unwrap();
    assert!(content["age"].is_i64());
    let asked = "Translate the following text from English to French:\nUse ⟦0⟧ first. Then open ⟦1⟧.";
    let text = ask(&chat("teacher", asked))["message"]["content"].as_str().unwrap().to_owned();
    assert!(text.find("⟦0⟧").unwrap() < text.find("⟦1⟧").unwrap());
    assert_eq!(language_of(&text, "fr"), "fr");
}

#[test]
fn completions_echo_with_log_probabilities() {
    let server = start("{}");
    let ask = |body: Value| post(&server, "/v1/completions", &body).json();
    let reply = ask(json!({"model": "m", "prompt": "The sea is", "max_tokens": 3, "echo": true, "logprobs": 1}));
    let choice = &reply["choices"][0];
    assert!(choice["text"].as_str().unwrap().starts_with("The sea is"));
    let logprobs = &choice["logprobs"];
    assert_eq!(logprobs["token_logprobs"][0], Value::Null);
    assert!(logprobs["token_logprobs"][1].as_f64().unwrap() <= 0.0);
    let lengths = ["tokens", "token_logprobs", "top_logprobs", "text_offset"]
        .map(|name| logprobs[name].as_array().unwrap().len());
    assert_eq!(lengths, [6; 4]);
    let ids = ask(json!({"model": "m", "prompt": [11, 12, 13], "max_tokens": 0, "echo": true, "logprobs": 0}));
    assert_eq!(ids["choices"][0]["logprobs"]["tokens"].as_array().unwrap().len(), 3);
    assert_eq!(ids["usage"]["prompt_tokens"], 3);
    let lists = ask(json!({"model": "m", "prompt": [[11, 12], [13]], "n": 2}));
    let indices: Vec<&Value> = lists["choices"].as_array().unwrap().iter().map(|choice| &choice["index"]).collect();
    assert_eq!(indices, [0, 1, 2, 3]);
    // Without a limit the real servers stop after sixteen tokens.
    assert_eq!(lists["usage"]["completion_tokens"], 64);
    assert_eq!(ask(json!({"model": "m", "prompt": ["a", "b"]}))["choices"].as_array().unwrap().len(), 2);
}

#[test]
fn anthropic_and_cohere() {
    let server = start("{}");
    let turns = json!([{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]);
    let body = json!({"model": "m", "max_tokens": 900, "system": "Be kind.", "messages": turns});
    let reply = post(&server, "/v1/messages", &body).json();
    assert_eq!((&reply["type"], &reply["stop_reason"]), (&json!("message"), &json!("end_turn")));
    assert_eq!(language_of(reply["content"][0]["text"].as_str().unwrap(), "de"), "de");
    assert!(reply["usage"]["output_tokens"].as_u64().unwrap() > 10);
    let refused = post(&server, "/v1/messages", &json!({"model": "m", "messages": turns}));
    assert_eq!((refused.status, &refused.json()["type"]), (400, &json!("error")));
    let reply = post(&server, "/v2/chat", &json!({"model": "m", "messages": turns, "max_tokens": 4})).json();
    assert_eq!(reply["finish_reason"], "MAX_TOKENS");
    assert_eq!(reply["usage"]["billed_units"]["output_tokens"], 4);
    assert!(reply.get("model").is_none() && reply["message"]["content"][0]["text"].is_string());
}

#[test]
fn generate_by_its_body_and_completion() {
    let server = start("{}");
    let rendered = format!("<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n");
    let sglang = json!({"text": rendered, "sampling_params": {"max_new_tokens": 300}, "return_logprob": true});
    let reply = post(&server, "/generate", &sglang).json();
    assert_eq!(language_of(reply["text"].as_str().unwrap(), "de"), "de");
    assert!(reply["meta_info"]["output_token_logprobs"][0][0].is_number());
    let several = json!({"text": rendered, "sampling_params": {"n": 2}});
    assert_eq!(post(&server, "/generate", &several).json().as_array().unwrap().len(), 2);
    let tgi = json!({"inputs": rendered, "parameters": {"details": true, "best_of": 2, "max_new_tokens": 3}});
    let reply = post(&server, "/generate", &tgi).json();
    assert_eq!(reply["details"]["finish_reason"], "length");
    assert_eq!(reply["details"]["generated_tokens"], 3);
    assert_eq!(reply["details"]["best_of_sequences"].as_array().unwrap().len(), 1);
    assert!(reply["generated_text"].is_string());
    let llama = json!({"prompt": rendered, "n_predict": 4, "n_probs": 1});
    let reply = post(&server, "/completion", &llama).json();
    assert_eq!((&reply["tokens_predicted"], &reply["stop_type"]), (&json!(4), &json!("limit")));
    assert_eq!(reply["completion_probabilities"].as_array().unwrap().len(), 4);
}

#[test]
fn judges_answer_over_chat() {
    let server = start("{}");
    let pair = "Which is better?\n[Answer A]\nasdf asdf\n[End of answer A]\n[Answer B]\nThe water on the outer side of a \
                bend runs faster.\n[End of answer B]\nEnd with [[A]], [[B]] or [[C]].";
    let say = |model: &str| {
        let reply = post(&server, "/v1/chat/completions", &chat(model, pair)).json();
        reply["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    assert!(say("mock-judge-A").ends_with("[[A]]"));
    assert!(say("mock-judge-fair").ends_with("[[B]]"));
    assert!(say("mock-judge-noise:0").ends_with("[[B]]"));
    let mut short = chat("mock-judge-fair", pair);
    short["max_tokens"] = json!(1);
    short["logprobs"] = json!(true);
    short["top_logprobs"] = json!(5);
    let reply = post(&server, "/v1/chat/completions", &short).json();
    assert_eq!(reply["choices"][0]["message"]["content"], "B");
    let top = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"].as_array().unwrap();
    assert_eq!((&top[0]["token"], &top[1]["token"]), (&json!("B"), &json!("A")));
}

#[test]
fn bytes_stay_what_they_were() {
    let body = json!({"model": "teacher", "seed": 7, "n": 2, "max_tokens": 200, "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]});
    let got = post(&start(r#"{"seed": 3}"#), "/v1/chat/completions", &body);
    assert_eq!(got.text(), include_str!("../golden/mock_chat.json").trim_end());
}
