//! Requests as turns of a chat, where the server holds the template.

use cambist_core::prompt::{Message, Role};
use serde_json::{Map, Value, json};

use crate::dialect::{
    request::{EncodeError, EncodeOptions, RequestSampling, TeacherRequest, Thinking},
    teacher::{ServerKind, TeacherDialect},
};

/// Returns the body of `/v1/chat/completions`.
pub(super) fn openai(request: &TeacherRequest, options: EncodeOptions) -> Result<Value, EncodeError> {
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(request.model));
    let prefill = request.prefill.as_deref().map(|text| json!({"role": Role::Assistant, "content": text}));
    let said = request.messages.iter().map(turn);
    body.insert("messages".to_owned(), said.chain(prefill).collect());
    openai_sampling(&mut body, &request.sampling, options);
    body.insert(options.length_field.name().to_owned(), json!(request.sampling.max_tokens));
    if let Some(n_top) = request.sampling.logprobs {
        body.insert("logprobs".to_owned(), json!(true));
        body.insert("top_logprobs".to_owned(), json!(n_top));
    }
    if let Some(schema) = &request.response_schema {
        let named = json!({"name": "answer", "schema": schema, "strict": true});
        body.insert("response_format".to_owned(), json!({"type": "json_schema", "json_schema": named}));
    }
    let kwargs = template_kwargs(request, options.server);
    if !kwargs.is_empty() {
        body.insert("chat_template_kwargs".to_owned(), Value::Object(kwargs));
    }
    if request.prefill.is_some() && matches!(options.server, ServerKind::Vllm | ServerKind::Sglang) {
        body.insert("add_generation_prompt".to_owned(), json!(false));
        body.insert("continue_final_message".to_owned(), json!(true));
    }
    Ok(Value::Object(body))
}

/// Puts in what both dialects of OpenAI share, and what the server reads beyond them.
pub(super) fn openai_sampling(body: &mut Map<String, Value>, sampling: &RequestSampling, options: EncodeOptions) {
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    put("n", json!(options.n));
    put("temperature", json!(sampling.temperature));
    put("top_p", json!(sampling.top_p));
    let explicit = options.server.reads_sampling_extras();
    let mut put_or = |name: &str, value: Option<Value>, default: Value| {
        if let Some(value) = value.or_else(|| explicit.then_some(default)) {
            put(name, value);
        }
    };
    let is_llamacpp = options.server == ServerKind::Llamacpp;
    let repetition = if is_llamacpp { "repeat_penalty" } else { "repetition_penalty" };
    put_or("top_k", sampling.top_k.map(Value::from), json!(if is_llamacpp { 0 } else { -1 }));
    put_or("min_p", sampling.min_p.map(Value::from), json!(0.0));
    put_or(repetition, sampling.repetition_penalty.map(Value::from), json!(1.0));
    put_or("presence_penalty", sampling.presence_penalty.map(Value::from), json!(0.0));
    put_or("frequency_penalty", sampling.frequency_penalty.map(Value::from), json!(0.0));
    if !sampling.stop.is_empty() {
        put("stop", json!(sampling.stop));
    }
    if let Some(seed) = sampling.seed {
        put("seed", json!(seed));
    }
}

/// Returns the body of `/v1/messages`: system turns lifted out, adjacent turns of one role joined by a blank line.
///
/// `top_p` is sent only when it is not 1: new models refuse it beside a temperature.
pub(super) fn anthropic(request: &TeacherRequest) -> Result<Value, EncodeError> {
    refuse_schema(request, TeacherDialect::Anthropic)?;
    let sampling = &request.sampling;
    let (system, turns): (Vec<_>, Vec<_>) = with_prefill(request).into_iter().partition(|m| m.role == Role::System);
    let mut body = json!({"model": request.model, "max_tokens": sampling.max_tokens});
    if !system.is_empty() {
        let contents: Vec<&str> = system.iter().map(|message| message.content.as_str()).collect();
        body["system"] = json!(contents.join("\n\n"));
    }
    body["messages"] = self::turns(&joined(turns));
    body["temperature"] = json!(sampling.temperature);
    if sampling.top_p < 1.0 {
        body["top_p"] = json!(sampling.top_p);
    }
    if let Some(top_k) = sampling.top_k {
        body["top_k"] = json!(top_k);
    }
    if !sampling.stop.is_empty() {
        body["stop_sequences"] = json!(sampling.stop);
    }
    Ok(body)
}

/// Returns the body of Cohere's `/v2/chat`.
pub(super) fn cohere(request: &TeacherRequest) -> Result<Value, EncodeError> {
    let sampling = &request.sampling;
    let mut body = json!({
        "model": request.model, "messages": turns(&with_prefill(request)), "temperature": sampling.temperature,
        "p": sampling.top_p, "max_tokens": sampling.max_tokens,
    });
    let optional = [
        ("k", sampling.top_k.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        ("logprobs", sampling.logprobs.map(|_| Value::from(true))),
        ("stop_sequences", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
        ("response_format", request.response_schema.as_ref().map(|s| json!({"type": "json_object", "schema": s}))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    Ok(body)
}

/// Refuses a response schema where the dialect has no word for it.
fn refuse_schema(request: &TeacherRequest, dialect: TeacherDialect) -> Result<(), EncodeError> {
    let refused = EncodeError::NoSchema { dialect: dialect.name(), server: ServerKind::None.name() };
    request.response_schema.is_none().then_some(()).ok_or(refused)
}

fn with_prefill(request: &TeacherRequest) -> Vec<Message> {
    let prefill = request.prefill.iter().map(Message::assistant);
    request.messages.iter().cloned().chain(prefill).collect()
}

fn turns(messages: &[Message]) -> Value {
    messages.iter().map(turn).collect()
}

fn turn(message: &Message) -> Value {
    json!({"role": message.role, "content": message.content})
}

/// Joins adjacent turns of one role; a tool's turn counts as the user's.
fn joined(turns: Vec<Message>) -> Vec<Message> {
    let mut joined: Vec<Message> = Vec::with_capacity(turns.len());
    for mut turn in turns {
        if turn.role == Role::Tool {
            turn.role = Role::User;
        }
        match joined.last_mut().filter(|last| last.role == turn.role) {
            Some(last) => last.content = format!("{}\n\n{}", last.content, turn.content),
            None => joined.push(turn),
        }
    }
    joined
}

/// The template's options, with thinking switched off where that is asked for and the server reads them.
fn template_kwargs(request: &TeacherRequest, server: ServerKind) -> Map<String, Value> {
    let mut kwargs = request.chat_template_kwargs.clone();
    if request.thinking == Thinking::Off && server.reads_sampling_extras() {
        kwargs.entry("enable_thinking").or_insert(json!(false));
    }
    kwargs
}
