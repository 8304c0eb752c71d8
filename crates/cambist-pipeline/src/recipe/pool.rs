//! Teachers and arbiters as a recipe declares them.

use std::{num::NonZeroUsize, path::PathBuf};

use cambist_core::{
    arbiter::{NumericAnswer, Rouge},
    language::Language,
    license::Permission,
    teacher::{Coverage, Price, Teacher, TeacherKind},
};
use cambist_io::{
    dialect::{
        judge::JudgeMode,
        request::{LengthField, RequestSampling, Thinking},
        reward::RewardOptions,
        teacher::ServerKind,
        translation::TranslationDialect,
    },
    endpoint::Endpoint,
    formats::RecordedColumns,
};
use cambist_model::{Dtype, RewardTokens};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{mbr::MbrManner, panel::PanelManner, reference::Reference};

/// A model that may be asked, and where it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolMember {
    /// Names the teacher.
    pub id: String,
    /// Its group in the paper's pool; multilingual by default.
    #[serde(default = "multilingual")]
    pub kind: TeacherKind,
    /// `all`, or the list of languages that it claims.
    #[serde(default = "all_languages", deserialize_with = "coverage", serialize_with = "write_coverage")]
    pub languages: Coverage,
    /// The licence of its answers, SPDX where there is one.
    pub license: String,
    /// Whether its answers may train a model, in place of what `license` says: `yes`, `non-commercial`, `unknown` or
    /// `no`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_may_train: Option<Permission>,
    /// The family of models that it belongs to; arbiters of the same family are warned of.
    #[serde(default, skip_serializing)]
    pub family: Option<String>,
    /// List prices in USD per million tokens (`input`, `output`), or of a translation engine per million characters
    /// (`per_million_characters`); free by default.
    #[serde(default, deserialize_with = "price", skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// A checkpoint that an earlier step trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Reference>,
    /// A Hugging Face model folder or PEFT's folder of an adapter, relative to the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// In which numbers the weights under `local` or `folder` are kept in memory; without it in the narrowest ones that
    /// change none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// A file of recorded answers, relative to the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// A server that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// How the server is asked.
    #[serde(default, skip_serializing_if = "Manner::is_plain")]
    pub request: Manner,
}

/// How a server is asked, beyond the step's sampling.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Manner {
    /// A system turn before the prompt's own turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// What happens to thinking text: `strip` (the default), `keep` or `off`.
    pub thinking: Thinking,
    /// Options for the server's chat template, such as `enable_thinking`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub chat_template_kwargs: Map<String, Value>,
    /// A JSON schema that answers must follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<Value>,
    /// How this teacher's answers are drawn, in place of the step's sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<RequestSampling>,
    /// What program answers, where its extras are to be used: `vllm`, `sglang`, `tgi` or `llamacpp`.
    #[serde(skip_serializing_if = "is_unnamed")]
    pub server: ServerKind,
    /// What the length limit is called: `max_tokens` or `max_completion_tokens`; by the address when absent.
    #[serde(skip_serializing)]
    pub length_field: Option<LengthField>,
    /// How several answers to one prompt are asked for: `auto` (the default: together where the server is found to give
    /// them), `native` (together) or `loop` (one by one); changes no name of an artifact or of a call.
    #[serde(skip_serializing)]
    pub n: ManyAnswers,
    /// Whether replies come in events: no, unless `timeouts.total` is more than 600 seconds; changes no result.
    #[serde(skip_serializing)]
    pub stream: Option<bool>,
    /// A folder with `tokenizer.json` and the chat template, relative to the recipe: for dialects that take a rendered
    /// prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// Texts in one request at most, for translation engines, 1 by default; changes no result.
    #[serde(skip_serializing)]
    pub batch: Option<NonZeroUsize>,
}

impl Manner {
    /// Whether nothing is out of the ordinary.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// How several answers to one prompt are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ManyAnswers {
    /// Together, where the server is found to give several answers to one request. The default.
    #[default]
    Auto,
    /// Together.
    Native,
    /// One by one.
    Loop,
}

/// Recorded answers of one model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// The file: JSONL, CSV or Parquet, relative to the recipe.
    pub file: PathBuf,
    /// The model's name in the file; the teacher's id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Which columns mean what, where the names do not say it.
    #[serde(default)]
    pub columns: RecordedColumns,
}

