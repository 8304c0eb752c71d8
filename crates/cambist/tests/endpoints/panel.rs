//! Two reward models and chrF as one arbiter: equal to a plain computation, and asked once whatever is made of them.

use std::collections::BTreeMap;

use cambist_core::{completion::Completion, prompt::Prompt, score::Score, statistics::median};
use cambist_io::{formats::read_table, mock::MockServer};
use serde_json::{Value, json};

use super::pool::{Pool, mock, said, table_of_report};

/// Three teachers on one server, and a reward model on each of two whose scores differ.
struct Servers {
    teachers: MockServer,
    first: MockServer,
    second: MockServer,
}

impl Servers {
    fn start() -> Self {
        let of_seed = |seed: u64| mock(json!({ "seed": seed }));
        Self { teachers: of_seed(1), first: of_seed(2), second: of_seed(3) }
    }

    /// A recipe with a panel; `combine` goes into it and `more` behind the steps.
    fn recipe(&self, combine: &str, more: &str) -> String {
        let teacher = |id: &str| {
            let url = self.teachers.base_url();
            format!("- {{id: {id}, license: MIT, endpoint: {{base_url: \"{url}\", model: {id}}}}}\n")
        };
        let reward = |id: &str, server: &MockServer| {
            let url = server.base_url();
            format!(
                "- {{id: {id}, family: {id}, endpoint: {{dialect: vllm-classify, base_url: \"{url}\", model: mock-rm}}}}\n"
            )
        };
        format!(
            "name: panel\npool:\n{}{}{}arbiters:\n{}{}- {{id: chrf, chrf: {{}}}}\n\
             - {{id: panel, ensemble: {{of: [one, two, chrf], {combine}}}}}\n\
             steps:\n- id: prompts\n  prompts: {{polyglot: {{sources: 8}}, languages: [de, ja, tr]}}\n\
             - id: answers\n  generate: {{prompts: prompts, router: all, sampling: {{max_new_tokens: 64}}, arbiter: panel}}\n{more}",
            teacher("alpha"),
            teacher("beta"),
            teacher("gamma"),
            reward("one", &self.first),
            reward("two", &self.second),
        )
    }
}

/// A table of the artifact that a step made.
fn scores(pool: &Pool, verb: &str, table: &str) -> Vec<Score> {
    read_table(&artifact(pool, verb).join(table)).unwrap()
}

/// The artifact that was made last by a verb.
fn artifact(pool: &Pool, verb: &str) -> std::path::PathBuf {
    let of_verb = std::fs::read_dir(pool.path("store/artifacts")).unwrap().map(|entry| entry.unwrap().path());
    let of_verb = of_verb.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(verb));
    of_verb.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap()
}

type Cell = (String, String, u32);

fn cell(score: &Score) -> Cell {
    (score.prompt_id.clone(), score.teacher.clone(), score.sample)
}

/// The language of each prompt.
fn languages(pool: &Pool) -> BTreeMap<String, String> {
    let prompts: Vec<Prompt> = read_table(&artifact(pool, "prompts").join("prompts.parquet")).unwrap();
    prompts.into_iter().map(|prompt| (prompt.id, prompt.language.to_string())).collect()
}

/// A value on the scale of all values of its arbiter in its language.
fn scaled(value: f64, all: &[f64]) -> f64 {
    let middle = median(all).unwrap();
    let spread = 1.4826 * median(&all.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>()).unwrap();
    assert!(spread > 0.0, "{all:?}");
    (value - middle) / spread
}

#[test]
fn a_panel_is_what_a_plain_computation_says() {
    let servers = Servers::start();
    let pool = Pool::new(&servers.recipe("weights: {one: {default: 1, ja: 2}}", "- report: {}\n"));
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
    let (members, own) =
        (scores(&pool, "generate", "member_scores.parquet"), scores(&pool, "generate", "scores.parquet"));
    assert_eq!((own.len(), members.len()), (8 * 3 * 3, 8 * 3 * 3 * 3));

    let languages = languages(&pool);
    let mut values: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for score in &members {
        values.entry((&score.arbiter, &languages[&score.prompt_id])).or_default().extend(score.value);
    }
    let mut wanted: BTreeMap<Cell, (f64, f64)> = BTreeMap::new();
    for score in &members {
        let weight = if score.arbiter == "one" && languages[&score.prompt_id] == "ja" { 2.0 } else { 1.0 };
        let all = &values[&(score.arbiter.as_str(), languages[&score.prompt_id].as_str())];
        let (sum, total) = wanted.entry(cell(score)).or_default();
        (*sum, *total) = (*sum + weight * scaled(score.value.unwrap(), all), *total + weight);
    }
    for score in &own {
        let (sum, total) = wanted[&cell(score)];
        assert!((score.value.unwrap() - sum / total).abs() < 1e-9, "{score:?} {}", sum / total);
        assert_eq!(score.arbiter, "panel");
    }
    let told = std::fs::read(artifact(&pool, "generate").join("disagreement.json")).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    for tag in ["de", "ja", "tr"] {
        let of_language = &told["languages"][tag];
        assert_eq!(of_language["n_prompts"], 8, "{told}");
        assert_eq!(of_language["tau"].as_array().unwrap().len(), 3, "{told}");
        assert!(of_language["mean_sd"].as_f64().unwrap() > 0.0);
        assert!((0.0..=1.0).contains(&of_language["other_winner"].as_f64().unwrap()));
    }
    let table = table_of_report(&artifact(&pool, "report"), "How far the members");
    for (row, tag) in table["rows"].as_array().unwrap().iter().zip(["de", "ja", "tr"]) {
        let cells = row["cells"].as_array().unwrap();
        assert!(cells[2]["words"]["text"].as_str().unwrap().ends_with(&format!("({tag})")), "{table}");
        assert_eq!((&cells[3]["count"], &cells[6]["share"]), (&json!(8), &told["languages"][tag]["other_winner"]));
        assert_eq!(cells[5]["number"], told["languages"][tag]["mean_sd"]);
    }
}

