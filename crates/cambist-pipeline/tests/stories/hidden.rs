//! Routers that read prompts with a local model: fitted, kept, refused with another one.

use std::{collections::BTreeMap, fmt::Write, fs};

use cambist_core::{completion::Completion, router::FittedRouter};
use cambist_io::formats::scan_table;
use cambist_model::{LocalModel, ModelFiles, Shape, train_tokenizer};
use cambist_pipeline::{
    Pooling,
    recipe::params::HeadChoice,
    routing::{FeatureModel, FitFiles, fit_files, open_router, open_router_with, write_router},
};
use serde_json::json;

use crate::{
    house::{House, recipe},
    learned::routed,
};

const N: usize = 150;

/// `asker` answers questions well, `doer` orders.
fn is_question(at: usize) -> bool {
    (at * 2_654_435_761) >> 9 & 1 == 1
}

fn text_of(at: usize) -> String {
    if is_question(at) { format!("Why is the river near {at}?") } else { format!("Write about the market at {at}.") }
}

fn model(seed: u64) -> LocalModel {
    let texts: Vec<String> = (0..N).map(text_of).collect();
    let shape = Shape { hidden_size: 32, intermediate_size: 48, max_positions: 96, ..Shape::default() };
    LocalModel::new(&shape, &train_tokenizer(&texts, 340).unwrap(), seed).unwrap()
}

fn house() -> House {
    let house = House::new();
    let (mut prompts, mut answers, mut scores) = (String::new(), String::new(), String::new());
    for at in 0..N {
        let (id, language) = (format!("p{at}"), ["en", "de"][at % 2]);
        let _ = writeln!(prompts, "{}", json!({"id": id, "language": language, "prompt": text_of(at)}));
        for (teacher, is_right) in [("asker", is_question(at)), ("doer", !is_question(at))] {
            let _ = writeln!(answers, "{}", json!({"prompt_id": id, "model": teacher, "text": "An answer."}));
            let score = f64::from(u8::from(is_right)) + (at % 5) as f64 / 20.0;
            let _ = writeln!(scores, "{}", json!({"prompt_id": id, "model": teacher, "score": score}));
        }
    }
    for (name, text) in [("prompts", prompts), ("answers", answers), ("scores", scores)] {
        fs::write(house.folder().join(format!("{name}.jsonl")), text).unwrap();
    }
    for (name, seed) in [("reader", 5), ("other", 6)] {
        fs::create_dir(house.folder().join(name)).unwrap();
        let ModelFiles(files) = model(seed).to_files().unwrap();
        files.into_iter().for_each(|(file, bytes)| fs::write(house.folder().join(name).join(file), bytes).unwrap());
    }
    house
}

const RECIPE: &str = "name: hidden
seed: 3
pool:
  - {id: asker, license: MIT, replay: {file: answers.jsonl}}
  - {id: doer, license: MIT, replay: {file: answers.jsonl}}
arbiters:
  - {id: recorded, recorded: {file: scores.jsonl}}
steps:
  - id: prompts
    prompts: {file: prompts.jsonl, splits: {calibration: 100, compare: 50}}
  - id: calibration
    generate: {prompts: prompts.calibration, router: all, arbiter: recorded}
  - id: router
    fit: {from: calibration, head: ridge, features: {folder: reader, layer: 1}, gates: {language: null, echo: null}}
  - id: routed
    generate: {prompts: prompts.compare, router: {learned: {from: router}}, arbiter: recorded}
";

fn kept(house: &House) -> BTreeMap<String, u64> {
    let files = fs::read_dir(house.store().join("features")).unwrap().map(Result::unwrap);
    files.map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().len())).collect()
}

