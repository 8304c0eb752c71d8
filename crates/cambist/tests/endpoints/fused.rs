//! Fusions on the command line: counted before they are paid, killed in their midst, paid once, and warned of.

use std::time::{Duration, Instant};

use cambist_core::completion::Completion;
use cambist_io::{
    formats::read_table,
    mock::{MockServer, MockStats},
    store::StoreView,
};
use serde_json::{Value, json};

use super::pool::{Pool, is_explained, mock, n_stored, said};

const N_PROMPTS: u64 = 24;

/// Two teachers and a slow fusor that answers one question at a time. `fuse` goes into the step.
fn recipe(server: &MockServer, fuse: &str) -> String {
    let url = server.base_url();
    let member = |id: &str, model: &str, limits: &str| {
        format!(
            "- {{id: {id}, license: MIT, endpoint: {{base_url: \"{url}\", model: {model}{limits}}}, \
             price: {{input: 1, output: 2}}}}\n"
        )
    };
    format!(
        "name: fusion\nseed: 7\npool:\n{}{}{}steps:\n- id: prompts\n  prompts: {{file: prompts.jsonl, language: en}}\n\
         - id: answers\n  generate: {{prompts: prompts, teachers: [alpha, beta], router: all, sampling: {{max_new_tokens: 2000}}}}\n\
         - id: fused\n  fuse: {{from: answers, fusor: strong{fuse}}}\n",
        member("alpha", "alpha-9b", ""),
        member("beta", "beta-8b", ""),
        member("strong", "strong-70b", ", limits: {concurrency: 1}"),
    )
}

fn pool(text: &str) -> Pool {
    let pool = Pool::new(text);
    let prompt = |n| json!({"id": format!("p{n}"), "prompt": format!("Please write what is known of the river at place number {n}.")});
    let rows: String = (0..N_PROMPTS).map(|n| format!("{}\n", prompt(n))).collect();
    std::fs::write(pool.path("prompts.jsonl"), rows).unwrap();
    pool
}

fn fused(pool: &Pool) -> Vec<Completion> {
    let listing = StoreView::open(&pool.path("store")).unwrap().list().unwrap();
    let made = listing.artifacts.iter().find(|artifact| artifact.manifest().id.verb == "fuse").unwrap();
    read_table(&made.path("completions.parquet").unwrap()).unwrap()
}

/// The estimate of the fusor in `cambist plan`.
fn planned(pool: &Pool) -> Value {
    let output = pool.cambist(&["plan", "recipe.yaml", "--store", "store", "--json"]);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    plan["jobs"][2]["estimates"][0].clone()
}

fn at_rest(server: &MockServer) -> MockStats {
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.stats().in_flight > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    server.stats()
}

#[test]
fn fusions_are_counted_before_and_paid_once_though_the_run_is_killed() {
    let server = mock(json!({"latency": {"fixed_ms": 25}, "max_chars": 300}));
    let pool = pool(&recipe(&server, ", sampling: {max_new_tokens: 1000}"));
    assert!(pool.cambist(&["prompts", "recipe.yaml", "--quiet", "--store", "store"]).status.success());
    let most = planned(&pool);
    assert_eq!((&most["asked_for"], &most["calls_left"]), (&json!("fusions"), &json!(N_PROMPTS)));
    assert_eq!(most["is_at_most"], true);
    assert!(pool.cambist(&["generate", "recipe.yaml", "--quiet", "--store", "store"]).status.success());
    let exact = planned(&pool);
    assert_eq!((&exact["calls_left"], &exact["is_at_most"]), (&json!(N_PROMPTS), &json!(false)));

    let before = at_rest(&server);
    let mut child = pool.start("store");
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.stats().answered < before.answered + 6 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let stored = n_stored(&pool.path("store")) - 2 * N_PROMPTS;
    assert!((2..N_PROMPTS).contains(&stored), "killed in the midst: {stored}");
    at_rest(&server);
    assert_eq!(planned(&pool)["calls_left"], N_PROMPTS - stored);
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
    let stats = at_rest(&server);
    let (asked, twice) = (stats.answered - before.answered, stats.cells_answered_again);
    assert!(asked <= N_PROMPTS + 1 && twice <= 1, "{asked} answers, {twice} of them twice: one may be in flight");
    let made = fused(&pool);
    assert_eq!(made.len() as u64, N_PROMPTS);
    let ledger = rusqlite::Connection::open(pool.path("store/ledger.sqlite")).unwrap();
    let paid: f64 =
        ledger.query_row("SELECT TOTAL(cost_usd) FROM calls WHERE teacher = 'strong'", [], |row| row.get(0)).unwrap();
    let (low, high) = (exact["cost_usd"]["low"].as_f64().unwrap(), exact["cost_usd"]["high"].as_f64().unwrap());
    assert!(low < paid && paid < high, "{paid} is not within {low} and {high}");

    let undisturbed = mock(json!({"max_chars": 300}));
    let calm = self::pool(&recipe(&undisturbed, ", sampling: {max_new_tokens: 1000}"));
    assert!(calm.run("store").status.success());
    assert_eq!(fused(&calm), made, "a killed run ends with the rows of an undisturbed one");
}

