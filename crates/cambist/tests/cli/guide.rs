//! The user guide says what the program does.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::world::{RECIPE, World};

fn guide() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide")
}

#[test]
fn every_recipe_in_the_guide_parses() {
    let mut n_recipes = 0;
    for entry in fs::read_dir(guide()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for block in text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            let world = World::new();
            world.write("guide.yaml", if block.starts_with("name:") { block.to_owned() } else { whole(block) });
            // Files that an example names need not be there; faults of the recipe come first.
            let told = world.run(&["plan", "guide.yaml"]);
            let is_sound = told.code == 0 || told.err.contains("the recipe names `");
            assert!(is_sound, "{}:\n{block}\n{}", path.display(), told.err);
            n_recipes += 1;
        }
    }
    assert!(n_recipes >= 8, "{n_recipes}");
}

/// Steps of an example inside the smallest recipe that has what they read.
fn whole(steps: &str) -> String {
    let before = "name: example
pool:
  - {id: aya, license: Apache-2.0, local: start}
arbiters:
  - {id: checker, check: {}}
steps:
  - id: prompts
    prompts: {polyglot: {}, languages: [es, uk], splits: {teach: 4, train: 4, calibration: 4, test: 4}}
  - id: start
    train: {objective: pretrain, new: {vocab_size: 300}, data: prompts.teach}
  - id: calibration
    generate: {prompts: prompts.calibration, router: all, arbiter: checker}
  - id: answers
    generate: {prompts: prompts.train, router: all, arbiter: checker}
  - id: data
    select: {from: answers, strategies: {single: {router: {single: aya}}, reward: {router: all}}}
  - id: students
    train: {objective: sft, base: start, data: data, seeds: [1, 2]}
";
    format!("{before}{steps}")
}

#[test]
fn every_key_of_a_recipe_is_in_the_guide() {
    let guide = fs::read_to_string(guide().join("recipe.md")).unwrap();
    let sources = [
        "cambist-pipeline/src/recipe/params.rs",
        "cambist-pipeline/src/recipe/fusion.rs",
        "cambist-pipeline/src/recipe/pool.rs",
        "cambist-pipeline/src/recipe/mbr.rs",
        "cambist-pipeline/src/recipe/panel.rs",
        "cambist-pipeline/src/recipe/loss.rs",
        "cambist-pipeline/src/recipe/routing.rs",
        "cambist-model/src/train/config.rs",
        "cambist-model/src/adapter/mod.rs",
        "cambist-model/src/shape.rs",
        "cambist-model/src/generate/sampling.rs",
        "cambist-io/src/formats/recorded.rs",
        "cambist-io/src/formats/prompts.rs",
        "cambist-core/src/gates.rs",
        "cambist-core/src/gates/language.rs",
        "cambist-core/src/gates/repetition.rs",
        "cambist-core/src/gates/echo.rs",
        "cambist-core/src/gates/length.rs",
        "cambist-core/src/gates/mixed.rs",
        "cambist-core/src/gates/refusal.rs",
        "cambist-core/src/gates/safety.rs",
        "cambist-core/src/arbiter/numeric.rs",
        "cambist-core/src/labels.rs",
        "cambist-core/src/pairs.rs",
        "cambist-core/src/pool.rs",
    ];
    let mut n_keys = 0;
    for source in sources {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(source);
        for key in keys(&fs::read_to_string(&path).unwrap()) {
            assert!(guide.contains(&format!("| `{key}` |")), "docs/guide/recipe.md has no row for `{key}` of {source}");
            n_keys += 1;
        }
    }
    assert!(n_keys > 80, "{n_keys}");
}

/// The public fields of structs that refuse unknown fields.
fn keys(source: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let (mut refuses, mut inside) = (false, false);
    for line in source.lines() {
        match line {
            _ if line.contains("deny_unknown_fields") => refuses = true,
            _ if line.starts_with("pub struct ") => (inside, refuses) = (refuses && line.ends_with('{'), false),
            "}" => inside = false,
            _ => {}
        }
        if let Some((key, _)) = line.strip_prefix("    pub ").filter(|_| inside).and_then(|rest| rest.split_once(": "))
        {
            keys.push(key.trim_start_matches("r#").to_owned());
        }
    }
    keys
}

/// Where the manifests of a run without settings show the defaults of a table of the guide.
const DEFAULTS: [(&str, &str, &str); 10] = [
    ("### sampling", "generate", "/generate/sampling"),
    ("### eligibility", "generate", "/generate/eligibility"),
    ("### gates", "select", "/select/gates"),
    ("`language`:", "select", "/select/gates/language"),
    ("`repetition`:", "select", "/select/gates/repetition"),
    ("`echo`:", "select", "/select/gates/echo"),
    ("### pairs", "select", "/select/pairs"),
    ("### labels", "select", "/select/labels"),
    ("### shape", "train", "/train/new/shape"),
    ("### config", "train", "/train/config"),
];

#[test]
fn every_default_in_the_guide_is_what_a_run_takes() {
    let world = World::new();
    let plain = RECIPE.replace(", config: {steps: 3}", "").replace(", sampling: {max_new_tokens: 4}", "");
    let (before, shape) = plain.split_once(", shape:").unwrap();
    let (_, after) = shape.split_once("}}").unwrap();
    let plain = format!("{before}}}{after}").replace("      config: {steps: 3}\n", "");
    world.write("recipe.yaml", plain.replace("      pairs: {}\n", "      pairs: {}\n      labels: {}\n"));
    let told = world.run(&["select", "recipe.yaml", "--quiet"]);
    assert_eq!(told.code, 0, "{}", told.err);
    let guide = fs::read_to_string(guide().join("recipe.md")).unwrap();
    let mut n_compared = 0;
    for (title, verb, pointer) in DEFAULTS {
        let manifest = fs::read(world.artifact(verb).join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let taken = manifest["params"].pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {manifest}"));
        let table = guide.split(&format!("{title}\n")).nth(1).unwrap().split("--- |\n").nth(1).unwrap();
        for row in table.lines().take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`'])).collect();
            let Ok(told) = serde_json::from_str::<Value>(cells[2]) else { continue };
            let same = told == taken[cells[0]] || told.as_f64().is_some_and(|n| Some(n) == taken[cells[0]].as_f64());
            assert!(same, "{title}: `{}` is {} and the guide says {told}", cells[0], taken[cells[0]]);
            n_compared += 1;
        }
    }
    assert!(n_compared >= 30, "{n_compared}");
}

#[test]
fn every_link_in_the_guide_leads_somewhere() {
    for entry in fs::read_dir(guide()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for goal in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = goal.split('#').next().unwrap();
            let is_there = file.is_empty() || file.starts_with("https://") || guide().join(file).exists();
            assert!(is_there, "{}: {goal}", path.display());
        }
    }
}
