//! The columns of the nouns that all rooms share.

use cambist_core::{completion::Completion, prompt::Prompt, score::Score};

use super::table::{Cell, TableRow};

impl TableRow for Prompt {
    const TABLE: &'static str = "prompts";
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
    ];
}

impl TableRow for Completion {
    const TABLE: &'static str = "completions";
    const COLUMNS: &'static [(&'static str, Cell)] = &[
        ("prompt_id", Cell::Text),
        ("source_id", Cell::Text),
        ("language", Cell::Text),
        ("teacher", Cell::Text),
        ("sample", Cell::Integer),
        ("text", Cell::Text),
        ("finish_reason", Cell::Text),
        ("failure", Cell::Text),
        ("tokens_in", Cell::Integer),
        ("tokens_out", Cell::Integer),
        ("cost_usd", Cell::Number),
        ("origin", Cell::Json),
    ];
}

impl TableRow for Score {
    const TABLE: &'static str = "scores";
    const COLUMNS: &'static [(&'static str, Cell)] = &[
        ("prompt_id", Cell::Text),
        ("teacher", Cell::Text),
        ("sample", Cell::Integer),
        ("arbiter", Cell::Text),
        ("value", Cell::Number),
        ("missing", Cell::Text),
    ];
}
