//! Features without a model: hashed n-grams of characters and words, and cues about the form.

use std::borrow::Cow;

use super::{
    FeatureReader, FeatureSource, FeatureVector,
    cues::{N_CUES, cues},
    folded::{BASIS, Folded, PRIME, hash_on, hash_word},
    tallies::Tallies,
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

    fn index(self, hash: u32) -> u32 {
        N_CUES as u32 + (hash & ((1 << self.bits) - 1))
    }
}

impl FeatureSource for Hashed {
    fn name(&self) -> String {
        format!("hashed-v{VERSION}:{}", self.bits)
    }

    fn width(&self) -> usize {
        N_CUES + (1 << self.bits)
    }

    fn reader(&self) -> Box<dyn FeatureReader> {
        Box::new(Reader::of(*self))
    }
}

/// Reads prompts one after the other; what it needs for one it uses again for the next.
struct Reader {
    source: Hashed,
    folded: Folded,
    tallies: Tallies,
    /// Where each index stood among the features when it was last met, which may have been in another prompt: it is there
    /// if that place has it (the sparse set of Briggs and Torczon 1993, which never has to be emptied).
    places: Vec<u32>,
    features: FeatureVector,
}

impl Reader {
    fn of(source: Hashed) -> Self {
        let (folded, tallies, places) = (Folded::default(), Tallies::default(), vec![0; source.width()]);
        Self { source, folded, tallies, places, features: FeatureVector::default() }
    }
}

impl FeatureReader for Reader {
    fn read(&mut self, prompt: &Prompt) -> &FeatureVector {
        let text = conversation(prompt);
        self.folded.read(&text);
        let (n_letters, n_words) = (self.folded.letters.len(), self.folded.words.len());
        self.features.clear();
        let cues = cues(prompt, &text, self.folded.counts);
        for (index, cue) in (0u32..).zip(cues).filter(|(_, cue)| *cue != 0.0) {
            self.features.push(index, cue);
        }
        self.tallies.clear_for(n_letters * (LONGEST_NGRAM - 1));
        pulp::Arch::new().dispatch(CountCharacters { letters: &mut self.folded.letters, tallies: &mut self.tallies });
        self.add_block();
        self.tallies.clear_for(n_words * 2);
        count_words(&self.folded.words, &mut self.tallies);
        self.add_block();
        if let Some(task) = &prompt.task {
            self.add(self.source.index(mix(hash_word(task) ^ TASK)), 1.0);
        }
        &self.features
    }
}

impl Reader {
    /// Scales what was counted and adds it to the vector.
    fn add_block(&mut self) {
        let length = self.tallies.length();
        let mut scaled = [0.0; 16];
        (1u32..).zip(&mut scaled).for_each(|(n, scaled)| *scaled = weight(n) * BLOCK_LENGTH / length);
        for at in 0..self.tallies.counted.len() {
            let (hash, n) = self.tallies.counted[at];
            let size = scaled.get(n as usize - 1).copied().unwrap_or_else(|| weight(n) * BLOCK_LENGTH / length);
            // The highest bit of the hash is the sign; no branch, as nothing could foresee it.
            self.add(self.source.index(hash), f32::from_bits(size.to_bits() ^ (hash & (1 << 31))));
        }
    }

    /// Adds a feature; those that fall into one bucket are added up.
    #[inline(always)]
    fn add(&mut self, index: u32, value: f32) {
        let place = &mut self.places[index as usize];
        if self.features.indices.get(*place as usize) == Some(&index) {
            self.features.values[*place as usize] += value;
        } else {
            *place = self.features.len() as u32;
            self.features.push(index, value);
        }
    }
}

/// What an n-gram that occurs `n` times counts.
pub(super) fn weight(n: u32) -> f32 {
    1.0 + (n as f32).ln()
}

/// The turns in their order, cut in the middle when they are long: at most 2,001 characters.
fn conversation(prompt: &Prompt) -> Cow<'_, str> {
    let text: Cow<'_, str> = match prompt.messages.as_slice() {
        [only] => only.content.as_str().into(),
        turns => turns.iter().map(|turn| turn.content.as_str()).collect::<Vec<_>>().join("\n").into(),
    };
    if text.len() <= 2 * READ_AT_EACH_END {
        return text;
    }
    let head = text.char_indices().nth(READ_AT_EACH_END).map_or(text.len(), |(at, _)| at);
    let tail = text.char_indices().rev().nth(READ_AT_EACH_END - 1).map_or(0, |(at, _)| at);
    if head >= tail { text } else { format!("{}\n{}", &text[..head], &text[tail..]).into() }
}

/// Keys that keep kinds of n-grams apart, those of characters by length from 2 on.
const CHARACTERS: [u32; LONGEST_NGRAM - 1] = [0x8da6_b343, 0xd816_3841, 0xcb1a_b31f, 0x165e_9a15];
const WORD: u32 = 0x27d4_eb2f;
const PAIR: u32 = 0x9e37_79b1;
const TASK: u32 = 0x85eb_ca77;

/// N-grams that start at as many places are hashed at once.
const STARTS: usize = 16;

/// Counts the n-grams of characters, from place to place, at each the shorter ones first.
struct CountCharacters<'a> {
    letters: &'a mut Vec<u32>,
    tallies: &'a mut Tallies,
}

impl pulp::NullaryFnOnce for CountCharacters<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let n = self.letters.len();
        // So that the last places have as much behind them as the others.
        self.letters.resize(n + STARTS + LONGEST_NGRAM, 0);
        for start in (0..n).step_by(STARTS) {
            let hashes = hashes_from(&self.letters[start..]);
            for at in 0..STARTS.min(n - start) {
                let n_here = (n - start - at - 1).min(LONGEST_NGRAM - 1);
                hashes[..n_here].iter().for_each(|of_length| self.tallies.add(of_length[at]));
            }
        }
        self.letters.truncate(n);
    }
}

/// Hashes of the n-grams that start at the first places of `letters`, by length.
#[inline(always)]
fn hashes_from(letters: &[u32]) -> [[u32; STARTS]; LONGEST_NGRAM - 1] {
    let mut hashes = [[0; STARTS]; LONGEST_NGRAM - 1];
    let mut running = [BASIS; STARTS];
    for place in 0..STARTS {
        running[place] = hash_on(running[place], letters[place]);
    }
    for (of_length, (shift, key)) in hashes.iter_mut().zip((1..).zip(CHARACTERS)) {
        let next = &letters[shift..shift + STARTS];
        for place in 0..STARTS {
            running[place] = hash_on(running[place], next[place]);
            of_length[place] = mix(running[place] ^ key);
        }
    }
    hashes
}

fn count_words(words: &[u32], tallies: &mut Tallies) {
    words.iter().for_each(|word| tallies.add(mix(word ^ WORD)));
    for pair in words.windows(2) {
        tallies.add(mix(pair[0].wrapping_mul(PRIME) ^ pair[1].rotate_left(7) ^ PAIR));
    }
}

/// The last steps of MurmurHash3 (Appleby), so that all bits of a hash depend on all bits of the n-gram.
#[inline(always)]
fn mix(mut hash: u32) -> u32 {
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}
