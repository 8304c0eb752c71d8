//! Replies of every teacher dialect.

use cambist_core::completion::FinishReason;
use cambist_io::{
    dialect::{
        answer::{Mark, TeacherAnswer, TokenUsage, UsageSource},
        decode::{decode, decode_all},
        request::Thinking,
        teacher::TeacherDialect,
    },
    exchange::{Failure, FailureClass},
};
use serde_json::{Value, json};

use super::{raw, reply};

fn read(dialect: TeacherDialect, body: &Value) -> Result<TeacherAnswer, Failure> {
    decode(dialect, Thinking::Strip, &reply(200, body))
}

fn chat(message: &Value, finish: &str) -> Value {
    json!({"id": "c1", "model": "m-2", "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 40,
            "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 11}}})
}

fn said(content: &str) -> Value {
    json!({"role": "assistant", "content": content})
}

fn counted(input: u32, output: u32) -> TokenUsage {
    let source = UsageSource::Server;
    TokenUsage { input: Some(input), output: Some(output), cached_in: None, reasoning_out: None, source }
}

#[test]
fn a_chat_completion_is_read_whole() {
    let answer = read(TeacherDialect::OpenAiChat, &chat(&said(" Добре! "), "stop")).unwrap();
    assert_eq!(answer.text, " Добре! ");
    assert_eq!((answer.finish, answer.raw_finish.as_str()), (FinishReason::Stop, "stop"));
    assert_eq!(answer.usage, TokenUsage { cached_in: Some(4), reasoning_out: Some(11), ..counted(9, 40) });
    assert_eq!((answer.model_reported.as_deref(), answer.request_id.as_deref()), (Some("m-2"), Some("c1")));
    assert!(answer.marks.is_empty() && answer.is_eligible());
}

#[test]
fn every_dialect_is_read_with_its_counts() {
    let bodies = [
        (
            TeacherDialect::OpenAiCompletions,
            json!({"choices": [{"index": 0, "text": "ok", "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 40}}),
        ),
        (
            TeacherDialect::Anthropic,
            json!({"content": [{"type": "text", "text": "o"}, {"type": "text", "text": "k"}],
            "stop_reason": "end_turn", "usage": {"input_tokens": 9, "output_tokens": 40}}),
        ),
        (
            TeacherDialect::Cohere,
            json!({"finish_reason": "COMPLETE", "message": {"content": [{"type": "text", "text": "ok"}]},
            "usage": {"billed_units": {"input_tokens": 9, "output_tokens": 40}, "tokens": {"input_tokens": 77, "output_tokens": 40}}}),
        ),
        (
            TeacherDialect::SglangGenerate,
            json!({"text": "ok", "meta_info": {"finish_reason": {"type": "stop", "matched": 2},
            "prompt_tokens": 9, "completion_tokens": 40}}),
        ),
        (
            TeacherDialect::TgiGenerate,
            json!({"generated_text": "ok", "details": {"finish_reason": "eos_token",
            "generated_tokens": 40, "prefill": [{}, {}, {}, {}, {}, {}, {}, {}, {}]}}),
        ),
        (
            TeacherDialect::LlamacppCompletion,
            json!({"content": "ok", "stop": true, "stop_type": "eos",
            "tokens_evaluated": 9, "tokens_predicted": 40}),
        ),
    ];
    for (dialect, body) in bodies {
        let answer = read(dialect, &body).unwrap();
        assert_eq!((answer.text.as_str(), answer.finish), ("ok", FinishReason::Stop), "{}", dialect.name());
        assert_eq!(answer.usage, counted(9, 40), "{}", dialect.name());
    }
}

#[test]
fn ends_mean_the_same_in_every_dialect() {
    let ended = |finish: &str| read(TeacherDialect::OpenAiChat, &chat(&said("x"), finish)).map(|answer| answer.finish);
    for word in ["stop", "end_turn", "stop_sequence", "COMPLETE", "STOP_SEQUENCE", "eos_token", "tool_calls"] {
        assert_eq!(ended(word), Ok(FinishReason::Stop), "{word}");
    }
    for word in ["length", "max_tokens", "MAX_TOKENS", "limit"] {
        assert_eq!(ended(word), Ok(FinishReason::Length), "{word}");
    }
    for word in ["content_filter", "refusal"] {
        assert_eq!(ended(word), Ok(FinishReason::ContentFilter), "{word}");
    }
    for word in ["abort", "ERROR"] {
        assert_eq!(ended(word).unwrap_err().class, FailureClass::Server, "{word}");
    }
    let odd = read(TeacherDialect::OpenAiChat, &chat(&said("x"), "repetition")).unwrap();
    assert_eq!((odd.finish, odd.marks), (FinishReason::Stop, vec![Mark::UnknownFinish]));
}

#[test]
fn cut_and_withheld_answers_are_kept_even_when_empty_and_are_not_eligible() {
    for (finish, expected) in [("length", FinishReason::Length), ("content_filter", FinishReason::ContentFilter)] {
        let answer = read(TeacherDialect::OpenAiChat, &chat(&json!({"content": null}), finish)).unwrap();
        assert_eq!((answer.finish, answer.text.as_str(), answer.is_eligible()), (expected, "", false));
    }
    let refused = chat(&json!({"content": null, "refusal": "I cannot."}), "stop");
    let refused = read(TeacherDialect::OpenAiChat, &refused).unwrap();
    assert_eq!((refused.text.as_str(), refused.finish), ("I cannot.", FinishReason::ContentFilter));
}

#[test]
fn thinking_is_kept_apart_wherever_it_stands() {
    let thinking = |message: &Value| {
        let answer = read(TeacherDialect::OpenAiChat, &chat(message, "stop")).unwrap();
        (answer.text, answer.reasoning)
    };
    let apart = ("Hi".to_owned(), Some("hm".to_owned()));
    assert_eq!(thinking(&json!({"content": "Hi", "reasoning": "hm"})), apart);
    assert_eq!(thinking(&json!({"content": "Hi", "reasoning_content": "hm"})), apart);
    assert_eq!(thinking(&json!({"content": "<think>hm</think>\nHi"})), apart);
    let blocks =
        json!([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Hi"}]);
    assert_eq!(thinking(&json!({"content": blocks})), apart);
    let anthropic = json!({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn"});
    assert_eq!(read(TeacherDialect::Anthropic, &anthropic).unwrap().reasoning.as_deref(), Some("hm"));
    let unclosed = read(TeacherDialect::OpenAiChat, &chat(&said("<think>hm"), "stop")).unwrap();
    assert!(unclosed.marks == [Mark::ThinkingUnclosed] && !unclosed.is_eligible());
    let kept =
        decode(TeacherDialect::OpenAiChat, Thinking::Keep, &reply(200, &chat(&said("<think>hm</think>Hi"), "stop")));
    assert_eq!(kept.unwrap().text, "<think>hm</think>Hi");
    let only = read(TeacherDialect::OpenAiChat, &chat(&said("<think>hm</think>"), "stop"));
    assert_eq!(only.unwrap_err().class, FailureClass::Empty);
}

#[test]
fn several_answers_come_by_index_and_fewer_are_fewer() {
    let choice = |index: u32, text: &str| json!({"index": index, "text": text, "finish_reason": "stop"});
    let texts = |choices: Value| -> Vec<(String, Vec<Mark>)> {
        let body = reply(200, &json!({"choices": choices}));
        let answers = decode_all(TeacherDialect::OpenAiCompletions, Thinking::Strip, &body).unwrap();
        answers.into_iter().map(|answer| answer.map(|a| (a.text, a.marks)).unwrap()).collect()
    };
    assert_eq!(texts(json!([choice(1, "b"), choice(0, "a")])), [("a".into(), vec![]), ("b".into(), vec![])]);
    let twice = vec![Mark::DuplicateIndex];
    assert_eq!(texts(json!([choice(0, "b"), choice(0, "a")])), [("b".into(), twice.clone()), ("a".into(), twice)]);
    let list = json!([{"text": "a"}, {"text": ""}]);
    let answers = decode_all(TeacherDialect::SglangGenerate, Thinking::Strip, &reply(200, &list)).unwrap();
    assert!(answers[0].is_ok() && answers[1].as_ref().unwrap_err().class == FailureClass::Empty);
}

#[test]
fn log_probabilities_are_read_and_minus_9999_is_none() {
    let mut body = chat(&said("ab"), "stop");
    body["choices"][0]["logprobs"] = json!({"content": [
        {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "a", "logprob": -0.5}, {"token": "z", "logprob": -9999.0}]},
        {"token": "b", "logprob": -9999.0}]});
    let tokens = read(TeacherDialect::OpenAiChat, &body).unwrap().logprobs.unwrap();
    assert_eq!((tokens[0].logprob, tokens[1].logprob), (Some(-0.5), None));
    assert_eq!(tokens[0].top, [("a".to_owned(), Some(-0.5)), ("z".to_owned(), None)]);
    let columns = json!({"choices": [{"text": "ab", "logprobs": {"tokens": ["a", "b"], "token_logprobs": [null, -0.25],
        "top_logprobs": [null, {"b": -0.25}]}}]});
    let tokens = read(TeacherDialect::OpenAiCompletions, &columns).unwrap().logprobs.unwrap();
    assert_eq!((tokens[0].logprob, tokens[1].logprob, tokens[1].top.len()), (None, Some(-0.25), 1));
    let sglang = json!({"text": "a", "meta_info": {"output_token_logprobs": [[-0.75, 12, "a"], [-1.0, 13, null]]}});
    let tokens = read(TeacherDialect::SglangGenerate, &sglang).unwrap().logprobs.unwrap();
    assert_eq!((tokens[0].token.as_str(), tokens[1].token.as_str(), tokens[1].logprob), ("a", "13", Some(-1.0)));
}

#[test]
fn tool_calls_are_answers_without_text() {
    let calls = json!([{"id": "t", "function": {"name": "f", "arguments": "{}"}}]);
    let answer = read(TeacherDialect::OpenAiChat, &chat(&json!({"content": null, "tool_calls": calls}), "tool_calls"));
    let answer = answer.unwrap();
    assert_eq!((answer.tool_calls, answer.marks), (Some(calls), vec![Mark::ToolCalls]));
}

#[test]
fn old_words_of_llama_cpp_are_understood_and_a_cut_prompt_is_marked() {
    let body = json!({"content": "x", "stopped_eos": false, "stopped_limit": true, "truncated": true});
    let answer = read(TeacherDialect::LlamacppCompletion, &body).unwrap();
    assert_eq!((answer.finish, answer.marks), (FinishReason::Length, vec![Mark::TruncatedPrompt]));
}

#[test]
fn missing_counts_are_unknown_and_not_zero() {
    let answer = read(TeacherDialect::OpenAiChat, &json!({"choices": [{"message": said("x")}]})).unwrap();
    assert_eq!(answer.usage, TokenUsage::default());
    assert_eq!(answer.usage.source, UsageSource::Unknown);
}

#[test]
fn a_byte_order_mark_and_a_wrong_label_do_not_matter() {
    let body = format!("\u{feff}{}", chat(&said("x"), "stop"));
    let mut labelled = raw(200, body);
    labelled.headers.push(("content-type".into(), "text/plain".into()));
    assert_eq!(decode(TeacherDialect::OpenAiChat, Thinking::Strip, &labelled).unwrap().text, "x");
}
