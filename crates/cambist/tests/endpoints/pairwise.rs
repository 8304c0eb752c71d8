//! Judges that compare two answers: scores equal to a plain computation, orders that disagree, and nothing paid twice.

use std::collections::BTreeMap;

use cambist_core::{comparison::Agreement, score::Score};
use cambist_io::{formats::read_table, mock::MockServer};
use serde_json::{Value, json};

use super::pool::{Pool, mock, said, table_of_report};

/// How far apart two rewards of a tie may be, as the mock's judge has it.
const TIE: f64 = 0.3;

const CHAT: &str = "/v1/chat/completions";

/// Teachers and a judge on one server. `manner` goes into the judge, `more` behind the steps.
fn recipe(server: &MockServer, (model, manner): (&str, &str), more: &str) -> String {
    let url = server.base_url();
    let teacher = |id: &str| format!("- {{id: {id}, license: MIT, endpoint: {{base_url: \"{url}\", model: {id}}}}}\n");
    format!(
        "name: pairs\npool:\n{}{}{}arbiters:\n\
         - {{id: judge, judge: {{{manner}}}, endpoint: {{base_url: \"{url}\", model: \"{model}\"}}}}\n\
         - {{id: rm, endpoint: {{dialect: vllm-classify, base_url: \"{url}\", model: mock-rm}}, reward: {{probe: false}}}}\n\
         steps:\n- id: prompts\n  prompts: {{polyglot: {{sources: 4}}, languages: [de, ja, tr]}}\n\
         - id: answers\n  generate: {{prompts: prompts, router: all, sampling: {{max_new_tokens: 64}}, arbiter: judge}}\n{more}",
        teacher("alpha"),
        teacher("beta"),
        teacher("gamma"),
    )
}

/// Scores the same answers by the reward that the mock's judge goes by.
const REWARDS: &str = "- id: rewards\n  score: {from: answers, arbiter: rm}\n";

/// Prompts of the recipe.
const N_PROMPTS: u64 = 12;

pub(crate) fn run(pool: &Pool) {
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
}

/// The artifact that was made last by a step.
pub(crate) fn artifact(pool: &Pool, step: &str) -> std::path::PathBuf {
    let folders = std::fs::read_dir(pool.path("store/artifacts")).unwrap().map(|entry| entry.unwrap().path());
    let is_of_step = |path: &std::path::PathBuf| {
        let manifest = std::fs::read(path.join("manifest.json")).unwrap();
        serde_json::from_slice::<Value>(&manifest).unwrap()["step"] == step
    };
    folders.filter(is_of_step).max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap()
}

/// Values by prompt and teacher.
pub(crate) fn values(pool: &Pool, step: &str) -> BTreeMap<String, BTreeMap<String, Option<f64>>> {
    let scores: Vec<Score> = read_table(&artifact(pool, step).join("scores.parquet")).unwrap();
    let mut values: BTreeMap<String, BTreeMap<String, Option<f64>>> = BTreeMap::new();
    for score in scores {
        values.entry(score.prompt_id).or_default().insert(score.teacher, score.value);
    }
    values
}

/// What `comparisons.json` says of the judge, all languages together.
fn agreement(pool: &Pool, step: &str) -> Agreement {
    let told = std::fs::read(artifact(pool, step).join("comparisons.json")).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    let mut all = Agreement::default();
    for of_language in told["judges"]["judge"]["languages"].as_object().unwrap().values() {
        let number = |name: &str| of_language[name].as_u64().unwrap();
        let here = Agreement {
            n_comparisons: number("n_comparisons"),
            n_equal: number("n_equal"),
            n_flipped: number("n_flipped"),
            n_missing: number("n_missing"),
            n_once: 0,
        };
        assert_eq!(of_language["flip_rate"].as_f64(), here.flip_rate());
        assert_eq!(of_language["missing_rate"].as_f64(), here.missing_rate());
        all.add(here);
    }
    all
}

