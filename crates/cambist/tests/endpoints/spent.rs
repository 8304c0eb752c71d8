//! Money: a cap that drains, a plan that says what is left, and nothing paid twice.

use serde_json::{Value, json};

use super::pool::{Pool, mock, n_stored, said};

fn recipe(base_url: &str, budget: &str) -> String {
    format!(
        "name: bill\n{budget}pool:\n- id: alpha\n  license: Apache-2.0\n  price: {{input: 100, output: 300}}\n  \
           endpoint: {{base_url: \"{base_url}\", model: alpha, limits: {{concurrency: 8}}}}\n\
         - id: beta\n  license: Apache-2.0\n  price: {{input: 50, output: 100}}\n  \
           endpoint: {{dialect: anthropic, base_url: \"{base_url}\", model: beta, limits: {{concurrency: 8}}}}\n\
         arbiters:\n- id: rm\n  price: {{input: 1, output: 0}}\n  endpoint: {{dialect: vllm-classify, base_url: \"{base_url}\", model: mock-rm}}\n\
         steps:\n- id: prompts\n  prompts: {{polyglot: {{sources: 30}}, languages: [ja, tr]}}\n\
         - id: answers\n  generate: {{prompts: prompts, router: all, sampling: {{max_new_tokens: 200}}}}\n\
         - id: scores\n  score: {{from: answers, arbiter: rm}}\n"
    )
}

fn spent(pool: &Pool) -> f64 {
    let ledger = rusqlite::Connection::open(pool.path("store/ledger.sqlite")).unwrap();
    ledger.query_row("SELECT TOTAL(cost_usd) FROM calls", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_cap_drains_and_a_higher_one_goes_on() {
    let server = mock(json!({}));
    let pool = Pool::new(&recipe(&server.base_url(), "budget: {total_usd: 1.0}\n"));
    let output = pool.run("store");
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("the budget is spent"), "{}", said(&output));
    let (paid, stored) = (spent(&pool), n_stored(&pool.path("store")));
    assert!(paid <= 1.0 && paid > 0.5, "{paid}");
    assert!(stored > 0 && stored < 120, "{stored}");
    std::fs::write(pool.path("recipe.yaml"), recipe(&server.base_url(), "budget: {total_usd: 1000}\n")).unwrap();
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
    let stats = server.stats();
    assert_eq!((n_stored(&pool.path("store")), stats.cells_answered_again), (120, 0), "{stats:?}");
}

#[test]
fn a_cap_on_the_day_counts_what_earlier_runs_spent() {
    let server = mock(json!({}));
    let pool = Pool::new(&recipe(&server.base_url(), "budget: {per_day_usd: 1.0}\n"));
    assert_eq!(pool.run("store").status.code(), Some(3));
    let (paid, asked) = (spent(&pool), server.stats().attempts);
    assert!(paid <= 1.0 && paid > 0.5, "{paid}");
    let output = pool.run("store");
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("the budget is spent"), "{}", said(&output));
    assert!(spent(&pool) <= 1.0, "{}", spent(&pool));
    // A day later there is a dollar again; what is left of the day before is not added to it.
    let ledger = rusqlite::Connection::open(pool.path("store/ledger.sqlite")).unwrap();
    ledger.execute("UPDATE calls SET created_at_unix_ms = created_at_unix_ms - 90000000", []).unwrap();
    let before = spent(&pool);
    assert_eq!(pool.run("store").status.code(), Some(3));
    let today = spent(&pool) - before;
    assert!(today <= 1.0 && today > 0.5, "{today}");
    assert!(server.stats().attempts > asked);
    assert_eq!(server.stats().cells_answered_again, 0);
}

#[test]
fn a_cap_without_prices_is_a_fault_of_the_recipe() {
    let recipe =
        recipe("http://127.0.0.1:9", "budget: {total_usd: 1.0}\n").replace("  price: {input: 50, output: 100}\n", "");
    let output = Pool::new(&recipe).run("store");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("teacher `beta` has no `price`"), "{}", said(&output));
}

