//! Judges that see all answers to a prompt at once: the pick of a plain computation, orders that disagree, verdicts that
//! nobody can read, and nothing paid twice.

use std::collections::BTreeMap;

use cambist_core::score::Score;
use cambist_io::{formats::read_table, mock::MockServer};
use serde_json::{Value, json};

use super::{
    pairwise::{artifact, chats, planned, run, values},
    pool::{Pool, mock, said, table_of_report},
};

/// Prompts of the recipe.
const N_PROMPTS: u64 = 12;

/// Three teachers and a judge on one server, which is shown their answers as `manner` says, and the reward that it goes by.
fn recipe(server: &MockServer, (model, manner): (&str, &str)) -> String {
    let url = server.base_url();
    let teacher = |id: &str| format!("- {{id: {id}, license: MIT, endpoint: {{base_url: \"{url}\", model: {id}}}}}\n");
    format!(
        "name: lists\npool:\n{}{}{}arbiters:\n\
         - {{id: judge, judge: {{mode: checklist{manner}}}, endpoint: {{base_url: \"{url}\", model: \"{model}\"}}}}\n\
         - {{id: rm, endpoint: {{dialect: vllm-classify, base_url: \"{url}\", model: mock-rm}}, reward: {{probe: false}}}}\n\
         steps:\n- id: prompts\n  prompts: {{polyglot: {{sources: 4}}, languages: [de, ja, tr]}}\n\
         - id: answers\n  generate: {{prompts: prompts, router: all, sampling: {{max_new_tokens: 64}}, arbiter: judge}}\n\
         - id: rewards\n  score: {{from: answers, arbiter: rm}}\n\
         - id: again\n  score: {{from: answers, arbiter: judge}}\n\
         - id: data\n  select: {{from: answers, gates: {{language: null, mixed: null, repetition: null, echo: null, keep_truncated: true}}, strategies: {{best: {{router: all}}}}}}\n",
        teacher("alpha"),
        teacher("beta"),
        teacher("gamma"),
    )
}

/// What `comparisons.json` says of the judge: prompts compared, flipped, without a verdict, shown once.
fn told(pool: &Pool, step: &str) -> [u64; 4] {
    let told = std::fs::read(artifact(pool, step).join("comparisons.json")).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    let mut all = [0; 4];
    for of_language in told["judges"]["judge"]["languages"].as_object().unwrap().values() {
        for (sum, name) in all.iter_mut().zip(["n_comparisons", "n_flipped", "n_missing", "n_once"]) {
            *sum += of_language[name].as_u64().unwrap_or(0);
        }
    }
    all
}

type Values = BTreeMap<String, BTreeMap<String, Option<f64>>>;

/// 1 for the answer with the highest reward, 0 for the others.
fn best_of(rewards: &BTreeMap<String, Option<f64>>) -> BTreeMap<String, Option<f64>> {
    let highest = rewards.values().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    rewards
        .iter()
        .map(|(teacher, reward)| (teacher.clone(), Some(f64::from(u8::from(*reward == Some(highest))))))
        .collect()
}

fn expected(rewards: &Values) -> Values {
    rewards.iter().map(|(prompt, of_prompt)| (prompt.clone(), best_of(of_prompt))).collect()
}

#[test]
fn the_best_answer_is_picked_once_for_each_prompt_and_order() {
    for (manner, n_orders) in [("", 1), (", double: true", 2)] {
        let server = mock(json!({ "seed": 5 }));
        let pool = Pool::new(&recipe(&server, ("mock-judge-fair", manner)));
        assert!(pool.cambist(&["prompts", "recipe.yaml", "--quiet", "--store", "store"]).status.success());
        assert_eq!(planned(&pool, "answers", "judge"), (n_orders * N_PROMPTS, n_orders * N_PROMPTS, true));
        run(&pool);
        assert_eq!(values(&pool, "answers"), expected(&values(&pool, "rewards")));
        assert_eq!(values(&pool, "again"), values(&pool, "answers"));
        let n_once = if n_orders == 1 { N_PROMPTS } else { 0 };
        assert_eq!(told(&pool, "answers"), [N_PROMPTS, 0, 0, n_once]);
        assert_eq!(chats(&server), 3 * N_PROMPTS + n_orders * N_PROMPTS, "asked once, whoever scores with it");
        assert_eq!(server.stats().cells_answered_again, 0);
        // What is kept are the picks.
        let kept = std::fs::read_to_string(artifact(&pool, "data").join("best/sft.jsonl")).unwrap();
        assert_eq!(kept.lines().count() as u64, N_PROMPTS);
        let picked = values(&pool, "answers");
        for row in kept.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            let (prompt, teacher) = (row["id"].as_str().unwrap(), row["teacher"].as_str().unwrap());
            assert_eq!(picked[prompt][teacher], Some(1.0), "{row}");
        }
    }
}

#[test]
fn a_second_order_costs_itself_alone_and_a_second_run_nothing() {
    let server = mock(json!({}));
    let text = recipe(&server, ("mock-judge-fair", ""));
    let pool = Pool::new(&text);
    run(&pool);
    let before = chats(&server);
    std::fs::write(pool.path("recipe.yaml"), text.replace("checklist}", "checklist, double: true}")).unwrap();
    assert_eq!(planned(&pool, "answers", "judge"), (2 * N_PROMPTS, N_PROMPTS, false));
    run(&pool);
    assert_eq!(chats(&server) - before, N_PROMPTS, "the first order was there");
    std::fs::remove_dir_all(pool.path("store/artifacts")).unwrap();
    run(&pool);
    assert_eq!(chats(&server) - before, N_PROMPTS, "the ledger has everything");
    assert_eq!(server.stats().cells_answered_again, 0);
    assert_eq!(told(&pool, "answers"), [N_PROMPTS, 0, 0, 0]);
}