/// The calls to an arbiter that the plan names for a step: in all, left, and whether there may be fewer.
pub(crate) fn planned(pool: &Pool, step: &str, arbiter: &str) -> (u64, u64, bool) {
    let output = pool.cambist(&["plan", "recipe.yaml", "--store", "store", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let job = plan["jobs"].as_array().unwrap().iter().find(|job| job["step"] == step).unwrap();
    let estimates = job["estimates"].as_array().unwrap();
    let found = estimates.iter().find(|estimate| estimate["teacher"] == arbiter).unwrap();
    let number = |name: &str| found[name].as_u64().unwrap();
    (number("calls"), number("calls_left"), found["is_at_most"].as_bool().unwrap())
}

pub(crate) fn chats(server: &MockServer) -> u64 {
    server.stats().calls.get(CHAT).copied().unwrap_or(0)
}

/// The points of an answer with the reward `own` against one with `other`.
fn points(own: f64, other: f64) -> f64 {
    if (own - other).abs() <= TIE { 0.5 } else { f64::from(u8::from(own > other)) }
}

fn is_near(found: Option<f64>, wanted: f64) -> bool {
    found.is_some_and(|found| (found - wanted).abs() < 1e-12)
}

#[test]
fn win_shares_are_what_a_plain_computation_says() {
    for mode in ["pair-abt", "pair-five", "pair-three"] {
        let server = mock(json!({ "seed": 5 }));
        let pool = Pool::new(&recipe(&server, ("mock-judge-fair", &format!("mode: {mode}")), REWARDS));
        run(&pool);
        let (shares, rewards) = (values(&pool, "answers"), values(&pool, "rewards"));
        assert_eq!(shares.len() as u64, N_PROMPTS);
        for (prompt, of_prompt) in &shares {
            for (teacher, share) in of_prompt {
                let own = rewards[prompt][teacher].unwrap();
                let others = rewards[prompt].iter().filter(|(other, _)| *other != teacher);
                let wanted = others.map(|(_, other)| points(own, other.unwrap())).sum::<f64>() / 2.0;
                assert!(is_near(*share, wanted), "{mode} {prompt} {teacher}: {share:?}, wanted {wanted}");
            }
        }
        let found = agreement(&pool, "answers");
        assert_eq!((found.n_comparisons, found.n_flipped, found.n_missing), (3 * N_PROMPTS, 0, 0));
        assert_eq!(chats(&server), 3 * N_PROMPTS + 6 * N_PROMPTS);
        assert_eq!(server.stats().cells_answered_again, 0);
    }
}

#[test]
fn probabilities_are_the_mean_of_both_orders() {
    let server = mock(json!({}));
    let pool = Pool::new(&recipe(&server, ("mock-judge-fair", "mode: pair-logprob"), REWARDS));
    run(&pool);
    // The mock gives the rival of its letter a log-probability that is lower by 1, and has no ties.
    let sure = 1.0 / (1.0 + (-1.0f64).exp());
    let (shares, rewards) = (values(&pool, "answers"), values(&pool, "rewards"));
    for (prompt, of_prompt) in &shares {
        for (teacher, share) in of_prompt {
            let own = rewards[prompt][teacher].unwrap();
            let others = rewards[prompt].iter().filter(|(other, _)| *other != teacher);
            let wins = others.map(|(_, other)| if own > other.unwrap() { sure } else { 1.0 - sure });
            let wanted = wins.sum::<f64>() / 2.0;
            assert!(share.is_some_and(|share| (share - wanted).abs() < 1e-9), "{prompt} {teacher}: {share:?} {wanted}");
        }
    }
}

#[test]
fn a_judge_that_always_says_a_gives_ties_alone() {
    let server = mock(json!({}));
    let pool = Pool::new(&recipe(&server, ("mock-judge-A", "mode: pair-three"), "- report: {}\n"));
    run(&pool);
    assert!(values(&pool, "answers").values().flat_map(BTreeMap::values).all(|share| is_near(*share, 0.5)));
    let found = agreement(&pool, "answers");
    assert_eq!((found.flip_rate(), found.missing_rate()), (Some(1.0), Some(0.0)));
    // The report says the same, by language.
    let table = table_of_report(&artifact(&pool, "report"), "Judges of pairs");
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows.iter().all(|row| row["cells"][5]["share"] == 1.0 && row["cells"][6]["share"] == 0.0), "{table}");
    let compared: u64 = rows.iter().map(|row| row["cells"][3]["count"].as_u64().unwrap()).sum();
    assert_eq!(compared, found.n_comparisons);
    let timed = table_of_report(&artifact(&pool, "report"), "How long answered calls");
    let answered = timed["rows"].as_array().unwrap().iter().map(|row| row["cells"][2]["count"].as_u64().unwrap());
    assert_eq!(answered.sum::<u64>(), 3 * N_PROMPTS, "{timed}");
}

#[test]
fn another_teacher_pays_for_its_own_comparisons_and_a_baseline_for_none() {
    let server = mock(json!({}));
    let judge = ("mock-judge-fair", "mode: pair-abt");
    let text = recipe(&server, judge, REWARDS);
    let pool = Pool::new(&text);
    run(&pool);
    let before = chats(&server);
    let url = server.base_url();
    let delta = format!("- {{id: delta, license: MIT, endpoint: {{base_url: \"{url}\", model: delta}}}}\narbiters:");
    let more = text.replacen("arbiters:", &delta, 1);
    std::fs::write(pool.path("recipe.yaml"), &more).unwrap();
    assert_eq!(planned(&pool, "answers", "judge"), (12 * N_PROMPTS, 6 * N_PROMPTS, true));
    run(&pool);
    let found = agreement(&pool, "answers");
    assert_eq!(found.n_comparisons + found.n_equal, 6 * N_PROMPTS);
    let asked = chats(&server);
    assert_eq!(asked - before, N_PROMPTS + 6 * N_PROMPTS, "its answers, and both orders against three others");

    let baseline = more.replace("mode: pair-abt", "mode: pair-abt, compare: {baseline: beta}");
    std::fs::write(pool.path("recipe.yaml"), &baseline).unwrap();
    run(&pool);
    assert_eq!(chats(&server), asked, "every verdict was there");
    assert_eq!(server.stats().cells_answered_again, 0);
    let (shares, rewards) = (values(&pool, "answers"), values(&pool, "rewards"));
    for (prompt, of_prompt) in &shares {
        let beta = rewards[prompt]["beta"].unwrap();
        for (teacher, share) in of_prompt {
            let wanted = points(rewards[prompt][teacher].unwrap(), beta);
            assert!(is_near(*share, wanted), "{prompt} {teacher}: {share:?}, wanted {wanted}");
        }
    }
}

#[test]
fn what_no_judge_says_is_asked_three_times_and_missing_for_good() {
    let server = mock(json!({}));
    let again = "- id: again\n  score: {from: answers, arbiter: judge}\n";
    // A model that writes German prose and no verdicts.
    let text = recipe(&server, ("mock-lang-de", "mode: pair-three"), again);
    let few = text.replace("sources: 4}, languages: [de, ja, tr]", "sources: 1}, languages: [ja]");
    let pool = Pool::new(&few.replacen("gamma, license: MIT", "gamma, languages: [tr], license: MIT", 1));
    run(&pool);
    let stats = server.stats();
    assert_eq!((chats(&server), stats.cells_answered_again), (2 + 2 * 3, 0), "{stats:?}");
    for step in ["answers", "again"] {
        let scores: Vec<Score> = read_table(&artifact(&pool, step).join("scores.parquet")).unwrap();
        let reasons: Vec<Option<&str>> = scores.iter().map(|score| score.missing.as_deref()).collect();
        assert_eq!(reasons, [Some("too few verdicts"), Some("too few verdicts")]);
        assert_eq!(agreement(&pool, step).missing_rate(), Some(1.0));
    }
}

#[test]
fn an_answer_alone_has_no_score() {
    let server = mock(json!({}));
    let pool = Pool::new(
        &recipe(&server, ("mock-judge-fair", "mode: pair-abt"), "").replace("router: all", "router: {single: alpha}"),
    );
    run(&pool);
    let scores: Vec<Score> = read_table(&artifact(&pool, "answers").join("scores.parquet")).unwrap();
    assert!(!scores.is_empty() && scores.iter().all(|score| score.missing.as_deref() == Some("no_opponent")));
    assert_eq!(chats(&server), N_PROMPTS);
}

#[test]
fn a_panel_takes_a_judge_by_the_prompt_alone() {
    let server = mock(json!({}));
    let panel = "- {id: panel, ensemble: {of: [judge, rm], normalize: prompt}}\nsteps:";
    let text = recipe(&server, ("mock-judge-fair", "mode: pair-abt"), REWARDS).replacen("steps:", panel, 1);
    let text = text.replacen("arbiter: judge", "arbiter: panel", 1);
    let pool = Pool::new(&text);
    run(&pool);
    let members: Vec<Score> = read_table(&artifact(&pool, "answers").join("member_scores.parquet")).unwrap();
    let mut by_prompt: BTreeMap<(&str, &str), Vec<(&str, f64)>> = BTreeMap::new();
    for score in &members {
        let of_prompt = by_prompt.entry((&score.prompt_id, &score.arbiter)).or_default();
        of_prompt.push((&score.teacher, score.value.unwrap()));
    }
    let on_prompt = |prompt: &str, arbiter: &str, teacher: &str| {
        let all = &by_prompt[&(prompt, arbiter)];
        let mean = all.iter().map(|(_, value)| value).sum::<f64>() / all.len() as f64;
        let spread = (all.iter().map(|(_, value)| (value - mean).powi(2)).sum::<f64>() / (all.len() - 1) as f64).sqrt();
        let own = all.iter().find(|(name, _)| *name == teacher).unwrap().1;
        if spread == 0.0 { 0.0 } else { (own - mean) / spread }
    };
    for (prompt, of_prompt) in &values(&pool, "answers") {
        for (teacher, value) in of_prompt {
            let wanted = (on_prompt(prompt, "judge", teacher) + on_prompt(prompt, "rm", teacher)) / 2.0;
            assert!(value.is_some_and(|value| (value - wanted).abs() < 1e-9), "{prompt} {teacher} {value:?} {wanted}");
        }
    }
    std::fs::write(pool.path("recipe.yaml"), text.replace(", normalize: prompt", "")).unwrap();
    let output = pool.run("store");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("panel `panel` takes `judge`, which compares"), "{}", said(&output));
}