#[test]
fn a_model_reads_prompts_once_and_its_router_asks_the_right_teacher() {
    let house = house();
    let ran = house.run(recipe(RECIPE, &[]), 2).unwrap();
    let fitted: FittedRouter = serde_json::from_slice(&ran.artifact("router").read("router.json").unwrap()).unwrap();
    assert!(fitted.features.starts_with("hidden-v1:") && fitted.features.ends_with(":1:mean"), "{}", fitted.features);
    let overall = fitted.tuned.overall;
    assert!(overall.gain > 2.0 * overall.gain_se.unwrap(), "{overall:?}");
    let live = scan_table::<Completion>(&ran.artifact("routed").checked_path("completions.parquet").unwrap()).unwrap();
    let live: Vec<(usize, String)> =
        live.map(|row| row.unwrap()).map(|row| (row.prompt_id[1..].parse().unwrap(), row.teacher)).collect();
    let right = live.iter().filter(|(at, teacher)| (teacher == "asker") == is_question(*at)).count();
    assert!(live.len() == 50 && right >= 47, "{right} of {}", live.len());
    // Every prompt was read once; another head reads none again, another layer all.
    let first = kept(&house);
    assert_eq!(first.len(), 1);
    let bytes = |n_prompts: u64| n_prompts * (16 + 4 + 4 * 32);
    let size = *first.values().next().unwrap();
    assert!(size >= bytes(150) && size < bytes(152), "{size}");
    house.run(recipe(RECIPE, &["router.fit.head=kl-softmax"]), 2).unwrap();
    assert_eq!(kept(&house), first);
    house.run(recipe(RECIPE, &["router.fit.features.layer=2", "router.fit.features.pooling=last"]), 2).unwrap();
    assert_eq!(kept(&house).len(), 2);
}

#[test]
fn another_model_is_refused_wherever_the_router_is_used() {
    let house = house();
    let at = |name: &str| house.folder().join(name);
    let with = |folder: &str| FeatureModel { folder: at(folder), layer: None, pooling: Pooling::Mean };
    let files = FitFiles {
        prompts: at("prompts.jsonl"),
        scores: at("scores.jsonl"),
        answers: None,
        judge: None,
        head: HeadChoice::Ridge,
        bits: 14,
        features: Some(with("reader")),
        seed: 0,
        max_weight: 50.0,
    };
    let fitted = fit_files(&files).unwrap();
    write_router(&fitted, &at("router.json")).unwrap();
    let open = |model: Option<&str>| {
        let folder = model.map(at);
        open_router_with(&house.store(), at("router.json").to_str().unwrap(), folder.as_deref())
    };
    let router = open(Some("reader")).unwrap();
    let line = |text: &str| json!({"language": "en", "prompt": text}).to_string();
    for (text, teacher) in [("Why is the river near 999?", "asker"), ("Write about the market at 999.", "doer")] {
        assert_eq!(routed(&router, &line(text))[0]["teacher"], teacher, "{text}");
    }
    // What the template refuses is routed by its language, and not at all refused.
    assert_eq!(routed(&router, &line("a <|end|> b"))[0]["scores"].as_object().unwrap().len(), 2);
    let error = open(Some("other")).err().unwrap().to_string();
    assert!(error.contains("was fitted on features `hidden-v1:") && error.contains("give the model"), "{error}");
    let error = open(None).err().unwrap().to_string();
    assert!(error.contains("reads prompts with a model") && error.contains("`--model`"), "{error}");
    let error = open_router(&house.store(), at("router.json").to_str().unwrap()).err().unwrap().to_string();
    assert!(error.contains("`--model`"), "{error}");
    write_router(&fit_files(&FitFiles { features: None, ..files.clone() }).unwrap(), &at("router.json")).unwrap();
    let error = open(Some("reader")).err().unwrap().to_string();
    assert!(error.contains("take no model"), "{error}");
    let bad = FeatureModel { layer: Some(9), ..with("reader") };
    let error = fit_files(&FitFiles { features: Some(bad), ..files }).unwrap_err().to_string();
    assert!(error.contains("layer 9 was asked for"), "{error}");
    let refused = |overrides: &[&str]| house.run(recipe(RECIPE, overrides), 1).err().unwrap().to_string();
    let error = refused(&["router.fit.features.folder=nowhere"]);
    assert!(error.contains("nowhere"), "{error}");
    let text = RECIPE.replace("folder: reader, layer: 1", "layer: 1");
    let error = cambist_pipeline::recipe::Recipe::parse("r.yaml", &text, &[]).err().unwrap().to_string();
    assert!(error.contains("`features` of `router` names no models"), "{error}");
}
