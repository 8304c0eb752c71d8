//! Rows in tokens, to be looked at: what training sees, and where each token comes from.

use std::ops::Range;

use cambist_core::prompt::Message;
use serde::Serialize;

use super::{Chat, Conversation, EncodeError};
use crate::{chat_format::ChatFormat, train_row::RowContent};

/// A text in tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenizedText {
    /// The text as the template made it.
    pub text: String,
    /// Its tokens, in their order.
    pub tokens: Vec<TokenView>,
}

/// A token and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenView {
    /// Its number.
    pub id: u32,
    /// Its name in `tokenizer.json`.
    pub name: String,
    /// The bytes of the text that it stands for; parts of a letter share the letter's, and one that was put before or
    /// behind the text has none.
    pub span: Range<usize>,
    /// Whether it is a control token.
    pub is_control: bool,
    /// Whether predicting it is trained.
    pub is_trained: bool,
}

impl TokenizedText {
    /// How many tokens are trained.
    pub fn n_trained(&self) -> usize {
        self.tokens.iter().filter(|token| token.is_trained).count()
    }

    /// How many are control tokens.
    pub fn n_control(&self) -> usize {
        self.tokens.iter().filter(|token| token.is_control).count()
    }
}

impl ChatFormat {
    /// Returns a row as training sees it: a document as pre-training does, a conversation as SFT, a pair as preference
    /// objectives do (chosen, then rejected; of either the last answer is trained), and a labelled answer as KTO does.
    ///
    /// # Errors
    /// When the row cannot become tokens.
    pub fn tokenized(&self, content: &RowContent) -> Result<Vec<TokenizedText>, EncodeError> {
        let chat = self.chat();
        match content {
            RowContent::Text(text) => {
                let tokens = chat.encode_document(text)?;
                let is_answer = (0..tokens.len()).map(|position| position > 0).collect();
                Ok(vec![chat.view(text.clone(), Conversation { tokens, is_answer })?])
            }
            RowContent::Chat(messages) => {
                let conversation = chat.encode_conversation(messages)?;
                Ok(vec![chat.view(chat.render(messages, false)?, conversation)?])
            }
            RowContent::Pair { prompt, chosen, rejected } => {
                Ok(vec![chat.view_answer(prompt, chosen)?, chat.view_answer(prompt, rejected)?])
            }
            RowContent::Unpaired { prompt, completion, .. } => Ok(vec![chat.view_answer(prompt, completion)?]),
        }
    }

    /// Returns what an answer to `messages` is generated from; nothing of it is trained.
    ///
    /// # Errors
    /// When the template refuses the conversation, or a text holds a control token.
    pub fn tokenized_prompt(&self, messages: &[Message]) -> Result<TokenizedText, EncodeError> {
        let tokens = self.chat().encode_whole(messages, true)?;
        let is_answer = vec![false; tokens.len()];
        self.chat().view(self.chat().render(messages, true)?, Conversation { tokens, is_answer })
    }
}

impl Conversation {
    /// Leaves the last answer alone marked.
    pub(crate) fn keep_last_answer(&mut self) {
        self.is_answer = self.last_answer().into_iter().map(|weight| weight != 0.0).collect();
    }
}

impl Chat {
    /// Returns an answer behind its prompt; it alone is trained.
    fn view_answer(&self, prompt: &[Message], answer: &str) -> Result<TokenizedText, EncodeError> {
        let messages: Vec<Message> = prompt.iter().cloned().chain([Message::assistant(answer)]).collect();
        let mut conversation = self.encode_conversation(&messages)?;
        conversation.keep_last_answer();
        self.view(self.render(&messages, false)?, conversation)
    }

    /// Puts tokens beside the text that they were made of; what is not of the text stands before or behind it.
    fn view(&self, text: String, conversation: Conversation) -> Result<TokenizedText, EncodeError> {
        let spans = self.tokenizer.spans(&text)?;
        let n_before = n_put_before(&conversation, &spans);
        let token = |(position, (&id, &is_trained)): (usize, (&u32, &bool))| {
            let span = position.checked_sub(n_before).and_then(|at| spans.get(at));
            let end = text.len()..text.len();
            let span = span.map_or(if position < n_before { 0..0 } else { end }, |(_, span)| span.clone());
            let name = self.tokenizer.token_name(id).unwrap_or_default();
            TokenView { id, name, span, is_control: self.is_special(id), is_trained }
        };
        let tokens = conversation.tokens.iter().zip(&conversation.is_answer).enumerate().map(token).collect();
        Ok(TokenizedText { text, tokens })
    }
}

/// One where the beginning was put before the text's own tokens.
fn n_put_before(conversation: &Conversation, spans: &[(u32, Range<usize>)]) -> usize {
    usize::from(conversation.tokens.first() != spans.first().map(|(id, _)| id))
}