impl PoolMember {
    /// What it costs; nothing where the recipe does not say.
    pub fn price(&self) -> Price {
        self.price.unwrap_or_default()
    }

    /// Whether the recipe says what it costs.
    pub fn has_price(&self) -> bool {
        self.price.is_some()
    }

    /// The translation engine that it is; none for teachers.
    pub(crate) fn translation_dialect(&self) -> Option<TranslationDialect> {
        self.endpoint.as_ref().and_then(|endpoint| TranslationDialect::parse(&endpoint.dialect))
    }

    /// What routers know of the teacher.
    pub fn teacher(&self) -> Teacher {
        Teacher {
            id: self.id.clone(),
            kind: self.kind,
            languages: self.languages.clone(),
            license: self.license.clone(),
            outputs_may_train: self.outputs_may_train,
            price: self.price(),
        }
    }
}

/// Who scores: exactly one of the ways below.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arbiter {
    /// Names the arbiter.
    pub id: String,
    /// The prompt's own exact checker: 1 or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Empty>,
    /// chrF against the prompt's reference, 0 to 100 (Popović 2015).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chrf: Option<Chrf>,
    /// How much an answer agrees with the other answers to the prompt, 0 to 1 (minimum Bayes risk).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mbr: Option<MbrManner>,
    /// Whether the last number of the answer is that of the reference: 1 or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numeric: Option<NumericAnswer>,
    /// ROUGE against the prompt's reference, 0 to 1 (Lin 2004).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rouge: Option<RougeManner>,
    /// Whether the reference stands in the answer, case and punctuation aside: 1 or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<Empty>,
    /// Whether the answer is the reference, case and punctuation aside: 1 or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#match: Option<Empty>,
    /// Scores in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
    /// A reward model that an earlier step trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Reference>,
    /// A Hugging Face folder of a reward model, relative to the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The tokens whose logits are the reward, where the model under `local` or `folder` is a language model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<RewardTokens>,
    /// In which numbers the weights under `local` or `folder` are kept in memory; without it in the narrowest ones that
    /// change none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// Other arbiters, whose values become one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<PanelManner>,
    /// A server that scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// How a reward model at the endpoint is asked and read.
    #[serde(default)]
    pub reward: RewardManner,
    /// Asks the endpoint as a judge, in place of a reward model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeManner>,
    /// List prices in USD per million tokens; free by default.
    #[serde(default, deserialize_with = "price", skip_serializing)]
    pub price: Option<Price>,
    /// The family of models that it belongs to; teachers and evaluating arbiters of the same family are warned of.
    #[serde(default, skip_serializing)]
    pub family: Option<String>,
}

/// Settings of ROUGE.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RougeManner {
    /// What is compared: `one` (words), `two` (pairs of words) or `l` (the longest common subsequence, the default).
    #[serde(default)]
    pub kind: RougeKind,
}

/// What ROUGE compares, as a recipe writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RougeKind {
    /// Single words.
    One,
    /// Pairs of words.
    Two,
    /// The longest common subsequence. The default.
    #[default]
    L,
}

impl From<RougeKind> for Rouge {
    fn from(kind: RougeKind) -> Self {
        match kind {
            RougeKind::One => Self::One,
            RougeKind::Two => Self::Two,
            RougeKind::L => Self::L,
        }
    }
}

/// How a reward model at an endpoint is asked and read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewardManner {
    /// What decides how replies are read.
    pub options: RewardOptions,
    /// A folder with the reward model's `tokenizer.json` and chat template, relative to the recipe: conversations are
    /// then rendered here and sent as token ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// Characters of prompt and answer that the model reads; longer ones have no score. No limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_chars: Option<usize>,
    /// Answers in one request at most, 16 by default; changes no result.
    #[serde(skip_serializing)]
    pub batch: usize,
    /// Asks about ten pairs of a good and an awful answer first, and refuses a server whose rewards are no raw ones;
    /// yes by default.
    #[serde(skip_serializing)]
    pub probe: bool,
}

impl Default for RewardManner {
    fn default() -> Self {
        Self { options: RewardOptions::default(), tokenizer: None, max_chars: None, batch: 16, probe: true }
    }
}

