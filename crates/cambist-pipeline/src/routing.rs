//! Routers outside recipes: fitted on plain files, asked about prompts as they come.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use cambist_core::{
    candidate::Matrix,
    completion::{Completion, FinishReason},
    gates::Gates,
    identify::identify,
    language::Language,
    outline::Outline,
    pool::{Eligibility, ExpectedCosts, Pool},
    prompt::{Message, Prompt, Role},
    router::{FittedRouter, Learned, Router},
    score::Score,
    teacher::{Coverage, Price, Teacher, TeacherKind},
};
use cambist_io::{
    disk,
    formats::{self, PromptColumns, RawPrompt, RecordedAnswer, RecordedColumns},
    store::StoreView,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    error::PipelineError,
    inspect,
    recipe::params::HeadChoice,
    verbs::{ROUTER, fit_router, router_from_json, router_to_json},
};

/// A language is told by this many characters.
const LOOKED_AT: usize = 400;

/// What stands for the language where none can be told.
const UNDETERMINED: &str = "und";

/// Files that a router is fitted on: prompts, scores and, where there are any, answers, as `replay` and `recorded` read
/// them.
#[derive(Clone, Debug)]
pub struct FitFiles {
    /// Prompts of any usual shape.
    pub prompts: PathBuf,
    /// Scores, one row for each prompt and model.
    pub scores: PathBuf,
    /// Answers; without them every scored answer counts as given.
    pub answers: Option<PathBuf>,
    /// Whose scores count, where several stand in one file.
    pub judge: Option<String>,
    /// Which head.
    pub head: HeadChoice,
    /// Features are hashed into two to the power of this many buckets.
    pub bits: u32,
    /// Deals out folds.
    pub seed: u64,
}

/// Fits a router on plain files: every model of the files is a teacher of all languages, scores alone decide (no gates),
/// and an answer without a score, or without text where answers are given, is invalid.
///
/// # Errors
/// When a file cannot be read, scores are of several judges and none is named, or the scores teach nothing.
pub fn fit_files(files: &FitFiles) -> Result<FittedRouter, PipelineError> {
    let raw = formats::read_prompts(&files.prompts, &PromptColumns::default())?;
    let prompts = (0usize..).zip(raw).map(|(at, raw)| named(raw, at)).collect::<Result<Vec<_>, _>>()?;
    let scores = scores_of(files)?;
    let answers = match &files.answers {
        Some(path) => formats::read_answers(path, &RecordedColumns::default())?,
        None => scores.iter().map(answer_behind).collect(),
    };
    let (matrix, pool) = side_by_side(files, prompts, (answers, &scores))?;
    fit_router("fit", (&matrix, &pool), (files.head, files.bits), files.seed)
}

fn named(raw: RawPrompt, at: usize) -> Result<Prompt, PipelineError> {
    let language = raw.language.clone().map_or_else(|| language_of(&raw.messages), Ok)?;
    Ok(raw.into_prompt(language, format!("prompt-{at}")))
}

/// The language that the last turn of the user is written in.
fn language_of(messages: &[Message]) -> Result<Language, PipelineError> {
    let mut asked = messages.iter().rev().filter(|message| message.role != Role::Assistant);
    let start = |text: &str| text.chars().take(LOOKED_AT).collect::<String>();
    match asked.find_map(|message| identify(&start(&message.content))) {
        Some(found) => Ok(found.language),
        None => Language::parse(UNDETERMINED).map_err(|error| PipelineError::Internal(error.to_string())),
    }
}

fn scores_of(files: &FitFiles) -> Result<Vec<Score>, PipelineError> {
    const UNNAMED: &str = "scores";
    let scores = formats::read_scores(&files.scores, &RecordedColumns::default(), UNNAMED)?;
    let judges: BTreeSet<&str> = scores.iter().map(|score| score.arbiter.as_str()).collect();
    let listed = judges.iter().copied().collect::<Vec<_>>().join("`, `");
    let refuse = |what: String, remedy: String| Err(PipelineError::input("fit", what, remedy));
    match &files.judge {
        Some(judge) if !judges.contains(judge.as_str()) => {
            let what = format!("`{judge}` scored nothing in `{}`", files.scores.display());
            refuse(what, format!("the file has scores of `{listed}`"))
        }
        None if judges.len() > 1 => {
            let what = format!("`{}` has scores of `{listed}`", files.scores.display());
            refuse(what, "say with --judge whose count".to_owned())
        }
        Some(judge) => Ok(scores.into_iter().filter(|score| score.arbiter == *judge).collect()),
        None => Ok(scores),
    }
}

fn answer_behind(score: &Score) -> RecordedAnswer {
    let text = Some("(not recorded)".to_owned());
    RecordedAnswer { prompt_id: score.prompt_id.clone(), teacher: score.teacher.clone(), sample: score.sample, text }
}