#[test]
fn a_judge_of_places_is_found_out_by_the_second_order() {
    let server = mock(json!({}));
    let text = recipe(&server, ("mock-judge-A", ", double: true")) + "- report: {}\n";
    let pool = Pool::new(&text);
    run(&pool);
    for of_prompt in values(&pool, "answers").values() {
        let mut shares: Vec<f64> = of_prompt.values().map(|share| share.unwrap()).collect();
        shares.sort_by(f64::total_cmp);
        assert_eq!(shares, [0.0, 0.5, 0.5], "the first and the last of one order");
    }
    assert_eq!(told(&pool, "answers"), [N_PROMPTS, N_PROMPTS, 0, 0]);
    let table = table_of_report(&artifact(&pool, "report"), "Judges of pairs");
    assert!(table["rows"].as_array().unwrap().iter().all(|row| row["cells"][5]["share"] == 1.0), "{table}");
    // With one order alone it picks by chance, and nobody can tell.
    std::fs::write(pool.path("recipe.yaml"), text.replace(", double: true", "")).unwrap();
    run(&pool);
    let mut picks: BTreeMap<String, u64> = BTreeMap::new();
    for (teacher, share) in values(&pool, "answers").into_values().flatten() {
        *picks.entry(teacher).or_default() += u64::from(share == Some(1.0));
    }
    assert_eq!(picks.values().sum::<u64>(), N_PROMPTS);
    assert!(picks.values().all(|n| *n < N_PROMPTS), "the order is drawn anew for each prompt: {picks:?}");
    let table = table_of_report(&artifact(&pool, "report"), "Judges of pairs");
    assert!(table["rows"].as_array().unwrap().iter().all(|row| row["cells"][5]["missing"].is_string()), "{table}");
}

#[test]
fn what_no_judge_says_is_asked_three_times_and_missing_for_good() {
    let server = mock(json!({}));
    // A model that writes German prose and names no number.
    let few = recipe(&server, ("mock-lang-de", ""))
        .replace("sources: 4}, languages: [de, ja, tr]", "sources: 1}, languages: [ja]");
    let pool = Pool::new(&few);
    run(&pool);
    assert_eq!((chats(&server), server.stats().cells_answered_again), (3 + 3, 0));
    for step in ["answers", "again"] {
        let scores: Vec<Score> = read_table(&artifact(&pool, step).join("scores.parquet")).unwrap();
        assert_eq!(scores.len(), 3);
        assert!(scores.iter().all(|score| score.value.is_none() && score.missing.as_deref() == Some("no verdict")));
        assert_eq!(told(&pool, step), [1, 0, 1, 0]);
    }
    assert_eq!(
        std::fs::read_to_string(artifact(&pool, "data").join("best/sft.jsonl")).unwrap(),
        "",
        "missing is never 0"
    );
}

#[test]
fn an_only_answer_is_the_best_and_nobody_is_asked() {
    let server = mock(json!({}));
    let text =
        recipe(&server, ("mock-judge-fair", "")).replace("router: all, sampling", "router: {single: alpha}, sampling");
    let pool = Pool::new(&text.replace("best: {router: all}", "best: {router: {single: alpha}}"));
    run(&pool);
    let scores = values(&pool, "answers");
    assert!(scores.values().flat_map(BTreeMap::values).all(|share| *share == Some(1.0)), "{scores:?}");
    assert_eq!(chats(&server), N_PROMPTS);
    assert_eq!(told(&pool, "answers"), [0; 4]);
}

#[test]
fn wrong_uses_are_told_before_anything_is_asked() {
    let server = mock(json!({}));
    let text = recipe(&server, ("mock-judge-fair", ""));
    let panel = "- {id: panel, ensemble: {of: [judge, rm]}}\nsteps:";
    let evaluated = "- id: base\n  train: {objective: pretrain, data: prompts, new: {vocab_size: 300}}\n\
                     - id: results\n  evaluate: {models: base, prompts: prompts, arbiter: judge}\n";
    let cases = [
        (
            text.replace("checklist}", "checklist, compare: {baseline: alpha}}"),
            "`judge` is shown all answers to a prompt at once",
        ),
        (
            text.replace("mode: checklist", "mode: abs-10, double: true"),
            "judge `judge` grades one answer at a time (`abs-10`) and has `double`",
        ),
        (text.replace("steps:", panel), "panel `panel` takes `judge`, which compares answers to one prompt"),
        (format!("{text}{evaluated}"), "`results` is scored by `judge`, which says what is best among all answers"),
        (
            text.replace("router: all, sampling", "router: {budgeted: {}}, calibration: early, sampling"),
            "`judge` scores when all answers are there",
        ),
    ];
    for (text, wanted) in cases {
        let pool = Pool::new(&text);
        let output = pool.run("store");
        assert_eq!(output.status.code(), Some(2), "{wanted}: {}", said(&output));
        let told = said(&output);
        assert!(told.contains(wanted) && told.contains("hint:"), "{wanted}: {told}");
    }
    assert_eq!(server.stats().attempts, 0);
}
