//! Text to tokens and back.

use std::{collections::BTreeMap, ops::Range};

use serde_json::{Value, json};
use tokenizers::{
    NormalizedString, Normalizer, SplitDelimiterBehavior,
    decoders::DecoderWrapper,
    models::{TrainerWrapper, bpe::BPE, bpe::BpeTrainer},
    normalizers::NFC,
    pre_tokenizers::split::{Split, SplitPattern},
};

/// Text to tokens and back, in the `tokenizer.json` of Hugging Face.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Whether tokens such as `<0xE0>` are bytes of the text.
    has_byte_tokens: bool,
}

/// A tokenizer cannot be read, trained or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The bytes are no `tokenizer.json` that can be used.
    #[error("`tokenizer.json` cannot be read: {0}")]
    Format(String),
    /// No room for what every vocabulary holds.
    #[error("a vocabulary of {asked} has no room: {fixed} special tokens and bytes are always there, ask for more")]
    Vocabulary {
        /// What was asked for.
        asked: usize,
        /// What is always there.
        fixed: usize,
    },
    /// No letter to learn from.
    #[error("a tokenizer was to be trained on {n_texts} texts without a single character")]
    NoText {
        /// How many texts there were.
        n_texts: usize,
    },
    /// The tokenizer library failed.
    #[error("tokenizer failed: {0}")]
    Library(String),
}

/// Begins every sequence.
pub(crate) const BOS: &str = "<s>";
/// Ends a document.
pub(crate) const EOS: &str = "</s>";
/// Fills up a batch in other programs; never seen here.
pub(crate) const PAD: &str = "<pad>";
/// Ends a turn.
pub(crate) const END_OF_TURN: &str = "<|end|>";

/// The first tokens of a new vocabulary, in this order.
const SPECIAL: [&str; 8] = [BOS, EOS, PAD, END_OF_TURN, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"];

/// Tokens that are there whatever the text: special ones and one for each byte.
const N_FIXED: usize = SPECIAL.len() + 256;

/// Where words may not grow together: letters with their marks and a space before them; each digit for itself; each
/// white space for itself; runs of anything else with a space before them.
const WORDS: &str = r" ?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+|\s";

/// Trains a BPE vocabulary of at most `vocab_size` tokens, less where the text has no more pairs that occur twice.
///
/// Every text round-trips up to NFC: what the vocabulary lacks is spelled in bytes. Each digit is a token of its own.
/// The most frequent characters take at most three quarters of the room that special tokens and bytes leave, ties
/// going to the lower code point. The same texts in any order give the same bytes.
///
/// # Errors
/// When `vocab_size` is below 265 or the texts hold no character.
pub fn train_tokenizer(texts: &[String], vocab_size: usize) -> Result<Tokenizer, TokenizerError> {
    if vocab_size <= N_FIXED {
        return Err(TokenizerError::Vocabulary { asked: vocab_size, fixed: N_FIXED });
    }
    let room = vocab_size - N_FIXED;
    let alphabet = frequent_chars(texts, (room * 3).div_ceil(4))?;
    if alphabet.is_empty() {
        return Err(TokenizerError::NoText { n_texts: texts.len() });
    }
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .min_frequency(2)
        .vocab_size(room)
        .limit_alphabet(alphabet.len())
        .initial_alphabet(alphabet.into_iter().collect())
        .build();
    let mut draft = tokenizers::Tokenizer::new(BPE::default());
    let words = Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Isolated, false);
    draft.with_normalizer(Some(NFC)).map_err(library)?;
    draft.with_pre_tokenizer(Some(words.map_err(library)?));
    draft.train(&mut TrainerWrapper::BpeTrainer(trainer), texts.iter()).map_err(library)?;
    finish(&draft)
}

fn frequent_chars(texts: &[String], limit: usize) -> Result<Vec<char>, TokenizerError> {
    let mut counts = BTreeMap::<char, u64>::new();
    for text in texts {
        let mut normal = NormalizedString::from(text.as_str());
        NFC.normalize(&mut normal).map_err(library)?;
        for c in normal.get().chars() {
            *counts.entry(c).or_default() += 1;
        }
    }
    let mut chars: Vec<(char, u64)> = counts.into_iter().collect();
    chars.sort_by_key(|(c, n)| (std::cmp::Reverse(*n), *c));
    Ok(chars.into_iter().take(limit).map(|(c, _)| c).collect())
}

