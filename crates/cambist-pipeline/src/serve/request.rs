//! Bodies of requests, and what they ask of the model.

use std::sync::Arc;

use cambist_core::prompt::{Message, Role};
use cambist_model::{LocalModel, Sampling};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    prompts::{Prompt, Prompts, Reading},
    refusal::Refusal,
};

/// What kind of answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The next turn of a chat.
    Chat,
    /// What follows a text.
    Completion,
}

/// What a request asks of the model.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) kind: Kind,
    /// Each with its text where that is given back.
    pub(super) prompts: Vec<Prompt>,
    /// Answers to each prompt.
    pub(super) n: usize,
    pub(super) sampling: Arc<Sampling>,
    /// How many of the likeliest tokens are told with each token's log-probability, if that is told.
    pub(super) n_top: Option<usize>,
    /// Whether the prompt stands before the answer.
    pub(super) echo: bool,
    /// Whether the answer comes in events, and whether they end with the usage.
    pub(super) stream: Option<bool>,
}

/// Who is asked.
#[derive(Debug, Deserialize)]
struct Whose {
    #[serde(default)]
    model: Option<String>,
}

/// What both kinds of requests may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Common {
    n: Option<usize>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    min_p: Option<f64>,
    repetition_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    seed: Option<i64>,
    stop: Option<OneOrMany<String>>,
    max_tokens: Option<usize>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn all(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Debug, Deserialize)]
struct ChatBody {
    messages: Vec<Turn>,
    max_completion_tokens: Option<usize>,
    logprobs: Option<bool>,
    top_logprobs: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Turn {
    role: String,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    r#type: String,
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CompletionBody {
    prompt: Prompts,
    #[serde(default)]
    echo: Option<bool>,
    #[serde(default)]
    logprobs: Option<usize>,
    #[serde(default)]
    add_special_tokens: Option<bool>,
}

/// Members that would change the answer and are not done here: refused rather than ignored, unless they ask for nothing.
const UNSUPPORTED: [&str; 18] = [
    "tools",
    "functions",
    "response_format",
    "logit_bias",
    "suffix",
    "best_of",
    "chat_template",
    "chat_template_kwargs",
    "continue_final_message",
    "structured_outputs",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "json_schema",
    "stop_token_ids",
    "min_tokens",
    "prompt_logprobs",
    "truncate_prompt_tokens",
];

/// The most likely tokens that may be told of at each place.
const MAX_TOP: usize = 100;

/// Answers to one request at most.
const MAX_CHOICES: usize = 4096;

/// The longest answer of a completion that does not say, in tokens.
const DEFAULT_COMPLETION_TOKENS: usize = 16;

impl Ask {
    /// Reads a body; `fresh_seed` names the random numbers of a request without a seed.
    pub(super) fn read(
        (model, name): (&LocalModel, &str),
        (kind, body): (Kind, &[u8]),
        fresh_seed: u64,
    ) -> Result<Self, Refusal> {
        let body = read_body(name, body)?;
        let common: Common = parsed(&body)?;
        let own = match kind {
            Kind::Chat => Own::chat(model, parsed(&body)?)?,
            Kind::Completion => Own::completion(model, parsed(&body)?)?,
        };
        let max_new_tokens = own.room(model, own.max_tokens.or(common.max_tokens))?;
        let n = common.n.unwrap_or(1);
        if n == 0 || n.saturating_mul(own.prompts.len()) > MAX_CHOICES {
            return Err(Refusal::wrong("n", format!("`n` is {n}, expected 1 to {MAX_CHOICES} answers in all")));
        }
        let stream = common.stream.unwrap_or(false);
        let with_usage = common.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false);
        let sampling = common.sampling(max_new_tokens, fresh_seed);
        sampling.check().map_err(|message| {
            let param = message.split('`').nth(1).unwrap_or_default().to_owned();
            Refusal::wrong(&param, message)
        })?;
        Ok(Self {
            kind,
            prompts: own.prompts,
            n,
            sampling: Arc::new(sampling),
            n_top: own.n_top,
            echo: own.echo,
            stream: stream.then_some(with_usage),
        })
    }
}

/// Reads a body that asks the model `name` for nothing that is not done here.
pub(super) fn read_body(name: &str, body: &[u8]) -> Result<Value, Refusal> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| Refusal::wrong("", format!("the body is no JSON: {error}")))?;
    let whose: Whose = parsed(&body)?;
    if let Some(asked) = whose.model.as_deref().filter(|asked| *asked != name && !asked.is_empty()) {
        return Err(Refusal::model(asked, name));
    }
    refuse_unsupported(&body)?;
    Ok(body)
}

/// Reads what `T` names of a body and leaves the rest.
pub(super) fn parsed<T: DeserializeOwned>(body: &Value) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(body).map_err(|error| {
        let path = error.path().to_string();
        let param = if path == "." { String::new() } else { path };
        Refusal::wrong(&param, error.into_inner().to_string())
    })
}

