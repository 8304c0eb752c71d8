//! Answers that run in a loop.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::{Reason, Stop, prose::without_fences};

const GRAM: usize = 10;

/// Keeps out answers that say the same line, or the same ten words, again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepetitionGate {
    /// An answer with the same line this many times is a loop; default 5. Lines without a letter and lines of fenced
    /// code do not count: closing braces repeat in good code.
    pub lines: usize,
    /// An answer of which one 10-gram covers more than this share of the words is a loop; default 0.3. Words are those
    /// of UAX #29, single characters in Chinese and Japanese.
    pub gram_share: f64,
    /// A 10-gram counts from this many places on; default 3, so that a name said twice in a short answer is none.
    pub gram_places: usize,
}

impl Default for RepetitionGate {
    fn default() -> Self {
        Self { lines: 5, gram_share: 0.3, gram_places: 3 }
    }
}

impl RepetitionGate {
    pub(super) fn stop(&self, text: &str) -> Option<Stop> {
        let repeated = self.repeated_line(text).or_else(|| self.repeated_gram(text))?;
        Some(Stop::new(Reason::Loop, repeated))
    }

    fn repeated_line(&self, text: &str) -> Option<String> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let unfenced = without_fences(text);
        for line in unfenced.lines().map(str::trim).filter(|line| line.contains(char::is_alphabetic)) {
            let count = counts.entry(line).or_default();
            *count += 1;
            if *count >= self.lines {
                return Some(format!("the line `{}` stands there {count} times", shorten(line)));
            }
        }
        None
    }

    fn repeated_gram(&self, text: &str) -> Option<String> {
        let words: Vec<&str> = text.unicode_words().collect();
        let mut places: HashMap<&[&str], Places> = HashMap::new();
        for (start, gram) in words.windows(GRAM).enumerate() {
            places.entry(gram).or_default().add(start);
        }
        let looped =
            |p: &Places| p.count >= self.gram_places && p.covered as f64 > self.gram_share * words.len() as f64;
        // The widest, and among those the first in the text, so that the detail does not depend on the map's order.
        let widest = places.iter().filter(|(_, p)| looped(p)).max_by_key(|(_, p)| (p.covered, usize::MAX - p.first))?;
        let share = 100.0 * widest.1.covered as f64 / words.len() as f64;
        Some(format!("`{}` covers {share:.0} % of the words", shorten(&widest.0.join(" "))))
    }
}

/// Where one 10-gram stands.
#[derive(Default)]
struct Places {
    first: usize,
    count: usize,
    covered: usize,
    end: usize,
}

impl Places {
    fn add(&mut self, start: usize) {
        if self.count == 0 {
            self.first = start;
        }
        self.count += 1;
        self.covered += start + GRAM - start.max(self.end);
        self.end = start + GRAM;
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_loop(text: &str) -> bool {
        RepetitionGate::default().stop(text).is_some()
    }

    #[test]
    fn five_equal_lines_are_a_loop_and_four_are_not() {
        assert!(!is_loop(&"Bonjour.\n\n".repeat(4)));
        assert!(is_loop(&"Bonjour.\n\n".repeat(5)));
    }

    #[test]
    fn a_phrase_said_over_and_over_is_a_loop_in_any_script() {
        assert!(is_loop(&"ha ".repeat(12)));
        assert!(is_loop(&"я не знаю, что сказать, и поэтому я говорю ещё раз: ".repeat(4)));
        assert!(is_loop(&"今日は天気がいいですね。".repeat(4)));
    }

    #[test]
    fn plain_texts_are_none() {
        assert!(!is_loop("Der Ausschuss tagt am Montag. Der Ausschuss tagt am Dienstag. Am Mittwoch tagt niemand."));
        let code = "```c\nif (a) {\n  f();\n}\n```\n".repeat(2) + &"}\n".repeat(9) + &"| --- | --- |\n".repeat(6);
        assert!(!is_loop(&code));
        let list: String = (1..40).map(|n| format!("{n}. the square of {n} is {}\n", n * n)).collect();
        assert!(!is_loop(&list));
        let twice = "北京大学第三附属医院骨科门诊今天开放，请到北京大学第三附属医院骨科门诊挂号。";
        assert!(!is_loop(twice), "a long name said twice");
    }

    #[test]
    fn overlapping_places_count_their_words_once() {
        let words = "a b ".repeat(12);
        let detail = RepetitionGate::default().stop(&words).unwrap().detail;
        assert!(detail.contains("100 %"), "{detail}");
    }
}
