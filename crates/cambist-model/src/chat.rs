//! Conversations to tokens: the chat template, exactly one beginning, and which tokens are the assistant's.

mod template;
pub(crate) mod view;

use cambist_core::prompt::{Message, Role};
use serde_json::Value;

use self::template::{Names, Template};
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
    template: Option<Template>,
    bos: Option<Beginning>,
    eos: Option<(String, u32)>,
    /// What fills up batches in other programs.
    pub(crate) pad: Option<u32>,
    special: Vec<(String, u32)>,
    /// Tokens that end an answer.
    stops: Vec<u32>,
}

/// The token that begins every sequence.
#[derive(Debug)]
struct Beginning {
    name: String,
    id: u32,
    /// Whether it is put before a text that the template does not begin with it.
    is_put: bool,
    /// Whether it stands nowhere else: not so where a template begins or ends each turn with it.
    is_unique: bool,
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
    /// What was trained would not be what is generated: the template rewrites earlier turns, or an answer grows
    /// together with what stands before it.
    #[error(
        "what turn {turn} is generated from is not how the whole conversation begins: token {position} is `{generated}` there and `{whole}` here; train such conversations turn by turn, without what the template takes out of earlier turns, or mend the template"
    )]
    Prefix {
        /// The assistant's turn, from 0.
        turn: usize,
        /// The first token that differs, from 0.
        position: usize,
        /// What stands there when the turn is generated.
        generated: String,
        /// What stands there in the whole conversation.
        whole: String,
    },
    /// Nothing says that an answer is over.
    #[error("the template ends turn {turn} without a control token, so that generation would never stop")]
    NoEndOfTurn {
        /// The turn, from 0.
        turn: usize,
    },
    /// Nothing to predict the first token of a bare text from.
    #[error(
        "the model names neither `bos_token` nor `eos_token`, so that an empty context has no token; give a context"
    )]
    NoBeginning,
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
    /// A pair that does not fit, not even with the shorter of its answers.
    #[error("the prompt with the shorter answer has {n_tokens} tokens, more than the {max_length} of `max_length`")]
    PairTooLong {
        /// Tokens of the prompt and the shorter answer.
        n_tokens: usize,
        /// The longest sequence.
        max_length: usize,
    },
    /// A conversation that would have to be cut, and is read at its end.
    #[error(
        "the whole conversation has {n_tokens} tokens, more than the {max_length} of `max_length`; no reward is read \
         off a cut one"
    )]
    WholeTooLong {
        /// Its tokens.
        n_tokens: usize,
        /// The longest sequence.
        max_length: usize,
    },
    /// An answer of a pair, or one with a label, says nothing.
    #[error("the {0} answer is empty")]
    EmptyAnswer(&'static str),
    /// The answers of a pair are the same, as far as they fit.
    #[error("the chosen answer is the rejected one, as far as both fit")]
    SameAnswers,
    /// The tokenizer refuses a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl EncodeError {
    /// Returns the reason for which a row is left out of training and counted, where the error does not end the run.
    pub fn drops(&self) -> Option<&'static str> {
        match self {
            Self::PairTooLong { .. } | Self::WholeTooLong { .. } => Some("too-long"),
            Self::EmptyAnswer(_) => Some("empty"),
            Self::SameAnswers => Some("identical"),
            _ => None,
        }
    }
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
pub struct Conversation {
    /// All tokens, with exactly one beginning where the model has one.
    pub tokens: Vec<u32>,
    /// Whether a token is the assistant's own: its text and the end of its turn.
    pub is_answer: Vec<bool>,
}

impl Conversation {
    /// Returns 1 for each token of the assistant's last turn and 0 for all others.
    pub(crate) fn last_answer(&self) -> Vec<f32> {
        let first = self.is_answer.iter().rposition(|own| *own).unwrap_or(0);
        let begins = self.is_answer[..first].iter().rposition(|own| !own).map_or(0, |before| before + 1);
        self.is_answer.iter().enumerate().map(|(i, own)| f32::from(*own && i >= begins)).collect()
    }
}