#[test]
fn what_is_odd_about_a_fusion_is_told() {
    let server = mock(json!({"max_chars": 100}));
    let pool = pool(&recipe(&server, ", tasks: {maths: best, default: fuse}, sampling: {max_new_tokens: 300}"));
    let output = pool.cambist(&["run", "recipe.yaml", "--store", "store"]);
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("warning: unscored_best: `fused` keeps the best answer of `maths`"), "{told}");
    assert!(told.contains("warning: short_fusion: the fusor `strong` of `fused` may write 300 tokens"), "{told}");
    assert!(told.contains("warning: `fused`: `tasks` names `maths`, which is the task of no prompt"), "{told}");
}

#[test]
fn a_fusor_is_a_teacher_whose_answers_may_be_used() {
    let server = mock(json!({}));
    let plain = recipe(&server, "");
    let strong = "id: strong, license: MIT";
    let engine = plain
        .replace("model: strong-70b", "model: x, dialect: libretranslate")
        .replace("limits: {concurrency: 1}}, price: {input: 1, output: 2}", "limits: {concurrency: 1}}");
    let cases = [
        (plain.replace("fusor: strong", "fusor: stronk"), "unknown teacher `…`"),
        (engine, "`…` has the fusor `…`, which is a translation engine"),
        (
            plain.replace(strong, "id: strong, license: proprietary"),
            "`…` has the fusor `…`, whose licence `…` is not known to let its answers be used",
        ),
        (recipe(&server, ", eligibility: {exclude: [strong]}"), "`…` has the fusor `…`, which it excludes"),
        (recipe(&server, ", max_candidates: 1"), "`max_candidates` of `…` is …, and one answer needs no fusion"),
        (recipe(&server, ", keep: better"), "`…` keeps the better answer, and nobody scores the fused one"),
        (recipe(&server, ", template: \"[[ {request} {answers}\""), "`template` of `…` has no `…`"),
        (
            recipe(&server, ", template: \"{language} {request} {answers}\""),
            "`template` of `…` does not ask for double square brackets",
        ),
        (recipe(&server, ", as: alpha"), "`as` of `…` is `…`, which is a teacher of the pool"),
        (plain.replace("from: answers,", "from: [],"), "`from` of `…` is empty"),
        (recipe(&server, ", gates: {safety: {min_score: 0}}"), "… has a safety gate and no safety scores"),
        (recipe(&server, ", tasks: {code: keep}"), "unknown word `…`"),
        (
            plain.replace("router: all,", "router: all, eligibility: {exclude: [alpha, beta]},"),
            "there are no answers to fuse",
        ),
    ];
    for (text, pattern) in cases {
        is_explained(&pool(&text).run("store"), 2, pattern);
    }
    assert_eq!(server.stats().attempts, 0);
}
