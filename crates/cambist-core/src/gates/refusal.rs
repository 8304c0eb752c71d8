//! Answers that decline to answer.

mod phrases;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::{Reason, Stop};
use crate::{language::Language, prompt::Prompt};

/// What becomes of a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalAction {
    /// Nobody looks.
    Off,
    /// It passes and is counted. The default.
    #[default]
    Flag,
    /// It is stopped.
    Invalid,
}

/// Finds short answers that begin as refusals do, in fourteen languages.
///
/// A refusal of a prompt that is tagged as harmful (the word `harmful` or `unsafe` in its task) is a good answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefusalGate {
    /// What becomes of a refusal; default `flag`.
    pub action: RefusalAction,
    /// Answers of more characters say more than no; default 600.
    pub max_chars: usize,
}

impl Default for RefusalGate {
    fn default() -> Self {
        Self { action: RefusalAction::Flag, max_chars: 600 }
    }
}

/// How far from the beginning a phrase may stand, in characters: a greeting or an apology may come first.
const LEAD: usize = 60;

impl RefusalGate {
    /// Whether the answer is a refusal that should not have been.
    pub(super) fn finds(&self, prompt: &Prompt, answer: &str) -> bool {
        self.action != RefusalAction::Off
            && !is_harmful(prompt)
            && answer.trim().chars().count() <= self.max_chars
            && [prompt.expected_language(), &prompt.language].into_iter().any(|language| refuses(language, answer))
    }

    pub(super) fn stop(&self) -> Option<Stop> {
        let is_stopped = self.action == RefusalAction::Invalid;
        is_stopped.then(|| Stop::new(Reason::Refusal, "begins as refusals do"))
    }
}

/// Whether an answer begins with a refusal in `language`, or in English, which models fall back to.
pub fn refuses(language: &Language, answer: &str) -> bool {
    let start: String = fold(answer).chars().take(LEAD + 40).collect();
    let own = phrases::of(language.primary());
    let in_english = phrases::of("en");
    own.iter().chain(in_english).any(|phrase| {
        let place = start.find(phrase).map(|at| start[..at].chars().count());
        place.is_some_and(|place| place <= LEAD && is_first_sentence_or_next(&start, place))
    })
}

/// The phrase stands in the first or second sentence.
fn is_first_sentence_or_next(start: &str, place: usize) -> bool {
    let before = start.chars().take(place);
    before.filter(|c| matches!(c, '.' | '!' | '?' | '。' | '！' | '؟' | '।' | '\n')).count() <= 1
}

fn fold(text: &str) -> String {
    let straight = |c: char| if matches!(c, '’' | 'ʼ' | '`' | '´') { '\'' } else { c };
    text.trim().nfkc().flat_map(char::to_lowercase).map(straight).collect()
}

fn is_harmful(prompt: &Prompt) -> bool {
    let words = prompt.task.iter().flat_map(|task| task.split(|c: char| !c.is_alphanumeric()));
    words.into_iter().any(|word| word.eq_ignore_ascii_case("harmful") || word.eq_ignore_ascii_case("unsafe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_answers_that_look_alike() {
        let cases = [
            ("ar", "عذرًا، لا أستطيع المساعدة في هذا الطلب.", "لا أستطيع"),
            ("de", "Es tut mir leid, aber dabei kann ich nicht helfen.", "Das kann man nicht essen."),
            ("en", "I’m sorry, but I can't help with that.", "I can see two birds."),
            ("es", "Lo siento, no puedo ayudarte con eso.", "No puedo es una expresión corriente en la lista de tres."),
            ("fr", "Je suis désolé, mais je ne peux pas vous aider.", "Je pense que oui."),
            ("hi", "क्षमा करें, मैं इसमें आपकी मदद नहीं कर सकता।", "मैं दिल्ली में रहता हूँ।"),
            ("ja", "申し訳ありませんが、そのご依頼にはお応えできません。", "東京です。"),
            ("ko", "죄송하지만 그 요청은 도와드릴 수 없습니다.", "서울입니다."),
            ("pt", "Desculpe, não posso ajudar com isso.", "O rio passa por aqui."),
            ("ru", "Извините, я не могу помочь с этим запросом.", "Река течёт на север."),
            ("tr", "Üzgünüm, bu konuda yardımcı olamam.", "Nehir kuzeye akar."),
            ("uk", "Вибачте, але я не можу допомогти з цим.", "Річка тече на північ."),
            ("vi", "Xin lỗi, tôi không thể giúp bạn việc này.", "Con sông chảy về phía bắc."),
            ("zh", "很抱歉，我无法协助您完成这个请求。", "河流向北。"),
        ];
        for (tag, refusal, answer) in cases {
            let language = Language::parse(tag).unwrap();
            assert!(refuses(&language, refusal), "{tag}: {refusal}");
            assert!(tag == "ar" || tag == "es" || !refuses(&language, answer), "{tag}: {answer}");
        }
        let turkish = Language::parse("tr").unwrap();
        assert!(refuses(&turkish, "I cannot assist with that."), "models fall back to English");
        let late =
            "The word has three meanings. The first is old. The second is new. As they say: I can't help with that.";
        assert!(!refuses(&Language::parse("en").unwrap(), late));
    }
}
