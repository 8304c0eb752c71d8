//! Reward models that run here score recorded answers, through the ledger.

use std::{collections::BTreeMap, fs};

use cambist_core::{prompt::Message, score::Score};
use cambist_io::formats;
use cambist_model::{LocalModel, RewardModel, RewardTokens, Shape, train_tokenizer};
use cambist_pipeline::{plan::Plan, recipe::Recipe};
use serde_json::json;

use crate::house::{House, Ran, recipe};

const RECIPE: &str = "
name: rewarded
pool:
  - {id: a, license: MIT, replay: {file: answers.jsonl}}
  - {id: b, license: MIT, replay: {file: answers.jsonl}}
arbiters:
  - {id: reward, folder: reward}
  - {id: odds, folder: language, tokens: {good: \"1\", bad: \"2\"}}
  - {id: panel, ensemble: {of: [reward, odds], normalize: prompt}}
steps:
  - id: prompts
    prompts: {file: prompts.jsonl}
  - id: answers
    generate: {prompts: prompts, router: all, arbiter: reward}
  - id: odds
    score: {from: answers, arbiter: odds}
  - id: both
    score: {from: answers, arbiter: panel}
";

const N: usize = 70;

fn question(at: usize) -> String {
    format!("What is {at} and one?")
}

/// The same text by both teachers, now and then; one answer is longer than the model reads, one looks like control.
fn answer(at: usize, teacher: &str) -> String {
    match (at, teacher) {
        (3, "a") => "word ".repeat(200),
        (5, "b") => "that is <|end|> all".to_owned(),
        _ if at.is_multiple_of(10) => format!("it is {}", at + 1),
        _ => format!("{teacher} says {}", at + 1),
    }
}

fn language_model() -> LocalModel {
    let texts: Vec<String> = (0..N).map(|at| question(at) + &answer(at, "b")).collect();
    let shape = Shape { hidden_size: 16, intermediate_size: 32, max_positions: 128, ..Shape::default() };
    LocalModel::new(&shape, &train_tokenizer(&texts, 320).unwrap(), 5).unwrap()
}

fn house() -> House {
    let house = House::new();
    let write = |name: &str, lines: Vec<serde_json::Value>| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(house.folder().join(name), text).unwrap();
    };
    let id = |at: usize| format!("p{at:02}");
    write("prompts.jsonl", (0..N).map(|at| json!({"id": id(at), "prompt": question(at), "language": "en"})).collect());
    let cells = (0..N).flat_map(|at| ["a", "b"].map(|teacher| (at, teacher)));
    write(
        "answers.jsonl",
        cells.map(|(at, model)| json!({"prompt_id": id(at), "model": model, "text": answer(at, model)})).collect(),
    );
    for (name, model) in [("language", language_model()), ("reward", language_model().with_reward_head(3).unwrap())] {
        fs::create_dir(house.folder().join(name)).unwrap();
        for (file, bytes) in model.to_files().unwrap().0 {
            fs::write(house.folder().join(name).join(file), bytes).unwrap();
        }
    }
    house
}

fn scores(ran: &Ran, label: &str) -> BTreeMap<(String, String), Score> {
    let path = ran.artifact(label).checked_path("scores.parquet").unwrap();
    let scores = formats::scan_table::<Score>(&path).unwrap().map(Result::unwrap);
    scores.map(|score| ((score.prompt_id.clone(), score.teacher.clone()), score)).collect()
}

/// Every answer's reward, straight from the model.
fn expected(model: &RewardModel) -> BTreeMap<(String, String), Option<f64>> {
    let cells: Vec<(usize, &str)> = (0..N).flat_map(|at| ["a", "b"].map(|teacher| (at, teacher))).collect();
    let conversation =
        |(at, teacher): &(usize, &str)| vec![Message::user(question(*at)), Message::assistant(answer(*at, teacher))];
    let rewards = model.rewards(&cells.iter().map(conversation).collect::<Vec<_>>()).unwrap();
    let named = |(at, teacher): (usize, &str)| (format!("p{at:02}"), teacher.to_owned());
    cells.into_iter().map(named).zip(rewards.into_iter().map(Result::ok)).collect()
}

#[test]
fn answers_get_the_rewards_that_the_models_give() {
    let house = house();
    let ran = house.run(recipe(RECIPE, &[]), 2).unwrap();
    let tokens = RewardTokens { good: "1".to_owned(), bad: Some("2".to_owned()) };
    let read = |model: LocalModel| model.into_inference(None).unwrap();
    let models = [
        ("answers", RewardModel::new(read(language_model().with_reward_head(3).unwrap()), None).unwrap()),
        ("odds", RewardModel::new(read(language_model()), Some(&tokens)).unwrap()),
    ];
    for (label, model) in models {
        let (found, expected) = (scores(&ran, label), expected(&model));
        let values: BTreeMap<_, _> = found.iter().map(|(cell, score)| (cell.clone(), score.value)).collect();
        assert_eq!(values, expected, "{label}: to the last bit");
        assert_eq!(found.values().filter(|score| score.value.is_none()).count(), 2, "{label}");
        let why =
            |prompt: &str, teacher: &str| found[&(prompt.to_owned(), teacher.to_owned())].missing.clone().unwrap();
        let overlong = why("p03", "a");
        assert!(
            overlong.starts_with("overlong: ") && overlong.ends_with(" tokens, the arbiter reads 128"),
            "{overlong}"
        );
        assert!(why("p05", "b").starts_with("refused: turn 1 holds `<|end|>`"), "{}", why("p05", "b"));
    }
    let failures = &ran.artifact("odds").manifest().failures;
    assert_eq!(failures.values().sum::<u64>(), 2, "{failures:?}");
    let panel = scores(&ran, "both");
    assert_eq!(panel.len(), 2 * N);
    assert!(panel[&("p07".to_owned(), "a".to_owned())].value.is_some());
}

#[test]
fn a_text_is_scored_once_whoever_wrote_it_and_never_again() {
    let house = house();
    // One job at a time: two that score the same text at once both do the work.
    let ran = house.run(recipe(RECIPE, &[]), 1).unwrap();
    let counted = || {
        let ledger = rusqlite::Connection::open(house.store().join("ledger.sqlite")).unwrap();
        let count = |what: &str| -> (i64, i64) {
            let sql = format!("SELECT COUNT(*), SUM(attempts) FROM scores WHERE arbiter LIKE 'local:%' AND {what}");
            ledger.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
        };
        (count("arbiter LIKE '%good%'"), count("arbiter NOT LIKE '%good%'"))
    };
    let n_texts = (2 * N - N / 10) as i64;
    assert_eq!(counted(), ((n_texts, n_texts), (n_texts, n_texts)));
    // Another step of the same recipe asks about the same answers.
    let more = format!("{RECIPE}  - id: again\n    score: {{from: answers, arbiter: reward}}\n");
    let again = house.run(recipe(&more, &[]), 1).unwrap();
    assert_eq!(again.made, ["again"]);
    assert_eq!(scores(&again, "again"), scores(&ran, "answers"));
    assert_eq!(counted(), ((n_texts, n_texts), (n_texts, n_texts)));
}

#[test]
fn another_model_in_the_folder_is_another_artifact() {
    let house = house();
    let id = || {
        let plan = Plan::new(recipe(RECIPE, &[]), house.folder()).unwrap();
        let job = |label: &str| plan.jobs.iter().find(|job| job.label == label).unwrap().id.clone();
        (job("answers"), job("odds"), job("both"))
    };
    let before = id();
    let other = language_model().with_reward_head(4).unwrap().to_files().unwrap();
    fs::write(house.folder().join("reward/model.safetensors"), &other.0["model.safetensors"]).unwrap();
    let after = id();
    assert_ne!(before.0, after.0);
    assert_ne!(before.2, after.2, "a panel of it");
}

#[test]
fn models_that_cannot_score_are_refused_before_anything_is_asked() {
    let house = house();
    let fails = |change: &str| house.run(recipe(RECIPE, &[change]), 1).err().unwrap().to_string();
    let no_head = fails("arbiters.reward.folder=language");
    assert!(no_head.contains("`reward`: the model has a language model's head; expected"), "{no_head}");
    let no_token = fails("arbiters.odds.tokens.good=forty-two words");
    assert!(no_token.contains("`odds`: `forty-two words` is ") && no_token.contains("expected one"), "{no_token}");
    let absent = fails("arbiters.reward.folder=elsewhere");
    assert!(absent.contains("elsewhere"), "{absent}");
    let text = RECIPE.replace("replay: {file: answers.jsonl}}\n  - {id: b", "folder: reward}\n  - {id: b");
    let teacher = house.run(recipe(&text, &[]), 1).err().unwrap().to_string();
    assert!(teacher.contains("writes no answers; list it under `arbiters`"), "{teacher}");
}

#[test]
fn a_recipe_names_reward_models_that_are_there_when_they_are_asked() {
    let faults = |text: &str| Recipe::parse("recipe.yaml", text, &[]).err().unwrap().to_string();
    let both = faults(&RECIPE.replace("folder: reward}", "folder: reward, check: {}}"));
    assert!(both.contains("`check` and `folder` stand side by side"), "{both}");
    let stray = faults(&RECIPE.replace("folder: reward}", "check: {}, tokens: {good: \"1\"}}"));
    assert!(stray.contains("arbiter `reward` has `tokens` and no model whose logits they have"), "{stray}");
    let no_train = faults(&RECIPE.replace("folder: reward}", "local: prompts}"));
    assert!(no_train.contains("arbiter `reward` is `local: prompts`, which is no `train` step"), "{no_train}");
    let later =
        format!("{RECIPE}  - id: trained\n    train: {{objective: sft, base_folder: language, data: prompts}}\n");
    let later = faults(&later.replace("folder: reward}", "local: trained}"));
    assert!(later.contains("`answers` is scored by `reward`, which `trained` trains later"), "{later}");
}