fn refuse_unsupported(body: &Value) -> Result<(), Refusal> {
    let asks_nothing = |name: &str, value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty() || (name == "response_format" && value["type"] == "text"),
        Value::Number(number) => match name {
            "best_of" => body.get("n").unwrap_or(&Value::from(1)) == value,
            _ => number.as_f64() == Some(0.0),
        },
        Value::Bool(true) => false,
    };
    let is_asked = |name: &&&str| body.get(**name).is_some_and(|value| !asks_nothing(name, value));
    UNSUPPORTED.iter().find(is_asked).map_or(Ok(()), |name| Err(Refusal::unsupported(name)))
}

impl Common {
    fn sampling(self, max_new_tokens: usize, fresh_seed: u64) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(1.0),
            top_p: self.top_p.unwrap_or(1.0),
            top_k: self.top_k.and_then(|k| usize::try_from(k).ok()).filter(|k| *k > 0),
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            stop: self.stop.map(OneOrMany::all).unwrap_or_default(),
            max_new_tokens,
            seed: self.seed.map_or(fresh_seed, i64::cast_unsigned),
        }
    }
}

/// What one kind of request says for itself.
struct Own {
    prompts: Vec<Prompt>,
    max_tokens: Option<usize>,
    default_tokens: Option<usize>,
    n_top: Option<usize>,
    echo: bool,
    /// The member that holds the prompt.
    param: &'static str,
}

impl Own {
    fn chat(model: &LocalModel, body: ChatBody) -> Result<Self, Refusal> {
        let messages = body.messages.into_iter().enumerate().map(message).collect::<Result<Vec<_>, _>>()?;
        if messages.is_empty() {
            return Err(Refusal::wrong("messages", "`messages` is empty, expected at least one turn"));
        }
        let prompt = model.encode(&messages).map_err(|error| Refusal::prompt(&error, "messages"))?;
        let n_top = body.logprobs.unwrap_or(false).then(|| body.top_logprobs.unwrap_or(0));
        check_top(n_top, "top_logprobs")?;
        let prompt = Prompt { tokens: prompt.into(), text: String::new(), offsets: vec![] };
        let (max_tokens, prompts) = (body.max_completion_tokens, vec![prompt]);
        Ok(Self { prompts, max_tokens, default_tokens: None, n_top, echo: false, param: "messages" })
    }

    fn completion(model: &LocalModel, body: CompletionBody) -> Result<Self, Refusal> {
        check_top(body.logprobs, "logprobs")?;
        let echo = body.echo.unwrap_or(false);
        let prompts = body.prompt.read(Reading {
            tokenizer: model.tokenizer(),
            param: "prompt",
            with_specials: body.add_special_tokens.unwrap_or(true),
            with_offsets: echo && body.logprobs.is_some(),
        })?;
        Ok(Self {
            prompts,
            max_tokens: None,
            default_tokens: Some(DEFAULT_COMPLETION_TOKENS),
            n_top: body.logprobs,
            echo,
            param: "prompt",
        })
    }

    /// Returns the longest answer: what was asked for, or what there is room for beside the longest prompt.
    fn room(&self, model: &LocalModel, asked: Option<usize>) -> Result<usize, Refusal> {
        let (param, max_positions) = (self.param, model.max_positions());
        if self.prompts.is_empty() || self.prompts.iter().any(|prompt| prompt.tokens.is_empty()) {
            return Err(Refusal::wrong(param, format!("`{param}` has no token")));
        }
        let longest = self.prompts.iter().map(|prompt| prompt.tokens.len()).max().unwrap_or(0);
        let room = max_positions.saturating_sub(longest);
        let wanted = asked.or(self.default_tokens.map(|n| n.min(room.max(1)))).unwrap_or(room.max(1));
        match longest + wanted > max_positions || longest >= max_positions {
            true => Err(Refusal::overflow((longest, wanted, max_positions), param)),
            false => Ok(wanted),
        }
    }
}

fn check_top(n_top: Option<usize>, param: &str) -> Result<(), Refusal> {
    match n_top {
        Some(n) if n > MAX_TOP => Err(Refusal::wrong(param, format!("`{param}` is {n}, expected at most {MAX_TOP}"))),
        _ => Ok(()),
    }
}

pub(super) fn message((place, turn): (usize, Turn)) -> Result<Message, Refusal> {
    let role = match turn.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => {
            let expected = "`system`, `developer`, `user`, `assistant` or `tool`";
            let param = format!("messages[{place}].role");
            return Err(Refusal::wrong(&param, format!("`{other}` is no role; expected {expected}")));
        }
    };
    let content = match turn.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => match parts.iter().find(|part| part.r#type != "text") {
            Some(part) => {
                let param = format!("messages[{place}].content");
                return Err(Refusal::wrong(
                    &param,
                    format!("a part is `{}`; this model reads `text` alone", part.r#type),
                ));
            }
            None => parts.into_iter().filter_map(|part| part.text).collect(),
        },
    };
    Ok(Message { role, content })
}
