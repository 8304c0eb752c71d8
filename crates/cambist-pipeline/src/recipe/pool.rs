//! Teachers and arbiters as a recipe declares them.

use std::path::PathBuf;

use cambist_core::{
    language::Language,
    teacher::{Coverage, Price, Teacher, TeacherKind},
};
use cambist_io::formats::RecordedColumns;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::reference::Reference;

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
    /// List prices in USD per million tokens; free by default.
    #[serde(default, deserialize_with = "price")]
    pub price: Price,
    /// A checkpoint that an earlier step trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Reference>,
    /// A Hugging Face model folder, relative to the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// A file of recorded answers, relative to the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
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
    /// What routers know of the teacher.
    pub fn teacher(&self) -> Teacher {
        Teacher {
            id: self.id.clone(),
            kind: self.kind,
            languages: self.languages.clone(),
            license: self.license.clone(),
            price: self.price,
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
    /// Scores in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
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
fn price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Price, D::Error> {
    use serde::de::Error;
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Listed {
        #[serde(default)]
        input: f64,
        #[serde(default)]
        output: f64,
    }
    let Listed { input, output } = Listed::deserialize(deserializer)?;
    if input < 0.0 || output < 0.0 {
        return Err(D::Error::custom("a price below 0 USD per million tokens"));
    }
    Ok(Price { input, output })
}