/// Puts special tokens and bytes before what was learned, and lets unknown characters fall back to bytes.
fn finish(draft: &tokenizers::Tokenizer) -> Result<Tokenizer, TokenizerError> {
    let draft: Value = serde_json::to_value(draft).map_err(|e| TokenizerError::Library(e.to_string()))?;
    let mut learned: Vec<(&String, u64)> = vec![];
    for (token, id) in draft["model"]["vocab"].as_object().into_iter().flatten() {
        learned.push((token, id.as_u64().unwrap_or_default()));
    }
    learned.sort_by_key(|(_, id)| *id);
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let tokens = SPECIAL.iter().map(ToString::to_string).chain(bytes);
    let tokens = tokens.chain(learned.into_iter().map(|(token, _)| token.clone()));
    let vocab: serde_json::Map<String, Value> = tokens.enumerate().map(|(id, token)| (token, id.into())).collect();
    let flags = json!({"single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let added = SPECIAL.iter().enumerate().map(|(id, content)| {
        let mut token = flags.clone();
        token["id"] = id.into();
        token["content"] = (*content).into();
        token
    });
    let whole = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": draft["normalizer"],
        "pre_tokenizer": draft["pre_tokenizer"],
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocab, "merges": draft["model"]["merges"],
        },
    });
    Tokenizer::from_bytes(whole.to_string().as_bytes())
}

fn library(error: impl ToString) -> TokenizerError {
    TokenizerError::Library(error.to_string())
}

fn reads_bytes(decoder: &DecoderWrapper) -> bool {
    match decoder {
        DecoderWrapper::ByteFallback(_) => true,
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().any(reads_bytes),
        _ => false,
    }
}

