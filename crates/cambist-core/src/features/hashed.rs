//! Features without a model: hashed n-grams of characters and words, and cues about the form.

use icu::casemap::CaseMapper;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use super::{
    FeatureSource, FeatureVector,
    cues::{N_CUES, cues},
};
use crate::prompt::Prompt;

/// Raised with every change that gives any prompt other features.
const VERSION: u32 = 1;

/// The longest n-gram of characters; the shortest has two.
const LONGEST_NGRAM: usize = 5;

/// A longer text is read at its beginning and at its end, this many characters at each.
const READ_AT_EACH_END: usize = 1_000;

/// Each of the blocks of n-grams has this length, so that both together have length 1.
const BLOCK_LENGTH: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// Feature hashing (Weinberger et al. 2009, arXiv 0902.2206) of a prompt's conversation.
///
/// The text is NFKC with case folded and white space collapsed; of more than 2,000 characters the first and the last
/// 1,000 are read. Three blocks stand in one vector: 18 cues about the form (length, lines, digits, code, questions,
/// quotes, lists, turns); n-grams of 2 to 5 characters; words and pairs of words as Unicode separates them. An n-gram
/// that occurs `n` times counts `1 + ln n` with a sign of its own, and each of the two blocks is scaled to length
/// 1/sqrt(2). The task, where a prompt names one, is one more feature.
///
/// Same prompt, same buckets on every machine, and same values up to the rounding of its logarithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    bits: u32,
}

/// A width that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hashed features have {0} bits, expected {min} to {max}", min = Hashed::MIN_BITS, max = Hashed::MAX_BITS)]
pub struct HashedError(pub u32);

impl Default for Hashed {
    /// 2^16 buckets.
    fn default() -> Self {
        Self { bits: 16 }
    }
}

impl Hashed {
    /// Fewest bits.
    pub const MIN_BITS: u32 = 8;
    /// Most bits.
    pub const MAX_BITS: u32 = 22;

    /// Hashes n-grams into `2^bits` buckets; default 16.
    ///
    /// # Errors
    /// When `bits` is not from 8 to 22.
    pub fn new(bits: u32) -> Result<Self, HashedError> {
        if (Self::MIN_BITS..=Self::MAX_BITS).contains(&bits) { Ok(Self { bits }) } else { Err(HashedError(bits)) }
    }

    /// Returns the source of this name.
    pub fn named(name: &str) -> Option<Self> {
        let bits = name.strip_prefix(&format!("hashed-v{VERSION}:"))?.parse().ok()?;
        Self::new(bits).ok()
    }
}

impl FeatureSource for Hashed {
    fn name(&self) -> String {
        format!("hashed-v{VERSION}:{}", self.bits)
    }

    fn width(&self) -> usize {
        N_CUES + (1 << self.bits)
    }

    fn features(&self, prompt: &Prompt) -> FeatureVector {
        let text = conversation(prompt);
        let mut vector = FeatureVector::default();
        for (index, cue) in (0u32..).zip(cues(prompt, &text)).filter(|(_, cue)| *cue != 0.0) {
            vector.push(index, cue);
        }
        let folded = fold(&text);
        let letters: Vec<char> = folded.chars().collect();
        let mut counts = Counts::for_at_most(letters.len() * (LONGEST_NGRAM - 1));
        count_characters(&letters, &mut counts);
        self.add_block(&counts, &mut vector);
        let words: Vec<u32> = folded.unicode_words().map(hash_word).collect();
        let mut counts = Counts::for_at_most(words.len() * 2);
        count_words(&words, &mut counts);
        self.add_block(&counts, &mut vector);
        if let Some(task) = &prompt.task {
            vector.push(self.index(mix(hash_word(task) ^ TASK)), 1.0);
        }
        merge_twins(vector)
    }
}

impl Hashed {
    fn index(self, hash: u32) -> u32 {
        N_CUES as u32 + (hash & ((1 << self.bits) - 1))
    }

    /// Scales what was counted and adds it to the vector.
    fn add_block(self, counts: &Counts, vector: &mut FeatureVector) {
        let weight = |n: f32| 1.0 + n.ln();
        let length: f32 = counts.each().map(|(_, n)| weight(n).powi(2)).sum::<f32>().sqrt();
        for (hash, n) in counts.each() {
            let sign = if hash >> 31 == 0 { 1.0 } else { -1.0 };
            vector.push(self.index(hash), sign * weight(n) * BLOCK_LENGTH / length);
        }
    }
}

