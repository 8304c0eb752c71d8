//! The shapes in which other tools keep answers.

use cambist_core::completion::FinishReason;
use serde_json::{Map, Value};

use super::{
    lm_eval::Sample,
    said::{Asked, Exact, Said},
};

/// What made the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportFormat {
    /// Rows of `prompt_id` or `prompt` or `messages`, `model`, `text`.
    Completions,
    /// A Distiset or its cache: `instruction`, `generation` or `generations`, `model_name` or `model_names`.
    Distilabel,
    /// A cache of Bespoke Curator: `responses_N.jsonl`; `requests_N.jsonl` holds no answers.
    Curator,
    /// open-instruct: `prompt`, `completions`, `model`; `scores` are left where they are.
    OpenInstruct,
    /// NeMo-Skills: `output-rsSEED.jsonl` with `generation`.
    NemoSkills,
    /// lm-evaluation-harness: `samples_TASK_DATE.jsonl`; what each model was asked is its prompt.
    LmEval,
}

impl ImportFormat {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Completions, Self::Distilabel, Self::Curator, Self::OpenInstruct, Self::NemoSkills, Self::LmEval];

    /// The word for the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Distilabel => "distilabel",
            Self::Curator => "curator",
            Self::OpenInstruct => "open-instruct",
            Self::NemoSkills => "nemo-skills",
            Self::LmEval => "lm-eval",
        }
    }
}

type Fields = Map<String, Value>;

/// Reads the answers of one row, or says why it has none.
pub(super) fn read(format: ImportFormat, fields: &Fields, file: &str) -> Result<Vec<Said>, String> {
    match format {
        ImportFormat::Completions => Ok(vec![plain(fields)?]),
        ImportFormat::Distilabel => {
            several(fields, &["generations", "generation"], &["model_names", "generation_models", "model_name"])
        }
        ImportFormat::OpenInstruct => several(fields, &["completions", "completion", "model_completion"], &["model"]),
        ImportFormat::Curator => Ok(vec![curator(fields)?]),
        ImportFormat::NemoSkills => Ok(vec![Said { sample: seed_of(file), ..plain(fields)? }]),
        ImportFormat::LmEval => Ok(repeats(Sample::read(fields)?)),
    }
}

fn plain(fields: &Fields) -> Result<Said, String> {
    const TEXT: [&str; 6] = ["text", "completion", "response", "output", "answer", "generation"];
    let text = texts(fields, &TEXT).and_then(|texts| texts.into_iter().next().flatten());
    let count = |names: &[&str]| names.iter().find_map(|name| u32::try_from(fields.get(*name)?.as_u64()?).ok());
    Ok(Said {
        model: first_text(fields, &["teacher", "model", "model_name", "generation_model"]).unwrap_or_default(),
        prompt: asked(fields),
        sample: count(&["sample"]),
        text: text.ok_or_else(|| lacking(fields, &TEXT))?,
        finish: fields.get("finish_reason").and_then(finish),
        tokens: (count(&["tokens_in", "num_input_tokens"]), count(&["tokens_out", "num_generated_tokens"])),
        ..Said::default()
    })
}

/// Answers in a list, with their models in a list beside it or one model for all.
fn several(fields: &Fields, texts_in: &[&str], models_in: &[&str]) -> Result<Vec<Said>, String> {
    let answers = texts(fields, texts_in).ok_or_else(|| lacking(fields, texts_in))?;
    let models = texts(fields, models_in).unwrap_or_default();
    let model = |at: usize| match models.as_slice() {
        [one] => one.clone(),
        several => several.get(at).cloned().flatten(),
    };
    let prompt = asked(fields);
    let said = |(at, text): (usize, Option<String>)| {
        Some(Said { model: model(at).unwrap_or_default(), prompt: prompt.clone(), text: text?, ..Said::default() })
    };
    // A generation that failed is null and holds its model's place.
    Ok(answers.into_iter().enumerate().filter_map(said).collect())
}

