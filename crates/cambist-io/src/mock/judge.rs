//! Judges: models that read two answers, or one, and say which is better, or how good it is.
//!
//! The answers stand between the lines `[Answer A]` … `[End of answer A]` and `[Answer B]` … `[End of answer B]`,
//! a single one between `[Answer]` … `[End of answer]`, several ones between `[Answer 1]` … `[End of answer 1]` and so
//! on. The question may stand between `[Question]` (or `[Prompt]`) and its `[End of …]`; else what stands before the
//! first answer is taken for it. The verdict is written in the form that the prompt names last: `[[A>B]]`, `[[A]]`,
//! `TIE`, `[[n]]` (also `[[5]]`, `[[rating]]`), `[RESULT] n` or `one letter`; with room for one or two tokens, the letter
//! alone. Of several answers the number of the best is written, behind a checklist where the prompt asks for one.
//!
//! Answers are compared by what the reward model of the mock server gives them, a tie being closer than 0.3; grades
//! are that reward brought to 1 to 10, or 1 to 5.

use super::{answer::Question, draw::Draw, reward};

/// How far apart two rewards of a tie may be.
const TIE: f64 = 0.3;

/// Returns what the judge of `kind` (`A`, `fair`, `noise:p`) says.
pub(crate) fn verdict(kind: &str, question: &Question<'_>, (draw, seed): (Draw, u64)) -> String {
    let text = format!("{}\n{}", question.context, question.prompt);
    let is_short = question.max_tokens.is_some_and(|most| most <= 2);
    let form = if is_short { Form::Letter } else { form(&text) };
    let asked = asked_about(&text);
    let grade = |answer: &str| reward::of_texts(asked, answer, seed);
    if let Some(numbered) = numbered(&text) {
        let rewards: Vec<f64> = numbered.iter().map(|answer| grade(answer)).collect();
        let place = 1 + picked(kind, &rewards, draw);
        return if text.contains("checklist") { checked(rewards.len(), place) } else { form.pick(place) };
    }
    match (between(&text, "Answer A"), between(&text, "Answer B")) {
        (Some(a), Some(b)) => form.compare(lean(kind, (grade(a), grade(b)), draw)),
        _ => form.grade(grade(between(&text, "Answer").unwrap_or(&question.prompt))),
    }
}

/// How much better A is; far more when the judge always prefers it.
fn lean(kind: &str, (a, b): (f64, f64), draw: Draw) -> f64 {
    if kind == "A" {
        return 9.0;
    }
    if errs(kind, draw) { b - a } else { a - b }
}

/// The place of the best answer; the first when the judge always prefers that, the worst when it errs.
fn picked(kind: &str, rewards: &[f64], draw: Draw) -> usize {
    match kind {
        "A" => 0,
        _ if errs(kind, draw) => best(&rewards.iter().map(|reward| -reward).collect::<Vec<_>>()),
        _ => best(rewards),
    }
}

/// Whether a noisy judge is wrong this time.
fn errs(kind: &str, draw: Draw) -> bool {
    let noise: f64 = kind.strip_prefix("noise:").and_then(|share| share.parse().ok()).unwrap_or(0.0);
    draw.with(70).unit() < noise
}

/// A checklist, a line for each answer, and the number of the best one alone on the last line.
fn checked(n_answers: usize, place: usize) -> String {
    let lines = (1..=n_answers).map(|at| format!("Answer {at}: {}.\n", if at == place { "all" } else { "some" }));
    format!("- is in the language asked for\n- does what was asked\n- is clear\n{}{place}", lines.collect::<String>())
}

fn best(rewards: &[f64]) -> usize {
    let better = |best: usize, i: usize| if rewards[i] > rewards[best] { i } else { best };
    (0..rewards.len()).fold(0, better)
}

/// Returns what stands between `[name]` and `[End of name]`.
fn between<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    // A rubric may name the marks before they are used, so the last opening counts.
    let start = text.rfind(&format!("[{name}]"))? + name.len() + 2;
    let lower = format!("[End of {}]", name.replacen('A', "a", 1));
    let end = text[start..].find(&lower).map_or(text.len(), |end| start + end);
    Some(text[start..end].trim())
}

/// Returns the answers that stand between `[Answer 1]` and `[End of answer 1]` and so on, where there are several.
pub(super) fn numbered(text: &str) -> Option<Vec<&str>> {
    let answers: Vec<&str> = (1..).map_while(|i| between(text, &format!("Answer {i}"))).collect();
    (answers.len() > 1).then_some(answers)
}

fn asked_about(text: &str) -> &str {
    for name in ["Question", "Prompt"] {
        if let Some(start) = text.find(&format!("[{name}]")) {
            let start = start + name.len() + 2;
            let end = text[start..].find(&format!("[End of {}]", name.to_lowercase()));
            return text[start..].split_at(end.unwrap_or(0)).0.trim();
        }
    }
    text.rfind("[Answer A]").or_else(|| text.rfind("[Answer]")).map_or("", |end| &text[..end])
}

/// How a verdict is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `[[A>>B]]` to `[[B>>A]]`.
    Five,
    /// `[[A]]`, `[[B]]`, `[[C]]`.
    Three,
    /// `A`, `B` or `TIE` on a line.
    Line,
    /// `[[7]]`.
    Ten,
    /// `[RESULT] 4`.
    Result,
    /// `A` or `B` and nothing else.
    Letter,
}

