//! The typed parameters of every verb: what changes a result, and nothing else.

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf};

use cambist_core::{
    align::Align,
    gates::Gates,
    head::{HeadKind, TuneOptions},
    labels::LabelOptions,
    language::Language,
    minhash::NearDuplicates,
    pairs::PairOptions,
    pool::Eligibility,
};
use cambist_io::formats::PromptColumns;
use cambist_model::{Dtype, LoraConfig, Pooling, Sampling, Shape, TrainConfig};
use serde::{Deserialize, Serialize};

use super::{loss::LossParams, reference::Reference, routing::BudgetedParams};
use crate::hidden::Reading;

/// Makes prompts: from the built-in `polyglot` task or from a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptsParams {
    /// Takes prompts from the built-in task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polyglot: Option<PolyglotParams>,
    /// Takes prompts from this file, relative to the recipe; a folder stands for the files of rows in it, a pattern
    /// such as `data/*.parquet` for those that it fits, in the order of their names. `hf://` and `s3://` addresses are
    /// fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Says which columns of the file mean what, where the names do not say it.
    #[serde(default)]
    pub columns: PromptColumns,
    /// What to do about rows that cannot be read, are empty, too long, or share their name with another.
    #[serde(default)]
    pub bad_rows: BadRows,
    /// A prompt of more characters is a bad row; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_chars: Option<usize>,
    /// The language of prompts that do not say theirs; identified from the text when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// Drops prompts whose language had to be identified with less confidence than this, 0 to 1; default 0.
    #[serde(default)]
    pub min_language_confidence: f64,
    /// Keeps these languages only; all when empty. `polyglot` writes its prompts in these.
    #[serde(default)]
    pub languages: Vec<Language>,
    /// Drops prompts that are nearly equal to an earlier one of their language; when absent only equal ones are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near_duplicates: Option<NearDuplicates>,
    /// Keeps at most this many prompts of each language, chosen by the hash of their sources, so that translations stay
    /// together; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_language: Option<usize>,
    /// Named disjoint sets and how many sources each takes; one set of everything when empty.
    #[serde(default)]
    pub splits: BTreeMap<String, usize>,
    /// Keeps at most this many sources in each set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// What prompts of other sets may share with those of a test set. `polyglot` is not looked at: its prompts come from
    /// few templates.
    #[serde(default)]
    pub overlap: OverlapParams,
}

/// What to do about rows that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadRows {
    /// Refuses the file and tells of its bad rows. The default.
    #[default]
    Refuse,
    /// Leaves them out and lists them in `rejected.jsonl`.
    Drop,
}

/// What prompts to learn from may share with prompts to test on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverlapParams {
    /// The splits that nothing may give away; when empty the one called `test`, if there is one.
    pub held_out: Vec<String>,
    /// A prompt overlaps when it shares more than this part of the 13-grams of the shorter prompt; equal prompts always
    /// do. Default 0.8.
    pub max_share: f64,
    /// What to do about overlapping prompts of other splits.
    pub action: OverlapAction,
}

impl Default for OverlapParams {
    fn default() -> Self {
        Self { held_out: Vec::new(), max_share: 0.8, action: OverlapAction::Refuse }
    }
}

/// What to do about prompts that give held-out ones away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverlapAction {
    /// Stops. The default.
    #[default]
    Refuse,
    /// Leaves them out of the other splits.
    Drop,
    /// Keeps them, unseen.
    Ignore,
}

/// What to draw from the `polyglot` task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolyglotParams {
    /// Kinds of task by name; all when empty.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// How many sources, each written in every language; as many as the splits take when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<usize>,
}

/// Whom to ask, as a recipe writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouterParams {
    /// Every eligible teacher (reward-based routing, with `keep: best`).
    All,
    /// One eligible teacher by lot.
    Random,
    /// The best eligible teacher of each language, by a table made on calibration prompts.
    Fixed,
    /// One teacher by id, or `best` for the best on calibration prompts.
    Single(String),
    /// One teacher several times, best answer kept.
    SingleBon {
        /// The teacher's id, or `best`.
        teacher: String,
        /// How many answers, at least 2.
        samples: u32,
    },
    /// One teacher after the other, until the next one is not worth its price.
    Budgeted(BudgetedParams),
    /// Every eligible teacher several times, best answer kept.
    AllBon {
        /// How many answers of each, at least 2.
        samples: u32,
    },
    /// The teacher that a fitted router expects most of, by the prompt's own words.
    Learned {
        /// A `fit` step.
        from: Reference,
        /// The probability of drawing a teacher from the router's shares instead of asking its first, 0 to 1; default 0.
        #[serde(default)]
        explore: f64,
    },
}