fn side_by_side(
    files: &FitFiles,
    prompts: Vec<Prompt>,
    (answers, scores): (Vec<RecordedAnswer>, &[Score]),
) -> Result<(Matrix, Pool), PipelineError> {
    let by_id: HashMap<&str, &Prompt> = prompts.iter().map(|prompt| (prompt.id.as_str(), prompt)).collect();
    let known: Vec<(&Prompt, RecordedAnswer)> =
        answers.into_iter().filter_map(|answer| Some((*by_id.get(answer.prompt_id.as_str())?, answer))).collect();
    let teachers: BTreeSet<String> = known.iter().map(|(_, answer)| answer.teacher.clone()).collect();
    let completions = known.into_iter().map(|(prompt, answer)| completion(prompt, answer)).collect();
    let gates = Gates { language: None, repetition: None, echo: None, mixed: None, refusal: None, ..Gates::default() };
    let matrix = Matrix::judged(prompts.clone(), completions, scores, &gates).map_err(|error| {
        let remedy = format!("check `{}` and `{}`", files.prompts.display(), files.scores.display());
        PipelineError::input("fit", error.to_string(), remedy)
    })?;
    let eligibility = Eligibility { allow_unknown_license: true, ..Eligibility::default() };
    let teachers = teachers.into_iter().map(teacher).collect();
    let mut pool = Pool::new(teachers, eligibility).map_err(|error| PipelineError::Internal(error.to_string()))?;
    pool.costs = ExpectedCosts::fit(&Outline::of(&matrix));
    Ok((matrix, pool))
}

fn completion(prompt: &Prompt, answer: RecordedAnswer) -> Completion {
    let failure = answer.text.is_none().then(|| "no recorded answer".to_owned());
    Completion {
        prompt_id: prompt.id.clone(),
        source_id: prompt.source_id.clone(),
        language: prompt.language.clone(),
        teacher: answer.teacher,
        sample: answer.sample,
        text: answer.text.unwrap_or_default(),
        finish_reason: if failure.is_some() { FinishReason::Error } else { FinishReason::Stop },
        failure,
        tokens_in: None,
        tokens_out: None,
        cost_usd: 0.0,
        origin: None,
    }
}

fn teacher(id: String) -> Teacher {
    Teacher {
        id,
        kind: TeacherKind::Multilingual,
        languages: Coverage::All,
        license: "unknown".to_owned(),
        outputs_may_train: None,
        price: Price::default(),
    }
}

/// Writes a router where [`open_router`] finds it.
///
/// # Errors
/// When the disk refuses.
pub fn write_router(fitted: &FittedRouter, path: &Path) -> Result<(), PipelineError> {
    Ok(disk::write_atomic(path, &router_to_json(fitted)?)?)
}

/// Opens a router: a file, or an artifact of the store by the beginning of its name or as `recipe.step`.
///
/// # Errors
/// When there is no such file or artifact, it holds no router, or the router is of another version.
pub fn open_router(store: &Path, name: &str) -> Result<Learned, PipelineError> {
    let path = Path::new(name);
    if path.is_file() {
        return router_from_json(name, &disk::read(path)?);
    }
    let artifact = inspect::find(&StoreView::open(store)?, name)?;
    router_from_json(name, &artifact.read(ROUTER)?)
}

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
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Routed {
    /// The prompt's id as the line has it; else the number of the line.
    pub id: serde_json::Value,
    /// The prompt's language, identified where the line has none.
    pub language: Language,
    /// Whether the router learned from prompts of that language; if not, it falls back to all languages together.
    pub calibrated: bool,
    /// Whom to ask.
    pub teacher: String,
    /// The probability with which the router asks that teacher; 1 unless it explores.
    pub propensity: f64,
    /// The score of every teacher; comparable within one prompt alone.
    pub scores: BTreeMap<String, f64>,
}

/// Routes lines of JSON side by side, in their order; each comes with its number in the file, from 1. Lines need `prompt`
/// or `messages`, and may have `id`, `language` (or `lang`) and `task`.
///
/// # Errors
/// When a line is no such JSON; the first of them is told.
pub fn route_lines(router: &Learned, lines: &[(usize, String)]) -> Result<Vec<Routed>, PipelineError> {
    lines.par_iter().map(|(number, line)| route_line(router, (*number, line))).collect()
}

fn route_line(router: &Learned, (number, line): (usize, &str)) -> Result<Routed, PipelineError> {
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
    let ranked = router.explored(&prompt.id, router.ranking(&prompt));
    let Some(first) = ranked.first().cloned() else { return Err(refuse("the router knows no teacher".to_owned())) };
    Ok(Routed {
        id,
        calibrated: router.is_calibrated_for(&prompt.language),
        language: prompt.language,
        teacher: first.teacher,
        propensity: first.propensity,
        scores: ranked.into_iter().map(|one| (one.teacher, one.score)).collect(),
    })
}
