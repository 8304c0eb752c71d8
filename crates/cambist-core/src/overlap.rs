//! Whether a prompt to learn from gives a held-out prompt away: shared 13-grams.
//!
//! Thirteen words in a row are the yardstick of GPT-3 (arXiv 2005.14165, appendix C); in scripts without spaces they
//! are thirteen characters.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::{language::Language, split::fold_text};

/// Words, or characters in scripts without spaces, of one gram.
pub const GRAM: usize = 13;

/// Languages written without spaces between words.
const UNSPACED: [&str; 7] = ["zh", "ja", "th", "lo", "km", "my", "yue"];

/// The hashes of the 13-grams of a text after [`fold_text`]; none for a text of fewer words.
pub fn grams(language: &Language, text: &str) -> BTreeSet<u64> {
    let folded = fold_text(text);
    if UNSPACED.contains(&language.primary()) {
        let letters: Vec<char> = folded.chars().filter(|c| !c.is_whitespace()).collect();
        letters.windows(GRAM).map(hash).collect()
    } else {
        let words: Vec<&str> = folded.split_whitespace().collect();
        words.windows(GRAM).map(hash).collect()
    }
}

/// Hashed by the fixed-key SipHash of the standard library: the same on every run of one build.
fn hash<T: std::hash::Hash>(gram: &[T]) -> u64 {
    let mut hasher = DefaultHasher::new();
    gram.hash(&mut hasher);
    hasher.finish()
}

/// Held-out prompts, ready to be compared with any number of others.
#[derive(Clone, Debug, Default)]
pub struct HeldOut {
    /// Which held-out prompts have a gram.
    places: HashMap<u64, Vec<u32>>,
    /// How many grams each has.
    sizes: Vec<usize>,
    /// Equal texts, folded, by their hash.
    texts: HashMap<u64, u32>,
}

/// Why a prompt must not stand beside a held-out one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Overlap {
    /// Their texts are equal after [`fold_text`].
    Equal,
    /// They share this part of the 13-grams of the one that has fewer.
    Shared(f64),
}

impl HeldOut {
    /// Takes in the next held-out prompt.
    pub fn add(&mut self, language: &Language, text: &str) {
        let grams = grams(language, text);
        let at = self.sizes.len() as u32;
        self.sizes.push(grams.len());
        for gram in grams {
            self.places.entry(gram).or_default().push(at);
        }
        self.texts.entry(text_hash(text)).or_insert(at);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Returns the held-out prompt, in the order of [`HeldOut::add`] from 0, that a prompt equals, or with which it
    /// shares more than `max_share` of the 13-grams of the one that has fewer; the first of the worst.
    pub fn find(&self, (language, text): (&Language, &str), max_share: f64) -> Option<(usize, Overlap)> {
        if let Some(at) = self.texts.get(&text_hash(text)) {
            return Some((*at as usize, Overlap::Equal));
        }
        let grams = grams(language, text);
        let mut shared: HashMap<u32, usize> = HashMap::new();
        for at in grams.iter().filter_map(|gram| self.places.get(gram)).flatten() {
            *shared.entry(*at).or_default() += 1;
        }
        let share = |(at, n): (u32, usize)| (at as usize, n as f64 / grams.len().min(self.sizes[at as usize]) as f64);
        let over = shared.into_iter().map(share).filter(|(_, share)| *share > max_share);
        let worst = over.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
        Some((worst.0, Overlap::Shared(worst.1)))
    }
}

fn text_hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    fold_text(text).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(tag: &str) -> Language {
        Language::parse(tag).unwrap()
    }

    fn words(from: usize, n: usize) -> String {
        (from..from + n).map(|at| format!("word{at}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn equal_after_folding_in_any_language() {
        let mut held = HeldOut::default();
        held.add(&language("de"), "Wie spät ist es?");
        let found = held.find((&language("nl"), "WIE  spät ist es"), 0.8);
        assert_eq!(found, Some((0, Overlap::Equal)));
        assert_eq!(held.find((&language("de"), "Wie spät war es?"), 0.8), None, "too short for a gram");
    }

    #[test]
    fn the_share_is_of_the_shorter_prompt() {
        let mut held = HeldOut::default();
        held.add(&language("en"), &words(500, 30));
        held.add(&language("en"), &words(0, 22));
        // The held-out prompt has ten grams; a long prompt has nine of them, or eight.
        let nine = held.find((&language("en"), &words(1, 80)), 0.8);
        assert_eq!(nine, Some((1, Overlap::Shared(0.9))));
        assert_eq!(held.find((&language("en"), &words(2, 80)), 0.8), None, "0.8 is not above 0.8");
    }

    #[test]
    fn scripts_without_spaces_are_counted_by_characters() {
        let text = "政府昨天决定降低小企业需要缴纳的税款，新规定从下个月开始实行。";
        let mut held = HeldOut::default();
        held.add(&language("zh"), text);
        let longer = format!("请翻译：{text}");
        assert_eq!(held.find((&language("zh"), &longer), 0.8), Some((0, Overlap::Shared(1.0))));
        assert!(grams(&language("zh"), "短").is_empty());
    }
}
