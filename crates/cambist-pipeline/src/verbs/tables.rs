//! Tables of artifacts: written as Parquet, read back after comparing the bytes with the manifest.

use cambist_core::{language::Language, router::Decision};
use cambist_io::{
    formats::{self, Cell, TableRow},
    store::{Artifact, Scratch},
};
use serde::{Deserialize, Serialize};

use crate::error::PipelineError;

/// Completions of a `generate` artifact.
pub(crate) const COMPLETIONS: &str = "completions.parquet";
/// Scores of a `generate` or `score` artifact.
pub(crate) const SCORES: &str = "scores.parquet";
/// Scores of the members of a panel, beside its own.
pub(crate) const MEMBER_SCORES: &str = "member_scores.parquet";
/// How far the members of a panel disagree, by language.
pub(crate) const DISAGREEMENT: &str = "disagreement.json";
/// How the comparisons of a judge came out, by language.
pub(crate) const COMPARISONS: &str = "comparisons.json";
/// Whom a `generate` step's router asked, and how likely that was, where it draws lots.
pub(crate) const ASKED: &str = "asked.parquet";
/// Candidates of a `select` artifact.
pub(crate) const CANDIDATES: &str = "candidates.parquet";
/// Decisions of a `select` artifact.
pub(crate) const DECISIONS: &str = "decisions.parquet";
/// Outcomes of an `evaluate` artifact.
pub(crate) const OUTCOMES: &str = "outcomes.parquet";

/// Writes a table into an artifact in the making.
pub(crate) fn write_table<'a, R: TableRow + 'a>(
    scratch: &Scratch,
    name: &str,
    rows: impl IntoIterator<Item = &'a R>,
) -> Result<(), PipelineError> {
    Ok(scratch.write(name, &formats::to_parquet(rows)?)?)
}

/// Reads a table of a finished artifact, whole and unchanged since it was made.
pub(crate) fn read_table<R: TableRow>(artifact: &Artifact, name: &str) -> Result<Vec<R>, PipelineError> {
    artifact.read(name)?;
    Ok(formats::read_table(&artifact.path(name)?)?)
}

/// One answer as a strategy sees it; writers borrow its texts and its language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CandidateRow<S = String, L = Language> {
    /// The strategy whose own answers these are; empty for the answers that all share.
    pub set: S,
    pub prompt_id: S,
    pub source_id: S,
    pub language: L,
    pub task: Option<S>,
    pub teacher: S,
    pub sample: u32,
    pub reward: Option<f64>,
    pub passed: bool,
    /// Why a gate stopped it, as a code; none when it passed.
    pub stopped: Option<S>,
    pub tokens_in: Option<u32>,
    pub tokens_out: Option<u32>,
    pub cost_usd: f64,
}

impl TableRow for CandidateRow {
    const TABLE: &'static str = "candidates";
    const COLUMNS: &'static [(&'static str, Cell)] = &[
        ("set", Cell::Text),
        ("prompt_id", Cell::Text),
        ("source_id", Cell::Text),
        ("language", Cell::Text),
        ("task", Cell::Text),
        ("teacher", Cell::Text),
        ("sample", Cell::Integer),
        ("reward", Cell::Number),
        ("passed", Cell::Flag),
        ("stopped", Cell::Text),
        ("tokens_in", Cell::Integer),
        ("tokens_out", Cell::Integer),
        ("cost_usd", Cell::Number),
    ];
}

/// One answer that a router with lots asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AskedRow {
    pub prompt_id: String,
    pub source_id: String,
    pub language: Language,
    pub teacher: String,
    pub sample: u32,
    /// The probability with which it was asked for, over the router's lots.
    pub propensity: f64,
}

impl TableRow for AskedRow {
    const TABLE: &'static str = "asked";
    const COLUMNS: &'static [(&'static str, Cell)] = &[
        ("prompt_id", Cell::Text),
        ("source_id", Cell::Text),
        ("language", Cell::Text),
        ("teacher", Cell::Text),
        ("sample", Cell::Integer),
        ("propensity", Cell::Number),
    ];
}

/// What one strategy decided about one prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DecisionRow<S = String, D = Decision> {
    /// The strategy's name in the recipe.
    pub name: S,
    /// Where its answers stand among the candidates.
    pub set: S,
    #[serde(flatten)]
    pub decision: D,
}

impl TableRow for DecisionRow {
    const TABLE: &'static str = "decisions";
    const COLUMNS: &'static [(&'static str, Cell)] = &[
        ("name", Cell::Text),
        ("set", Cell::Text),
        ("prompt_id", Cell::Text),
        ("source_id", Cell::Text),
        ("language", Cell::Text),
        ("strategy", Cell::Text),
        ("teacher", Cell::Text),
        ("sample", Cell::Integer),
        ("outcome", Cell::Text),
        ("asked", Cell::TextList),
        ("score", Cell::Number),
        ("runner_up", Cell::Number),
        ("margin", Cell::Number),
        ("cost_usd", Cell::Number),
        ("propensity", Cell::Number),
    ];
}

/// What one model made of one held-out prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutcomeRow {
    /// The model's variant; empty when there is only one.
    pub variant: String,
    pub seed: Option<u64>,
    pub prompt_id: String,
    pub source_id: String,
    pub language: Language,
    pub task: Option<String>,
    pub text: String,
    /// The arbiter's value; none when it could not say.
    pub value: Option<f64>,
    pub tokens_out: Option<u32>,
}

impl TableRow for OutcomeRow {
    const TABLE: &'static str = "outcomes";
    const COLUMNS: &'static [(&'static str, Cell)] = &[
        ("variant", Cell::Text),
        ("seed", Cell::Integer),
        ("prompt_id", Cell::Text),
        ("source_id", Cell::Text),
        ("language", Cell::Text),
        ("task", Cell::Text),
        ("text", Cell::Text),
        ("value", Cell::Number),
        ("tokens_out", Cell::Integer),
    ];
}
