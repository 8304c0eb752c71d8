//! How a model wants a conversation written, without its weights.

use cambist_core::prompt::Message;

use crate::{
    chat::{Chat, ChatError, Conversation, EncodeError},
    model_files::ModelFiles,
};

/// A model's tokenizer and chat template, without its weights: for servers that take prompts rendered.
#[derive(Debug)]
pub struct ChatFormat(Chat);

impl ChatFormat {
    /// Reads `tokenizer.json`, `tokenizer_config.json` and the chat template of a model folder.
    ///
    /// # Errors
    /// When a file is missing or cannot be read.
    pub fn from_files(files: &ModelFiles) -> Result<Self, ChatError> {
        Ok(Self(Chat::read(files)?))
    }

    /// Returns the conversation as the model reads it, with the beginning of an answer behind it where
    /// `add_generation_prompt` is set.
    ///
    /// # Errors
    /// When there is no template, or it refuses the conversation.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, EncodeError> {
        self.0.render(messages, add_generation_prompt)
    }

    /// Returns the tokens of a whole conversation as training sees them, and which of them are trained.
    ///
    /// # Errors
    /// When the template refuses the conversation or rewrites earlier turns, or a text holds a control token.
    pub fn conversation(&self, messages: &[Message]) -> Result<Conversation, EncodeError> {
        self.0.encode_conversation(messages)
    }

    /// Returns the tokens that an answer to `messages` is generated from.
    ///
    /// # Errors
    /// When the template refuses the conversation, or a text holds a control token.
    pub fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>, EncodeError> {
        self.0.encode_whole(messages, true)
    }

    pub(crate) fn chat(&self) -> &Chat {
        &self.0
    }

    /// Returns the token ids of rendered text; nothing is put before it.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode(&self, rendered: &str) -> Result<Vec<u32>, EncodeError> {
        Ok(self.0.tokenizer.encode(rendered)?)
    }
}