impl RouterParams {
    /// Whether it must see calibration answers before it can decide.
    pub fn needs_calibration(&self) -> bool {
        match self {
            Self::Fixed | Self::Budgeted(_) => true,
            Self::Single(teacher) | Self::SingleBon { teacher, .. } => teacher == "best",
            Self::All | Self::AllBon { .. } | Self::Random | Self::Learned { .. } => false,
        }
    }

    /// The step that fitted it, where it was fitted.
    pub fn fitted_by(&self) -> Option<&Reference> {
        match self {
            Self::Learned { from, .. } => Some(from),
            _ => None,
        }
    }

    /// How many answers it takes from one teacher.
    pub fn n_samples(&self) -> u32 {
        match self {
            Self::SingleBon { samples, .. } | Self::AllBon { samples } => *samples,
            _ => 1,
        }
    }

    /// Whether lots decide whom it asks; the probabilities are then kept.
    pub fn draws_lots(&self) -> bool {
        match self {
            Self::Random => true,
            Self::Learned { explore, .. } => *explore > 0.0,
            Self::Budgeted(params) => params.audit_share > 0.0,
            Self::All | Self::AllBon { .. } | Self::Fixed | Self::Single(_) | Self::SingleBon { .. } => false,
        }
    }

    /// Whether it looks at answers before it decides whom to ask next; such a router needs gates and scores on the way.
    pub fn reads_answers(&self) -> bool {
        matches!(self, Self::Budgeted(_))
    }
}

/// Translates prompts, or answers to other prompts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranslateParams {
    /// Prompts to translate; beside `answers`, the prompts that the translated answers are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Reference>,
    /// Answers to translate, each for the other members of its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Reference>,
    /// Whose answers to translate, where several answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers_of: Option<String>,
    /// Languages to translate into; beside `answers` all of the prompts when empty.
    #[serde(default)]
    pub to: Vec<Language>,
    /// The language to translate from; each prompt's own for prompts, `en` for answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Language>,
    /// Who translates: a member of the pool.
    pub teacher: String,
    /// What the translator is asked, with `{source_language}`, `{target_language}` and `{text}` to be filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// How translations are drawn; greedy by default.
    #[serde(default)]
    pub sampling: Sampling,
    /// Whom translated answers are said to be by; `translation` by default.
    #[serde(default = "translation", rename = "as")]
    pub name: String,
    /// Keeps all prompts that are read beside the translations; false by default.
    #[serde(default)]
    pub keep_sources: bool,
    /// The share of calls, 0 to 1, that may stay without an answer for reasons that could pass before the step refuses
    /// to be finished; 0.01 by default.
    #[serde(default = "one_percent", skip_serializing)]
    pub max_failed: f64,
}

impl TranslateParams {
    /// The language that answers are translated from; `en` by default.
    pub fn answered_in(&self) -> &str {
        self.from.as_ref().map_or("en", Language::primary)
    }
}

/// Asks teachers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateParams {
    /// What to ask.
    pub prompts: Reference,
    /// Whom of the pool; everybody when empty.
    #[serde(default)]
    pub teachers: Vec<String>,
    /// Whom to ask for which prompt.
    pub router: RouterParams,
    /// Scored answers that a router which needs them learns from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Reference>,
    /// Who may be asked.
    #[serde(default)]
    pub eligibility: Eligibility,
    /// How answers are drawn.
    #[serde(default)]
    pub sampling: Sampling,
    /// Scores each answer as it arrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arbiter: Option<String>,
    /// The share of calls, 0 to 1, that may stay without an answer for reasons that could pass (servers down,
    /// timeouts) before the step refuses to be finished; 0.01 by default. What fails for good does not count.
    #[serde(default = "one_percent", skip_serializing)]
    pub max_failed: f64,
}

