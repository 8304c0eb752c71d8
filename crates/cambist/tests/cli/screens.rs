//! What each command shows.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::{World, masked};

#[test]
fn help() {
    let world = World::new();
    let verbs = [
        "",
        "run",
        "plan",
        "show",
        "why",
        "gc",
        "init",
        "prompts",
        "generate",
        "score",
        "select",
        "train",
        "evaluate",
        "report",
        "merge-adapter",
    ];
    let mut pages = String::new();
    for verb in verbs {
        let args: Vec<&str> = [verb, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
        let told = world.run(&args);
        assert_eq!((told.code, told.err.as_str()), (0, ""), "{verb}");
        assert!(verb.is_empty() || told.out.contains("Example"), "`{verb} --help` has no example");
        pages += &format!("$ cambist {}\n{}\n", args.join(" "), told.out);
    }
    assert_snapshot!("help", pages);
}

#[test]
fn a_run_from_its_plan_to_its_garbage() {
    let world = World::new();
    let mut session = String::new();
    let commands = [
        "plan recipe.yaml",
        "run recipe.yaml --dry-run",
        "prompts recipe.yaml --threads 1",
        "run recipe.yaml --threads 1",
        "run recipe.yaml",
        "plan recipe.yaml arbitrage.select.pairs.min_margin=0.1",
        "show",
        "show tiny.arbitrage --rows 1",
        "why tiny.students.reward.seed-1",
        "gc --dry-run",
        "run recipe.yaml --limit 2 --threads 1 --quiet",
        "gc --dry-run",
        "gc",
        "gc",
    ];
    for command in commands {
        let args: Vec<&str> = command.split(' ').collect();
        session += &format!("$ cambist {command}\n{}\n", world.screen(&args));
    }
    assert_snapshot!("session", session);
}

#[test]
fn every_json_is_one_document() {
    let world = World::finished();
    let commands: [(&[&str], &str); 10] = [
        (&["run", "recipe.yaml"], "results"),
        (&["run", "recipe.yaml", "--dry-run"], "jobs"),
        (&["plan", "recipe.yaml"], "left"),
        (&["select", "recipe.yaml"], "artifacts"),
        (&["prompts", "recipe.yaml", "--dry-run"], "jobs"),
        (&["show"], "artifacts"),
        (&["show", "tiny.arbitrage"], "files"),
        (&["why", "tiny.results"], "inputs"),
        (&["gc", "--dry-run"], "unreachable"),
        (&["init", "new.yaml"], "wrote"),
    ];
    for (args, key) in commands {
        let told = world.run(&[args, &["--json"]].concat());
        assert_eq!(told.code, 0, "{args:?}: {}", told.err);
        let json: Value = serde_json::from_str(&told.out).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", told.out));
        assert!(json.get(key).is_some(), "{args:?}: no `{key}` in {json}");
    }
    let json: Value = serde_json::from_str(&world.run(&["run", "recipe.yaml", "--json"]).out).unwrap();
    let kept = |variant: &str| json["results"][0]["variants"][variant]["accuracy"].is_object();
    assert!(kept("reward") && kept("single"), "{json}");
}

#[test]
fn plans_tell_what_training_minimises_before_anything_runs() {
    let world = World::new();
    let plan = |more: &[&str]| world.run(&[&["plan", "recipe.yaml"], more].concat()).out;
    let dpo = [
        "students.train.objective=dpo",
        "students.train.data=arbitrage.pairs",
        "students.train.loss={kind: cdpo, beta: 0.25, nll: {weight: 2}}",
        "results.evaluate.against=null",
        "students.train.config={epochs: 2, lr: 5.0e-7, schedule: linear, batch_size: 4}",
    ];
    let told = plan(&dpo);
    let formula = "loss of `students` (dpo): mean over pairs of -0.9 ln σ(0.25 Δ) - 0.1 ln σ(-0.25 Δ) + 2 * mean";
    assert_eq!(told.matches(formula).count(), 1, "once for both seeds: {told}");
    let settings = "  2 epochs in steps of 4 rows, learning rate 5e-7, linear after a warm-up of 0.05 of the steps, weight decay 0.01\n";
    assert!(told.contains(settings), "{told}");
    let json: Value = serde_json::from_str(&plan(&[&dpo[..], &["--json"]].concat())).unwrap();
    let of_step = |step: &str| {
        json["jobs"].as_array().unwrap().iter().find(|job| job["step"] == step).unwrap()["training"].clone()
    };
    let training = of_step("students.seed-1");
    assert_eq!((&training["epochs"], &training["steps"], &training["lr"]), (&json!(2.0), &Value::Null, &json!(5e-7)));
    assert!(training["formula"].as_str().unwrap().starts_with("mean over pairs of -0.9 ln σ(0.25 Δ)"), "{training}");
    assert_eq!((of_step("start")["steps"].as_u64(), of_step("arbitrage")), (Some(3), Value::Null));
    assert!(!world.at("cambist-store").exists());
}

#[test]
fn polyglot_prompts_are_json_lines() {
    let world = World::new();
    let args = ["prompts", "--polyglot", "tr,ja", "--sources", "2", "--tasks", "percent-format", "--seed", "3"];
    let told = world.run(&args);
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    let rows: Vec<Value> = told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let languages: Vec<&str> = rows.iter().map(|row| row["language"].as_str().unwrap()).collect();
    assert_eq!(languages, ["tr", "ja", "tr", "ja"]);
    assert_eq!(told.out, world.run(&args).out, "same seed, same prompts");
    assert!(!world.at("cambist-store").exists(), "printing makes no store");
}

#[test]
fn init_writes_a_recipe_that_plans_and_overwrites_nothing() {
    let world = World::new();
    assert_eq!(world.run(&["init", "neu/rezept.yaml"]).code, 0);
    let told = world.run(&["plan", "neu/rezept.yaml"]);
    assert_eq!(told.code, 0, "{}", told.err);
    world.run(&["init", "recipe.yaml"]).is_explained(2, "`…` is there already");
    assert!(std::fs::read_to_string(world.at("recipe.yaml")).unwrap().starts_with("name: tiny"));
}

#[test]
fn overrides_change_the_artifacts_and_nothing_else_is_made_anew() {
    let world = World::finished();
    let changed = world.run(&["plan", "recipe.yaml", "students.train.config.steps=4", "pool.novice.price.output=0.3"]);
    let states: Vec<(&str, bool)> = changed
        .out
        .lines()
        .filter(|line| line.contains(" finished ") || line.contains(" stale "))
        .map(|line| (line.split(' ').next().unwrap(), line.contains(" stale ")))
        .filter(|(_, stale)| *stale)
        .collect();
    let stale: Vec<&str> = states.into_iter().map(|(step, _)| step).collect();
    let students =
        ["students.reward.seed-1", "students.reward.seed-2", "students.single.seed-1", "students.single.seed-2"];
    assert_eq!(stale, [&students[..], &["results"]].concat(), "{}", changed.out);
}

#[test]
fn masks_hide_digests_sizes_and_times() {
    let line = "  done prompts-15ba097225c7   0.1 s 3.4 kB, 12 rows\n";
    assert_eq!(masked(line), "  done prompts-<digest> <time> s <size> kB, 12 rows\n");
}