#[test]
fn another_way_to_combine_asks_no_server_again() {
    let servers = Servers::start();
    let later = "- id: again\n  score: {from: answers, arbiter: panel}\n";
    let pool = Pool::new(&servers.recipe("combine: mean", later));
    assert!(pool.run("store").status.success());
    let asked =
        || [&servers.teachers, &servers.first, &servers.second].map(|server| server.stats().cells_answered_again);
    assert_eq!(asked(), [0, 0, 0]);
    let requests = || [&servers.first, &servers.second].map(|server| server.stats().attempts);
    let (teachers, first) = (servers.teachers.stats().attempts, requests());
    // The same panel afterwards gives the same values: nothing about the order of asking is in them.
    let by_cell = |scores: Vec<Score>| -> BTreeMap<Cell, Option<f64>> {
        scores.into_iter().map(|score| (cell(&score), score.value)).collect()
    };
    assert_eq!(by_cell(scores(&pool, "generate", "scores.parquet")), by_cell(scores(&pool, "score", "scores.parquet")));

    for combine in ["combine: min", "combine: {lcb: {k: 0.5}}", "combine: borda", "combine: rank-mean", "combine: vote"]
    {
        let changed = servers.recipe(&format!("{combine}, normalize: prompt"), later);
        std::fs::write(pool.path("recipe.yaml"), changed).unwrap();
        let output = pool.run("store");
        assert!(output.status.success(), "{combine}: {}", said(&output));
        assert_eq!(servers.teachers.stats().attempts, teachers, "{combine}");
        assert_eq!(requests(), first, "{combine}");
    }
    let votes = scores(&pool, "generate", "scores.parquet");
    let mut by_prompt: BTreeMap<String, f64> = BTreeMap::new();
    votes.iter().for_each(|vote| *by_prompt.entry(vote.prompt_id.clone()).or_default() += vote.value.unwrap());
    assert!(by_prompt.values().all(|sum| (sum - 1.0).abs() < 1e-9), "{by_prompt:?}");
}

#[test]
fn a_member_that_cannot_read_everything_is_not_heard_where_it_is_silent() {
    let servers = Servers::start();
    let whole = servers.recipe("min_arbiters: 3", "");
    let pool = Pool::new(&whole);
    assert!(pool.run("store").status.success());
    let limit = middle_size(&pool);
    let tail = "model: mock-rm}";
    let text = whole.replacen(tail, &format!("{tail}, reward: {{max_chars: {limit}, probe: false}}"), 1);
    std::fs::write(pool.path("recipe.yaml"), &text).unwrap();
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
    let members = scores(&pool, "generate", "member_scores.parquet");
    let own = scores(&pool, "generate", "scores.parquet");
    let silent: Vec<&Score> = members.iter().filter(|score| score.value.is_none()).collect();
    let is_silent = |prompt_id: &str| silent.iter().any(|score| score.prompt_id == prompt_id);
    assert!(!silent.is_empty() && silent.iter().all(|score| score.arbiter == "one"), "{silent:?}");
    assert!(own.iter().any(|score| score.value.is_some()), "{silent:?}");
    for score in &own {
        let expected = is_silent(&score.prompt_id).then_some("too few arbiters");
        assert_eq!((score.missing.as_deref(), score.value.is_none()), (expected, expected.is_some()));
    }
    std::fs::write(pool.path("recipe.yaml"), text.replace("min_arbiters: 3", "min_arbiters: 2")).unwrap();
    assert!(pool.run("store").status.success());
    assert!(scores(&pool, "generate", "scores.parquet").iter().all(|score| score.value.is_some()));
}

/// The middle of the sizes, over prompts, of the largest prompt with its answer.
fn middle_size(pool: &Pool) -> usize {
    let prompts: Vec<Prompt> = read_table(&artifact(pool, "prompts").join("prompts.parquet")).unwrap();
    let answers: Vec<Completion> = read_table(&artifact(pool, "generate").join("completions.parquet")).unwrap();
    let largest = |prompt: &Prompt| {
        let asked: usize = prompt.messages.iter().map(|turn| turn.content.chars().count()).sum();
        let of_prompt = answers.iter().filter(|answer| answer.prompt_id == prompt.id);
        asked + of_prompt.map(|answer| answer.text.chars().count()).max().unwrap()
    };
    let mut sizes: Vec<usize> = prompts.iter().map(largest).collect();
    sizes.sort_unstable();
    sizes[sizes.len() / 2]
}

