//! Every way to get a recipe wrong, and what is said about it. Nothing is run then: no store is made.

use insta::assert_snapshot;

use crate::world::{RECIPE, World};

/// A change to the sound recipe, and the words of the guide for what is wrong with it.
type Case = (&'static str, &'static str, &'static str);

/// What the students of the sound recipe learn.
const DPO: &str = "objective: sft, base: start, data: arbitrage";

const CASES: &[Case] = &[
    ("name: tiny", "name: [tiny", "this is no YAML: …"),
    ("name: tiny", "name: tiny\nname: tiny", "this is no YAML: …"),
    ("seed: 7", "---\nseed: 7", "found … YAML documents, expected one"),
    ("seed: 7", "seed: !env 7", "the tag `…` has no meaning here"),
    ("seed: 7", "seed: !!python 7", "this value cannot be read"),
    ("seed: 7", "sed: 7", "unknown key `…`"),
    ("data: arbitrage,", "data: arbitrage, epochs: 3,", "unknown key `…`"),
    ("{steps: 3}", "{stpes: 3}", "unknown key `…`"),
    ("check: {}", "check: {strict: true}", "unknown key `…`"),
    ("price: {input:", "price: {inputs:", "unknown key `…`"),
    ("name: tiny\n", "", "the key `…` is missing"),
    ("steps:\n", "step:\n", "the key `…` is missing"),
    ("prompts: prompts.answer, ", "", "the key `…` is missing"),
    ("license: Apache-2.0, local", "local", "the key `…` is missing"),
    ("seed: 7", "seed: seven", "found …, expected …"),
    ("seed: 7", "seed: -7", "found …, expected …"),
    ("vocab_size: 300", "vocab_size: many", "found …, expected …"),
    ("seeds: [1, 2]", "seeds: 1", "found …, expected …"),
    ("name: tiny", "name: 12", "found …, expected …"),
    ("check: {}", "check: true", "found …, expected …"),
    ("languages: [es, ja], license", "languages: es, license", "`…` is neither `all` nor a list of languages"),
    ("languages: [es, ja], license", "languages: [es, x!], license", "`…` is no language tag"),
    ("output: 0.3", "output: -0.3", "a price below 0 USD per million tokens"),
    ("objective: sft", "objective: dop", "unknown word `…`"),
    ("data: arbitrage,", "data: arbitrage, loss: {beta: 0.2},", "`…`: `…` has no meaning beside `…`"),
    ("base: start, data", "base: start, reference_model: start, data", "`…`: `…` has no meaning beside `…`"),
    (DPO, "objective: dpo, base: start, data: arbitrage", "`…` of `…` reads `…`, and `…` learns from pairs"),
    (DPO, "objective: sft, base: start, data: arbitrage.pairs", "`…` of `…` reads the pairs `…`, which `…` cannot"),
    (
        DPO,
        "objective: simpo, base: start, data: arbitrage.pairs, loss: {kind: ipo}",
        "`…`: `…` has no meaning beside `…`",
    ),
    (
        DPO,
        "objective: dpo, base: start, data: arbitrage.pairs, loss: {label_smoothing: 0.1}",
        "`…`: `…` has no meaning beside `…`",
    ),
    (
        DPO,
        "objective: dpo, base: start, data: arbitrage.pairs, loss: {kind: cdpo, label_smoothing: 0.5}",
        "`…`: `…` is …, expected …",
    ),
    (DPO, "objective: dpo, base: start, data: arbitrage.pairs, loss: {kind: sigmiod}", "unknown word `…`"),
    (
        DPO,
        "objective: dpo, new: {vocab_size: 300}, data: arbitrage.pairs",
        "`…` compares with the model that it starts from, and a new model knows nothing",
    ),
    (
        DPO,
        "objective: orpo, base: start, data: arbitrage.pairs, tasks: [sum]",
        "`…` keeps pairs by task, and pairs carry none",
    ),
    (
        DPO,
        "objective: reward, base: start, data: arbitrage.pairs, loss: {beta: 0.1}",
        "`…`: `…` has no meaning beside `…`",
    ),
    (
        "      pairs: {}\n  - id: students\n    train: {objective: sft, base: start, data: arbitrage,",
        "  - id: students\n    train: {objective: dpo, base: start, data: arbitrage.pairs,",
        "`…` makes no preference pairs",
    ),
    (DPO, "objective: kto, base: start, data: arbitrage.labels", "`…` makes no labels"),
    (
        "      pairs: {}\n  - id: students\n    train: {objective: sft, base: start, data: arbitrage,",
        "      labels: {}\n  - id: students\n    train: {objective: dpo, base: start, data: arbitrage.labels,",
        "`…` of `…` reads the labels `…`, which `…` cannot",
    ),
    ("      pairs: {}\n", "      labels: {rule: {prompt-share: 0.6}}\n", "`…`: `…` is …, expected …"),
    ("data: arbitrage,", "data: arbitrage, held_out: prompts.test, held_out_file: held.jsonl,", "… stand side by side"),
    (
        "data: arbitrage,",
        "data: arbitrage, held_out_file: held.jsonl,",
        "`…` has held-out rows and does not say when to measure them",
    ),
    ("data: arbitrage,", "data: arbitrage, lora: {rank: 8},", "unknown key `…`"),
    ("data: arbitrage,", "data: arbitrage, lora: {r: 0},", "`r` is 0"),
    ("data: arbitrage,", "data: arbitrage, lora: {alpha: -1},", "`alpha` is …"),
    ("data: arbitrage,", "data: arbitrage, lora: {targets: [q_prj]},", "unknown projection `…`"),
    (
        "objective: pretrain",
        "objective: pretrain\n      lora: {}",
        "`…` trains an adapter on a new model, whose weights nobody trained",
    ),
    (
        "router: all, arbiter: checker, sampling: {max_new_tokens: 4}}\n  - id: alike",
        "router: {single-bon: {teacher: best, samples: two}}}\n  - id: alike",
        "found …, expected …",
    ),
    ("router: all}", "router: {single: expert}}", "unknown teacher `…`"),
    ("arbiter: checker}\n", "arbiter: cheker}\n", "unknown arbiter `…`"),
    ("    score: {from", "    scor: {from", "unknown verb `…`"),
    ("from: answers, ", "from: answer, ", "unknown step `…`"),
    ("data: prompts.teach", "data: prompts.train", "unknown part `…`"),
    ("against: single", "against: fixed", "unknown variant `…`"),
    ("base: start", "base: results", "`…` of `…` reads `…`, which comes later"),
    ("from: answers, ", "from: prompts, ", "`…` of `…` reads `…`, which makes …; expected …"),
    ("local: start", "local: arbitrage", "teacher `…` is `local: …`, which is no `train` step"),
    ("local: start", "local: students.reward.seed-1", "`…` asks `…`, which `…` trains later"),
    (
        "local: start, price",
        "endpoint: {dialect: cohere, base_url: \"http://gpu\"}, request: {n: native}, price",
        "teacher `…`: the dialect `…` gives one answer to a request",
    ),
    (
        "local: start, price",
        "endpoint: {dialect: cohere, base_url: \"http://gpu\"}, request: {stream: true}, price",
        "teacher `…`: replies of the dialect `…` are not read in events",
    ),
    ("id: alike", "id: answers", "the id `…` stands twice in `steps`"),
    ("id: seikai", "id: exacto", "the id `…` stands twice in `pool`"),
    ("id: alike", "id: a/b", "`…` cannot be an id"),
    ("name: tiny", "name: tiny recipe", "`…` cannot be an id"),
    ("teach: 4", "te.ach: 4", "`…` cannot be an id"),
    (
        "score: {from: answers, arbiter: checker}",
        "score: {from: answers, arbiter: checker}\n    train: {}",
        "`…` stands beside the verb `…`",
    ),
    ("    score: {from: answers, arbiter: checker}\n", "", "this step has no verb"),
    (
        "  - id: alike\n    score: {from: answers, arbiter: checker}",
        "  - score",
        "found …, expected a step such as `…`",
    ),
    ("    prompts: {file: prompts.jsonl, ", "    prompts: {", "none of … is given"),
    ("base: start, ", "base: start, new: {vocab_size: 300}, ", "… stand side by side"),
    ("calibration: calibration\n", "{}", "this is no YAML: …"),
    ("      calibration: calibration\n", "", "`…` uses a router that is chosen on calibration answers, and has none"),
    (
        "router: {single: best}",
        "router: {single-bon: {teacher: best, samples: 1}}",
        "`…`: best of fewer than 2 samples is no choice",
    ),
    (
        "        single: {router: {single: best}}\n        reward: {router: all}\n",
        "        {}\n",
        "`…` has no strategies",
    ),
    ("        reward: {router: all}\n", "        pairs: {router: all}\n", "`…` cannot be a strategy of `…`"),
    ("        reward: {router: all}\n", "        labels: {router: all}\n", "`…` cannot be a strategy of `…`"),
    ("check: {}}", "check: {}}\n  - {id: p, ensemble: {of: [checker]}}", "panel `…` has … of the two arbiters or more"),
    ("check: {}}", "check: {}}\n  - {id: p, ensemble: {of: [checker, chcker]}}", "unknown arbiter `…`"),
    ("check: {}}", "check: {}}\n  - {id: p, ensemble: {of: [checker, checker]}}", "panel `…` lists `…` twice"),
    (
        "check: {}}",
        "check: {}}\n  - {id: x, chrf: {}}\n  - {id: p, ensemble: {of: [checker, x]}}\n  - {id: q, ensemble: {of: [p, x]}}",
        "panel `…` has the panel `…` among its members",
    ),
    (
        "check: {}}",
        "check: {}}\n  - {id: x, rouge: {}}\n  - {id: p, ensemble: {of: [checker, x], weights: {y: {default: 1}}}}",
        "unknown arbiter in `weights` `…`",
    ),
    (
        "check: {}}",
        "check: {}}\n  - {id: x, match: {}}\n  - {id: p, ensemble: {of: [checker, x], weights: {x: {ja: -1}}}}",
        "panel `…`: the weight of `…` for `…` is …",
    ),
    (
        "check: {}}",
        "check: {}}\n  - {id: x, contains: {}}\n  - {id: p, ensemble: {of: [checker, x], weights: {x: {j!: 1}}}}",
        "panel `…`: the weight of `…` is for `…`, which is no language",
    ),
    (
        "check: {}}",
        "check: {}}\n  - {id: x, numeric: {}}\n  - {id: p, ensemble: {of: [checker, x], combine: {lcb: {k: -1}}}}",
        "panel `…`: `k` is …",
    ),
    (
        "check: {}}",
        "check: {}}\n  - {id: x, chrf: {}}\n  - {id: p, ensemble: {of: [checker, x], min_arbiters: 3}}",
        "panel `…`: `min_arbiters` is …, and it has … members",
    ),
    (
        "check: {}}",
        "check: {}}\n  - {id: x, chrf: {}}\n  - {id: p, ensemble: {of: [checker, x], calibration: calibration}}",
        "panel `…` takes its scales from `…`, which is no step that it scores",
    ),
    (
        "      calibration: calibration\n",
        "      calibration: calibration\n      gates: {safety: {}}\n",
        "… has a safety gate and no safety scores",
    ),
    (
        "      calibration: calibration\n",
        "      calibration: calibration\n      safety: alike\n",
        "… has safety scores and no safety gate",
    ),
    ("test: 2", "test: 0", "the split `…` takes no sources"),
    ("file: prompts.jsonl", "polyglot: {tasks: [percent-fromat]}", "unknown polyglot task `…`"),
    ("file: prompts.jsonl", "polyglot: {}, languages: [es, tlh]", "unknown polyglot language `…`"),
    ("file: prompts.jsonl", "polyglot: {}, languages: [es, es]", "`…` is listed twice"),
    ("file: prompts.jsonl", "polyglot: {sources: 3}", "the splits take … sources and `sources` makes …"),
    (
        "file: prompts.jsonl, splits: {teach: 4, answer: 6, calibration: 4, test: 2}",
        "polyglot: {}",
        "`…` does not say how many prompts to make",
    ),
];

#[test]
fn every_fault_is_told_with_its_place_and_remedy_before_anything_runs() {
    let world = World::new();
    let mut told_all = String::new();
    for (from, to, pattern) in CASES {
        assert!(RECIPE.contains(from), "the recipe has no `{from}`");
        world.write("recipe.yaml", RECIPE.replacen(from, to, 1));
        let told = world.run(&["run", "recipe.yaml"]);
        told.is_explained(2, pattern);
        assert!(told.err.contains("hint: ") && told.err.contains("recipe.yaml:"), "{}", told.err);
        assert_eq!(told.out, "");
        told_all += &format!("{to:?} for {from:?}\n{}\n", told.err);
    }
    assert!(!world.at("cambist-store").exists(), "nothing was run");
    assert_snapshot!("bad_recipes", told_all);
}

#[test]
fn all_faults_are_told_at_once() {
    let world = World::new();
    let recipe = RECIPE.replace("seed: 7", "sed: 7").replace("vocab_size: 300", "vocab_size: many, size: 3");
    world.write("recipe.yaml", recipe.replace("seeds: [1, 2]", "seeds: [1, -2, x]"));
    let told = world.run(&["plan", "recipe.yaml"]);
    assert!(told.err.contains("has 5 faults; nothing was run"), "{}", told.err);
}

#[test]
fn recipes_that_are_hardly_any() {
    let world = World::new();
    let cases = [
        ("", "the recipe is empty"),
        ("name: tiny\nsteps: []\n", "`steps` is empty"),
        ("name: tiny\nsteps:\n", "`…`: found …, expected a list"),
        ("- prompts\n", "found …, expected a mapping with `name` and `steps`"),
    ];
    for (text, pattern) in cases {
        world.write("recipe.yaml", text);
        world.run(&["run", "recipe.yaml"]).is_explained(2, pattern);
    }
    world.write("recipe.yaml", b"name: caf\xe9\n");
    world.run(&["run", "recipe.yaml"]).is_explained(2, "`…` is not UTF-8: line …");
}

#[test]
fn the_caret_stands_under_the_fault_behind_wide_letters() {
    let world = World::new();
    world.write("recipe.yaml", "name: tiny\nsteps:\n  - report: {title: 日本語, tite: x}\n");
    let told = world.run(&["plan", "recipe.yaml"]);
    let lines: Vec<&str> = told.err.lines().collect();
    let at = lines.iter().position(|line| line.ends_with('^')).unwrap();
    // Three wide letters before it: 26 characters take 29 cells.
    assert_eq!(lines[at].chars().count(), lines[at - 1].split("tite").next().unwrap().chars().count() + 3 + 1);
}

#[test]
fn overrides_are_told_as_what_was_typed() {
    let world = World::new();
    let cases = [
        ("seed", "there is no `=` in it"),
        ("sed=9", "unknown key or step `…`"),
        ("student.train.config.steps=9", "unknown key or step `…`"),
        ("pool.nobody.license=MIT", "`…` leads nowhere: …"),
        ("seed.deep=9", "`…` leads nowhere: …"),
        ("seed=many", "found …, expected …"),
        ("seed=[1", "this is no YAML: …"),
        ("students.train.config.stpes=9", "unknown key `…`"),
        ("students.trian.config.steps=9", "`…` stands beside the verb `…`"),
    ];
    for (assignment, pattern) in cases {
        let told = world.run(&["run", "recipe.yaml", assignment]);
        told.is_explained(2, pattern);
        assert!(told.err.contains(&format!("in the override `{assignment}`: ")), "{}", told.err);
        assert!(!told.err.contains('^'), "no line of the recipe is to blame: {}", told.err);
    }
}
