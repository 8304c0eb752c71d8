//! Conversations to tokens: the chat template, exactly one beginning, and which tokens are the assistant's.

use cambist_core::prompt::{Message, Role};
use minijinja::{Environment, ErrorKind, context, syntax::SyntaxConfig, value::Serde};
use serde_json::Value;

use crate::{
    model_files::{CHAT_TEMPLATE, FileError, GENERATION_CONFIG, ModelFiles, TOKENIZER, TOKENIZER_CONFIG},
    tokenizer::{Tokenizer, TokenizerError},
};

/// The template of new models: each turn is a marker, the text, and the end of the turn.
pub(crate) const DEFAULT_TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>\
    {{ message.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

/// A model's way to read and write conversations.
#[derive(Debug)]
pub(crate) struct Chat {
    pub(crate) tokenizer: Tokenizer,
    /// Holds the template under the name `chat`, if the model has one.
    templates: Environment<'static>,
    bos: Option<(String, u32)>,
    eos: Option<(String, u32)>,
    special: Vec<(String, u32)>,
    /// Tokens that end an answer.
    stops: Vec<u32>,
}

/// A conversation cannot become tokens.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Neither `tokenizer_config.json` nor `chat_template.jinja` has one.
    #[error("the model has no chat template; give `chat_template` in `tokenizer_config.json` or `chat_template.jinja`")]
    NoTemplate,
    /// The template fails, or refuses the conversation in its own words.
    #[error("the chat template failed: {0}")]
    Template(String),
    /// A text would be read as a control token.
    #[error("turn {turn} holds `{token}`, which this model reads as a control token; remove it from the text")]
    SpecialToken {
        /// The turn, from 0.
        turn: usize,
        /// The control token.
        token: String,
    },
    /// The beginning stands twice.
    #[error("the conversation has {found} times `{token}`; expected it once, at the beginning")]
    Beginnings {
        /// The token.
        token: String,
        /// How often it is there.
        found: usize,
    },
    /// The template rewrites earlier turns, so that what was trained is not what is generated.
    #[error(
        "the tokens up to turn {turn} are not how the whole conversation begins; the template rewrites earlier turns"
    )]
    Prefix {
        /// The turn, from 0.
        turn: usize,
    },
    /// Nothing says that an answer is over.
    #[error("the template ends turn {turn} without a control token, so that generation would never stop")]
    NoEndOfTurn {
        /// The turn, from 0.
        turn: usize,
    },
    /// No token would be trained.
    #[error("no token of the row counts in the loss: {0}")]
    EmptyMask(&'static str),
    /// A row of another kind than the objective trains on.
    #[error("the `{objective}` objective needs {expected}, the row holds {found}")]
    Content {
        /// The objective.
        objective: &'static str,
        /// What it needs.
        expected: &'static str,
        /// What the row holds.
        found: &'static str,
    },
    /// More tokens than the model has positions.
    #[error("{n_tokens} tokens do not fit the model's {max_positions} positions")]
    TooLong {
        /// Tokens of the text, with at least one to generate where that is asked.
        n_tokens: usize,
        /// The model's positions.
        max_positions: usize,
    },
    /// The tokenizer refuses a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// The files that describe conversations cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// A file is missing or is no JSON.
    #[error(transparent)]
    File(#[from] FileError),
    /// `tokenizer.json` cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template is no Jinja.
    #[error("the chat template cannot be read: {0}")]
    Template(String),
    /// A special token has no number.
    #[error("`tokenizer_config.json` names `{0}`, which `tokenizer.json` does not have")]
    UnknownToken(String),
}

/// A conversation in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conversation {
    pub(crate) tokens: Vec<u32>,
    /// Whether a token is the assistant's own: its text and the end of its turn.
    pub(crate) is_answer: Vec<bool>,
}

