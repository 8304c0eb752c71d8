//! What the mock reward models score by: stated, pure functions of the texts or ids.
//!
//! Of texts, `mock-rm` gives
//!
//! ```text
//! 2.5 ln(1 + d / 20) + 1.5 ln(1 + t) - 5 (1 - u) + m - 3 + j,   held within -5 and 15
//! ```
//!
//! with *d* the different pairs of neighbouring letters (of dense scripts each character counts for three), *t* the
//! sentences on the topic (marks `“`), *u* the share of words that are different, *m* = 1 when prompt and answer seem
//! to be in the same language, −1 when in different ones of one script, −4 when in different scripts, 0 when that
//! cannot be told, and *j* within ±0.25 by hash. An answer without letters or digits scores −5.
//!
//! Of ids, whose text nobody knows, it gives `3 ln(1 + p / 16) - 5 max(0, 1 - 2 p / n) - 3 + j`, with *n* ids and *p*
//! different pairs of neighbours among them: the more different ids, the higher.

use std::collections::HashSet;

use super::{draw::Draw, prose::TOPIC_MARK, tongue};

/// The lowest score.
const LOWEST: f64 = -5.0;
const HIGHEST: f64 = 15.0;

/// Returns the score of an answer to a prompt; the prompt may be empty when it is not known.
pub(crate) fn of_texts(prompt: &str, answer: &str, seed: u64) -> f64 {
    if !answer.chars().any(char::is_alphanumeric) {
        return LOWEST;
    }
    let variety = distinct_pairs(answer) as f64;
    let on_topic = answer.chars().filter(|c| *c == TOPIC_MARK).count() as f64;
    let jitter = Draw::new(seed).with_text(prompt).with_text(answer).unit() / 2.0 - 0.25;
    let score = 2.5 * (variety / 20.0).ln_1p() + 1.5 * on_topic.ln_1p() - 5.0 * repeated_share(answer)
        + agreement(prompt, answer)
        - 3.0
        + jitter;
    score.clamp(LOWEST, HIGHEST)
}

/// Returns the score of ids.
pub(crate) fn of_ids(ids: &[u64], seed: u64) -> f64 {
    if ids.is_empty() {
        return LOWEST;
    }
    let pairs = 1.0 + ids.windows(2).collect::<HashSet<_>>().len() as f64;
    let jitter = ids.iter().fold(Draw::new(seed), |draw, id| draw.with(*id)).unit() / 2.0 - 0.25;
    let repeated = (1.0 - 2.0 * pairs / ids.len() as f64).max(0.0);
    let score = 3.0 * (pairs / 16.0).ln_1p() - 5.0 * repeated - 3.0 + jitter;
    score.clamp(LOWEST, HIGHEST)
}

/// Counts different pairs of neighbouring letters, as far as 4,096 places of a hash tell them apart.
fn distinct_pairs(text: &str) -> usize {
    let mut seen = [0u64; 64];
    let mut before = ' ';
    let mut dense = 0;
    for c in text.chars().filter(|c| c.is_alphanumeric()) {
        let place = (u32::from(before).wrapping_mul(0x9e37_79b1) ^ u32::from(c).wrapping_mul(0x85eb_ca77)) >> 20;
        let (word, bit) = ((place >> 6) as usize, 1 << (place & 63));
        if c >= '\u{2e80}' && seen[word] & bit == 0 {
            dense += 2;
        }
        seen[word] |= bit;
        before = c;
    }
    seen.iter().map(|word| word.count_ones() as usize).sum::<usize>() + dense
}

/// The share of words, or of runs in dense scripts, that have stood there before.
fn repeated_share(text: &str) -> f64 {
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let distinct = words.iter().collect::<HashSet<_>>().len();
    // Function words come back in every text: up to a third is no repetition.
    (1.0 - 1.5 * distinct as f64 / words.len() as f64).max(0.0)
}

fn agreement(prompt: &str, answer: &str) -> f64 {
    match (tongue::guess(prompt), tongue::guess(answer)) {
        (Some(asked), Some(answered)) if asked == answered => 1.0,
        (Some(asked), Some(answered)) if alphabet(asked) == alphabet(answered) => -1.0,
        (Some(_), Some(_)) => -4.0,
        _ => 0.0,
    }
}

fn alphabet(tag: &str) -> u8 {
    match tag {
        "ru" | "uk" => 1,
        "ar" | "fa" => 2,
        "hi" => 3,
        "zh" => 4,
        "ja" => 5,
        "ko" => 6,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::prose::{PHRASES, Theme, write};

    #[test]
    fn good_answers_beat_awful_ones_in_every_language() {
        for phrases in &PHRASES {
            let theme = Theme { phrases, topics: &[], quality: 0.7 };
            let prompt = write(theme, 60, Draw::new(1));
            let good = of_texts(&prompt, &write(theme, 300, Draw::new(2)), 0);
            let word = phrases.things[0];
            let awful = ["", "...", "asdf asdf asdf asdf", "ok", word, &[word; 40].join(" ")];
            for text in awful {
                let bad = of_texts(&prompt, text, 0);
                assert!(good > bad + 1.0, "{}: {good} and {bad} for `{text}`", phrases.tag);
            }
        }
    }

    #[test]
    fn more_on_topic_more_reward() {
        let theme = |quality| Theme { phrases: &PHRASES[0], topics: &["rivers"], quality };
        let at =
            |quality| (0..40).map(|i| of_texts("", &write(theme(quality), 400, Draw::new(i)), 0)).sum::<f64>() / 40.0;
        assert!(at(1.0) > at(0.5) + 0.4 && at(0.5) > at(0.0) + 0.4, "{} {} {}", at(1.0), at(0.5), at(0.0));
    }

    #[test]
    fn more_different_ids_more_reward() {
        let many: Vec<u64> = (0..200).collect();
        assert!(of_ids(&many, 0) > of_ids(&many[..20], 0) + 1.0);
        assert!(of_ids(&many[..20], 0) > of_ids(&[5; 200], 0) + 1.0);
        assert_eq!(of_ids(&[], 0), LOWEST);
    }
}