fn form(text: &str) -> Form {
    let forms = [
        (Form::Five, &["[[A>B]]", "[[A>>B]]", "[[B>A]]", "[[A=B]]"][..]),
        (Form::Three, &["[[A]]", "[[B]]", "[[C]]"]),
        (Form::Line, &["TIE"]),
        (Form::Ten, &["[[n]]", "[[rating]]", "[[N]]", "[[5]]", "[[7]]", "[[1]]", "[[10]]", "[[score]]"]),
        (Form::Result, &["[RESULT]"]),
        (Form::Letter, &["one letter"]),
    ];
    let last = |signs: &[&str]| signs.iter().filter_map(|sign| text.rfind(sign)).max();
    let found = forms.iter().filter_map(|(form, signs)| Some((last(signs)?, *form)));
    found.max_by_key(|(at, _)| *at).map_or(Form::Line, |(_, form)| form)
}

impl Form {
    fn compare(self, lean: f64) -> String {
        let words: [&str; 5] = match self {
            Self::Five => ["[[A>>B]]", "[[A>B]]", "[[A=B]]", "[[B>A]]", "[[B>>A]]"],
            Self::Three => ["[[A]]", "[[A]]", "[[C]]", "[[B]]", "[[B]]"],
            Self::Letter => return if lean >= 0.0 { "A" } else { "B" }.to_owned(),
            _ => ["A", "A", "TIE", "B", "B"],
        };
        let place = match lean {
            lean if lean > 3.0 => 0,
            lean if lean > TIE => 1,
            lean if lean >= -TIE => 2,
            lean if lean >= -3.0 => 3,
            _ => 4,
        };
        let reason =
            if place == 2 { "Both answers do about the same." } else { "One answer does more of what was asked." };
        format!("{reason}\n{}", words[place])
    }

    fn grade(self, reward: f64) -> String {
        let share = ((reward + 5.0) / 15.0).clamp(0.0, 1.0);
        match self {
            Self::Result => {
                format!("The answer was read against the rubric. [RESULT] {}", 1 + (share * 4.0).round() as u8)
            }
            Self::Letter => (1 + (share * 9.0).round() as u8).to_string(),
            _ => format!("The answer was read against the rubric.\n[[{}]]", 1 + (share * 9.0).round() as u8),
        }
    }

    fn pick(self, place: usize) -> String {
        match self {
            Self::Result => format!("[RESULT] {place}"),
            Self::Ten => format!("[[{place}]]"),
            _ => place.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Rivers bend because the water on the outer side runs faster and carries more soil away.";

    fn say(kind: &str, ask: &str, answers: [&str; 2]) -> String {
        let [a, b] = answers;
        let prompt = format!(
            "{ask}\n[Question]\nWhy do rivers bend?\n[End of question]\n[Answer A]\n{a}\n[End of answer A]\n[Answer B]\n{b}\n\
             [End of answer B]\nEnd with {ask}"
        );
        let question = Question {
            model: "mock-judge",
            context: String::new(),
            prompt,
            max_tokens: None,
            schema: None,
            draw: Draw::new(1),
        };
        verdict(kind, &question, (Draw::new(1), 0))
    }

    #[test]
    fn fair_judges_prefer_the_better_answer_in_every_form() {
        for (ask, a, b) in [
            ("`[[A]]`, `[[B]]` or `[[C]]`", "[[A]]", "[[B]]"),
            ("A, B or TIE on a line", "\nA", "\nB"),
            ("[[A>B]]", "[[A>>B]]", "[[B>>A]]"),
            ("one letter", "A", "B"),
        ] {
            assert!(say("fair", ask, [GOOD, "asdf asdf"]).ends_with(a), "{ask}");
            assert!(say("fair", ask, ["asdf asdf", GOOD]).ends_with(b), "{ask}");
            assert!(say("A", ask, ["asdf asdf", GOOD]).ends_with(a), "{ask}");
            assert!(say("noise:1", ask, [GOOD, "asdf asdf"]).ends_with(b), "{ask}");
        }
        assert!(say("fair", "A, B or TIE", [GOOD, GOOD]).ends_with("TIE"));
    }

    #[test]
    fn single_answers_are_graded() {
        let grade = |answer: &str, ask: &str| {
            let prompt = format!("[Answer]\n{answer}\n[End of answer]\n{ask}");
            let question = Question {
                model: "",
                context: String::new(),
                prompt,
                max_tokens: None,
                schema: None,
                draw: Draw::new(1),
            };
            verdict("fair", &question, (Draw::new(1), 0))
        };
        assert!(grade("", "[[rating]]").ends_with("[[1]]"));
        assert!(!grade(GOOD, "[[rating]]").ends_with("[[1]]"));
        assert!(grade(GOOD, "[RESULT] n").contains("[RESULT] "));
    }

    #[test]
    fn the_best_of_several_is_picked() {
        let prompt = format!("[Answer 1]\nno\n[End of answer 1]\n[Answer 2]\n{GOOD}\n[End of answer 2]\nSay [[n]].");
        let question =
            Question { model: "", context: String::new(), prompt, max_tokens: None, schema: None, draw: Draw::new(1) };
        assert_eq!(verdict("fair", &question, (Draw::new(1), 0)), "[[2]]");
        let prompt = format!("{}\nWrite a checklist, then the number.", question.prompt.replace("[[n]]", "it"));
        let asked = Question { prompt, ..question };
        let last = |kind: &str| verdict(kind, &asked, (Draw::new(1), 0)).lines().last().map(str::to_owned);
        assert_eq!(["fair", "A", "noise:1"].map(last), ["2", "1", "1"].map(|place| Some(place.to_owned())));
    }
}
