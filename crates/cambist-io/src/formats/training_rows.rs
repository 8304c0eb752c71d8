//! What trainers read: supervised rows, preference pairs and labelled answers, in the shapes of TRL and Hugging Face.

use cambist_core::{language::Language, prompt::Message};
use serde::{Deserialize, Serialize};

use super::table::{Cell, TableRow};

/// One row of a set for supervised fine-tuning, in TRL's conversational shape with its provenance beside it.
///
/// Writers may borrow: texts `S`, a language `L` and messages `M` that are written as those of the defaults are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SftRow<S = String, L = Language, M = Vec<Message>> {
    /// The prompt's name.
    pub id: S,
    /// Shared by the translations of one prompt.
    pub source_id: S,
    /// The language of the answer.
    pub language: L,
    /// The set that the prompt came from.
    pub source: S,
    /// What kind of task it is; none when unknown.
    pub task: Option<S>,
    /// The whole conversation; the last turn is the answer that was kept.
    pub messages: M,
    /// Who answered.
    pub teacher: S,
    /// The licence of the answer, SPDX where there is one.
    pub license: S,
    /// The answer's reward; none when it was kept without one.
    pub score: Option<f64>,
}

impl TableRow for SftRow {
    const TABLE: &'static str = "supervised rows";
    const COLUMNS: &'static [(&'static str, Cell)] = &[
        ("id", Cell::Text),
        ("source_id", Cell::Text),
        ("language", Cell::Text),
        ("source", Cell::Text),
        ("task", Cell::Text),
        ("messages", Cell::Messages),
        ("teacher", Cell::Text),
        ("license", Cell::Text),
        ("score", Cell::Number),
    ];
}

/// One preference pair in TRL's conversational shape with an explicit prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreferenceRow {
    /// The prompt's name.
    pub id: String,
    /// Shared by the translations of one prompt.
    pub source_id: String,
    /// The language of the answers.
    pub language: Language,
    /// The set that the prompt came from.
    pub source: String,
    /// The turns before the answers; the last is the user's.
    pub prompt: Vec<Message>,
    /// The better answer, one assistant's turn.
    pub chosen: Vec<Message>,
    /// The worse answer, one assistant's turn.
    pub rejected: Vec<Message>,
    /// Who gave the better answer.
    pub chosen_model: String,
    /// Who gave the worse answer.
    pub rejected_model: String,
    /// The reward of the better answer.
    pub chosen_score: f64,
    /// The reward of the worse answer.
    pub rejected_score: f64,
    /// `chosen_score - rejected_score`.
    pub margin: f64,
}

impl TableRow for PreferenceRow {
    const TABLE: &'static str = "preference pairs";
    const COLUMNS: &'static [(&'static str, Cell)] = &[
        ("id", Cell::Text),
        ("source_id", Cell::Text),
        ("language", Cell::Text),
        ("source", Cell::Text),
        ("prompt", Cell::Messages),
        ("chosen", Cell::Messages),
        ("rejected", Cell::Messages),
        ("chosen_model", Cell::Text),
        ("rejected_model", Cell::Text),
        ("chosen_score", Cell::Number),
        ("rejected_score", Cell::Number),
        ("margin", Cell::Number),
    ];
}

/// One answer that is wanted or not, in TRL's conversational shape of unpaired preferences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelledRow {
    /// The prompt's name.
    pub id: String,
    /// Shared by the translations of one prompt.
    pub source_id: String,
    /// The language of the answer.
    pub language: Language,
    /// The set that the prompt came from.
    pub source: String,
    /// What kind of task it is; none when unknown.
    pub task: Option<String>,
    /// The turns before the answer; the last is the user's.
    pub prompt: Vec<Message>,
    /// The answer, one assistant's turn.
    pub completion: Vec<Message>,
    /// Whether the answer is wanted.
    pub label: bool,
    /// Who answered.
    pub teacher: String,
    /// The licence of the answer, SPDX where there is one.
    pub license: String,
    /// The answer's reward.
    pub score: f64,
}

impl TableRow for LabelledRow {
    const TABLE: &'static str = "labelled answers";
    const COLUMNS: &'static [(&'static str, Cell)] = &[
        ("id", Cell::Text),
        ("source_id", Cell::Text),
        ("language", Cell::Text),
        ("source", Cell::Text),
        ("task", Cell::Text),
        ("prompt", Cell::Messages),
        ("completion", Cell::Messages),
        ("label", Cell::Flag),
        ("teacher", Cell::Text),
        ("license", Cell::Text),
        ("score", Cell::Number),
    ];
}
