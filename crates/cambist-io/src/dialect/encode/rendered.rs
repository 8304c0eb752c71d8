//! Requests as a rendered prompt, where the template is ours.

use serde_json::{Map, Value, json};

use super::chat::openai_sampling;
use crate::dialect::{
    request::{EncodeError, EncodeOptions, RenderedPrompt, TeacherRequest},
    teacher::{ServerKind, TeacherDialect},
};

/// Returns the body of `/v1/completions`, one prompt a request: partial failure of several would be ambiguous.
pub(super) fn openai(request: &TeacherRequest, options: EncodeOptions) -> Result<Value, EncodeError> {
    let prompt = rendered(request, TeacherDialect::OpenAiCompletions)?;
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(request.model));
    body.insert("prompt".to_owned(), ids_or_text(prompt));
    openai_sampling(&mut body, &request.sampling, options);
    body.insert("max_tokens".to_owned(), json!(request.sampling.max_tokens));
    if let Some(n_top) = request.sampling.logprobs {
        body.insert("logprobs".to_owned(), json!(n_top));
    }
    if prompt.ids.is_empty() && options.server == ServerKind::Vllm {
        // The template has put its own beginning-of-text token in.
        body.insert("add_special_tokens".to_owned(), json!(false));
    }
    if let Some(schema) = &request.response_schema {
        let (name, value) = match options.server {
            ServerKind::Vllm => ("structured_outputs", json!({"json": schema})),
            ServerKind::Sglang => ("json_schema", json!(schema.to_string())),
            ServerKind::Llamacpp => ("json_schema", schema.clone()),
            server => {
                let dialect = TeacherDialect::OpenAiCompletions.name();
                return Err(EncodeError::NoSchema { dialect, server: server.name() });
            }
        };
        body.insert(name.to_owned(), value);
    }
    Ok(Value::Object(body))
}

/// Returns the body of SGLang's `/generate`.
pub(super) fn sglang(request: &TeacherRequest, options: EncodeOptions) -> Result<Value, EncodeError> {
    let prompt = rendered(request, TeacherDialect::SglangGenerate)?;
    let sampling = &request.sampling;
    let mut params = json!({
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k.map_or(-1, i64::from),
        "min_p": sampling.min_p.unwrap_or(0.0),
        "repetition_penalty": sampling.repetition_penalty.unwrap_or(1.0),
        "presence_penalty": sampling.presence_penalty.unwrap_or(0.0),
        "frequency_penalty": sampling.frequency_penalty.unwrap_or(0.0),
        "max_new_tokens": sampling.max_tokens,
        "stop": sampling.stop,
    });
    if options.n > 1 {
        params["n"] = json!(options.n);
    }
    if let Some(schema) = &request.response_schema {
        params["json_schema"] = json!(schema.to_string());
    }
    let (name, value) =
        if prompt.ids.is_empty() { ("text", json!(prompt.text)) } else { ("input_ids", json!(prompt.ids)) };
    let mut body = json!({name: value, "sampling_params": params});
    if let Some(n_top) = sampling.logprobs {
        body["return_logprob"] = json!(true);
        body["top_logprobs_num"] = json!(n_top);
        body["return_text_in_logprobs"] = json!(true);
    }
    Ok(body)
}

/// Returns the body of TGI's `/generate`, which takes text alone.
///
/// TGI refuses a temperature of 0 and a `top_p` of 1; leaving them out means the same.
pub(super) fn tgi(request: &TeacherRequest) -> Result<Value, EncodeError> {
    let prompt = rendered(request, TeacherDialect::TgiGenerate)?;
    let sampling = &request.sampling;
    let samples = sampling.temperature > 0.0;
    let mut params = json!({
        "details": true, "do_sample": samples, "max_new_tokens": sampling.max_tokens, "return_full_text": false,
    });
    let grammar = |schema: &Value| json!({"type": "json", "value": schema});
    let optional = [
        ("temperature", samples.then(|| json!(sampling.temperature))),
        ("top_p", (samples && sampling.top_p < 1.0).then(|| json!(sampling.top_p))),
        ("top_k", sampling.top_k.map(Value::from)),
        ("repetition_penalty", sampling.repetition_penalty.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
        ("seed", sampling.seed.map(Value::from)),
        ("top_n_tokens", sampling.logprobs.map(Value::from)),
        ("grammar", request.response_schema.as_ref().map(grammar)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            params[name] = value;
        }
    }
    Ok(json!({"inputs": prompt.text, "parameters": params}))
}

/// Returns the body of llama.cpp's `/completion`.
pub(super) fn llamacpp(request: &TeacherRequest) -> Result<Value, EncodeError> {
    let prompt = rendered(request, TeacherDialect::LlamacppCompletion)?;
    let sampling = &request.sampling;
    let mut body = json!({
        "prompt": ids_or_text(prompt),
        "n_predict": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k.unwrap_or(0),
        "min_p": sampling.min_p.unwrap_or(0.0),
        "repeat_penalty": sampling.repetition_penalty.unwrap_or(1.0),
        "presence_penalty": sampling.presence_penalty.unwrap_or(0.0),
        "frequency_penalty": sampling.frequency_penalty.unwrap_or(0.0),
        "stop": sampling.stop,
        "cache_prompt": true,
    });
    let optional = [
        ("seed", sampling.seed.map(Value::from)),
        ("n_probs", sampling.logprobs.map(Value::from)),
        ("json_schema", request.response_schema.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    Ok(body)
}

fn rendered(request: &TeacherRequest, dialect: TeacherDialect) -> Result<&RenderedPrompt, EncodeError> {
    request.rendered.as_ref().ok_or(EncodeError::NotRendered { dialect: dialect.name() })
}

fn ids_or_text(prompt: &RenderedPrompt) -> Value {
    if prompt.ids.is_empty() { json!(prompt.text) } else { json!(prompt.ids) }
}
