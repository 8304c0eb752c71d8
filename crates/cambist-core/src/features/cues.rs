//! Cues: a few dense numbers about the form of a prompt, each between 0 and about 1.

use super::characters::{Character, N_COUNTED, is_question};
use crate::prompt::{Prompt, Role};

/// How many cues there are; they are the first features of a vector.
pub(super) const N_CUES: usize = 18;

/// Kinds that one word of counters holds, and how wide a counter is: 4,095 characters, more than are ever read.
const IN_A_WORD: usize = 5;
const COUNTER_BITS: usize = 12;

/// For every set of five kinds, a one in the counter of each.
const ONES: [u64; 1 << IN_A_WORD] = {
    let mut ones = [0; 1 << IN_A_WORD];
    let mut set = 0;
    while set < ones.len() {
        let mut kind = 0;
        while kind < IN_A_WORD {
            ones[set] |= ((set as u64 >> kind) & 1) << (kind * COUNTER_BITS);
            kind += 1;
        }
        set += 1;
    }
    ones
};

/// Counts of characters by what they are: at most 4,095 of them.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    characters: usize,
    words: [u64; N_COUNTED / IN_A_WORD],
}

impl Counts {
    /// Counts one more character.
    #[inline(always)]
    pub(super) fn add(&mut self, known: Character) {
        self.characters += 1;
        let kinds = known.counted() as usize;
        self.words[0] += ONES[kinds & (ONES.len() - 1)];
        self.words[1] += ONES[kinds >> IN_A_WORD];
    }

    fn of_kind(&self, kind: usize) -> usize {
        let word = self.words[kind / IN_A_WORD] >> (kind % IN_A_WORD * COUNTER_BITS);
        word as usize & ((1 << COUNTER_BITS) - 1)
    }
}

/// Returns the cues of a prompt whose whole conversation is `text`, with the counts of its characters.
pub(super) fn cues(prompt: &Prompt, text: &str, counts: Counts) -> [f32; N_CUES] {
    let [newlines, digits, upper, punctuation, beyond_ascii, spaces, code, math, questions, quotes] =
        std::array::from_fn::<usize, N_COUNTED, _>(|kind| counts.of_kind(kind));
    let share = |n: usize| n as f32 / counts.characters.max(1) as f32;
    let log = |n: usize, scale: f32| (1.0 + n as f32).ln() / scale;
    let is = |found: bool| f32::from(u8::from(found));
    let lists = text.lines().filter(|line| is_list_item(line)).count();
    [
        log(counts.characters, 10.0),
        log(newlines, 5.0),
        log(spaces, 8.0),
        share(digits),
        share(upper),
        share(punctuation),
        share(beyond_ascii),
        share(code),
        share(math),
        is(digits > 0),
        is(text.contains("```")),
        is(questions > 0),
        is(text.trim_end().ends_with(is_question)),
        is(quotes > 1),
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