/// The rows of a document's other filters say the same once more, under the same numbers.
fn repeats(sample: Sample) -> Vec<Said> {
    let prompt = match &sample.prompt {
        Value::String(text) => Asked::text(text),
        turns => Asked::turns(turns),
    };
    let said = |(at, text)| Said { prompt: prompt.clone(), sample: Some(at), text, ..Said::default() };
    (0..).zip(sample.answers).map(said).collect()
}

fn curator(fields: &Fields) -> Result<Said, String> {
    let generic = fields.get("generic_request").ok_or_else(|| lacking(fields, &["generic_request"]))?;
    if let Some(errors) =
        fields.get("response_errors").filter(|errors| errors.as_array().is_some_and(|e| !e.is_empty()))
    {
        return Err(format!("a failed request: {}", errors.to_string().chars().take(200).collect::<String>()));
    }
    let text = match fields.get("response_message") {
        Some(Value::String(text)) => text.clone(),
        Some(object @ Value::Object(_)) => object.to_string(),
        _ => return Err("no `response_message`".to_owned()),
    };
    let present = |name: &str| fields.get(name).filter(|value| value.is_object()).cloned();
    let usage = |name: &str| u32::try_from(fields.get("token_usage")?.get(name)?.as_u64()?).ok();
    Ok(Said {
        model: generic.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
        prompt: generic.get("messages").map(Asked::turns).unwrap_or_default(),
        text,
        finish: fields.get("finish_reason").and_then(finish),
        tokens: (
            usage("input").or_else(|| usage("prompt_tokens")),
            usage("output").or_else(|| usage("completion_tokens")),
        ),
        exact: present("raw_request").map(|request| Exact { request, reply: present("raw_response") }),
        ..Said::default()
    })
}

/// A `prompt_id` names a prompt of the recipe; an `id` may be anything, so that a text goes before it.
fn asked(fields: &Fields) -> Asked {
    const NAMES: [&str; 6] = ["messages", "prompt", "instruction", "problem", "question", "input"];
    if let Some(id) = first_text(fields, &["prompt_id"]) {
        return Asked::Id(id);
    }
    let of = |value: &Value| match value {
        Value::String(text) => Asked::text(text),
        turns => Asked::turns(turns),
    };
    let mut found = NAMES.iter().filter_map(|name| fields.get(*name)).map(of);
    let text = found.find(|asked| *asked != Asked::Nothing);
    text.or_else(|| first_text(fields, &["id"]).map(Asked::Id)).unwrap_or_default()
}

/// A text, or a list of texts with holes.
fn texts(fields: &Fields, names: &[&str]) -> Option<Vec<Option<String>>> {
    let value = names.iter().filter_map(|name| fields.get(*name)).find(|value| !value.is_null())?;
    match value {
        Value::String(text) => Some(vec![Some(text.clone())]),
        Value::Array(items) => Some(items.iter().map(|item| item.as_str().map(str::to_owned)).collect()),
        _ => None,
    }
}

fn first_text(fields: &Fields, names: &[&str]) -> Option<String> {
    let spelled = |value: &Value| match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    names.iter().filter_map(|name| fields.get(*name)).find_map(spelled)
}

fn finish(value: &Value) -> Option<FinishReason> {
    match value.as_str()? {
        "stop" | "end_turn" | "eos" => Some(FinishReason::Stop),
        "length" | "max_tokens" => Some(FinishReason::Length),
        "content_filter" => Some(FinishReason::ContentFilter),
        _ => None,
    }
}

/// The number in `output-rs7.jsonl`.
fn seed_of(file: &str) -> Option<u32> {
    let (_, rest) = file.split_once("-rs")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn lacking(fields: &Fields, names: &[&str]) -> String {
    let found: Vec<&str> = fields.keys().map(String::as_str).collect();
    let shown = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    format!("no answer: expected one of {}, found {}", shown(names), shown(&found))
}
