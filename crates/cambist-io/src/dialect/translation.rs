//! Translation engines: what they are asked and what they answer.
//!
//! They are no chat models: they are told the two languages and take no instruction, no sampling and no seed.

use cambist_core::language::Language;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    body::{misshapen, read_json},
    encode::merge,
};
use crate::exchange::{Failure, HttpCall, HttpReply};

/// What translation engines speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TranslationDialect {
    /// `/translate` of LibreTranslate.
    LibreTranslate,
}

/// Texts of one language to bring into another.
#[derive(Clone, Copy, Debug)]
pub struct TranslationRequest<'a> {
    /// The texts, one at least.
    pub texts: &'a [&'a str],
    /// Their language.
    pub source: &'a Language,
    /// The language to write in.
    pub target: &'a Language,
}

impl TranslationDialect {
    /// Every dialect.
    pub const ALL: [Self; 1] = [Self::LibreTranslate];

    /// The word for recipes and screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::LibreTranslate => "libretranslate",
        }
    }

    /// The dialect of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The path after the endpoint's base.
    pub fn path(self) -> &'static str {
        match self {
            Self::LibreTranslate => "/translate",
        }
    }
}

/// Returns the body that asks for translations: one text as a text, several as a list. `extra` is merged in last, a
/// null removes (RFC 7396). The key is no part of it.
pub fn encode_translation(
    dialect: TranslationDialect,
    request: &TranslationRequest<'_>,
    extra: Option<&Value>,
) -> Value {
    let TranslationDialect::LibreTranslate = dialect;
    let texts = match request.texts {
        [one] => json!(one),
        several => json!(several),
    };
    let mut body =
        json!({ "q": texts, "source": code(request.source), "target": code(request.target), "format": "text" });
    if let Some(extra) = extra.filter(|extra| extra.is_object()) {
        merge(&mut body, extra);
    }
    body
}

/// Returns the request with a body of [`encode_translation`].
pub fn translation_call(dialect: TranslationDialect, body: &Value) -> HttpCall {
    HttpCall::post_json(dialect.path(), body)
}

/// Returns the translations of `n` texts, in their order.
///
/// # Errors
/// What kind of failure the reply is; a wrong number of texts, or none, is
/// [`Shape`](crate::exchange::FailureClass::Shape).
pub fn decode_translations(dialect: TranslationDialect, n: usize, reply: &HttpReply) -> Result<Vec<String>, Failure> {
    let TranslationDialect::LibreTranslate = dialect;
    let body = read_json(reply)?;
    let texts: Option<Vec<String>> = match &body["translatedText"] {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(texts) => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    match texts {
        Some(texts) if texts.len() == n => Ok(texts),
        Some(texts) => Err(misshapen(reply, format!("found {} translations, expected {n}", texts.len()))),
        None => match body["error"].as_str() {
            Some(error) => Err(misshapen(reply, format!("no `translatedText`; the server says: {error}"))),
            None => Err(misshapen(reply, "found no `translatedText`, a text or a list of texts".to_owned())),
        },
    }
}

/// The tag as engines write it: `de`, `zh-Hant`, `pt-BR`.
fn code(language: &Language) -> String {
    let mut parts = language.as_str().split('-');
    let primary = parts.next().unwrap_or_default().to_owned();
    parts.fold(primary, |code, part| match part.len() {
        2 => format!("{code}-{}", part.to_uppercase()),
        4 => {
            let mut letters = part.chars();
            let first: String = letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
            format!("{code}-{first}{}", letters.as_str())
        }
        _ => format!("{code}-{part}"),
    })
}
