//! A prompt as its table has it.

use cambist_core::prompt::Prompt;
use cambist_io::formats::{Cell, TableRow};
use serde::{Deserialize, Serialize};

/// A prompt, and how sure its language is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PromptRow {
    #[serde(flatten)]
    pub(super) prompt: Prompt,
    /// How far ahead of the next language the identified one is, 0 to 1; none where the language was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) language_confidence: Option<f64>,
}

impl TableRow for PromptRow {
    const TABLE: &'static str = Prompt::TABLE;
    const COLUMNS: &'static [(&'static str, Cell)] = &[
        ("id", Cell::Text),
        ("source_id", Cell::Text),
        ("language", Cell::Text),
        ("answer_language", Cell::Text),
        ("messages", Cell::Messages),
        ("task", Cell::Text),
        ("reference", Cell::Text),
        ("check", Cell::Json),
        ("source", Cell::Text),
        ("origin", Cell::Text),
        ("mt_engine", Cell::Text),
        ("language_confidence", Cell::Number),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_a_prompt_is_there() {
        assert_eq!(PromptRow::COLUMNS[..Prompt::COLUMNS.len()], *Prompt::COLUMNS);
    }
}