impl Chat {
    pub(crate) fn read(files: &ModelFiles) -> Result<Self, ChatError> {
        let tokenizer = Tokenizer::from_bytes(files.required(TOKENIZER)?)?;
        let config = files.json(TOKENIZER_CONFIG)?;
        let in_file = files.0.get(CHAT_TEMPLATE).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let template = in_file.or_else(|| config.get("chat_template").and_then(template_text));
        let named = |key: &str| {
            let name = config.get(key).and_then(token_name);
            let known = |name: &str| tokenizer.token_id(name).ok_or_else(|| ChatError::UnknownToken(name.to_owned()));
            name.map(|name| Ok::<_, ChatError>((name.to_owned(), known(name)?))).transpose()
        };
        let eos = named("eos_token")?;
        let is_put = config.get("add_bos_token") != Some(&Value::Bool(false));
        let beginning = |(name, id)| Beginning { name, id, is_put, is_unique: true };
        let bos = named("bos_token")?.map(beginning);
        let pad = config.get("pad_token").and_then(token_name).and_then(|name| tokenizer.token_id(name));
        let mut stops = token_ids(files.json(GENERATION_CONFIG)?.get("eos_token_id"));
        stops.extend(eos.iter().map(|(_, id)| *id));
        let special = tokenizer.special_tokens();
        let refused = |error: minijinja::Error| ChatError::Template(format!("{error:#}"));
        let template = template.map(|text| Template::new(&text)).transpose().map_err(refused)?;
        let mut chat = Self { template, bos, eos, pad, special, stops, tokenizer };
        chat.look_at_beginnings();
        chat.stops.extend(chat.end_of_turn());
        chat.stops.sort_unstable();
        chat.stops.dedup();
        Ok(chat)
    }

    /// Returns the text that the template makes of a conversation, with the cue for an answer where asked.
    pub(crate) fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, EncodeError> {
        let template = self.template.as_ref().ok_or(EncodeError::NoTemplate)?;
        let bos = self.bos.as_ref().map(|bos| bos.name.as_str());
        let names = Names { bos, eos: self.eos.as_ref().map(|(name, _)| name.as_str()) };
        template.render(messages, (add_generation_prompt, names)).map_err(EncodeError::Template)
    }

