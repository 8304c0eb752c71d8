//! The text of an answer while it grows, and the texts that end it.

use crate::tokenizer::{Tokenizer, TokenizerError};

/// The text of the tokens so far. Tokens that are part of a character only wait for the rest of it.
#[derive(Debug, Default)]
pub(super) struct GrowingText {
    text: String,
    /// Tokens from here on are decoded together, as the ones before may change how they read.
    window: usize,
    /// Tokens from here on are not in the text yet.
    read: usize,
    /// Bytes that were told already.
    told: usize,
}

impl GrowingText {
    /// Takes the answer's tokens, of which some are new; returns whether one of the texts `stop` is there now, and then
    /// ends before the first of them.
    pub(super) fn grow(
        &mut self,
        tokenizer: &Tokenizer,
        (tokens, stop): (&[u32], &[String]),
    ) -> Result<bool, TokenizerError> {
        let before = tokenizer.decode(&tokens[self.window..self.read])?;
        let now = tokenizer.decode(&tokens[self.window..])?;
        let Some(new) = now.get(before.len()..).filter(|new| !new.is_empty() && !new.ends_with('\u{fffd}')) else {
            return Ok(false);
        };
        let longest = stop.iter().map(String::len).max().unwrap_or(0);
        let from = floor_char(&self.text, self.text.len().saturating_sub(longest));
        self.text.push_str(new);
        (self.window, self.read) = (self.read, tokens.len());
        let found = stop.iter().filter_map(|stop| self.text[from..].find(stop.as_str())).min();
        if let Some(at) = found {
            self.text.truncate(from + at);
        }
        Ok(found.is_some())
    }

    /// Returns what can be told since the last call: all but what may turn out to be the beginning of a text in `stop`.
    pub(super) fn tell(&mut self, stop: &[String]) -> String {
        let rest = &self.text[self.told..];
        let may_begin = |(at, _): (usize, char)| stop.iter().any(|stop| stop.starts_with(&rest[at..]));
        let safe = rest.char_indices().find(|place| may_begin(*place)).map_or(rest.len(), |place| place.0);
        let told = rest[..safe].to_owned();
        self.told += safe;
        told
    }

    /// Returns what was not told yet of a finished answer: nothing where bytes that came later made malformed text of
    /// what was told.
    pub(super) fn tell_rest(&self, whole: &str) -> String {
        whole.strip_prefix(&self.text[..self.told]).unwrap_or_default().to_owned()
    }

    /// Returns the text so far.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

fn floor_char(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::train_tokenizer;

    fn tokenizer() -> Tokenizer {
        let texts = ["the cat and the hat", "der Hut und die Katze"];
        train_tokenizer(&texts.map(String::from), 300).unwrap()
    }

    /// Feeds a text token by token; returns what was told, and the text at the end.
    fn fed(text: &str, stop: &[&str]) -> (Vec<String>, String) {
        let (tokenizer, stop) = (tokenizer(), stop.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        let tokens = tokenizer.encode(text).unwrap();
        let (mut growing, mut told) = (GrowingText::default(), vec![]);
        for n in 1..=tokens.len() {
            let is_over = growing.grow(&tokenizer, (&tokens[..n], &stop)).unwrap();
            told.push(growing.tell(&stop));
            if is_over {
                break;
            }
        }
        let whole = growing.text().to_owned();
        told.push(growing.tell_rest(&whole));
        (told, whole)
    }

    #[test]
    fn a_character_of_several_tokens_is_told_whole() {
        // Thai and Arabic are bytes to this tokenizer: three and two tokens for each character.
        let (told, whole) = fed("cat ไทย سلام 🙂", &[]);
        assert_eq!(whole, "cat ไทย سلام 🙂");
        assert_eq!(told.concat(), whole);
        assert!(told.iter().all(|part| !part.contains('\u{fffd}')), "{told:?}");
    }

    #[test]
    fn a_stop_across_tokens_cuts_and_its_beginning_is_held_back() {
        let (told, whole) = fed("the cat ไทย and the hat", &["ทย an", "zzz"]);
        assert_eq!(whole, "the cat ไ");
        assert_eq!(told.concat(), whole);
        let (told, whole) = fed("the cat ไทท and the hat", &["ทย an"]);
        assert_eq!((told.concat().as_str(), whole.as_str()), ("the cat ไทท and the hat", "the cat ไทท and the hat"));
    }

    #[test]
    fn the_first_of_several_stops_counts() {
        assert_eq!(fed("the cat and the hat", &["hat", "and", "cat and"]).1, "the ");
    }
}
