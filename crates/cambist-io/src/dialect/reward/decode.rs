//! Replies of reward models.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{RewardDialect, RewardOptions, StepReduction};
use crate::{
    dialect::body::{misshapen, read_json_with_nan},
    exchange::{Failure, HttpReply},
};

/// A longer list of numbers is no reward.
const MOST_LABELS: usize = 64;

/// Why one answer has no reward.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoReward {
    /// NaN, an infinity, null or no number at all.
    #[error("not a number: found `{found}`")]
    NotANumber {
        /// What was found.
        found: String,
    },
    /// The server gave the model's hidden state.
    #[error("hidden states: found {n} numbers, expected 1: this server gives no rewards in this dialect")]
    HiddenStates {
        /// How many numbers there were.
        n: usize,
    },
    /// Several labels and nobody said which one counts.
    #[error("found {n} labels, expected 1: say with `label` which one is the reward")]
    ManyLabels {
        /// How many there were.
        n: usize,
    },
    /// Rewards for steps and nobody said what becomes of them.
    #[error("found rewards of {n} steps, expected 1 number: say with `steps` what becomes of them")]
    Steps {
        /// How many there were.
        n: usize,
    },
    /// The attribute is not among those of the reply.
    #[error("found no attribute `{attribute}`, the reply has {found}: say with `attribute` which one is the reward")]
    NoAttribute {
        /// What was looked for.
        attribute: String,
        /// What there is.
        found: String,
    },
}

/// Returns the rewards of `n_inputs` answers in the order of the request, each with the reason where it is missing.
///
/// Results are matched by their index where the dialect has one, never by position. `NaN` and infinities spelled as
/// Python spells them are read, as missing.
///
/// # Errors
/// What kind of failure the reply is; a wrong count or index is [`Shape`](crate::exchange::FailureClass::Shape).
pub fn decode_rewards(
    dialect: RewardDialect,
    options: &RewardOptions,
    n_inputs: usize,
    reply: &HttpReply,
) -> Result<Vec<Result<f64, NoReward>>, Failure> {
    let body = read_json_with_nan(reply)?;
    let refuse = |found: String| misshapen(reply, found);
    let found = raw_rewards(dialect, &body, n_inputs).map_err(refuse)?;
    if found.len() != n_inputs {
        return Err(refuse(format!("found {} rewards, expected {n_inputs}", found.len())));
    }
    let read = |value: &Value| match dialect {
        RewardDialect::NimChat => attribute(value, options),
        _ => reward(value, options),
    };
    Ok(found.into_iter().map(read).collect())
}

/// Returns what stands for each input's reward, in the order of the request.
fn raw_rewards(dialect: RewardDialect, body: &Value, n_inputs: usize) -> Result<Vec<&Value>, String> {
    match dialect {
        RewardDialect::VllmClassify => indexed(list(body, "/data")?, "probs", n_inputs),
        RewardDialect::VllmPooling => indexed(list(body, "/data")?, "data", n_inputs),
        RewardDialect::VllmScore | RewardDialect::VllmGenerativeScoring => {
            indexed(list(body, "/data")?, "score", n_inputs)
        }
        RewardDialect::SglangEmbeddings => indexed(list(body, "/data")?, "embedding", n_inputs),
        RewardDialect::TeiRerank => indexed(list(body, "")?, "score", n_inputs),
        RewardDialect::SglangClassify => {
            let list = body.as_array().map_or(std::slice::from_ref(body), Vec::as_slice);
            list.iter().map(|one| one.get("embedding").ok_or_else(|| "expected `embedding`".to_owned())).collect()
        }
        RewardDialect::SglangScore => Ok(list(body, "/scores")?.iter().collect()),
        RewardDialect::Openrlhf => {
            let rewards = list(body, "/rewards").or_else(|_| list(body, "/scores"))?;
            Ok(rewards.iter().collect())
        }
        RewardDialect::TeiPredict => predictions(list(body, "")?),
        RewardDialect::NimChat => Ok(vec![body.pointer("/choices/0").ok_or("expected `choices`")?]),
    }
}

fn list<'a>(body: &'a Value, pointer: &str) -> Result<&'a [Value], String> {
    let found = body.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice);
    found.ok_or_else(|| match pointer {
        "" => "expected a list".to_owned(),
        _ => format!("expected a list at `{pointer}`"),
    })
}