#[test]
fn a_panel_takes_its_scales_from_a_calibration_step() {
    let servers = Servers::start();
    let text = servers
        .recipe("calibration: calibration", "- id: data\n  select: {from: answers, strategies: {best: {router: all}}}\n")
        .replace("sources: 8}, languages: [de, ja, tr]}", "}, languages: [de, ja, tr], splits: {a: 6, b: 6}}")
        .replace("- id: answers\n", "- id: calibration\n  generate: {prompts: prompts.a, router: all, sampling: {max_new_tokens: 64}, arbiter: panel}\n- id: answers\n")
        .replace("prompts: prompts, router", "prompts: prompts.b, router");
    let pool = Pool::new(&text);
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
    let of = |step: &str| {
        let folders = std::fs::read_dir(pool.path("store/artifacts")).unwrap().map(|entry| entry.unwrap().path());
        let named = |path: &std::path::PathBuf| {
            let manifest = std::fs::read(path.join("manifest.json")).unwrap();
            serde_json::from_slice::<Value>(&manifest).unwrap()["step"] == step
        };
        folders.into_iter().find(named).unwrap()
    };
    let read = |step: &str, table: &str| -> Vec<Score> { read_table(&of(step).join(table)).unwrap() };
    let prompts: BTreeMap<String, String> = ["a", "b"]
        .iter()
        .flat_map(|set| read_table::<Prompt>(&of("prompts").join(format!("{set}.parquet"))).unwrap())
        .map(|prompt| (prompt.id, prompt.language.to_string()))
        .collect();
    let mut values: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for score in read("calibration", "member_scores.parquet") {
        values.entry((score.arbiter.clone(), prompts[&score.prompt_id].clone())).or_default().extend(score.value);
    }
    let mut wanted: BTreeMap<Cell, f64> = BTreeMap::new();
    for score in read("answers", "member_scores.parquet") {
        let all = &values[&(score.arbiter.clone(), prompts[&score.prompt_id].clone())];
        *wanted.entry(cell(&score)).or_default() += scaled(score.value.unwrap(), all) / 3.0;
    }
    for score in read("answers", "scores.parquet") {
        assert!((score.value.unwrap() - wanted[&cell(&score)]).abs() < 1e-9, "{score:?}");
    }
}

#[test]
fn a_safety_scorer_keeps_answers_out() {
    let servers = Servers::start();
    let later = "- id: safe\n  score: {from: answers, arbiter: two}\n\
                 - id: data\n  select: {from: answers, safety: safe, gates: {safety: {min_score: LEAST}}, strategies: {best: {router: all}}}\n";
    let text = servers.recipe("", later);
    let pool = Pool::new(&text.replace("LEAST", "-1000"));
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
    let scores = scores(&pool, "score", "scores.parquet");
    let values: Vec<f64> = scores.iter().filter_map(|score| score.value).collect();
    let least = median(&values).unwrap();
    std::fs::write(pool.path("recipe.yaml"), text.replace("LEAST", &least.to_string())).unwrap();
    assert!(pool.run("store").status.success());
    let kept = std::fs::read_to_string(artifact(&pool, "select").join("best/sft.jsonl")).unwrap();
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!kept.is_empty());
    for row in &kept {
        let score = scores.iter().find(|s| row["id"] == s.prompt_id.as_str() && row["teacher"] == s.teacher.as_str());
        assert!(score.unwrap().value.unwrap() >= least, "{row}");
    }
    std::fs::write(pool.path("recipe.yaml"), text.replace("safety: safe, ", "").replace("LEAST", "0")).unwrap();
    let output = pool.run("store");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("`data` has a safety gate and no safety scores"), "{}", said(&output));
}

#[test]
fn an_arbiter_of_the_teachers_family_is_warned_of() {
    let servers = Servers::start();
    let text = servers.recipe("", "").replacen("id: alpha, license", "id: alpha, family: one, license", 1);
    let output = Pool::new(&text).cambist(&["plan", "recipe.yaml", "--store", "store"]);
    let told = said(&output);
    assert!(told.contains("warning: self_preference: arbiter `one` scores teacher `alpha`"), "{told}");
    assert!(!told.contains("`two`"), "{told}");
}

#[test]
fn what_is_declared_of_outputs_overrides_the_licence() {
    let servers = Servers::start();
    let text =
        servers.recipe("", "").replacen("id: alpha, license: MIT", "id: alpha, license: MIT, outputs_may_train: no", 1);
    let pool = Pool::new(&text);
    assert!(pool.run("store").status.success());
    let answered = scores(&pool, "generate", "scores.parquet");
    assert!(!answered.is_empty() && answered.iter().all(|score| score.teacher != "alpha"), "{answered:?}");
}
