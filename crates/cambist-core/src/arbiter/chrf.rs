//! Similarity to a reference by character n-grams: chrF (Popović 2015) and chrF++ (Popović 2017).

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::{Arbiter, Missing, ngrams::Ngrams};
use crate::{completion::Completion, prompt::Prompt};

/// The settings of chrF; the defaults, and the numbers, are those of sacreBLEU's sentence chrF.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chrf {
    /// Longest character n-gram; default 6.
    pub char_order: usize,
    /// Longest word n-gram; default 0, and 2 makes it chrF++.
    pub word_order: usize,
    /// How many times recall weighs as much as precision; default 2.
    pub beta: f64,
    /// Folds to lower case first; default false.
    pub lowercase: bool,
    /// Counts white space among the characters; default false.
    pub whitespace: bool,
}

impl Default for Chrf {
    fn default() -> Self {
        Self { char_order: 6, word_order: 0, beta: 2.0, lowercase: false, whitespace: false }
    }
}

impl Chrf {
    /// chrF++: word 1-grams and 2-grams beside the characters.
    pub fn plus_plus() -> Self {
        Self { word_order: 2, ..Self::default() }
    }

    /// Returns the score of `hypothesis` against `reference`, 0 to 100.
    ///
    /// Precision and recall are means over the orders at which both texts have an n-gram, so that short texts are not
    /// punished for lacking long ones (sacreBLEU's effective order).
    pub fn score(&self, hypothesis: &str, reference: &str) -> f64 {
        self.compare(&self.count(hypothesis), &self.count(reference))
    }

    /// Counts the n-grams of a text once, for many comparisons.
    pub fn count(&self, text: &str) -> Counted {
        let text = if self.lowercase { text.to_lowercase() } else { text.to_owned() };
        let chars = text.chars().filter(|c| self.whitespace || !c.is_whitespace()).collect();
        let words = if self.word_order > 0 { words(&text) } else { Vec::new() };
        let words = words.into_iter().map(str::to_owned).collect();
        Counted { chars: Ngrams::new(chars, self.char_order), words: Ngrams::new(words, self.word_order) }
    }

    /// As [`Chrf::score`], of texts that were counted with the same settings.
    pub fn compare(&self, hypothesis: &Counted, reference: &Counted) -> f64 {
        let of_chars = (1..=self.char_order).map(|n| Matches::count(&hypothesis.chars, &reference.chars, n));
        let of_words = (1..=self.word_order).map(|n| Matches::count(&hypothesis.words, &reference.words, n));
        self.f_score(&of_chars.chain(of_words).collect::<Vec<_>>())
    }

    fn f_score(&self, orders: &[Matches]) -> f64 {
        let usable: Vec<&Matches> = orders.iter().filter(|order| order.hypothesis > 0 && order.reference > 0).collect();
        let mean =
            |part: fn(&Matches) -> f64| usable.iter().map(|order| part(order)).sum::<f64>() / usable.len() as f64;
        let precision = mean(|order| order.shared as f64 / order.hypothesis as f64);
        let recall = mean(|order| order.shared as f64 / order.reference as f64);
        let factor = self.beta * self.beta;
        if usable.is_empty() || precision + recall == 0.0 {
            return 0.0;
        }
        // With beta 1 the same to the last bit when the two are exchanged.
        100.0 * (1.0 + factor) * (precision * recall) / (factor * precision + recall)
    }
}

/// A text's n-grams of characters and words, counted with the settings of one [`Chrf`].
#[derive(Clone, Debug)]
pub struct Counted {
    chars: Ngrams<char>,
    words: Ngrams<String>,
}

/// How many n-grams of one order there are, and how many both texts share.
struct Matches {
    hypothesis: usize,
    reference: usize,
    shared: usize,
}

impl Matches {
    fn count<T: Ord>(hypothesis: &Ngrams<T>, reference: &Ngrams<T>, n: usize) -> Self {
        let shared = hypothesis.n_shared(reference, n);
        Self { hypothesis: hypothesis.count(n), reference: reference.count(n), shared }
    }
}

/// Splits at white space, and one ASCII punctuation mark off the end or else the start of each word, as the original
/// chrF++ does: `(hi)` becomes `(hi` and `)`.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().flat_map(split_punctuation).filter(|word| !word.is_empty()).collect()
}

fn split_punctuation(word: &str) -> [&str; 2] {
    let is_mark = |c: char| c.is_ascii_punctuation();
    let (first, last) = (word.chars().next(), word.chars().next_back());
    match (first, last) {
        _ if word.chars().nth(1).is_none() => [word, ""],
        (_, Some(last)) if is_mark(last) => word.split_at(word.len() - last.len_utf8()).into(),
        (Some(first), _) if is_mark(first) => word.split_at(first.len_utf8()).into(),
        _ => [word, ""],
    }
}

/// Scores an answer by its chrF against the prompt's reference, 0 to 100; both in NFC, so that an answer in decomposed
/// letters is not a wrong one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChrfArbiter(pub Chrf);

impl Arbiter for ChrfArbiter {
    fn id(&self) -> String {
        let Chrf { char_order, word_order, beta, lowercase, whitespace } = self.0;
        let case = if lowercase { "lower" } else { "mixed" };
        let space = if whitespace { "yes" } else { "no" };
        format!("chrf|nc:{char_order}|nw:{word_order}|beta:{beta}|case:{case}|space:{space}|norm:nfc")
    }

    fn value(&self, prompt: &Prompt, completion: &Completion) -> Result<f64, Missing> {
        let reference = prompt.reference.as_deref().filter(|text| !text.trim().is_empty());
        let [answer, reference] = [completion.text.as_str(), reference.ok_or(Missing::NoReference)?].map(compose);
        Ok(self.0.score(&answer, &reference))
    }
}

/// A text in NFC.
pub(super) fn compose(text: &str) -> String {
    text.nfc().collect()
}
