//! One request in one language.

use serde::{Deserialize, Serialize};

use crate::{check::Check, language::Language};

/// Who speaks in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sets the frame of the conversation.
    System,
    /// Asks.
    User,
    /// Answers.
    Assistant,
    /// Reports what a tool gave back.
    Tool,
}

/// One turn of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, untrimmed.
    pub content: String,
}

impl Message {
    /// Returns a user's turn.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: Role::User, content: content.into() }
    }

    /// Returns an assistant's turn.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: Role::Assistant, content: content.into() }
    }
}

/// One request in one language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// Names the prompt, unique in its set.
    pub id: String,
    /// Shared by the translations of one prompt: splits and bootstrap clusters never part them.
    pub source_id: String,
    /// The language that it is written in.
    pub language: Language,
    /// The language that the answer should have, where it is not `language` (a translation task, say).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_language: Option<Language>,
    /// The turns so far; the last is the user's.
    pub messages: Vec<Message>,
    /// What kind of task it is (`date-long`, `translation`); none when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// A known good answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Decides exactly whether an answer is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// The set that it came from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// `translated` for the work of a translator; none for what a person wrote, or where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Who translated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mt_engine: Option<String>,
}

impl Prompt {
    /// The language that an answer is expected in.
    pub fn expected_language(&self) -> &Language {
        self.answer_language.as_ref().unwrap_or(&self.language)
    }

    /// The text of the last user's turn; empty when there is none.
    pub fn instruction(&self) -> &str {
        self.messages.iter().rev().find(|m| m.role == Role::User).map_or("", |m| &m.content)
    }
}
