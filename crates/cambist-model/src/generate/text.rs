//! The text of an answer while it grows, and the texts that end it.

use crate::tokenizer::{Tokenizer, TokenizerError};

/// The text of the tokens so far: what stands fast, whatever comes, and behind it what the next token may change.
///
/// A token that is part of a character changes when the rest of it comes. Characters that are spelled in byte tokens
/// change all together: one byte that makes the bytes in a row malformed turns each of them into U+FFFD.
#[derive(Debug, Default)]
pub(super) struct GrowingText {
    text: String,
    /// Bytes that stand fast.
    n_fast: usize,
    /// Characters that stand fast.
    n_fast_chars: usize,
    /// Tokens from here on are decoded together, as the ones before may change how they read.
    window: usize,
    /// Tokens from here on do not stand fast yet.
    read: usize,
    /// Bytes that were told already.
    told: usize,
}

/// Returns, for each of some tokens, how many characters of their text the tokens before it make in any case: where in the
/// text the token begins, or the first of the characters whose bytes it shares with its neighbours.
///
/// # Errors
/// When the tokenizer library refuses the tokens.
pub fn text_offsets(tokenizer: &Tokenizer, tokens: &[u32]) -> Result<Vec<usize>, TokenizerError> {
    let mut text = GrowingText::default();
    let offset = |n: usize| {
        let before = text.n_chars();
        text.grow(tokenizer, (&tokens[..n], &[])).map(|_| before)
    };
    (1..=tokens.len()).map(offset).collect()
}

impl GrowingText {
    /// Takes the answer's tokens, of which some are new; returns whether one of the texts `stop` is there now, and then
    /// ends before the first of them.
    pub(super) fn grow(
        &mut self,
        tokenizer: &Tokenizer,
        (tokens, stop): (&[u32], &[String]),
    ) -> Result<bool, TokenizerError> {
        let is_open = tokenizer.ends_in_bytes(&tokens[self.window..]);
        if is_open && stop.is_empty() {
            return Ok(false);
        }
        let before = tokenizer.decode(&tokens[self.window..self.read])?;
        let now = tokenizer.decode(&tokens[self.window..])?;
        let Some(new) = now.strip_prefix(&before).filter(|new| !new.is_empty()) else { return Ok(false) };
        let longest = stop.iter().map(String::len).max().unwrap_or(0);
        let from = floor_char(&self.text, self.n_fast.saturating_sub(longest));
        self.text.truncate(self.n_fast);
        self.text.push_str(new);
        if !is_open && !new.ends_with('\u{fffd}') {
            (self.window, self.read) = (self.read, tokens.len());
            self.n_fast = self.text.len();
            self.n_fast_chars += new.chars().count();
        }
        let found = stop.iter().filter_map(|stop| self.text[from..].find(stop.as_str())).min();
        if let Some(at) = found {
            self.text.truncate(from + at);
            self.n_fast = self.n_fast.min(from + at);
        }
        Ok(found.is_some())
    }

    /// Returns what can be told since the last call: what stands fast, but for what may turn out to be the beginning of a
    /// text in `stop`.
    pub(super) fn tell(&mut self, stop: &[String]) -> String {
        let rest = &self.text[self.told..self.n_fast];
        let may_begin = |(at, _): (usize, char)| stop.iter().any(|stop| stop.starts_with(&rest[at..]));
        let safe = rest.char_indices().find(|place| may_begin(*place)).map_or(rest.len(), |place| place.0);
        let told = rest[..safe].to_owned();
        self.told += safe;
        told
    }

    /// Returns what was not told yet of a finished answer.
    pub(super) fn tell_rest(&self, whole: &str) -> String {
        whole.get(self.told..).unwrap_or_default().to_owned()
    }

