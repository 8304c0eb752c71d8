//! Routers outside recipes: fitted on plain files, asked about prompts as they come.

mod lines;

pub use lines::{RoutedLines, route_lines};

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use cambist_core::{
    candidate::Matrix,
    completion::{Completion, FinishReason},
    features::FeatureSource,
    feedback::{PartialOptions, Propensities},
    gates::Gates,
    identify::identify,
    language::Language,
    outline::Outline,
    pool::{Eligibility, ExpectedCosts, Pool},
    prompt::{Message, Prompt, Role},
    router::{FittedRouter, Learned, LearnedError},
    score::Score,
    teacher::{Coverage, Price, Teacher, TeacherKind},
};
use cambist_io::{
    disk,
    formats::{self, PromptColumns, RawPrompt, RecordedAnswer, RecordedColumns},
    store::StoreView,
};
use cambist_model::Pooling;

use crate::{
    checkpoint::{Bases, Checkpoint},
    error::PipelineError,
    hidden::{HiddenFeatures, Reading},
    inspect,
    recipe::params::HeadChoice,
    verbs::{Fitting, ROUTER, fitted_from_json, hashed, router_to_json},
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
    /// Reads prompts with a model instead.
    pub features: Option<FeatureModel>,
    /// Deals out folds.
    pub seed: u64,
    /// The largest weight of an answer where not all were asked for, at least 1.
    pub max_weight: f64,
}

/// A model that reads prompts.
#[derive(Clone, Debug)]
pub struct FeatureModel {
    /// A Hugging Face model folder, PEFT's folder of an adapter, or a GGUF file.
    pub folder: PathBuf,
    /// The layer, counted as `hidden_states` of `transformers`; the last where none.
    pub layer: Option<usize>,
    /// How the states of a prompt's tokens become one.
    pub pooling: Pooling,
}

impl FeatureModel {
    fn open(&self, label: &str, store: Option<&StoreView>) -> Result<HiddenFeatures, PipelineError> {
        let bases = Bases::of_recipe(Path::new("."));
        let checkpoint = Checkpoint::of_folder(&self.folder, bases)?;
        HiddenFeatures::open(label, (&checkpoint, Reading { layer: self.layer, pooling: self.pooling }), store)
    }
}

/// Fits a router on plain files: every model of the files is a teacher of all languages that it has an answer in, scores
/// alone decide (no gates), and an answer without a score, or without text where answers are given, is invalid.
///
/// Where not everybody was asked about each prompt, rows say under `propensity` how likely it was that they were asked for:
/// those of the answers, or of the scores where no answers are given.
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
    let source: Box<dyn FeatureSource> = match &files.features {
        None => Box::new(hashed("fit", files.bits)?),
        Some(model) => Box::new(model.open("fit", None)?),
    };
    Fitting {
        label: "fit",
        answers: (&matrix, &pool),
        propensities: propensities_of(files)?,
        source: source.as_ref(),
        head: files.head,
        partial: PartialOptions { max_weight: files.max_weight, seed: files.seed },
    }
    .fit()
}

fn propensities_of(files: &FitFiles) -> Result<Propensities, PipelineError> {
    let path = files.answers.as_ref().unwrap_or(&files.scores);
    let mut propensities = Propensities::default();
    for row in formats::read_propensities(path, &RecordedColumns::default())? {
        let inserted = propensities.insert(&row.prompt_id, &row.teacher, row.propensity);
        inserted.map_err(|error| {
            PipelineError::input("fit", error.to_string(), format!("mend the rows of `{}`", path.display()))
        })?;
    }
    Ok(propensities)
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
/// When there is no such file or artifact, it holds no router, the router is of another version, or it reads prompts with
/// a model.
pub fn open_router(store: &Path, name: &str) -> Result<Learned, PipelineError> {
    open_router_with(store, name, None)
}

/// As [`open_router`]; one that reads prompts with a model is given the folder of that model. What the store has of its
/// features is not computed again.
///
/// # Errors
/// As [`open_router`], and when `model` is not the one that it was fitted with.
pub fn open_router_with(store: &Path, name: &str, model: Option<&Path>) -> Result<Learned, PipelineError> {
    let path = Path::new(name);
    let view = StoreView::open(store).ok();
    let bytes = match path.is_file() {
        true => disk::read(path)?,
        false => inspect::find(&StoreView::open(store)?, name)?.read(ROUTER)?,
    };
    let fitted = fitted_from_json(name, &bytes)?;
    let refuse = |error: LearnedError| PipelineError::input(name, error.to_string(), "`cambist fit` makes routers");
    match (HiddenFeatures::parse(&fitted.features), model) {
        (None, None) => Learned::new(fitted).map_err(refuse),
        (None, Some(_)) => {
            let what = format!("the router reads features `{}`, which take no model", fitted.features);
            Err(PipelineError::input(name, what, "leave `--model` out"))
        }
        (Some(_), None) => {
            let what = format!("the router reads prompts with a model: `{}`", fitted.features);
            Err(PipelineError::input(name, what, "give its folder with `--model`"))
        }
        (Some(Reading { layer, pooling }), Some(folder)) => {
            let model = FeatureModel { folder: folder.to_owned(), layer, pooling };
            let source = model.open(name, view.as_ref())?;
            Learned::with_source(fitted, Box::new(source)).map_err(refuse)
        }
    }
}