#[test]
fn wrong_uses_are_told_before_anything_is_asked() {
    let server = mock(json!({}));
    let later = "- id: safe\n  score: {from: answers, arbiter: judge}\n- id: data\n  \
                 select: {from: answers, safety: safe, gates: {safety: {}}, strategies: {best: {router: all}}}\n";
    let text = recipe(&server, ("mock-judge-fair", "mode: pair-abt"), later);
    let cases = [
        (
            "mode: pair-abt",
            "mode: pair-abt, double: true",
            "judge `judge` is shown two answers at a time, in both orders",
        ),
        ("mode: pair-abt", "mode: abs-10, compare: {baseline: alpha}", "judge `judge` grades one answer at a time"),
        ("mode: pair-abt", "mode: pair-abt, compare: {baseline: alhpa}", "unknown teacher under `baseline` `alhpa`"),
        (
            "mode: pair-abt}, endpoint: {",
            "mode: pair-logprob}, endpoint: {dialect: anthropic, ",
            "judge `judge` is read from log-probabilities",
        ),
        ("name: pairs", "name: pairs", "the safety scores `safe` of `data` are by `judge`"),
    ];
    for (from, to, wanted) in cases {
        let pool = Pool::new(&text.replacen(from, to, 1));
        let output = pool.run("store");
        assert_eq!(output.status.code(), Some(2), "{to}: {}", said(&output));
        assert!(said(&output).contains(wanted), "{to}: {}", said(&output));
    }
    assert_eq!(server.stats().attempts, 0);
}

