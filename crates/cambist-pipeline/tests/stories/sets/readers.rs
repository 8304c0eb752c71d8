//! Public sets of answers of many models as rows of plain files: the readers of `scripts/recorded_sets.py` once more.

use std::{collections::BTreeMap, path::Path};

use cambist_io::formats::rows::open_rows;
use serde_json::{Map, Value, json};

/// What stands where a set has no texts.
const NO_TEXT: &str = "(not recorded)";

/// A set as plain files hold it.
#[derive(Default)]
pub(super) struct Plain {
    pub prompts: Vec<Value>,
    pub answers: Vec<Value>,
    pub scores: Vec<Value>,
}

impl Plain {
    fn prompt(&mut self, id: &str, language: &str, text: &Value) {
        self.prompts.push(json!({ "id": id, "language": language, "prompt": text }));
    }

    fn answer(&mut self, id: &str, model: &str, text: &Value) {
        self.answers.push(json!({ "prompt_id": id, "model": model, "text": text }));
    }

    fn score(&mut self, id: &str, (model, judge): (&str, &str), score: impl Into<Value>) {
        self.scores.push(json!({ "prompt_id": id, "model": model, "judge": judge, "score": score.into() }));
    }
}

/// A row of a published file.
type Fields = Map<String, Value>;

fn rows(path: &Path) -> impl Iterator<Item = Fields> {
    open_rows(path).unwrap().map(|row| row.unwrap().fields)
}

/// A text, or a number as text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn m_ifeval(data: &Path) -> Plain {
    let mut plain = Plain::default();
    for language in ["en", "es", "ja"] {
        let folder = data.join("routing-m-ifeval").join(language);
        prompts_and_answers(&folder, &mut plain, ("prompt_id", "prompt"));
        for row in rows(&folder.join("scores.jsonl.zst")) {
            plain.score(&text(&row["prompt_id"]), (&text(&row["model"]), "strict"), row["strict_all"].clone());
        }
    }
    plain
}

/// Files in the shape of most sets.
fn prompts_and_answers(folder: &Path, plain: &mut Plain, (id, prompt): (&str, &str)) {
    for row in rows(&folder.join("prompts.jsonl.zst")) {
        plain.prompt(&text(&row[id]), &text(&row["lang"]), &row[prompt]);
    }
    for row in rows(&folder.join("completions.jsonl.zst")) {
        plain.answer(&text(&row["prompt_id"]), &text(&row["model"]), &row["text"]);
    }
}

/// First turns; a question has one number in all languages.
pub(super) fn mt_bench(data: &Path) -> Plain {
    let mut plain = Plain::default();
    for language in ["de", "en", "id", "ja", "pl", "vi", "zh"] {
        let folder = data.join("routing-mt-bench-multilingual").join(language);
        let name = |row: &Fields| format!("{language}-{}", row["question_id"]);
        for row in rows(&folder.join("questions.jsonl.zst")) {
            plain.prompt(&name(&row), language, &row["turns"][0]);
        }
        for row in rows(&folder.join("completions.jsonl.zst")) {
            plain.answer(&name(&row), &text(&row["model"]), &row["turns"][0]);
        }
        for row in rows(&folder.join("scores.jsonl.zst")).filter(|row| row["turn"] == 1) {
            plain.score(&name(&row), (&text(&row["model"]), &text(&row["judge"])), row["score"].clone());
        }
    }
    plain
}

pub(super) fn arena_bench(data: &Path) -> Plain {
    let folder = data.join("routing-arena-bench-v1");
    let mut plain = Plain::default();
    prompts_and_answers(&folder, &mut plain, ("prompt_id", "prompt"));
    for row in rows(&folder.join("scores.jsonl.zst")) {
        plain.score(&text(&row["prompt_id"]), (&text(&row["model"]), &text(&row["judge"])), row["score"].clone());
    }
    plain
}

pub(super) fn sib200(data: &Path) -> Plain {
    let mut plain = Plain::default();
    for row in rows(&data.join("routing-sib200/outputs.jsonl.zst")) {
        let language = text(&row["lang"]);
        let id = format!("{language}-{}", row["index_id"]);
        plain.prompt(&id, &language, &row["text"]);
        for (at, model) in ["gpt-3.5-turbo", "gpt-4"].into_iter().enumerate() {
            plain.answer(&id, model, &row[model]);
            plain.score(&id, (model, "category"), row["ok"][at].clone());
        }
    }
    plain
}

pub(super) fn gsm8k(data: &Path) -> Plain {
    let mut plain = Plain::default();
    for row in rows(&data.join("routing-routellm/gsm8k.jsonl.zst")) {
        let id = text(&row["prompt_id"]);
        plain.prompt(&id, "en", &row["prompt"]);
        for (model, answer) in row["responses"].as_object().unwrap() {
            plain.answer(&id, model, answer);
        }
        for (model, is_right) in row["correct"].as_object().unwrap() {
            plain.score(&id, (model, "correct"), is_right.clone());
        }
    }
    plain
}

pub(super) fn mmlu(data: &Path) -> Plain {
    let mut plain = Plain::default();
    for (place, row) in rows(&data.join("routing-routellm/mmlu.jsonl.zst")).enumerate() {
        let id = format!("{}-{place}", text(&row["subject"]));
        plain.prompt(&id, "en", &row["prompt"]);
        for (at, model) in ["mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"].into_iter().enumerate() {
            plain.answer(&id, model, &NO_TEXT.into());
            plain.score(&id, (model, "correct"), row["correct"][at].clone());
        }
    }
    plain
}