/// How a judge is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeManner {
    /// One answer at a time: `abs-10` (a grade from 1 to 10) or `abs-5` (1 to 5, beside a reference where there is
    /// one). Two at a time, in both orders: `pair-abt`, `pair-five`, `pair-three` or `pair-logprob`. All answers to a
    /// prompt at once: `checklist`.
    pub mode: JudgeMode,
    /// How verdicts are drawn.
    #[serde(default)]
    pub sampling: RequestSampling,
    /// Which answers to a prompt are compared, where two are shown at a time: `all` with all others, the default, or
    /// each with that of one teacher, `{baseline: TEACHER}`.
    #[serde(default, skip_serializing_if = "Compare::is_all")]
    pub compare: Compare,
    /// Shows all answers in a second order too, where they are shown at once; no by default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub double: bool,
}

impl JudgeManner {
    /// The longest verdict in tokens.
    pub(crate) fn max_tokens(&self) -> u32 {
        if self.mode == JudgeMode::PairLogprob { 1 } else { self.sampling.max_tokens }
    }
}

/// Which answers to a prompt a judge compares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compare {
    /// Each with each: k answers are k(k - 1) calls. The default.
    #[default]
    All,
    /// Each with the first answer of this teacher: k answers are 2(k - 1) calls.
    Baseline(String),
}

impl Compare {
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

impl Arbiter {
    /// Whether it is a judge of two answers at a time.
    pub(crate) fn is_pairwise(&self) -> bool {
        self.judge.as_ref().is_some_and(|judge| judge.mode.is_pair())
    }

    /// Whether it measures answers against each other, so that its values mean something inside one prompt only.
    pub(crate) fn is_relative(&self) -> bool {
        let is_listwise = self.judge.as_ref().is_some_and(|judge| judge.mode.is_listwise());
        self.is_pairwise() || is_listwise || self.mbr.is_some()
    }
}

/// No settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// Settings of chrF.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chrf {
    /// Words of up to this order count too: 0 is chrF (the default), 2 is chrF++.
    #[serde(default)]
    pub word_order: usize,
}

/// Scores in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The file: JSONL, CSV or Parquet, relative to the recipe.
    pub file: PathBuf,
    /// The judge's name in the file; the arbiter's id when absent. Scores in a file that names no judge are all taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<String>,
    /// Which columns mean what, where the names do not say it.
    #[serde(default)]
    pub columns: RecordedColumns,
}

fn is_unnamed(server: &ServerKind) -> bool {
    *server == ServerKind::None
}

fn multilingual() -> TeacherKind {
    TeacherKind::Multilingual
}

fn all_languages() -> Coverage {
    Coverage::All
}

/// `all` or a list of tags.
fn coverage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Coverage, D::Error> {
    use serde::de::Error;
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(word) if word == "all" => Ok(Coverage::All),
        list @ serde_json::Value::Array(_) => {
            let languages: Vec<Language> = serde_json::from_value(list).map_err(D::Error::custom)?;
            Ok(Coverage::Only(languages.into_iter().collect()))
        }
        serde_json::Value::String(word) => {
            Err(D::Error::custom(format!("`{word}` is neither `all` nor a list of languages such as `[{word}]`")))
        }
        other => Err(D::Error::custom(format!("`{other}` is neither `all` nor a list of languages"))),
    }
}

fn write_coverage<S: Serializer>(coverage: &Coverage, serializer: S) -> Result<S::Ok, S::Error> {
    match coverage {
        Coverage::All => serializer.serialize_str("all"),
        Coverage::Only(languages) => languages.serialize(serializer),
    }
}

/// Prices, neither of them negative.
fn price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Price>, D::Error> {
    use serde::de::Error;
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Listed {
        #[serde(default)]
        input: f64,
        #[serde(default)]
        output: f64,
        #[serde(default)]
        per_million_characters: f64,
    }
    let Listed { input, output, per_million_characters: characters } = Listed::deserialize(deserializer)?;
    if input < 0.0 || output < 0.0 {
        return Err(D::Error::custom("a price below 0 USD per million tokens"));
    }
    if characters < 0.0 {
        return Err(D::Error::custom("a price below 0 USD per million characters"));
    }
    Ok(Some(Price { input, output, characters }))
}
