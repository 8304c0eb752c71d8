//! Prompts as lines of JSON, and where a router sends them, as lines of JSON again.

use std::collections::BTreeMap;

use cambist_core::{
    language::Language,
    prompt::{Message, Prompt},
    router::{Learned, Ranker, Router},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::language_of;
use crate::error::PipelineError;

/// Lines that a thread routes before others are asked for.
const ROUTED_AT_ONCE: usize = 64;

/// A prompt as a line of JSON.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Option<serde_json::Value>,
    #[serde(default, alias = "lang")]
    language: Option<Language>,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    messages: Option<Vec<Message>>,
    #[serde(default)]
    task: Option<String>,
}

/// Where a router sends a prompt.
#[derive(Serialize)]
struct Routed<'r> {
    /// The prompt's id as the line has it; else the number of the line.
    id: serde_json::Value,
    /// The prompt's language, identified where the line has none.
    language: Language,
    /// Whether the router learned from prompts of that language; if not, it falls back to all languages together.
    calibrated: bool,
    /// Whom to ask.
    teacher: &'r str,
    /// The probability with which the router asks that teacher; 1 unless it explores.
    propensity: f64,
    /// The score of every teacher; comparable within one prompt alone.
    scores: BTreeMap<&'r str, f64>,
}

/// Where a router sends the prompts of some lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutedLines {
    /// A line of JSON for each prompt, in their order: its `id` as the line has it, else the number of the line; its
    /// `language`, identified where the line has none; whether the router learned from prompts of that language
    /// (`calibrated`); the `teacher` to ask; the probability with which the router asks it (`propensity`); the `scores` of
    /// all teachers, comparable within one prompt alone.
    pub json: String,
    /// How many prompts there are.
    pub n_prompts: usize,
    /// How many are in languages that the router did not learn from.
    pub n_uncalibrated: usize,
}

/// Routes lines of JSON side by side; the first of them has the number `first`, blank ones count and are left out. Lines
/// need `prompt` or `messages`, and may have `id`, `language` (or `lang`) and `task`.
///
/// # Errors
/// When a line is no such JSON; the first of them is told.
pub fn route_lines(router: &Learned, lines: &str, first: usize) -> Result<RoutedLines, PipelineError> {
    let lines: Vec<(usize, &str)> = (first..).zip(lines.lines()).filter(|(_, line)| !line.trim().is_empty()).collect();
    let chunks =
        lines.par_chunks(ROUTED_AT_ONCE).map_init(|| router.ranker(), |ranker, chunk| routed((router, ranker), chunk));
    let mut all = RoutedLines::default();
    // Collected before it is searched for a failure: the first one in the order of the lines is told.
    for chunk in chunks.collect::<Vec<Result<RoutedLines, PipelineError>>>() {
        let chunk = chunk?;
        all.json += &chunk.json;
        all.n_prompts += chunk.n_prompts;
        all.n_uncalibrated += chunk.n_uncalibrated;
    }
    Ok(all)
}

/// Routes some lines one after the other.
fn routed<'r>(
    (router, ranker): (&'r Learned, &mut Ranker<'r>),
    lines: &[(usize, &str)],
) -> Result<RoutedLines, PipelineError> {
    let asked = lines.iter().map(|line| asked(*line)).collect::<Result<Vec<_>, PipelineError>>()?;
    let prompts: Vec<&Prompt> = asked.iter().map(|(_, prompt)| prompt).collect();
    let unread = |error| PipelineError::input("--model", error, "give the model that the router was fitted with");
    router.prepare(&prompts).map_err(unread)?;
    let mut done = RoutedLines::default();
    for (id, prompt) in asked {
        let ranked = router.explored(&prompt.id, ranker.rank(&prompt));
        let Some(first) = ranked.first() else {
            return Err(PipelineError::input("--router", "the router knows no teacher", "fit it again"));
        };
        let routed = Routed {
            id,
            calibrated: router.is_calibrated_for(&prompt.language),
            language: prompt.language,
            teacher: first.teacher,
            propensity: first.propensity,
            scores: ranked.iter().map(|one| (one.teacher, one.score)).collect(),
        };
        done.n_prompts += 1;
        done.n_uncalibrated += usize::from(!routed.calibrated);
        done.json += &serde_json::to_string(&routed).map_err(|error| PipelineError::Internal(error.to_string()))?;
        done.json.push('\n');
    }
    Ok(done)
}

/// Reads a prompt, with its id as the line has it.
fn asked((number, line): (usize, &str)) -> Result<(serde_json::Value, Prompt), PipelineError> {
    let refuse = |what: String| {
        let remedy = r#"expected JSON such as {"id": "1", "language": "tr", "prompt": "..."}"#;
        PipelineError::input(&format!("line {number}"), what, remedy)
    };
    let Line { id, language, prompt, messages, task } =
        serde_json::from_str(line).map_err(|e| refuse(e.to_string()))?;
    let messages = match (prompt, messages) {
        (Some(text), None) => vec![Message::user(text)],
        (None, Some(messages)) => messages,
        (None, None) => return Err(refuse("there is neither `prompt` nor `messages`".to_owned())),
        (Some(_), Some(_)) => return Err(refuse("`prompt` and `messages` stand side by side".to_owned())),
    };
    let id = id.unwrap_or_else(|| number.into());
    let name = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    let language = language.map_or_else(|| language_of(&messages), Ok)?;
    let prompt = Prompt {
        source_id: name.clone(),
        id: name,
        language,
        answer_language: None,
        messages,
        task,
        reference: None,
        check: None,
        source: String::new(),
        origin: None,
        mt_engine: None,
    };
    Ok((id, prompt))
}
