//! Similarity to a reference by shared words: ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use super::{Arbiter, Missing};
use crate::{completion::Completion, prompt::Prompt};

/// What is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rouge {
    /// Single words.
    #[serde(rename = "rouge1")]
    One,
    /// Pairs of words.
    #[serde(rename = "rouge2")]
    Two,
    /// The longest common subsequence of words. The default.
    #[default]
    #[serde(rename = "rougeL")]
    L,
}

/// How much of an answer is in the reference, and of the reference in the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// Share of the answer, 0 to 1.
    pub precision: f64,
    /// Share of the reference, 0 to 1.
    pub recall: f64,
    /// Their harmonic mean, 0 to 1.
    pub f1: f64,
}

impl Rouge {
    /// Compares an answer with a reference.
    ///
    /// For English the numbers are those of the Python package `rouge-score` without stemming. Words are runs of letters,
    /// digits and their marks in NFKC and lower case; in scripts without spaces (Han, kana, Thai, Lao, Khmer, Burmese)
    /// every letter with its marks is a word. `rouge-score` itself knows ASCII letters alone.
    pub fn score(self, answer: &str, reference: &str) -> Overlap {
        let (answer, reference) = (tokens(answer), tokens(reference));
        match self {
            Self::One => of_grams(&answer, &reference, 1),
            Self::Two => of_grams(&answer, &reference, 2),
            Self::L => overlap(longest_common(&answer, &reference), (answer.len(), reference.len())),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::One => "rouge1",
            Self::Two => "rouge2",
            Self::L => "rougeL",
        }
    }
}

fn overlap(n_shared: usize, (n_answer, n_reference): (usize, usize)) -> Overlap {
    if n_shared == 0 {
        return Overlap::default();
    }
    let (precision, recall) = (n_shared as f64 / n_answer as f64, n_shared as f64 / n_reference as f64);
    Overlap { precision, recall, f1: 2.0 * precision * recall / (precision + recall) }
}

fn of_grams(answer: &[String], reference: &[String], n: usize) -> Overlap {
    let mut left: HashMap<&[String], usize> = HashMap::new();
    reference.windows(n).for_each(|gram| *left.entry(gram).or_default() += 1);
    let mut is_shared = |gram: &&[String]| left.get_mut(*gram).filter(|n| **n > 0).map(|n| *n -= 1).is_some();
    let n_shared = answer.windows(n).filter(|gram| is_shared(gram)).count();
    let n_grams = |words: &[String]| (words.len() + 1).saturating_sub(n);
    overlap(n_shared, (n_grams(answer), n_grams(reference)))
}

/// The length of the longest common subsequence, in memory of one row.
fn longest_common(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut above_left = 0;
        for (at, other) in b.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if word == other { above_left + 1 } else { above.max(row[at]) };
            above_left = above;
        }
    }
    row[b.len()]
}

/// Words in lower case; single letters in scripts without spaces.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut is_open = false;
    for c in text.nfkc().flat_map(char::to_lowercase) {
        if is_combining_mark(c) {
            // A mark belongs to the letter before it.
            if let Some(last) = tokens.last_mut() {
                last.push(c);
            }
        } else if is_unspaced(c) {
            tokens.push(c.into());
            is_open = false;
        } else if !c.is_alphanumeric() {
            is_open = false;
        } else if let (true, Some(last)) = (is_open, tokens.last_mut()) {
            last.push(c);
        } else {
            tokens.push(c.into());
            is_open = true;
        }
    }
    tokens
}

fn is_unspaced(c: char) -> bool {
    let is_letter = c.is_alphabetic() && !is_combining_mark(c);
    is_letter
        && matches!(c,
            '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
            | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Scores an answer by the F1 of its ROUGE against the prompt's reference, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RougeArbiter(pub Rouge);

impl Arbiter for RougeArbiter {
    fn id(&self) -> String {
        format!("{}|f1|norm:nfkc", self.0.name())
    }

    fn value(&self, prompt: &Prompt, completion: &Completion) -> Result<f64, Missing> {
        let reference = prompt.reference.as_deref().filter(|text| !tokens(text).is_empty());
        Ok(self.0.score(&completion.text, reference.ok_or(Missing::NoReference)?).f1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_script() {
        assert_eq!(tokens("It's 3.5 km, snake_case!"), ["it", "s", "3", "5", "km", "snake", "case"]);
        assert_eq!(tokens("東京は首都。"), ["東", "京", "は", "首", "都"]);
        assert_eq!(tokens("राजधानी नई दिल्ली"), ["राजधानी", "नई", "दिल्ली"]);
        assert_eq!(tokens("กิน ข้าว"), ["กิ", "น", "ข้", "า", "ว"]);
        assert_eq!(tokens("Ｃａｆé"), ["café"]);
    }
}
