//! Samples as lm-evaluation-harness logs them (`samples_TASK_DATE.jsonl`, `--log_samples`).

use std::path::Path;

use serde_json::{Map, Value};

type Fields = Map<String, Value>;

/// One row: what one model was asked and said, and what the task made of it by one filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// The place of the document in its task.
    pub doc_id: u64,
    /// What the model was asked: a text, few-shot examples included, or the turns of a chat.
    pub prompt: Value,
    /// What it said, once for each repeat; of a task of choices the likeliest one.
    pub answers: Vec<String>,
    /// What the task expects, as text; of a task of choices the right one.
    pub target: Option<String>,
    /// The filter behind the metrics.
    pub filter: String,
    /// The metrics in the order of the row; none where one is no number.
    pub metrics: Vec<(String, Option<f64>)>,
}

impl Sample {
    /// Reads a row, or says what it lacks.
    pub(super) fn read(fields: &Fields) -> Result<Self, String> {
        let lacks = |what: &str| {
            let found: Vec<&str> = fields.keys().map(String::as_str).collect();
            format!("no {what}: expected a row of `samples_*.jsonl`, found `{}`", found.join("`, `"))
        };
        let requests = requests(fields.get("arguments").ok_or_else(|| lacks("`arguments`"))?);
        let asked = requests.first().and_then(|request| request.first()?.as_str());
        let asked = asked.ok_or_else(|| lacks("text in `arguments`"))?;
        let replies = fields.get("resps").and_then(Value::as_array).ok_or_else(|| lacks("`resps`"))?;
        let answers = answers(&requests, replies).ok_or_else(|| lacks("answer in `resps`"))?;
        let names = fields.get("metrics").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let metric = |name: &str| (name.to_owned(), fields.get(name).and_then(number));
        Ok(Self {
            doc_id: fields.get("doc_id").and_then(Value::as_u64).ok_or_else(|| lacks("`doc_id`"))?,
            prompt: chat(asked).unwrap_or_else(|| asked.into()),
            answers,
            target: fields.get("target").and_then(|target| expected(target, &requests)),
            filter: fields.get("filter").and_then(Value::as_str).unwrap_or("none").to_owned(),
            metrics: names.map(metric).collect(),
        })
    }
}

/// The arguments of each request: `{"gen_args_0": {"arg_0": ...}, ...}` or, in older logs, a list of lists.
fn requests(arguments: &Value) -> Vec<Vec<&Value>> {
    members(arguments, "gen_args").into_iter().map(|request| members(request, "arg")).collect()
}

/// The members of a list, or of an object that numbers them behind `name`.
fn members<'v>(value: &'v Value, name: &str) -> Vec<&'v Value> {
    match value {
        Value::Array(members) => members.iter().collect(),
        Value::Object(named) => (0..).map_while(|at| named.get(&format!("{name}_{at}"))).collect(),
        _ => Vec::new(),
    }
}

/// What was said: texts of one request, or of several requests with a continuation each the likeliest continuation.
fn answers(requests: &[Vec<&Value>], replies: &[Value]) -> Option<Vec<String>> {
    let of_first = replies.first()?.as_array()?;
    if of_first.first().is_some_and(Value::is_string) && replies.len() == 1 {
        return of_first.iter().map(|text| text.as_str().map(str::to_owned)).collect();
    }
    let likelihood = |reply: &Value| number(reply.get(0)?.get(0)?);
    let likelihoods: Vec<f64> = replies.iter().map(likelihood).collect::<Option<_>>()?;
    let best = (0..likelihoods.len()).reduce(|best, at| if likelihoods[at] > likelihoods[best] { at } else { best })?;
    Some(vec![requests.get(best)?.get(1)?.as_str()?.trim().to_owned()])
}

/// The target; where it is the number of a choice, that choice.
fn expected(target: &Value, requests: &[Vec<&Value>]) -> Option<String> {
    let text = target.as_str().map_or_else(|| target.to_string(), str::to_owned);
    let choice = || requests.get(text.parse::<usize>().ok()?)?.get(1)?.as_str();
    let named = if requests.len() > 1 { choice() } else { None };
    Some(named.map_or(text.clone(), |choice| choice.trim().to_owned()))
        .filter(|text| !text.is_empty() && text != "null")
}