fn plan(pool: &Pool, more: &[&str]) -> Value {
    let output = pool.cambist(&[&["plan", "recipe.yaml", "--store", "store", "--json"], more].concat());
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_plan_says_what_is_left_and_a_probe_makes_it_exact() {
    let server = mock(json!({}));
    let pool = Pool::new(&recipe(&server.base_url(), ""));
    assert!(pool.cambist(&["prompts", "recipe.yaml", "--quiet", "--store", "store"]).status.success());
    let blind = plan(&pool, &[]);
    let estimates = |plan: &Value| plan["jobs"][1]["estimates"].clone();
    assert_eq!(estimates(&blind)[0]["calls_left"], 60);
    assert_eq!(estimates(&blind)[0]["n_history"], 0);
    let probed = plan(&pool, &["--probe", "8"]);
    let alpha = &estimates(&probed)[0];
    assert_eq!((alpha["calls"].as_u64(), alpha["calls_left"].as_u64()), (Some(60), Some(44)));
    let (low, high) = (alpha["cost_usd"]["low"].as_f64().unwrap(), alpha["cost_usd"]["high"].as_f64().unwrap());
    let before = spent(&pool);
    assert!(pool.run("store").status.success());
    assert_eq!(server.stats().cells_answered_again, 0, "the run asks nothing that the probe asked");
    let ledger = rusqlite::Connection::open(pool.path("store/ledger.sqlite")).unwrap();
    let alpha: f64 =
        ledger.query_row("SELECT TOTAL(cost_usd) FROM calls WHERE teacher = 'alpha'", [], |row| row.get(0)).unwrap();
    let beta: f64 =
        ledger.query_row("SELECT TOTAL(cost_usd) FROM calls WHERE teacher = 'beta'", [], |row| row.get(0)).unwrap();
    assert!(before < alpha + beta);
    assert!(low < alpha && alpha < high * 1.5, "{low} to {high}, and it was {alpha}");
}

#[test]
fn the_plan_counts_scores_at_most_until_the_answers_are_there() {
    let server = mock(json!({}));
    let pool = Pool::new(&recipe(&server.base_url(), ""));
    assert!(pool.cambist(&["prompts", "recipe.yaml", "--quiet", "--store", "store"]).status.success());
    let scores = |plan: &Value| plan["jobs"][2]["estimates"][0].clone();
    let before = scores(&plan(&pool, &[]));
    assert_eq!((&before["teacher"], &before["asked_for"]), (&json!("rm"), &json!("scores")));
    assert_eq!(
        (&before["calls"], &before["calls_left"], &before["is_at_most"]),
        (&json!(120), &json!(120), &json!(true))
    );
    assert_eq!(before["n_history"], 0);
    assert!(pool.run("store").status.success());
    // Half of the scores are lost, and the step with them.
    let ledger = rusqlite::Connection::open(pool.path("store/ledger.sqlite")).unwrap();
    let half = "FROM scores WHERE prompt_id <> 'probe' AND substr(key, 1, 1) < '8'";
    let lost: (i64, f64) = ledger
        .query_row(&format!("SELECT COUNT(*), TOTAL(cost_usd) {half}"), [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    ledger.execute(&format!("DELETE {half}"), []).unwrap();
    for entry in std::fs::read_dir(pool.path("store/artifacts")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("score") {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    let after = scores(&plan(&pool, &[]));
    assert_eq!(
        (&after["calls"], &after["calls_left"], &after["is_at_most"]),
        (&json!(120), &json!(lost.0), &json!(false))
    );
    assert!(after["n_history"].as_u64().unwrap() >= 5, "{after}");
    let usd = |part: &str| after["cost_usd"][part].as_f64().unwrap();
    assert!(usd("low") * 0.9 < lost.1 && lost.1 < usd("high") * 1.1, "{after}, and it was {lost:?}");
    assert!((usd("mean") - lost.1).abs() < 0.1 * lost.1, "{after}, and it was {lost:?}");
}

#[test]
fn another_arbiter_asks_no_teacher_and_another_teacher_only_itself() {
    let server = mock(json!({}));
    let pool = Pool::new(&recipe(&server.base_url(), ""));
    assert!(pool.run("store").status.success());
    let chats = || server.stats().calls.get("/v1/chat/completions").copied().unwrap_or(0);
    let before = chats();
    let text = recipe(&server.base_url(), "").replace("model: mock-rm}", "model: mock-rm-two}");
    std::fs::write(pool.path("recipe.yaml"), &text).unwrap();
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(chats(), before, "a new arbiter regenerates nothing");
    let gamma = format!(
        "- id: gamma\n  license: Apache-2.0\n  endpoint: {{base_url: \"{}\", model: gamma}}\narbiters:",
        server.base_url()
    );
    std::fs::write(pool.path("recipe.yaml"), text.replacen("arbiters:", &gamma, 1)).unwrap();
    assert!(pool.run("store").status.success());
    assert_eq!(chats(), before + 60, "a new teacher pays for its own cells");
}