/// Adds up features that fell into one bucket.
fn merge_twins(vector: FeatureVector) -> FeatureVector {
    let mut table = Slots::for_at_most(vector.len());
    let mut merged = FeatureVector::default();
    for (index, value) in vector.iter() {
        match table.place(index, merged.len() as u32) {
            Some(place) => merged.values[place as usize] += value,
            None => merged.push(index, value),
        }
    }
    merged
}

/// The turns in their order, cut in the middle when they are long.
fn conversation(prompt: &Prompt) -> String {
    let text = match prompt.messages.as_slice() {
        [only] => only.content.clone(),
        turns => turns.iter().map(|turn| turn.content.as_str()).collect::<Vec<_>>().join("\n"),
    };
    if text.len() <= 2 * READ_AT_EACH_END {
        return text;
    }
    let head = text.char_indices().nth(READ_AT_EACH_END).map_or(text.len(), |(at, _)| at);
    let tail = text.char_indices().rev().nth(READ_AT_EACH_END - 1).map_or(0, |(at, _)| at);
    if head >= tail { text } else { format!("{}\n{}", &text[..head], &text[tail..]) }
}

/// NFKC, case folded, white space collapsed, a space at both ends.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len() + 2);
    folded.push(' ');
    let mut push = |c: char| {
        if !c.is_whitespace() {
            folded.push(c);
        } else if !folded.ends_with(' ') {
            folded.push(' ');
        }
    };
    if text.is_ascii() {
        text.chars().for_each(|c| push(c.to_ascii_lowercase()));
    } else {
        let mapper = CaseMapper::new();
        text.nfkc().for_each(|c| push(mapper.simple_fold(c)));
    }
    if !folded.ends_with(' ') {
        folded.push(' ');
    }
    folded
}

/// Keys that keep kinds of n-grams apart.
const CHARACTERS: [u32; LONGEST_NGRAM + 1] = [0, 0, 0x8da6_b343, 0xd816_3841, 0xcb1a_b31f, 0x165e_9a15];
const WORD: u32 = 0x27d4_eb2f;
const PAIR: u32 = 0x9e37_79b1;
const TASK: u32 = 0x85eb_ca77;

fn count_characters(letters: &[char], counts: &mut Counts) {
    for start in 0..letters.len() {
        let mut hash = BASIS;
        for (n, letter) in (1..=LONGEST_NGRAM).zip(&letters[start..]) {
            hash = (hash ^ *letter as u32).wrapping_mul(PRIME);
            if n > 1 {
                counts.add(mix(hash ^ CHARACTERS[n]));
            }
        }
    }
}

fn count_words(words: &[u32], counts: &mut Counts) {
    words.iter().for_each(|word| counts.add(mix(word ^ WORD)));
    for pair in words.windows(2) {
        counts.add(mix(pair[0].wrapping_mul(PRIME) ^ pair[1].rotate_left(7) ^ PAIR));
    }
}

/// FNV-1a (Fowler, Noll and Vo) over code points.
const BASIS: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

fn hash_word(word: &str) -> u32 {
    word.chars().fold(BASIS, |hash, c| (hash ^ c as u32).wrapping_mul(PRIME))
}

/// The last steps of MurmurHash3 (Appleby), so that all bits of a hash depend on all bits of the n-gram.
fn mix(mut hash: u32) -> u32 {
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// Places of numbers in an open hash table, in the order in which they first came.
struct Slots {
    /// The number and its place plus one; a place of 0 is empty.
    slots: Vec<(u32, u32)>,
}

impl Slots {
    fn for_at_most(n: usize) -> Self {
        Self { slots: vec![(0, 0); (2 * n).next_power_of_two().max(2)] }
    }

    /// Returns the place of a number that is there; else puts it at `next`.
    fn place(&mut self, number: u32, next: u32) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut slot = number as usize & mask;
        loop {
            match self.slots[slot] {
                (_, 0) => {
                    self.slots[slot] = (number, next + 1);
                    return None;
                }
                (known, place) if known == number => return Some(place - 1),
                _ => slot = (slot + 1) & mask,
            }
        }
    }
}

/// How often each n-gram occurs.
struct Counts {
    slots: Slots,
    counted: Vec<(u32, u32)>,
}

impl Counts {
    fn for_at_most(n: usize) -> Self {
        Self { slots: Slots::for_at_most(n), counted: Vec::with_capacity(n) }
    }

    fn add(&mut self, hash: u32) {
        match self.slots.place(hash, self.counted.len() as u32) {
            Some(place) => self.counted[place as usize].1 += 1,
            None => self.counted.push((hash, 1)),
        }
    }

    fn each(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.counted.iter().map(|(hash, n)| (*hash, *n as f32))
    }
}