    /// Returns the text so far.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns how many characters stand fast.
    pub(super) fn n_chars(&self) -> usize {
        self.n_fast_chars
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
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::tokenizer::train_tokenizer;

    /// What a client and a reader of the whole have of an answer.
    #[derive(Debug)]
    struct Played {
        pieces: Vec<String>,
        whole: String,
        offsets: Vec<usize>,
    }

    /// Feeds tokens one by one, the last of which ends the answer, as an answer does that is cut at its longest.
    fn played(tokenizer: &Tokenizer, (tokens, stop): (&[u32], &[String])) -> Played {
        let (mut growing, mut pieces, mut offsets) = (GrowingText::default(), vec![], vec![]);
        let mut by_text = None;
        for n in 1..=tokens.len() {
            offsets.push(growing.n_chars());
            if growing.grow(tokenizer, (&tokens[..n], stop)).unwrap() {
                by_text = Some(growing.text().to_owned());
                break;
            }
            pieces.push(if n < tokens.len() { growing.tell(stop) } else { String::new() });
        }
        let whole = by_text.unwrap_or_else(|| tokenizer.decode(tokens).unwrap());
        pieces.push(growing.tell_rest(&whole));
        Played { pieces, whole, offsets }
    }

    fn tokenizer() -> Tokenizer {
        let texts = ["the cat and the hat", "der Hut und die Katze"];
        train_tokenizer(&texts.map(String::from), 300).unwrap()
    }

    /// Feeds a text token by token; returns what was told, and the text at the end.
    fn fed(text: &str, stop: &[&str]) -> (Vec<String>, String) {
        let (tokenizer, stop) = (tokenizer(), stop.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        let Played { pieces, whole, .. } = played(&tokenizer, (&tokenizer.encode(text).unwrap(), &stop));
        (pieces, whole)
    }

    #[test]
    fn a_character_of_several_tokens_is_told_whole() {
        // Thai and Arabic are bytes to this tokenizer: three and two tokens for each character.
        let (told, whole) = fed("cat ไทย سلام 🙂", &[]);
        assert_eq!(whole, "cat ไทย سلام 🙂");
        assert_eq!(told.concat(), whole);
        assert!(told.iter().all(|part| !part.contains('\u{fffd}')), "{told:?}");
        assert!(told.iter().filter(|part| !part.is_empty()).count() > 4, "it is told while it grows: {told:?}");
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

    #[test]
    fn bytes_that_turn_out_malformed_were_not_told_as_characters() {
        let tokenizer = tokenizer();
        let byte = |byte: u8| tokenizer.token_id(&format!("<0x{byte:02X}>")).unwrap();
        let after = tokenizer.encode("cat").unwrap();
        let tokens = [&[byte(0xc3), byte(0xa9), byte(0x80)], after.as_slice()].concat();
        let told = played(&tokenizer, (&tokens, &[]));
        let expected = "\u{fffd}\u{fffd}\u{fffd}cat";
        assert_eq!((told.pieces.concat().as_str(), told.whole.as_str()), (expected, expected));
        assert_eq!(told.offsets[..4], [0, 0, 0, 0], "nothing stands fast before the first letter");
        let stopped = played(&tokenizer, (&tokens, &["ca".to_owned()]));
        assert_eq!(stopped.pieces.concat(), "\u{fffd}\u{fffd}\u{fffd}", "a stop behind them is seen");
        let stopped = played(&tokenizer, (&tokens, &["é".to_owned()]));
        assert_eq!((stopped.whole.as_str(), stopped.offsets.len()), ("", 2), "and one that they spell for a while");
    }

    /// Tokens are bytes and pairs of bytes, some of which lie across characters.
    static BYTE_LEVEL: LazyLock<Tokenizer> = LazyLock::new(|| {
        let (mut alphabet, mut unprintable) = (vec![], 0x100);
        for byte in 0..=0xffu32 {
            let is_printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
            let point = if is_printable { byte } else { unprintable };
            unprintable += u32::from(!is_printable);
            alphabet.push(char::from_u32(point).unwrap());
        }
        let pairs: [[usize; 2]; 8] = [
            [0xe0, 0xb8],
            [0xb8, 0xe0],
            [0xe0, 0xb9],
            [0x20, 0xe0],
            [0xf0, 0x9f],
            [0x99, 0x82],
            [0x61, 0xc3],
            [0xa9, 0x20],
        ];
        let merges: Vec<[String; 2]> = pairs.iter().map(|pair| pair.map(|byte| alphabet[byte].to_string())).collect();
        let single = alphabet.iter().map(ToString::to_string);
        let all: Vec<String> = single.chain(merges.iter().map(|pair| pair.concat())).collect();
        let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        whole((all, merges), json!({"pre_tokenizer": level, "decoder": level, "post_processor": level}))
    });

    /// As Llama 2 has it: a space before the text, spaces as letters, bytes for what is no token.
    static SENTENCE_PIECE: LazyLock<Tokenizer> = LazyLock::new(|| {
        let bytes = (0..=0xffu8).map(|byte| format!("<0x{byte:02X}>"));
        let words = ["\u{2581}", "a", "b", "é", "ท", "\u{2581}a", "ab", "ทท", "\u{2581}\u{2581}", "\u{fffd}"];
        let merges = [["\u{2581}", "a"], ["a", "b"], ["ท", "ท"], ["\u{2581}", "\u{2581}"]];
        let normalizers = json!([
            {"type": "Prepend", "prepend": "\u{2581}"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
        ]);
        let decoders = json!([
            {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]);
        let all = bytes.chain(words.map(str::to_owned)).collect();
        let merges = merges.map(|pair| pair.map(str::to_owned)).to_vec();
        let normalizer = json!({"type": "Sequence", "normalizers": normalizers});
        whole((all, merges), json!({"normalizer": normalizer, "decoder": {"type": "Sequence", "decoders": decoders}}))
    });

    fn whole((vocab, merges): (Vec<String>, Vec<[String; 2]>), parts: Value) -> Tokenizer {
        let end = vocab.len();
        let vocab: Map<String, Value> = vocab.into_iter().enumerate().map(|(id, name)| (name, id.into())).collect();
        let added = json!({
            "id": end, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        });
        let mut json = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [added], "normalizer": null,
            "pre_tokenizer": null, "post_processor": null, "decoder": null,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": true, "ignore_merges": false,
                "vocab": vocab, "merges": merges,
            },
        });
        parts.as_object().into_iter().flatten().for_each(|(key, part)| json[key] = part.clone());
        Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap()
    }

    /// Texts of an alphabet that both tokenizers spell in letters, in parts of characters, and in bytes.
    fn texts() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop::sample::select(vec!["a", "b", " ", "é", "ท", "ไ", "ü", "🙂"]), 0..8)
            .prop_map(|letters| letters.concat())
    }

