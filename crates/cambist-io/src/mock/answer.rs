//! What a model says: a pure function of the question and the number of the choice.

use serde_json::Value;

use super::{
    draw::Draw,
    fusor, judge,
    options::MockOptions,
    prose::{self, Theme},
    schema, tokens, tongue, translate,
};

/// Returns how good the teacher `model` is in `language`, 0 to 1: the share of its sentences that are on the topic.
///
/// It is drawn from the two names alone, uniform, so every pool of teachers has a best one for each language. The
/// language is a BCP-47 tag of which the primary subtag counts.
pub fn mock_quality(model: &str, language: &str) -> f64 {
    let primary = language.split(['-', '_']).next().unwrap_or(language).to_lowercase();
    Draw::new(20).with_text(model).with_text(&primary).unit()
}

/// What a model is asked, whatever the dialect.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    /// The model.
    pub(crate) model: &'a str,
    /// What was said before the last turn of the user, system turns included.
    pub(crate) context: String,
    /// The last turn of the user.
    pub(crate) prompt: String,
    /// At most how many tokens are wanted.
    pub(crate) max_tokens: Option<usize>,
    /// The schema that the answer must fit.
    pub(crate) schema: Option<&'a Value>,
    /// Chance of this cell.
    pub(crate) draw: Draw,
}

/// What a model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The text.
    pub(crate) text: String,
    /// Its tokens.
    pub(crate) n_tokens: usize,
    /// Whether it was cut at the wanted number of tokens.
    pub(crate) is_cut: bool,
}

/// Returns choice number `index` of the answers to a question.
pub(crate) fn answer(question: &Question<'_>, index: usize, options: &MockOptions) -> Answer {
    let text = say(question, question.draw.with(index as u64), options);
    match question.max_tokens {
        Some(most) => {
            let (cut, n_tokens, is_all) = tokens::first(&text, most);
            Answer { text: cut.to_owned(), n_tokens, is_cut: !is_all }
        }
        None => Answer { n_tokens: tokens::count(&text), text, is_cut: false },
    }
}

fn say(question: &Question<'_>, draw: Draw, options: &MockOptions) -> String {
    let Question { model, prompt, .. } = question;
    if *model == "mock-echo" {
        return prompt.clone();
    }
    if let Some(kind) = model.strip_prefix("mock-judge-") {
        return judge::verdict(kind, question, (draw, options.seed));
    }
    if let Some(schema) = question.schema {
        return schema::instance(schema, draw).to_string();
    }
    if let Some(answers) = fusor::candidates(prompt) {
        return fusor::fuse(&answers, draw);
    }
    if let Some(task) = translate::task(&question.context, prompt) {
        return translate::translate(&task, mock_quality(model, task.target.tag), draw);
    }
    let language = model.strip_prefix("mock-lang-").or_else(|| tongue::guess(prompt)).unwrap_or("en");
    let topics = prose::topics(prompt);
    let theme = Theme { phrases: prose::phrases(language), topics: &topics, quality: mock_quality(model, language) };
    let spread = options.max_chars.saturating_sub(options.min_chars) + 1;
    prose::write(theme, options.min_chars + draw.with(60).below(spread), draw)
}