impl Chat {
    pub(crate) fn read(files: &ModelFiles) -> Result<Self, ChatError> {
        let tokenizer = Tokenizer::from_bytes(files.required(TOKENIZER)?)?;
        let config = files.json(TOKENIZER_CONFIG)?;
        let in_file = files.0.get(CHAT_TEMPLATE).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let template = in_file.or_else(|| config.get("chat_template").and_then(template_text));
        let named = |key: &str| {
            let name = config.get(key).and_then(|v| v.as_str().or_else(|| v.get("content")?.as_str()));
            let known = |name: &str| tokenizer.token_id(name).ok_or_else(|| ChatError::UnknownToken(name.to_owned()));
            name.map(|name| Ok::<_, ChatError>((name.to_owned(), known(name)?))).transpose()
        };
        let (bos, eos) = (named("bos_token")?, named("eos_token")?);
        let mut stops = token_ids(files.json(GENERATION_CONFIG)?.get("eos_token_id"));
        stops.extend(eos.iter().map(|(_, id)| *id));
        let special = tokenizer.special_tokens();
        let mut chat = Self { templates: templates(template)?, bos, eos, special, stops, tokenizer };
        chat.stops.extend(chat.end_of_turn());
        chat.stops.sort_unstable();
        chat.stops.dedup();
        Ok(chat)
    }

    /// Returns the text that the template makes of a conversation, with the cue for an answer where asked.
    pub(crate) fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, EncodeError> {
        let template = self.templates.get_template("chat").map_err(|_| EncodeError::NoTemplate)?;
        let text = |token: &Option<(String, u32)>| token.as_ref().map(|(name, _)| name.clone());
        let variables = context! {
            messages => Serde(messages), add_generation_prompt, bos_token => text(&self.bos), eos_token => text(&self.eos),
        };
        let failed = |e: minijinja::Error| EncodeError::Template(format!("{e:#}"));
        template.render(variables).map_err(failed)
    }

    /// Returns the tokens of a conversation up to where the answer begins.
    pub(crate) fn encode_prompt(&self, messages: &[Message]) -> Result<Vec<u32>, EncodeError> {
        self.refuse_control_tokens(messages)?;
        self.encode_text(&self.render(messages, true)?)
    }

    /// Returns the tokens of a whole conversation and which of them the assistant wrote.
    ///
    /// Turns are told apart by encoding the conversation up to each of them: what was generated from is then exactly
    /// what is trained on. No marker is searched for in the text.
    pub(crate) fn encode_conversation(&self, messages: &[Message]) -> Result<Conversation, EncodeError> {
        self.refuse_control_tokens(messages)?;
        let tokens = self.encode_text(&self.render(messages, false)?)?;
        let mut is_answer = vec![false; tokens.len()];
        for (turn, _) in messages.iter().enumerate().filter(|(_, m)| m.role == Role::Assistant) {
            let cue = self.encode_text(&self.render(&messages[..turn], true)?)?;
            let end = match turn + 1 == messages.len() {
                true => tokens.len(),
                false => self.prefix_len(&tokens, &messages[..=turn], turn)?,
            };
            if !tokens.starts_with(&cue) || cue.len() > end {
                return Err(EncodeError::Prefix { turn });
            }
            let own = &tokens[cue.len()..end];
            let last = own.iter().rposition(|t| self.is_special(*t)).ok_or(EncodeError::NoEndOfTurn { turn })?;
            is_answer[cue.len()..=cue.len() + last].fill(true);
        }
        Ok(Conversation { tokens, is_answer })
    }

    fn prefix_len(&self, tokens: &[u32], messages: &[Message], turn: usize) -> Result<usize, EncodeError> {
        let prefix = self.encode_text(&self.render(messages, false)?)?;
        if tokens.starts_with(&prefix) { Ok(prefix.len()) } else { Err(EncodeError::Prefix { turn }) }
    }

    /// Returns the tokens of a text that may hold control tokens, with exactly one beginning where the model has one.
    pub(crate) fn encode_text(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        let mut tokens = self.tokenizer.encode(text)?;
        let Some((name, bos)) = &self.bos else { return Ok(tokens) };
        if tokens.first() != Some(bos) {
            tokens.insert(0, *bos);
        }
        match tokens.iter().filter(|t| *t == bos).count() {
            1 => Ok(tokens),
            found => Err(EncodeError::Beginnings { token: name.clone(), found }),
        }
    }

