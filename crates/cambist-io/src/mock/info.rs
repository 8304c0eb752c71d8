//! Routes by which servers say who they are and how busy.

use serde_json::{Value, json};

use super::{
    asked::Asked,
    fault::ErrorShape,
    options::MockOptions,
    reply::{Problem, Reply},
    template, tokens, turn,
};

/// How busy a server is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Requests that are being answered.
    pub(crate) running: u64,
    /// Requests that wait for their turn.
    pub(crate) waiting: u64,
    /// Requests that can be answered at a time.
    pub(crate) places: u64,
}

/// Models that a server without a list of its own names.
const MODELS: [&str; 6] = ["mock-teacher", "mock-echo", "mock-lang-de", "mock-rm", "mock-judge-fair", "mock-nim"];

/// Returns the reply of an informative route; none for other paths.
pub(crate) fn reply(asked: &Asked, options: &MockOptions, load: Load) -> Option<Reply> {
    let first = options.models.first().map_or(MODELS[0], String::as_str);
    Some(match asked.path.as_str() {
        "/v1/models" | "/models" => Reply::json(models(options)),
        path if path.starts_with("/v1/models/") => model(path.trim_start_matches("/v1/models/"), options),
        "/version" => Reply::json(json!({"version": "0.11.0"})),
        "/health" | "/health_generate" | "/ping" => Reply::text(""),
        "/metrics" => metrics(first, load),
        "/tokenize" => tokenize(asked, options),
        "/detokenize" => detokenize(asked),
        "/props" => Reply::json(json!({
            "total_slots": load.places, "model_path": first, "build_info": "mock",
            "default_generation_settings": {"n_ctx": options.max_model_len},
        })),
        "/slots" => slots(asked, load),
        "/info" => Reply::json(json!({
            "model_id": first, "version": "3.3.0", "max_concurrent_requests": load.places, "max_best_of": 8,
            "max_input_tokens": options.max_model_len - options.max_model_len / 4,
            "max_total_tokens": options.max_model_len, "max_client_batch_size": 32,
        })),
        "/get_model_info" | "/model_info" => {
            Reply::json(json!({"model_path": first, "is_generation": true, "weight_version": "default"}))
        }
        "/get_server_info" => Reply::json(json!({"version": "0.5.0", "model_path": first})),
        "/load" => Reply::json(json!({"server_load": load.running + load.waiting})),
        _ => return None,
    })
}

fn models(options: &MockOptions) -> Value {
    let known: Vec<&str> = match options.models.is_empty() {
        true => MODELS.to_vec(),
        false => options.models.iter().map(String::as_str).collect(),
    };
    json!({"object": "list", "data": known.iter().map(|id| card(id, options)).collect::<Vec<_>>()})
}

/// One model by its name; a server without a list of its own has them all.
fn model(name: &str, options: &MockOptions) -> Reply {
    if options.models.is_empty() || options.models.iter().any(|known| known == name) {
        return Reply::json(card(name, options));
    }
    let message = format!("the model `{name}` does not exist");
    Reply::error(404, Problem::new("model_not_found", &message), ErrorShape::Openai)
}

fn card(id: &str, options: &MockOptions) -> Value {
    json!({"id": id, "object": "model", "created": turn::CREATED, "owned_by": "mock", "root": id, "parent": null,
           "max_model_len": options.max_model_len})
}

fn metrics(model: &str, load: Load) -> Reply {
    let Load { running, waiting, places } = load;
    let usage = (running as f64 / places.max(1) as f64).min(1.0);
    let rows = [
        ("num_requests_running", running as f64),
        ("num_requests_waiting", waiting as f64),
        ("kv_cache_usage_perc", usage),
    ];
    let lines = rows.map(|(name, value)| {
        format!("# TYPE vllm:{name} gauge\nvllm:{name}{{engine=\"0\",model_name=\"{model}\"}} {value:?}\n")
    });
    Reply { content_type: "text/plain; version=0.0.4; charset=utf-8", ..Reply::text(lines.concat()) }
}

fn slots(asked: &Asked, load: Load) -> Reply {
    if load.running >= load.places && asked.query.contains("fail_on_no_slot=1") {
        let body = json!({"error": {"code": 503, "message": "no slot available", "type": "unavailable_error"}});
        return Reply { status: 503, ..Reply::json(body) };
    }
    let one = |id| json!({"id": id, "is_processing": id < load.running});
    Reply::json((0..load.places.min(256)).map(one).collect())
}

fn tokenize(asked: &Asked, options: &MockOptions) -> Reply {
    let text = match &asked.body["messages"] {
        Value::Array(turns) => rendered(turns, asked.body["add_generation_prompt"] != false),
        _ => {
            ["prompt", "content", "inputs"].iter().find_map(|name| asked.body[*name].as_str()).unwrap_or("").to_owned()
        }
    };
    let mut ids = tokens::ids(&text);
    if asked.flag("add_special_tokens") {
        ids.insert(0, tokens::FIRST);
    }
    Reply::json(json!({"count": ids.len(), "max_model_len": options.max_model_len, "tokens": ids, "token_strs": null}))
}

fn rendered(turns: &[Value], is_open: bool) -> String {
    let turn = |turn: &Value| {
        let (role, text) = (turn["role"].as_str().unwrap_or("user"), turn::text_of(&turn["content"]));
        format!("{}{role}\n{text}{}\n", template::TURN, template::TURN_END)
    };
    let mut text: String = turns.iter().map(turn).collect();
    if is_open {
        text.push_str(template::TURN);
        text.push_str("assistant\n");
    }
    text
}

fn detokenize(asked: &Asked) -> Reply {
    let ids: Option<Vec<u64>> = asked.body["tokens"].as_array().and_then(|ids| ids.iter().map(Value::as_u64).collect());
    let text = ids.and_then(|ids| tokens::text_of(&ids)).unwrap_or_default();
    Reply::json(json!({"prompt": text, "content": text}))
}