/// A number, truth values as 1 and 0, numbers written as text too.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Bool(is_so) => Some(f64::from(*is_so)),
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    };
    number.filter(|number| number.is_finite())
}

/// With a chat template and a server, the turns of the chat stand in the text as JSON.
fn chat(text: &str) -> Option<Value> {
    let turns: Value = serde_json::from_str(text).ok().filter(|_| text.starts_with('['))?;
    let is_turn = |turn: &Value| turn["role"].is_string() && turn["content"].is_string();
    let turns = turns.as_array().filter(|turns| !turns.is_empty() && turns.iter().all(is_turn))?;
    let plain = |turn: &Value| serde_json::json!({ "role": turn["role"], "content": turn["content"] });
    Some(turns.iter().map(plain).collect())
}

/// The model by the folder that lm-evaluation-harness makes for it: `org__name` is `org/name`.
pub(super) fn model_of(path: &Path) -> Option<String> {
    let folder = path.parent()?.file_name()?.to_str()?;
    Some(folder.replace("__", "/")).filter(|model| !model.is_empty())
}

/// The task in `samples_TASK_2026-11-28T13-44-52.530021.jsonl`.
pub(super) fn task_of(file: &str) -> &str {
    let stem = file.strip_prefix("samples_").unwrap_or(file);
    let stem = stem.split(".jsonl").next().unwrap_or(stem);
    let is_date = |text: &str| text.len() >= 19 && text.as_bytes()[10] == b'T' && text[..4].parse::<u16>().is_ok();
    match stem.rsplit_once('_') {
        Some((task, date)) if date.is_char_boundary(4) && is_date(date) => task,
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(row: Value) -> Result<Sample, String> {
        Sample::read(row.as_object().unwrap())
    }

    #[test]
    fn choices_are_the_likeliest_one_and_older_logs_are_read() {
        let row = json!({
            "doc_id": 3, "target": "0", "filter": "none", "metrics": ["acc"], "acc": 1.0,
            "arguments": [["Soru: 2+2?", " dört"], ["Soru: 2+2?", " beş"]],
            "resps": [[["-1.5", "False"]], [[-0.5, false]]],
        });
        let read = sample(row).unwrap();
        assert_eq!((read.answers, read.prompt), (vec!["beş".to_owned()], json!("Soru: 2+2?")));
        assert_eq!(read.metrics, [("acc".to_owned(), Some(1.0))]);
    }

    #[test]
    fn chats_repeats_and_metrics_that_are_no_numbers() {
        let turns = json!([{"role": "user", "content": "Naber?", "type": "text"}]);
        let row = json!({
            "doc_id": 0, "target": "", "metrics": ["bleu", "exact_match"], "bleu": ["a", "b"], "exact_match": true,
            "arguments": {"gen_args_0": {"arg_0": turns.to_string(), "arg_1": {"until": []}}}, "resps": [["iyi", "kötü"]],
        });
        let read = sample(row).unwrap();
        assert_eq!(read.prompt, json!([{"role": "user", "content": "Naber?"}]));
        assert_eq!((read.answers, read.target), (vec!["iyi".to_owned(), "kötü".to_owned()], None));
        assert_eq!(read.metrics, [("bleu".to_owned(), None), ("exact_match".to_owned(), Some(1.0))]);
        let not_json = json!({"doc_id": 0, "arguments": [["[1] is a list"]], "resps": [["x"]]});
        assert_eq!(sample(not_json).unwrap().prompt, json!("[1] is a list"));
        let error = sample(json!({"doc_id": 0, "resps": []})).unwrap_err();
        assert_eq!(error, "no `arguments`: expected a row of `samples_*.jsonl`, found `doc_id`, `resps`");
    }

    #[test]
    fn names_of_tasks_and_models_stand_in_the_path() {
        let file = "samples_mgsm_native_cot_de_2026-11-28T13-44-52.530021.jsonl";
        assert_eq!(task_of(file), "mgsm_native_cot_de");
        assert_eq!((task_of("samples_x_y.jsonl.gz"), task_of("own.jsonl")), ("x_y", "own"));
        assert_eq!(task_of("samples_x_日本語日本語日本語日本語.jsonl"), "x_日本語日本語日本語日本語");
        let path = Path::new("out/org__model-7b").join(file);
        assert_eq!(model_of(&path).as_deref(), Some("org/model-7b"));
        assert_eq!(model_of(Path::new(file)), None);
    }
}
