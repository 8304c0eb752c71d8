//! Answers that change into another language between sentences.

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::{
    Reason, Stop,
    language::asked_text,
    prose::{prose, without_fences},
};
use crate::{
    identify::{can_identify, identify_expecting, is_same_or_relative},
    language::Language,
    prompt::Prompt,
    script::{Letters, Script, scripts_of, without_script},
};

/// Keeps out answers of which too many sentences are in another language than the expected one.
///
/// Looked at is the running text, as the language gate does. A sentence that is too short or too unlike anything to
/// tell counts for neither side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MixedGate {
    /// A larger share of sentences in other languages stops an answer; default 0.3.
    pub max_share: f64,
    /// A sentence is in another language from this confidence on; default 0.8.
    pub min_confidence: f64,
    /// Sentences of fewer letters are not looked at; default 20.
    pub min_letters: usize,
}

impl Default for MixedGate {
    fn default() -> Self {
        Self { max_share: 0.3, min_confidence: 0.8, min_letters: 20 }
    }
}

impl MixedGate {
    pub(super) fn stop(&self, prompt: &Prompt, answer: &str) -> Option<Stop> {
        let expected = prompt.expected_language();
        if !can_identify(expected) {
            return None;
        }
        let quoted = asked_text(prompt);
        let text = without_fences(answer).lines().map(|line| prose(line, &quoted)).collect::<Vec<_>>().join("\n");
        let sentences: Vec<&str> =
            text.lines().flat_map(str::unicode_sentences).filter(|s| self.is_long(expected, s)).collect();
        // One sentence is not mixed, and telling a language is by far the dearest thing here.
        if sentences.len() < 2 {
            return None;
        }
        let told: Vec<bool> = sentences.into_iter().filter_map(|s| self.is_other(expected, s)).collect();
        let n_others = told.iter().filter(|is_other| **is_other).count();
        let share = n_others as f64 / told.len().max(1) as f64;
        let detail = || format!("{n_others} of {} sentences are in another language than `{expected}`", told.len());
        (told.len() > 1 && share > self.max_share).then(|| Stop::new(Reason::Mixed, detail()))
    }

    /// Whether a sentence has enough letters to tell its language by.
    fn is_long(&self, expected: &Language, sentence: &str) -> bool {
        let is_han = scripts_of(expected).is_some_and(|scripts| scripts.contains(&Script::Han));
        Letters::of(sentence).total() >= self.min_letters.min(if is_han { 8 } else { usize::MAX })
    }

    /// Whether a sentence is in another language; none when that cannot be told.
    fn is_other(&self, expected: &Language, sentence: &str) -> Option<bool> {
        let scripts = scripts_of(expected).unwrap_or_default();
        let letters = Letters::of(sentence);
        if letters.share(&scripts).is_some_and(|share| share < 0.5) {
            return Some(true);
        }
        let is_latin = scripts.contains(&Script::Latin);
        let told_by = if is_latin { sentence.to_owned() } else { without_script(sentence, Script::Latin) };
        let found = identify_expecting(&told_by, expected)?;
        if is_same_or_relative(&found.language, expected) {
            return Some(false);
        }
        (found.confidence >= self.min_confidence).then_some(true)
    }
}