/// Scores answers that exist.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreParams {
    /// Answers.
    pub from: Reference,
    /// Who scores.
    pub arbiter: String,
}

/// Fits a router on scored answers of the whole pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitParams {
    /// Scored answers to calibration prompts: everybody's to each, or those of a router that draws lots (`learned` with
    /// `explore`, `budgeted` with `audit_share`, `random`), weighed by how likely it was that they were asked for.
    pub from: Reference,
    /// Scores by another arbiter than the one that `from` was scored with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Reference>,
    /// Which head scores teachers; `auto` by default.
    #[serde(default)]
    pub head: HeadChoice,
    /// Features are hashed into two to the power of this many buckets, 8 to 22; 16 by default.
    #[serde(default = "sixteen")]
    pub bits: u32,
    /// Reads prompts with a local model instead of hashing their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<FeaturesParams>,
    /// The largest weight of an answer where not all were asked for, at least 1; 50 by default.
    #[serde(default = "fifty")]
    pub max_weight: f64,
    /// What an answer must pass to count.
    #[serde(default)]
    pub gates: Gates,
    /// Who may be asked.
    #[serde(default)]
    pub eligibility: Eligibility,
}

/// Which hidden states of which model tell prompts apart: exactly one of `local` and `folder`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesParams {
    /// A checkpoint made by an earlier step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Reference>,
    /// A Hugging Face model folder, PEFT's folder of an adapter or a GGUF file, relative to the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The layer, counted as `hidden_states` of `transformers`: 0 are the embeddings; the last one, normalised, when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
    /// How the states of a prompt's tokens become one; `mean` by default.
    #[serde(default)]
    pub pooling: Pooling,
}

impl FeaturesParams {
    /// What is read of the model.
    pub(crate) fn reading(&self) -> Reading {
        Reading { layer: self.layer, pooling: self.pooling }
    }
}

fn fifty() -> f64 {
    50.0
}

fn sixteen() -> u32 {
    16
}

/// Which head a router has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadChoice {
    /// The best on held-out prompts, or the table of `fixed` where none is better than it. The default.
    #[default]
    Auto,
    /// A softmax over teachers, pulled to that of the rewards.
    KlSoftmax,
    /// Who beats whom.
    BradleyTerry,
    /// Expected rewards by ridge regression.
    Ridge,
}

impl HeadChoice {
    /// How a head is chosen among those that are meant.
    pub fn options(self, seed: u64) -> TuneOptions {
        let only = |head| TuneOptions { seed, heads: vec![head], may_take_table: false, ..TuneOptions::default() };
        match self {
            Self::Auto => TuneOptions { seed, ..TuneOptions::default() },
            Self::KlSoftmax => only(HeadKind::KlSoftmax),
            Self::BradleyTerry => only(HeadKind::BradleyTerry),
            Self::Ridge => only(HeadKind::Ridge),
        }
    }
}

/// Keeps the best answers, makes preference pairs and labels answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectParams {
    /// Scored answers.
    pub from: Reference,
    /// Scores by another arbiter than the one that `from` was scored with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Reference>,
    /// Scores of a safety scorer for the answers of `from`, which `gates.safety` reads: a `score` step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<Reference>,
    /// Scored answers for routers that need calibration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Reference>,
    /// Strategies to compare, by name.
    pub strategies: BTreeMap<String, StrategyParams>,
    /// What an answer must pass to be kept.
    #[serde(default)]
    pub gates: Gates,
    /// Which prompts the sets hold.
    #[serde(default)]
    pub align: Align,
    /// How preference pairs are made; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PairOptions>,
    /// How single answers are labelled as wanted or not; none are when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelOptions>,
    /// Who counts as asked.
    #[serde(default)]
    pub eligibility: Eligibility,
    /// Rows in one file of a set, at most; a larger set is cut, as is one with more than 256 MB of text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_rows: Option<NonZeroUsize>,
}

/// One strategy: whom to ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrategyParams {
    /// Whom to ask; the best valid answer of those is kept.
    pub router: RouterParams,
    /// Answers to route over, where they are not those of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Reference>,
    /// Scores of those answers, where none stand beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Reference>,
    /// Scores of a safety scorer for those answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<Reference>,
}

