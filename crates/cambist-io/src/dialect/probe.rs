//! What a server's replies say of what it is and what it can do.

mod trials;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::trials::{
    EchoError, Shown, TOKENIZED, TRIAL_PROMPT, TRIAL_TOKENS, check_echo, follows_schema, gives_n, keeps_seed,
    same_tokens, tokenize_call,
};
use super::{
    body::read_json,
    teacher::{ServerKind, TeacherDialect},
};
use crate::exchange::{HttpCall, HttpReply};

/// The header of every request that only asks what a server can do, so that its log can tell them apart.
pub const PROBE_HEADER: &str = "x-cambist-probe";

/// Where a server lists its models.
pub const MODELS_PATH: &str = "/v1/models";

/// The paths to ask, in this order, to learn what a server is.
pub const INFO_PATHS: [&str; 5] = [MODELS_PATH, "/version", "/get_model_info", "/info", "/props"];

/// Returns the requests that learn what a server is; their replies, of any status, go to [`server_facts`].
pub fn info_calls() -> Vec<HttpCall> {
    INFO_PATHS.into_iter().map(HttpCall::get).collect()
}

/// Returns the request that asks a path of a server of `dialect` for information.
pub fn info_call(dialect: Option<TeacherDialect>, path: impl Into<String>) -> HttpCall {
    let mut call = HttpCall::get(path);
    if dialect == Some(TeacherDialect::Anthropic) {
        call.headers.push(("anthropic-version".to_owned(), "2023-06-01".to_owned()));
    }
    as_probe(call)
}

/// Returns a request with the header that says what it is for.
pub fn as_probe(mut call: HttpCall) -> HttpCall {
    call.headers.push((PROBE_HEADER.to_owned(), "1".to_owned()));
    call
}

/// Returns the paths that tell more of a server whose list of models says what it is: its own one, or one after the
/// other until a reply does.
pub fn naming_paths(kind: ServerKind) -> &'static [&'static str] {
    match kind {
        ServerKind::Vllm => &["/version"],
        ServerKind::Sglang => &["/get_model_info"],
        ServerKind::Tgi => &["/info"],
        ServerKind::Llamacpp => &["/props"],
        ServerKind::None => INFO_PATHS.split_at(1).1,
    }
}

/// What a server says of itself; nothing is known by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// What program it is.
    pub kind: ServerKind,
    /// Its version.
    pub version: Option<String>,
    /// Which weights it holds: a name at the Hub, or a path.
    pub root: Option<String>,
    /// Which revision of them.
    pub revision: Option<String>,
    /// The model that an adapter stands on.
    pub parent: Option<String>,
    /// Tokens of prompt and answer together, at most.
    pub max_model_len: Option<u64>,
    /// Requests that it works on at once, where it has a fixed number.
    pub max_concurrency: Option<u64>,
    /// Texts in one request to an arbiter, at most.
    pub max_batch: Option<u64>,
    /// The models that it serves, in its order.
    pub models: Vec<String>,
}

/// Returns what replies to [`info_calls`] say of the server of `model`; each reply comes with its path, and those that
/// failed say nothing.
pub fn server_facts(model: &str, replies: &[(&str, HttpReply)]) -> ServerFacts {
    let mut facts = ServerFacts::default();
    for (path, reply) in replies {
        facts.learn(model, path, reply);
    }
    facts
}

impl ServerFacts {
    /// Takes in what the reply of one of [`INFO_PATHS`] says of the server of `model`; a refusal says nothing.
    pub fn learn(&mut self, model: &str, path: &str, reply: &HttpReply) {
        let Ok(body) = read_json(reply) else { return };
        match path {
            MODELS_PATH => self.read_models(model, &body),
            "/version" => self.read_version(&body),
            "/get_model_info" => self.read_sglang(&body),
            "/info" => self.read_tgi(&body),
            "/props" => self.read_llamacpp(&body),
            _ => {}
        }
    }

    /// Takes in the page of one model, which the list did not name; says whether it is one.
    pub fn learn_card(&mut self, model: &str, reply: &HttpReply) -> bool {
        let Ok(body) = read_json(reply) else { return false };
        let is_card = body.get("id").is_some_and(Value::is_string);
        if is_card {
            self.describe(&body);
            self.models.push(model.to_owned());
        }
        is_card
    }

    /// Whether the server serves `model` for all that it says: it lists the name, lists nothing, or reads no names at
    /// all, as llama.cpp and TGI do, which hold one model.
    pub fn may_serve(&self, model: &str) -> bool {
        let reads_no_names = matches!(self.kind, ServerKind::Llamacpp | ServerKind::Tgi);
        model.is_empty() || self.models.is_empty() || reads_no_names || self.models.iter().any(|id| id == model)
    }

    fn read_models(&mut self, model: &str, body: &Value) {
        let list = body.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let id = |entry: &Value| text(entry, "/id");
        // A page of a longer list does not say what is missing.
        if body.get("has_more").and_then(Value::as_bool) != Some(true) {
            self.models = list.iter().filter_map(id).collect();
        }
        let own = list.iter().find(|entry| id(entry).as_deref() == Some(model));
        let Some(own) = own.or_else(|| list.first().filter(|_| list.len() == 1)) else { return };
        self.describe(own);
        self.kind = match text(own, "/owned_by").as_deref() {
            Some("vllm") => ServerKind::Vllm,
            Some("sglang") => ServerKind::Sglang,
            Some("llamacpp") => ServerKind::Llamacpp,
            _ => ServerKind::None,
        };
    }

    fn describe(&mut self, own: &Value) {
        self.root = text(own, "/root").or(self.root.take());
        self.parent = text(own, "/parent");
        let length = count(own, &["/max_model_len", "/meta/n_ctx", "/meta/n_ctx_train"]);
        self.max_model_len = length.or(self.max_model_len);
    }

    fn read_version(&mut self, body: &Value) {
        self.version = text(body, "/version");
        if self.kind == ServerKind::None && self.version.is_some() {
            self.kind = ServerKind::Vllm;
        }
    }

    fn read_sglang(&mut self, body: &Value) {
        let Some(path) = text(body, "/model_path") else { return };
        self.kind = ServerKind::Sglang;
        self.root = Some(path);
        self.revision = text(body, "/weight_version").or(self.revision.take());
    }

    fn read_tgi(&mut self, body: &Value) {
        let Some(model) = text(body, "/model_id") else { return };
        self.root = Some(model);
        self.revision = text(body, "/model_sha");
        self.version = text(body, "/version");
        self.max_concurrency = count(body, &["/max_concurrent_requests"]);
        self.max_model_len = count(body, &["/max_total_tokens", "/max_input_length"]).or(self.max_model_len);
        self.max_batch = count(body, &["/max_client_batch_size"]);
        // TEI answers the same path, for encoders.
        if body.get("max_total_tokens").is_some() || body.get("max_input_tokens").is_some() {
            self.kind = ServerKind::Tgi;
        }
    }

    fn read_llamacpp(&mut self, body: &Value) {
        if body.get("default_generation_settings").is_none() {
            return;
        }
        self.kind = ServerKind::Llamacpp;
        self.root = text(body, "/model_path").or(self.root.take());
        self.version = text(body, "/build_info");
        self.max_concurrency = count(body, &["/total_slots"]);
        let length = count(body, &["/default_generation_settings/n_ctx", "/n_ctx"]);
        self.max_model_len = length.or(self.max_model_len);
    }
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn count(value: &Value, pointers: &[&str]) -> Option<u64> {
    pointers.iter().find_map(|pointer| value.pointer(pointer)?.as_u64())
}