/// First turns; question and answer stand in what the judge was asked.
pub(super) fn routellm_mt_bench(data: &Path) -> Plain {
    let between = |text: &str, begin: &str, end: &str| {
        let (_, behind) = text.split_once(begin).unwrap();
        Value::from(behind.split_once(end).unwrap().0)
    };
    let (mut plain, mut prompts) = (Plain::default(), Vec::new());
    for row in rows(&data.join("routing-routellm/mt_bench_judgments.jsonl.zst")).filter(|row| row["turn"] == 1) {
        let (id, asked, model) = (text(&row["question_id"]), text(&row["user_prompt"]), text(&row["model"]));
        if !prompts.contains(&id) {
            plain.prompt(&id, "en", &between(&asked, "[Question]\n", "\n\n[The Start of"));
            prompts.push(id.clone());
        }
        let (begin, end) = ("[The Start of Assistant's Answer]\n", "\n[The End of Assistant's Answer]");
        plain.answer(&id, &model, &between(&asked, begin, end));
        plain.score(&id, (&model, "gpt-4"), row["score"].clone());
    }
    plain
}

/// A preference becomes the probability that the model beats the baseline: 1 loses, 2 wins, 0 is a draw.
pub(super) fn alpaca_eval(data: &Path) -> Plain {
    let folder = data.join("routing-alpaca-eval-NC");
    let mut plain = Plain::default();
    for row in rows(&folder.join("prompts.jsonl.zst")) {
        plain.prompt(&text(&row["prompt_id"]), "en", &row["prompt"]);
    }
    for file in ["completions.jsonl.zst", "baseline_gpt4_1106_preview.jsonl.zst"] {
        for row in rows(&folder.join(file)) {
            plain.answer(&text(&row["prompt_id"]), &text(&row["model"]), &row["text"]);
        }
    }
    let win = |preference: &Value| preference.as_f64().map(|p| if p == 0.0 { 0.5 } else { p - 1.0 });
    for judge in ["weighted_alpaca_eval_gpt4_turbo", "alpaca_eval_gpt4"] {
        for row in rows(&folder.join(format!("preferences_{judge}.jsonl.zst"))) {
            let model = text(&row["model"]);
            if !plain.answers.iter().any(|answer| answer["model"] == model.as_str()) {
                continue;
            }
            for (place, preference) in row["preference"].as_array().unwrap().iter().enumerate() {
                plain.score(&place.to_string(), (&model, judge), win(preference));
            }
        }
    }
    plain
}

/// Games against one baseline in both orders: a win is 1, a draw 0.5; the baseline draws with itself.
pub(super) fn ja_vicuna(data: &Path) -> Plain {
    const BASELINE: &str = "openai--text-davinci-003";
    let folder = data.join("routing-ja-vicuna-qa");
    let mut plain = Plain::default();
    for row in rows(&folder.join("questions.jsonl")) {
        plain.prompt(&text(&row["question_id"]), "ja", &row["prompt"]);
        plain.score(&text(&row["question_id"]), (BASELINE, "gpt-4"), 0.5);
    }
    for row in rows(&folder.join("completions.jsonl.zst")) {
        plain.answer(&text(&row["question_id"]), &text(&row["model"]), &row["text"]);
    }
    for row in rows(&folder.join("pairwise_scores.jsonl.zst")) {
        let other = if row["model_1"] == BASELINE { "model_2" } else { "model_1" };
        let won = |game: &str| match row[game].as_str().unwrap() {
            "tie" => 0.5,
            winner => f64::from(winner == other),
        };
        let score = (won("g1_winner") + won("g2_winner")) / 2.0;
        plain.score(&text(&row["question_id"]), (&text(&row[other]), "gpt-4"), score);
    }
    plain
}

pub(super) fn newstest_ende(data: &Path) -> Plain {
    wmt_mqm(data, "newstest2020_ende", "de")
}

pub(super) fn newstest_zhen(data: &Path) -> Plain {
    wmt_mqm(data, "newstest2020_zhen", "en")
}

pub(super) fn ted_ende(data: &Path) -> Plain {
    wmt_mqm(data, "ted_ende", "de")
}

/// Penalties of translators, 0 at best; neither sources nor translations are recorded.
fn wmt_mqm(data: &Path, test: &str, language: &str) -> Plain {
    let mut plain = Plain::default();
    let mut prompts = BTreeMap::new();
    for row in rows(&data.join(format!("routing-wmt-mqm-scores/mqm_{test}.tsv.zst"))) {
        let (system, segment) = (text(&row["system"]), text(&row["seg_id"]));
        if prompts.insert(segment.clone(), ()).is_none() {
            plain.prompt(&segment, language, &format!("{test}, segment {segment}").into());
        }
        plain.answer(&segment, &system, &NO_TEXT.into());
        let score: Option<f64> =
            row["mqm_avg_score"].as_str().filter(|score| *score != "None").map(|s| s.parse().unwrap());
        plain.score(&segment, (&system, "mqm"), score);
    }
    plain
}

/// No scores of single answers.
pub(super) fn ru_arena(data: &Path) -> Plain {
    let mut plain = Plain::default();
    prompts_and_answers(&data.join("routing-ru-arena-general"), &mut plain, ("prompt_id", "prompt"));
    plain
}

/// No scores; every third prompt is answered, in three languages of ten.
pub(super) fn x_alpacaeval(data: &Path) -> Plain {
    let folder = data.join("eval-x-alpacaeval-NC");
    let name = |row: &Fields| format!("{}-{}", text(&row["lang"]), row["id"]);
    let mut plain = Plain::default();
    for row in rows(&folder.join("prompts.jsonl.zst")) {
        plain.prompt(&name(&row), &text(&row["lang"]), &row["instruction"]);
    }
    for row in rows(&folder.join("completions.jsonl.zst")) {
        plain.answer(&name(&row), &text(&row["model"]), &row["text"]);
    }
    plain
}