/// Students of two strategies, with two seeds each, after a few steps of training.
const STUDENTS: &str = "\
- id: start
  train: {objective: pretrain, data: prompts.teach, config: {steps: 3}, new: {vocab_size: 300, shape: {hidden_size: 16, n_layers: 1, n_heads: 2, n_kv_heads: 2, intermediate_size: 16}}}
- id: data
  select: {from: answers, align: none, strategies: {single: {router: {single: alpha}}, best: {router: all}}}
- id: students
  train: {objective: sft, base: start, data: data, seeds: [1, 2], config: {steps: 3}}
- id: results
  evaluate: {models: students, against: single, prompts: prompts.test, arbiter: judge, sampling: {max_new_tokens: 12}, bootstrap: 100}
";

#[test]
fn students_are_compared_with_the_baseline_seed_by_seed() {
    let server = mock(json!({}));
    let text = recipe(&server, ("mock-judge-fair", "mode: pair-abt"), STUDENTS)
        .replace(
            "{sources: 4}, languages: [de, ja, tr]",
            "{}, languages: [de, tr], splits: {teach: 4, answer: 4, test: 6}",
        )
        .replacen("prompts: prompts, router", "prompts: prompts.answer, router", 1);
    let pool = Pool::new(&text);
    assert!(pool.cambist(&["prompts", "recipe.yaml", "--quiet", "--store", "store"]).status.success());
    // Twelve prompts, two seeds, one variant against the other in both orders.
    assert_eq!(planned(&pool, "results", "judge"), (48, 48, true));
    run(&pool);
    let results = std::fs::read(artifact(&pool, "results").join("results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    let versus = &results["variants"]["best"]["versus"];
    let games: f64 = ["wins", "ties", "losses"]
        .iter()
        .map(|name| versus["languages"].as_object().unwrap().values().map(|l| l[name].as_f64().unwrap()).sum::<f64>())
        .sum();
    assert!(games > 0.0, "{results}");
    // The baseline ties with itself, so that its mean is a half.
    for of_language in results["variants"]["single"]["accuracy"]["languages"].as_object().unwrap().values() {
        assert_eq!(of_language["mean"]["value"], 0.5, "{results}");
    }
    let found = agreement(&pool, "results");
    assert_eq!(found.n_comparisons + found.n_equal, 6 * 2 * 2, "each prompt, each seed");
    let without = text.replacen("against: single, ", "", 1);
    std::fs::write(pool.path("recipe.yaml"), without).unwrap();
    let output = pool.run("store");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("no `against`"), "{}", said(&output));
}