    /// Tokens of texts, some of them cut off, with any tokens between them.
    fn sequences(tokenizer: &'static Tokenizer) -> impl Strategy<Value = Vec<u32>> {
        let of_text = (texts(), 0usize..3).prop_map(move |(text, n_cut)| {
            let mut tokens = tokenizer.encode(&text).unwrap();
            tokens.truncate(tokens.len().saturating_sub(n_cut));
            tokens
        });
        let any = proptest::collection::vec(0..tokenizer.n_numbers() as u32 + 2, 0..3);
        proptest::collection::vec((of_text, any), 0..5)
            .prop_map(|parts| parts.into_iter().flat_map(|(text, any)| [text, any].concat()).collect::<Vec<u32>>())
    }

    /// Texts that end an answer: some of its own letters, and others.
    fn stops() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, String)>> {
        let stop = (any::<prop::sample::Index>(), 0usize..4, texts());
        proptest::collection::vec(stop, 0..3)
    }

    fn check_told(tokenizer: &Tokenizer, tokens: &[u32], stops: &[(prop::sample::Index, usize, String)]) {
        let text_of = |n: usize| tokenizer.decode(&tokens[..n]).unwrap();
        let letters: Vec<char> = text_of(tokens.len()).chars().collect();
        let stop = |(at, length, other): &(prop::sample::Index, usize, String)| {
            let own = |from: usize| letters[from..letters.len().min(from + length)].iter().collect::<String>();
            let own = if letters.is_empty() { String::new() } else { own(at.index(letters.len())) };
            Some(if own.is_empty() { other.clone() } else { own }).filter(|stop| !stop.is_empty())
        };
        let stop: Vec<String> = stops.iter().filter_map(stop).collect();
        let Played { pieces, whole, offsets } = played(tokenizer, (tokens, &stop));
        assert_eq!(pieces.concat(), whole, "{stop:?}");
        // The answer is what the tokens say up to the first that brings a stop text, cut before it.
        let ends = |n: &usize| stop.iter().any(|stop| text_of(*n).contains(stop.as_str()));
        let n_read = (1..=tokens.len()).find(ends);
        let before = text_of(n_read.unwrap_or(tokens.len()));
        let cut = stop.iter().filter_map(|stop| before.find(stop.as_str())).min().unwrap_or(before.len());
        assert_eq!(whole, before[..cut], "{stop:?}");
        assert_eq!(offsets.len(), n_read.unwrap_or(tokens.len()));
        check_offsets(tokenizer, tokens, &offsets);
    }

    /// What stands fast before a token is the beginning of the text whatever follows, and all that is whole.
    fn check_offsets(tokenizer: &Tokenizer, tokens: &[u32], offsets: &[usize]) {
        let text = tokenizer.decode(tokens).unwrap();
        assert!(offsets.is_sorted() && offsets.iter().all(|offset| *offset <= text.chars().count()), "{offsets:?}");
        for (n, offset) in offsets.iter().enumerate() {
            let said = tokenizer.decode(&tokens[..n]).unwrap();
            assert!(said.chars().take(*offset).eq(text.chars().take(*offset)), "{n}: {said} {text}");
            let is_whole = !tokenizer.ends_in_bytes(&tokens[..n]) && !said.ends_with('\u{fffd}');
            assert!(!is_whole || *offset == said.chars().count(), "{n}: {offset} {said:?} {text:?}");
        }
    }

    /// A token begins where the text of those before it ends, where that is whole.
    fn check_offsets_of_text(tokenizer: &Tokenizer, text: &str) {
        let (tokens, offsets) = tokenizer.encode_with_offsets(text, true).unwrap();
        assert_eq!(tokens, tokenizer.encode_with_specials(text).unwrap());
        assert!(offsets.is_sorted(), "{text:?}: {offsets:?}");
        for (n, offset) in offsets.iter().enumerate() {
            let said = tokenizer.decode(&tokens[..n]).unwrap();
            let is_whole = !said.contains('\u{fffd}') && !said.is_empty();
            assert!(!is_whole || *offset == said.chars().count(), "{n}: {offset} {said:?} {text:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_of_byte_level_tokens_are_the_whole_text(tokens in sequences(&BYTE_LEVEL), stops in stops()) {
            check_told(&BYTE_LEVEL, &tokens, &stops);
        }

        #[test]
        fn pieces_of_tokens_with_byte_fallback_are_the_whole_text(
            tokens in sequences(&SENTENCE_PIECE), stops in stops()
        ) {
            check_told(&SENTENCE_PIECE, &tokens, &stops);
        }

        #[test]
        fn offsets_of_tokens_are_where_they_begin(text in texts()) {
            for tokenizer in [&*BYTE_LEVEL, &*SENTENCE_PIECE] {
                check_offsets_of_text(tokenizer, &text);
                let tokens = tokenizer.encode(&text).unwrap();
                check_offsets(tokenizer, &tokens, &text_offsets(tokenizer, &tokens).unwrap());
            }
        }
    }
}
