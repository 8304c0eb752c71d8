//! Cues: a few dense numbers about the form of a prompt, each between 0 and about 1.

use crate::prompt::{Prompt, Role};

/// How many cues there are; they are the first features of a vector.
pub(super) const N_CUES: usize = 18;

/// Counts of characters by what they are.
#[derive(Default)]
struct Counts {
    characters: usize,
    lines: usize,
    digits: usize,
    upper: usize,
    punctuation: usize,
    beyond_ascii: usize,
    spaces: usize,
    code: usize,
    math: usize,
    questions: usize,
    quotes: usize,
}

impl Counts {
    fn of(text: &str) -> Self {
        let mut counts = Self { lines: 1, ..Self::default() };
        for c in text.chars() {
            counts.characters += 1;
            counts.lines += usize::from(c == '\n');
            counts.digits += usize::from(c.is_numeric());
            counts.upper += usize::from(c.is_uppercase());
            counts.punctuation += usize::from(c.is_ascii_punctuation());
            counts.beyond_ascii += usize::from(!c.is_ascii());
            counts.spaces += usize::from(c.is_whitespace());
            counts.code += usize::from(matches!(c, '{' | '}' | '(' | ')' | '[' | ']' | ';' | '=' | '<' | '>' | '_'));
            counts.math += usize::from(matches!(c, '+' | '=' | '^' | '%' | '$' | '×' | '÷' | '√' | '∑' | '≤' | '≥'));
            counts.questions += usize::from(is_question(c));
            counts.quotes += usize::from(matches!(c, '"' | '“' | '”' | '„' | '«' | '»' | '「' | '」' | '『' | '』'));
        }
        counts
    }
}

/// Question marks of the scripts that have their own.
fn is_question(c: char) -> bool {
    matches!(c, '?' | '？' | '؟' | ';' | '՞' | '፧')
}

/// Returns the cues of a prompt whose whole conversation is `text`.
pub(super) fn cues(prompt: &Prompt, text: &str) -> [f32; N_CUES] {
    let counts = Counts::of(text);
    let share = |n: usize| n as f32 / counts.characters.max(1) as f32;
    let log = |n: usize, scale: f32| (1.0 + n as f32).ln() / scale;
    let is = |found: bool| f32::from(u8::from(found));
    let lists = text.lines().filter(|line| is_list_item(line)).count();
    [
        log(counts.characters, 10.0),
        log(counts.lines - 1, 5.0),
        log(counts.spaces, 8.0),
        share(counts.digits),
        share(counts.upper),
        share(counts.punctuation),
        share(counts.beyond_ascii),
        share(counts.code),
        share(counts.math),
        is(counts.digits > 0),
        is(text.contains("```")),
        is(counts.questions > 0),
        is(text.trim_end().ends_with(is_question)),
        is(counts.quotes > 1),
        log(lists, 4.0),
        is(text.contains("://")),
        log(prompt.messages.len().saturating_sub(1), 3.0),
        is(prompt.messages.iter().any(|turn| turn.role == Role::System)),
    ]
}

/// Whether a line begins as an item of a list: `- `, `* `, `• `, `1. `, `1) `.
fn is_list_item(line: &str) -> bool {
    let line = line.trim_start();
    let after_number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_numbered = after_number.len() < line.len() && after_number.starts_with(['.', ')']);
    is_numbered || ["- ", "* ", "• "].iter().any(|bullet| line.starts_with(bullet))
}