/// Puts entries in the order of their indices, each of which must occur once.
fn indexed<'a>(entries: &'a [Value], member: &str, n_inputs: usize) -> Result<Vec<&'a Value>, String> {
    if entries.len() != n_inputs {
        return Err(format!("found {} rewards, expected {n_inputs}", entries.len()));
    }
    let mut ordered = vec![None; n_inputs];
    for entry in entries {
        let index = entry.get("index").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
        let index = index.ok_or("expected `index` in each entry")?;
        let place = ordered.get_mut(index).ok_or_else(|| format!("found index {index} of {n_inputs} inputs"))?;
        let value = entry.get(member).ok_or_else(|| format!("expected `{member}` in each entry"))?;
        if place.replace(value).is_some() {
            return Err(format!("found index {index} twice"));
        }
    }
    ordered.into_iter().collect::<Option<_>>().ok_or_else(|| "an index is missing".to_owned())
}

/// TEI answers a batch with a list of lists of labels, one input with a list of labels.
fn predictions(list: &[Value]) -> Result<Vec<&Value>, String> {
    let is_flat = list.first().is_some_and(Value::is_object);
    if is_flat {
        return Ok(vec![score_of_one(list)?]);
    }
    list.iter().map(|one| score_of_one(one.as_array().map(Vec::as_slice).unwrap_or_default())).collect()
}

fn score_of_one(labels: &[Value]) -> Result<&Value, String> {
    match labels {
        [only] => only.get("score").ok_or_else(|| "expected `score`".to_owned()),
        labels => Err(format!("found {} labels, expected 1", labels.len())),
    }
}

fn reward(value: &Value, options: &RewardOptions) -> Result<f64, NoReward> {
    let Value::Array(labels) = value else { return number(value) };
    match labels.as_slice() {
        steps if steps.iter().any(Value::is_array) => reduced(steps, options),
        [only] => number(only),
        many if many.len() > MOST_LABELS => Err(NoReward::HiddenStates { n: many.len() }),
        // Where the tokens that mean good and bad are named, good comes first.
        many => match options.label.or(options.label_token_ids.map(|_| 0)).and_then(|label| many.get(label)) {
            Some(label) => number(label),
            None => Err(NoReward::ManyLabels { n: many.len() }),
        },
    }
}

/// A process reward model gives each step the probabilities of bad and good.
fn reduced(steps: &[Value], options: &RewardOptions) -> Result<f64, NoReward> {
    let width = steps.iter().filter_map(Value::as_array).map(Vec::len).max().unwrap_or(0);
    if width > MOST_LABELS {
        return Err(NoReward::HiddenStates { n: width });
    }
    let reduction = options.steps.ok_or(NoReward::Steps { n: steps.len() })?;
    let good = |step: &Value| number(step.get(1).or_else(|| step.get(0)).unwrap_or(&Value::Null));
    let values = steps.iter().map(good).collect::<Result<Vec<f64>, _>>()?;
    let reduced = match reduction {
        StepReduction::Last => values.last().copied(),
        StepReduction::Min => values.into_iter().reduce(f64::min),
    };
    reduced.ok_or(NoReward::Steps { n: 0 })
}

fn number(value: &Value) -> Result<f64, NoReward> {
    let found = || value.to_string().chars().take(40).collect();
    value.as_f64().filter(|number| number.is_finite()).ok_or_else(|| NoReward::NotANumber { found: found() })
}

/// NIM writes attributes as tokens and rewards as their log-probabilities, or both as text: `reward:-3.28`.
fn attribute(choice: &Value, options: &RewardOptions) -> Result<f64, NoReward> {
    let wanted = options.attribute.as_deref().unwrap_or("reward");
    let tokens = choice.pointer("/logprobs/content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let name = |token: &Value| token.get("token").and_then(Value::as_str).unwrap_or_default().trim().to_owned();
    if let Some(token) = tokens.iter().find(|token| name(token) == wanted) {
        return number(token.get("logprob").unwrap_or(&Value::Null));
    }
    let content = choice.pointer("/message/content");
    let content = content.and_then(|content| content.as_str().or_else(|| content.pointer("/0/text")?.as_str()));
    let pairs = content.unwrap_or_default().split([',', '\n']).filter_map(|pair| pair.split_once(':'));
    let written = pairs.clone().find(|(name, _)| name.trim() == wanted).map(|(_, number)| number.trim());
    match written {
        Some(text) => text
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .ok_or_else(|| NoReward::NotANumber { found: text.chars().take(40).collect() }),
        None => {
            let names: Vec<String> =
                tokens.iter().map(name).chain(pairs.map(|(name, _)| name.trim().to_owned())).collect();
            let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(NoReward::NoAttribute { attribute: wanted.to_owned(), found: found.chars().take(200).collect() })
        }
    }
}