    /// Returns the tokens of all that the template makes of a conversation, with the cue for an answer where asked.
    pub(crate) fn encode_whole(&self, messages: &[Message], has_cue: bool) -> Result<Vec<u32>, EncodeError> {
        self.refuse_control_tokens(messages)?;
        self.encode_text(&self.render(messages, has_cue)?)
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
            self.check_prefix(&tokens, &cue, turn)?;
            let end = match turn + 1 == messages.len() {
                true => tokens.len(),
                false => self.end_of(&tokens, &messages[..=turn], turn)?,
            };
            let own = tokens.get(cue.len()..end).unwrap_or_default();
            let n_own = self.n_until_end_of_turn(own).ok_or(EncodeError::NoEndOfTurn { turn })?;
            is_answer[cue.len()..cue.len() + n_own].fill(true);
        }
        Ok(Conversation { tokens, is_answer })
    }

    /// Returns where a turn inside a conversation ends: up to there it is what it is at the end of one. What a template
    /// writes behind a whole conversation (Phi-3 ends it with `<|endoftext|>`) is no part of the turn.
    fn end_of(&self, tokens: &[u32], messages: &[Message], turn: usize) -> Result<usize, EncodeError> {
        let alone = self.encode_text(&self.render(messages, false)?)?;
        let common = tokens.iter().zip(&alone).take_while(|(a, b)| a == b).count();
        match alone[common..].iter().all(|token| self.is_special(*token)) {
            true => Ok(common),
            false => self.check_prefix(tokens, &alone, turn).map(|()| common),
        }
    }

    /// Returns how many of an assistant's tokens are its own: its words and the control tokens that end its turn, which
    /// are the first behind which only white space and control tokens come.
    fn n_until_end_of_turn(&self, own: &[u32]) -> Option<usize> {
        let is_blank = |token: u32| self.tokenizer.decode(&[token]).is_ok_and(|text| text.trim().is_empty());
        let is_over = |token: &u32| self.is_special(*token) || is_blank(*token);
        let words = own.iter().rposition(|token| !is_over(token)).map_or(0, |last| last + 1);
        let first = words + own[words..].iter().position(|token| self.is_special(*token))?;
        Some(first + own[first..].iter().take_while(|token| self.is_special(**token)).count())
    }

    fn check_prefix(&self, whole: &[u32], prefix: &[u32], turn: usize) -> Result<(), EncodeError> {
        if whole.starts_with(prefix) {
            return Ok(());
        }
        let position = whole.iter().zip(prefix).take_while(|(a, b)| a == b).count();
        let piece = |tokens: &[u32]| {
            let name = |id: &u32| self.tokenizer.token_name(*id).unwrap_or_else(|| format!("token {id}"));
            tokens.get(position).map_or("the end".to_owned(), name)
        };
        Err(EncodeError::Prefix { turn, position, generated: piece(prefix), whole: piece(whole) })
    }

    /// Returns the tokens of a text that may hold control tokens, with exactly one beginning where the model has one.
    pub(crate) fn encode_text(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        let mut tokens = self.tokenizer.encode(text)?;
        let Some(bos) = &self.bos else { return Ok(tokens) };
        if bos.is_put && tokens.first() != Some(&bos.id) {
            tokens.insert(0, bos.id);
        }
        let found = match bos.is_unique {
            true => tokens.iter().filter(|token| **token == bos.id).count(),
            false => tokens.iter().take_while(|token| **token == bos.id).count(),
        };
        match found {
            0 | 1 => Ok(tokens),
            _ => Err(EncodeError::Beginnings { token: bos.name.clone(), found }),
        }
    }

    /// Returns the tokens of a bare text with the special tokens that `tokenizer.json` adds, which may be none.
    pub(crate) fn encode_plain(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        let tokens = self.tokenizer.encode_with_specials(text)?;
        match &self.bos {
            Some(bos) if tokens.starts_with(&[bos.id, bos.id]) => {
                Err(EncodeError::Beginnings { token: bos.name.clone(), found: 2 })
            }
            _ => Ok(tokens),
        }
    }

    /// The token that the first of a sequence without a context is predicted from: the beginning, else the end.
    pub(crate) fn beginning(&self) -> Option<u32> {
        let bos = self.bos.as_ref().map(|bos| bos.id);
        bos.or(self.eos.as_ref().map(|(_, id)| *id))
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

    /// Finds out whether the template begins or ends turns with the token that begins sequences.
    fn look_at_beginnings(&mut self) {
        let Some(bos) = &self.bos else { return };
        let turn = [Message::user("a")];
        let ids = |has_cue: bool| self.tokenizer.encode(&self.render(&turn, has_cue).ok()?).ok();
        let in_cue = ids(true)
            .zip(ids(false))
            .is_some_and(|(cued, plain)| cued[plain.len().min(cued.len())..].contains(&bos.id));
        let is_marker = in_cue || self.eos.as_ref().is_some_and(|(_, eos)| *eos == bos.id);
        if let Some(bos) = &mut self.bos {
            bos.is_unique = !is_marker;
        }
    }

    /// The control token that the template puts behind an answer, seen in a conversation of one turn each.
    fn end_of_turn(&self) -> Option<u32> {
        let probe = self.encode_conversation(&[Message::user("a"), Message::assistant("b")]).ok()?;
        let last = probe.is_answer.iter().rposition(|own| *own)?;
        probe.tokens.get(last).copied()
    }
}

/// A token stands there by its name, or as an object with a `content`.
fn token_name(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
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
