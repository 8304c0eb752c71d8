//! The answers of several teachers to one prompt, side by side.

use std::fmt::Write as _;

use serde::Serialize;

use super::number::{MISSING, Style};
use super::text::{Words, escape};

/// One prompt with the answers it got.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// The prompt's id.
    pub prompt_id: String,
    /// The prompt as the teachers saw it.
    pub prompt: Words,
    /// A right answer, when one is known.
    pub reference: Option<Words>,
    /// The answers, in the order they should be read.
    pub answers: Vec<Answer>,
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Who answered.
    pub teacher: String,
    /// The answer, untrimmed, with the language it was asked for.
    pub text: Words,
    /// The reward, higher is better; none when no arbiter could say.
    pub reward: Option<f64>,
    /// What the checker said.
    pub verdict: Verdict,
    /// Whether the answer was kept for training; none when nobody chose.
    pub kept: Option<bool>,
    /// Why it was left out or what is odd about it, in a few words; empty for nothing.
    pub note: String,
}

/// What an exact checker said of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
    /// Nobody can say, or nobody looked.
    Unknown,
}

impl Verdict {
    fn html(self) -> &'static str {
        match self {
            Self::Right => r#"<span class="right"><span aria-hidden="true">✓</span> right</span>"#,
            Self::Wrong => r#"<span class="wrong"><span aria-hidden="true">✗</span> wrong</span>"#,
            Self::Unknown => r#"<span class="unknown"><span aria-hidden="true">?</span> not checked</span>"#,
        }
    }
}

/// From here on a text scrolls in its own box, which then must be reachable by keyboard.
const LONG_TEXT_CHARS: usize = 600;

impl Example {
    /// Returns the prompt and its answers as one article; `id` is unique in the page.
    pub(crate) fn html(&self, id: &str) -> String {
        // The whole example runs as its prompt does; English words in it are isolated.
        let direction = self.prompt.direction();
        let mut out = format!(r#"<article class="example"{direction} aria-labelledby="{id}"><header>"#);
        let _ =
            write!(out, r#"<p class="label" id="{id}"><bdi>Prompt <code>{}</code></bdi></p>"#, escape(&self.prompt_id));
        let _ = write!(out, "{}</header>", passage("prompt", &self.prompt, &self.prompt.attributes()));
        if let Some(reference) = &self.reference {
            let text = passage("reference", reference, &reference.answer_attributes());
            let _ = write!(out, r#"<p class="label"><bdi>Right answer</bdi></p>{text}"#);
        }
        if self.answers.is_empty() {
            return out + r#"<p class="none">no answers</p></article>"#;
        }
        let answers: String = self.answers.iter().map(Answer::html).collect();
        let _ = write!(out, r#"<ul class="answers">{answers}</ul></article>"#);
        out
    }
}

impl Answer {
    fn html(&self) -> String {
        let (class, fate) = match self.kept {
            Some(true) => (r#" class="kept""#, r#" <span class="fate">kept</span>"#),
            Some(false) => ("", r#" <span class="fate">not kept</span>"#),
            None => ("", ""),
        };
        let reward = self.reward.filter(|r| r.is_finite()).map_or(MISSING.to_owned(), |r| Style::plain(2).write(r));
        let note =
            if self.note.is_empty() { String::new() } else { format!("<p><bdi>{}</bdi></p>", escape(&self.note)) };
        format!(
            r#"<li{class}><p class="label"><bdi>{}</bdi></p>{}<p class="facts">{} <span><bdi>reward {reward}</bdi></span>{fate}</p>{note}</li>"#,
            escape(&self.teacher),
            passage("answer", &self.text, &self.text.answer_attributes()),
            self.verdict.html(),
        )
    }
}

/// A block of foreign text, white space kept, that scrolls in its own box when it is long.
fn passage(class: &str, words: &Words, attributes: &str) -> String {
    if words.text.trim().is_empty() {
        return format!(r#"<p class="{class} none">empty</p>"#);
    }
    let is_long = words.text.chars().count() > LONG_TEXT_CHARS || words.text.lines().count() > 12;
    let long = if is_long { r#" tabindex="0" role="group" aria-label="long text""# } else { "" };
    let text = escape(&words.text);
    format!(r#"<div class="passage {class}"{attributes}{long}>{text}</div>"#)
}

#[cfg(test)]
mod tests {
    use cambist_core::language::Language;

    use super::*;

    fn arabic(text: &str) -> Words {
        Words::new(text, &Language::parse("ar").unwrap())
    }

    fn example(text: &str) -> Example {
        let answer = Answer {
            teacher: "<multi>".to_owned(),
            text: arabic(text),
            reward: Some(f64::NAN),
            verdict: Verdict::Wrong,
            kept: Some(false),
            note: String::new(),
        };
        Example { prompt_id: "p".to_owned(), prompt: arabic("سؤال"), reference: None, answers: vec![answer] }
    }

    #[test]
    fn hostile_answers_stay_text() {
        let html = example("</div><script>x</script>]]>\u{202e}\0").html("e1");
        assert!(!html.contains("<script>") && html.contains("&lt;/div&gt;&lt;script&gt;x&lt;/script&gt;]]&gt;"));
        assert!(html.contains("\u{27e8}U+202E\u{27e9}\u{2400}") && html.contains("&lt;multi&gt;"));
        assert!(html.contains("reward n/a"), "a reward that is not finite is missing");
    }

    #[test]
    fn direction_is_set_and_white_space_is_kept() {
        let html = example("a\n  b").html("e1");
        assert!(html.contains(r#"<div class="passage prompt" lang="ar" dir="rtl">سؤال</div>"#));
        assert!(html.contains("<div class=\"passage answer\" lang=\"ar\" dir=\"auto\">a\n  b</div>"));
    }

    #[test]
    fn empty_and_long_texts_are_marked() {
        assert!(example(" \n").html("e1").contains(r#"<p class="answer none">empty</p>"#));
        assert!(example(&"طويل ".repeat(200)).html("e1").contains(r#"tabindex="0""#));
        let nobody = Example { answers: vec![], ..example("x") };
        assert!(nobody.html("e1").contains("no answers"));
    }
}
