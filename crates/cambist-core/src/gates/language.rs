//! Answers in another language than the expected one.

use serde::{Deserialize, Serialize};

use super::{Reason, Stop, Verdict, prose::prose};
use crate::{
    identify::{Identified, can_identify, identify_expecting, is_same_or_relative},
    language::Language,
    prompt::{Prompt, Role},
    script::{Letters, Script, han_forms, scripts_of, without_script},
};

/// The language is told by this many characters of running text; more would only take longer.
const LOOKED_AT: usize = 1500;

/// Keeps out answers in another language than the expected one.
///
/// Looked at is the running text: code, addresses and quotations from the prompt are taken out first. An answer is
/// stopped when less than half of its letters are in the scripts of the expected language, when it is in another
/// language with enough confidence, or when it is in the other kind of Chinese than the tag asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageGate {
    /// Another language stops an answer from this confidence on; default 0.8.
    pub min_confidence: f64,
    /// A smaller share of letters in the expected scripts stops an answer; default 0.5.
    pub min_script_share: f64,
    /// Texts of fewer letters are undecided; default 20.
    pub min_letters: usize,
}

impl Default for LanguageGate {
    fn default() -> Self {
        Self { min_confidence: 0.8, min_script_share: 0.5, min_letters: 20 }
    }
}

/// What the language gate found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LanguageVerdict {
    /// It is in the expected language.
    Pass,
    /// It is in another one.
    WrongLang,
    /// Too short or too unlike anything to tell; it passes, and reports count it.
    Undecided,
    /// Nobody looked.
    Unchecked,
}

impl LanguageGate {
    pub(super) fn judge(&self, prompt: &Prompt, answer: &str) -> Verdict {
        let text = prose(answer, &asked_text(prompt));
        let expected = prompt.expected_language();
        let letters = Letters::of(&text);
        if letters.total() < self.min_letters {
            return verdict(LanguageVerdict::Undecided, None);
        }
        let identified = self.identify(expected, &text);
        let wrong = self.wrong_script(expected, &letters).or_else(|| wrong_han_form(expected, &text));
        match wrong.or_else(|| self.wrong_language(expected, identified.as_ref())) {
            Some(detail) => {
                let stopped = Some(Stop::new(Reason::WrongLang, detail));
                Verdict { stopped, language: LanguageVerdict::WrongLang, identified, ..Verdict::pass() }
            }
            None => verdict(agreement(expected, identified.as_ref()), identified),
        }
    }

    /// Latin names in a text that should be in another script say nothing of its language: they are left out, unless
    /// too little is left.
    fn identify(&self, expected: &Language, text: &str) -> Option<Identified> {
        let is_latin = scripts_of(expected).is_none_or(|scripts| scripts.contains(&Script::Latin));
        let mut told_by: String = text.chars().take(LOOKED_AT).collect();
        if !is_latin {
            told_by = without_script(&told_by, Script::Latin);
        }
        let is_enough = Letters::of(&told_by).total() >= self.min_letters;
        if is_enough { identify_expecting(&told_by, expected) } else { None }
    }

    fn wrong_script(&self, expected: &Language, letters: &Letters) -> Option<String> {
        let share = letters.share(&scripts_of(expected)?).filter(|&share| share < self.min_script_share)?;
        Some(format!("{:.0} % of the letters are in the script of `{expected}`", 100.0 * share))
    }

    fn wrong_language(&self, expected: &Language, identified: Option<&Identified>) -> Option<String> {
        let Identified { language, confidence } = identified?;
        let is_sure = *confidence >= self.min_confidence && can_identify(expected);
        let is_other = is_sure && !is_same_or_relative(language, expected);
        is_other.then(|| format!("in `{language}` (confidence {confidence:.2}), expected `{expected}`"))
    }
}

/// Everything that the model was shown, for telling quotations.
pub(super) fn asked_text(prompt: &Prompt) -> String {
    let shown = prompt.messages.iter().filter(|message| message.role != Role::Assistant);
    shown.map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n")
}

fn wrong_han_form(expected: &Language, text: &str) -> Option<String> {
    let (simplified, traditional) = han_forms(text);
    let (right, wrong) = match expected.as_str().split('-').nth(1)? {
        "hans" | "cn" | "sg" => (simplified, traditional),
        "hant" | "tw" | "hk" | "mo" => (traditional, simplified),
        _ => return None,
    };
    let is_wrong = expected.primary() == "zh" && wrong >= 3 && wrong > 3 * right;
    is_wrong.then(|| format!("{wrong} letters in the other form of Chinese than `{expected}`"))
}

fn agreement(expected: &Language, identified: Option<&Identified>) -> LanguageVerdict {
    let agrees = identified.is_some_and(|found| is_same_or_relative(&found.language, expected));
    if agrees { LanguageVerdict::Pass } else { LanguageVerdict::Undecided }
}

fn verdict(language: LanguageVerdict, identified: Option<Identified>) -> Verdict {
    Verdict { language, identified, ..Verdict::pass() }
}