    /// Returns the tokens of a document: the beginning, its text, the end, as far as the model has them.
    pub(crate) fn encode_document(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        self.refuse_in(0, text)?;
        let mut tokens = self.encode_text(text)?;
        tokens.extend(self.eos.iter().map(|(_, id)| *id));
        Ok(tokens)
    }

    pub(crate) fn is_stop(&self, token: u32) -> bool {
        self.stops.binary_search(&token).is_ok()
    }

    fn is_special(&self, token: u32) -> bool {
        self.special.iter().any(|(_, id)| *id == token)
    }

    fn refuse_control_tokens(&self, messages: &[Message]) -> Result<(), EncodeError> {
        messages.iter().enumerate().try_for_each(|(turn, message)| self.refuse_in(turn, &message.content))
    }

    fn refuse_in(&self, turn: usize, text: &str) -> Result<(), EncodeError> {
        match self.special.iter().find(|(name, _)| text.contains(name.as_str())) {
            Some((token, _)) => Err(EncodeError::SpecialToken { turn, token: token.clone() }),
            None => Ok(()),
        }
    }

    /// The control token that the template puts behind an answer, seen in a conversation of one turn each.
    fn end_of_turn(&self) -> Option<u32> {
        let probe = self.encode_conversation(&[Message::user("a"), Message::assistant("b")]).ok()?;
        let last = probe.is_answer.iter().rposition(|own| *own)?;
        probe.tokens.get(last).copied()
    }
}

/// `chat_template` is a text, or a list of named ones of which `default` is meant.
fn template_text(value: &Value) -> Option<String> {
    let named = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some("default");
    let default = || value.as_array()?.iter().find(named)?.get("template")?.as_str();
    value.as_str().or_else(default).map(str::to_owned)
}

/// `eos_token_id` is a number or a list of numbers.
fn token_ids(value: Option<&Value>) -> Vec<u32> {
    let number = |v: &Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(ids)) => ids.iter().filter_map(number).collect(),
        Some(one) => number(one).into_iter().collect(),
        None => vec![],
    }
}

/// Jinja as `transformers` sets it up.
fn templates(chat: Option<String>) -> Result<Environment<'static>, ChatError> {
    let mut templates = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    templates.set_syntax(syntax.map_err(|e| ChatError::Template(e.to_string()))?);
    templates.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    templates.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    if let Some(chat) = chat {
        templates.add_template_owned("chat", chat).map_err(|e| ChatError::Template(format!("{e:#}")))?;
    }
    Ok(templates)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Templates of real models with the texts that Jinja makes of them; calls of tools, retrieved documents and
    /// pictures are left out, for no message here can hold them.
    #[test]
    fn templates_of_real_models_render_as_jinja_renders_them() {
        let file =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/chat-templates/huggingface.js_renderings.jsonl");
        let Ok(lines) = std::fs::read_to_string(file) else {
            println!("skipped: {file} is not there");
            return;
        };
        let (mut failed, mut n_compared) = (vec![], 0);
        for line in lines.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let data = &case["data"];
            let plain = data["messages"].as_array().into_iter().flatten().all(|message| message["content"].is_string());
            let with_tools = data["tools"].is_array() || data["documents"].is_array();
            if case["matches_jinja2"] != true || !plain || with_tools {
                continue;
            }
            n_compared += 1;
            let templates = templates(case["chat_template"].as_str().map(str::to_owned)).unwrap();
            let rendered = templates.get_template("chat").unwrap().render(Serde(&case["data"]));
            if rendered.as_ref().ok().map(String::as_str) != case["target"].as_str() {
                failed.push(format!("{}: {rendered:?}", case["name"]));
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
        assert!(n_compared > 25, "{n_compared}");
    }
}