/// Whether a token's name is that of a byte, as SentencePiece writes it.
fn is_byte(name: &str) -> bool {
    let digits = name.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// When the bytes are no such file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| TokenizerError::Format(e.to_string()))?;
        let has_byte_tokens = inner.get_decoder().is_some_and(reads_bytes);
        Ok(Self { inner, has_byte_tokens })
    }

    /// Returns the `tokenizer.json`; the same tokenizer gives the same bytes.
    ///
    /// # Errors
    /// When the tokenizer library cannot write what it holds.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TokenizerError> {
        Ok(self.inner.to_string(false).map_err(library)?.into_bytes())
    }

    /// Returns the tokens of `text`; names of special tokens in it become those tokens, and none is added.
    ///
    /// # Errors
    /// When the tokenizer library refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(self.inner.encode_fast(text, false).map_err(library)?.get_ids().to_vec())
    }

    /// Returns the tokens of `text` with the bytes of it that each stands for.
    pub(crate) fn spans(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>, TokenizerError> {
        let encoded = self.inner.encode(text, false).map_err(library)?;
        let spans = encoded.get_offsets().iter().map(|(first, end)| *first..*end);
        Ok(encoded.get_ids().iter().copied().zip(spans).collect())
    }

    /// Returns the tokens of `text` with those that the tokenizer's post-processor adds, such as a beginning.
    ///
    /// # Errors
    /// When the tokenizer library refuses the text.
    pub fn encode_with_specials(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(self.inner.encode_fast(text, true).map_err(library)?.get_ids().to_vec())
    }

    /// Returns the tokens of `text`, with those that the post-processor adds where `with_specials`, and for each the
    /// character of `text`, from 0, in which it begins.
    ///
    /// # Errors
    /// When the tokenizer library refuses the text.
    pub fn encode_with_offsets(
        &self,
        text: &str,
        with_specials: bool,
    ) -> Result<(Vec<u32>, Vec<usize>), TokenizerError> {
        let encoded = self.inner.encode_char_offsets(text, with_specials).map_err(library)?;
        let mut end = 0;
        // What is added stands between characters; white space before a word is the word's, even where its span leaves it out.
        let place = |((first, last), is_added): (&(usize, usize), &u32)| match is_added {
            1 => end,
            _ => std::mem::replace(&mut end, *last).min(*first),
        };
        let offsets = encoded.get_offsets().iter().zip(encoded.get_special_tokens_mask()).map(place).collect();
        Ok((encoded.get_ids().to_vec(), offsets))
    }

    /// Whether the text of `tokens` ends in characters that are spelled in byte tokens. Those in a row are read together:
    /// one more may change how all of them read.
    pub(crate) fn ends_in_bytes(&self, tokens: &[u32]) -> bool {
        let added = self.inner.get_added_vocabulary();
        let said = |token: &u32| self.inner.id_to_token(*token).filter(|name| !added.is_special_token(name));
        self.has_byte_tokens && tokens.iter().rev().find_map(said).is_some_and(|name| is_byte(&name))
    }

    /// Returns the text of `tokens` without the special ones; bytes that form no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// When the tokenizer library refuses the tokens.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, TokenizerError> {
        self.inner.decode(tokens, true).map_err(library)
    }

    /// Returns the number of tokens, special ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Returns one more than the greatest number of a token: numbers may have gaps.
    pub(crate) fn n_numbers(&self) -> usize {
        let numbers = self.inner.get_vocab(true).into_values();
        numbers.max().map_or(0, |greatest| greatest as usize + 1)
    }

    /// Returns the text of one token, special ones included; none where it is a part of a character or has no text.
    pub fn token_text(&self, token: u32) -> Option<String> {
        let text = self.inner.decode(&[token], false).ok()?;
        (!text.is_empty() && !text.contains('\u{fffd}')).then_some(text)
    }

    /// Returns a token's name in the vocabulary.
    pub fn token_name(&self, token: u32) -> Option<String> {
        self.inner.id_to_token(token)
    }

    /// Returns the number of a token by its name.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Returns names and numbers of the special tokens, in the order of their numbers.
    pub(crate) fn special_tokens(&self) -> Vec<(String, u32)> {
        let added = self.inner.get_added_tokens_decoder();
        let mut special: Vec<_> = added.into_iter().filter(|(_, t)| t.special).map(|(id, t)| (t.content, id)).collect();
        special.sort_by_key(|(_, id)| *id);
        special
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trained() -> Tokenizer {
        let texts = ["the cat and the hat, 12 34", "der Hut und die Katze", "東京都 と 大阪府", "кот и шляпа"];
        train_tokenizer(&texts.map(String::from), 340).unwrap()
    }

    #[test]
    fn order_of_texts_does_not_change_the_bytes() {
        let texts = ["bb aa", "aa bb", "cc dd aa bb", "ab ba"].map(String::from);
        let mut reversed = texts.clone();
        reversed.reverse();
        let bytes = |texts: &[String]| train_tokenizer(texts, 280).unwrap().to_bytes().unwrap();
        assert_eq!(bytes(&texts), bytes(&reversed));
    }

    #[test]
    fn digits_stand_alone_and_unknown_letters_become_bytes() {
        let tokenizer = trained();
        assert_eq!(tokenizer.encode("2026").unwrap().len(), 4);
        assert_eq!(tokenizer.encode("\u{e01}").unwrap(), [0xe0, 0xb8, 0x81].map(|byte| 8 + byte));
    }

    #[test]
    fn text_that_looks_like_a_byte_token_stays_text() {
        let tokenizer = trained();
        assert_eq!(tokenizer.decode(&tokenizer.encode("<0x41> \u{2581}").unwrap()).unwrap(), "<0x41> \u{2581}");
    }

    #[test]
    fn too_small_a_vocabulary_and_no_text_are_refused() {
        assert!(matches!(train_tokenizer(&["a".into()], 264), Err(TokenizerError::Vocabulary { .. })));
        assert!(matches!(train_tokenizer(&[], 400), Err(TokenizerError::NoText { n_texts: 0 })));
    }

    proptest! {
        #[test]
        fn every_text_round_trips_up_to_nfc(text in "\\PC{0,40}") {
            let tokenizer = trained();
            let mut normal = NormalizedString::from(text.as_str());
            NFC.normalize(&mut normal).unwrap();
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap()).unwrap(), normal.get());
        }
    }
}