/// What training minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectiveName {
    /// Next-token prediction on all of the text.
    Pretrain,
    /// Next-token prediction on the assistant's turns.
    Sft,
    /// Chosen answers become more likely than rejected ones, compared with a reference model.
    Dpo,
    /// Wanted answers become more likely and unwanted ones less, each by itself, compared with a reference model.
    Kto,
    /// The same without a reference model, on means over tokens.
    Simpo,
    /// The likelihood of chosen answers and their odds over rejected ones, without a reference model.
    Orpo,
    /// A reward model: chosen answers get a higher reward than rejected ones (Bradley-Terry).
    Reward,
}

/// Trains a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainParams {
    /// What to minimise.
    pub objective: ObjectiveName,
    /// Trains an adapter in place of the model, which is frozen; an adapter that `base` or `base_folder` has is merged
    /// into its own base first. The whole model is trained when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
    /// In which numbers the trained model is written; training itself is in f32, and adapters stay so.
    #[serde(default, skip_serializing_if = "Dtype::is_f32")]
    pub dtype: Dtype,
    /// Where to start: a checkpoint made by an earlier step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Reference>,
    /// Where to start: a Hugging Face model folder or PEFT's folder of an adapter, relative to the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_folder: Option<PathBuf>,
    /// Where to start: a new model of this shape, with a tokenizer trained on the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<NewModel>,
    /// The numbers of the loss of an objective that learns from pairs; its usual ones where they are not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossParams>,
    /// What `dpo` and `kto` compare with: a checkpoint made by an earlier step; the model that training starts from when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_model: Option<Reference>,
    /// Rows: datasets of `select` (one run for each strategy), or prompts that have reference answers; for preference
    /// objectives and reward models the pairs of a `select` step, `STEP.pairs`, for `kto` also its labelled answers,
    /// `STEP.labels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Reference>,
    /// Rows in a file, folder or pattern such as `data/*.parquet`, relative to the recipe, in the shapes of TRL: `messages`,
    /// `prompt` and `completion`, `text`; pairs with `chosen` and `rejected`; single answers with a `label`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_file: Option<PathBuf>,
    /// Rows that are measured every `config.eval_every` steps and never learned from, of the kinds that `data` takes;
    /// a `select` step without a strategy means the strategy of each run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<Reference>,
    /// The same in a file, folder or pattern, in the shapes of `data_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_file: Option<PathBuf>,
    /// Keeps rows in these languages; all when empty.
    #[serde(default)]
    pub languages: Vec<Language>,
    /// Keeps rows of these tasks; all when empty.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// One run for each of these seeds; the recipe's seed when empty.
    #[serde(default)]
    pub seeds: Vec<u64>,
    /// The trainer's settings.
    #[serde(default)]
    pub config: TrainConfig,
}

impl TrainParams {
    /// Whether rows are held out, wherever they come from.
    pub fn has_held_out(&self) -> bool {
        self.held_out.is_some() || self.held_out_file.is_some()
    }
}

/// A model to begin with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewModel {
    /// The decoder's sizes.
    #[serde(default)]
    pub shape: Shape,
    /// Entries of the tokenizer's vocabulary, special tokens and the 256 bytes included.
    pub vocab_size: usize,
}

/// Measures models on held-out prompts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateParams {
    /// Checkpoints; each variant's seeds are read together.
    pub models: Reference,
    /// The variant that the others are compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Held-out prompts.
    pub prompts: Reference,
    /// Who decides what an answer is worth.
    pub arbiter: String,
    /// How answers are drawn; greedy by default.
    #[serde(default)]
    pub sampling: Sampling,
    /// In which numbers the models' weights are kept in memory; without it in the narrowest ones that change none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// Draws of the cluster bootstrap, 10,000 by default.
    #[serde(default = "ten_thousand")]
    pub bootstrap: usize,
}

/// Writes the report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportParams {
    /// The page's title; the recipe's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

fn translation() -> String {
    "translation".to_owned()
}

fn one_percent() -> f64 {
    0.01
}

fn ten_thousand() -> usize {
    10_000
}
