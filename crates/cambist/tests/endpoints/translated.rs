//! A translation engine: its own words on the wire, code and addresses kept, characters paid once.

use std::collections::BTreeMap;

use cambist_core::prompt::Prompt;
use cambist_io::{formats::read_table, mock::MockServer};
use serde_json::{Value, json};

use super::pool::{Pool, mock, said};

const TEXTS: [&str; 4] = [
    "How does `print(1)` work? See https://python.example/docs.",
    "Why do rivers bend? Explain it in two sentences.",
    "Solve $x^2 = 4$ and say how you did it.",
    "Tell a short story about a lighthouse.",
];

/// A pool with an engine alone. `manner` goes into the engine, `targets` are the languages.
fn recipe(server: &MockServer, manner: &str, targets: &str) -> String {
    let url = server.base_url();
    format!(
        "name: mt\npool:\n- {{id: engine, license: MIT, endpoint: {{dialect: libretranslate, base_url: \"{url}\"}}{manner}}}\n\
         steps:\n- id: prompts\n  prompts: {{file: prompts.jsonl, language: en}}\n\
         - id: more\n  translate: {{prompts: prompts, to: [{targets}], teacher: engine}}\n"
    )
}

fn pool(text: &str) -> Pool {
    let pool = Pool::new(text);
    let rows: String = TEXTS
        .iter()
        .enumerate()
        .map(|(n, text)| format!("{}\n", json!({"id": format!("p{n}"), "prompt": text})))
        .collect();
    std::fs::write(pool.path("prompts.jsonl"), rows).unwrap();
    pool
}

/// The artifact that was made last by `translate`.
fn artifact(pool: &Pool) -> std::path::PathBuf {
    let folders = std::fs::read_dir(pool.path("store/artifacts")).unwrap().map(|entry| entry.unwrap().path());
    let of_verb = folders.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("translate"));
    of_verb.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap()
}

/// Translated prompts by id.
fn translated(pool: &Pool) -> BTreeMap<String, Prompt> {
    let prompts: Vec<Prompt> = read_table(&artifact(pool).join("prompts.parquet")).unwrap();
    prompts.into_iter().map(|prompt| (prompt.id.clone(), prompt)).collect()
}

fn failures(pool: &Pool) -> Vec<Value> {
    let text = std::fs::read_to_string(artifact(pool).join("failures.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn spent(pool: &Pool) -> f64 {
    let ledger = rusqlite::Connection::open(pool.path("store/ledger.sqlite")).unwrap();
    ledger.query_row("SELECT TOTAL(cost_usd) FROM calls", [], |row| row.get(0)).unwrap()
}

fn run(pool: &Pool) {
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn an_engine_translates_and_is_paid_by_the_character_once() {
    let mut whole = None;
    for manner in ["", ", request: {batch: 3}"] {
        let server = mock(json!({}));
        let priced = format!(", price: {{per_million_characters: 20}}{manner}");
        let pool = pool(&recipe(&server, &priced, "de, fr"));
        assert!(pool.cambist(&["prompts", "recipe.yaml", "--quiet", "--store", "store"]).status.success());
        let planned = pool.cambist(&["plan", "recipe.yaml", "--store", "store", "--json"]);
        let planned: Value = serde_json::from_slice(&planned.stdout).unwrap();
        let planned = &planned["jobs"][1]["estimates"][0];
        assert_eq!((&planned["asked_for"], &planned["calls_left"]), (&json!("translations"), &json!(8)));
        run(&pool);
        let prompts = translated(&pool);
        assert_eq!(prompts.len(), 8);
        let code = prompts.values().filter(|prompt| prompt.instruction().contains("`print(1)`"));
        assert!(
            code.clone().count() == 2 && code.clone().all(|p| p.instruction().contains("https://python.example/docs"))
        );
        assert!(prompts.values().filter(|prompt| prompt.instruction().contains("$x^2 = 4$")).count() == 2);
        assert!(prompts.values().all(|prompt| prompt.mt_engine.as_deref() == Some("engine")));
        // Characters are those that were sent: with marks in place of what stays as it is.
        let sent = |text: &str| {
            let marked = text
                .replace("`print(1)`", "⟦0⟧")
                .replace("https://python.example/docs", "⟦1⟧")
                .replace("$x^2 = 4$", "⟦0⟧");
            marked.chars().count()
        };
        let n_characters: usize = TEXTS.iter().map(|text| 2 * sent(text)).sum();
        assert!((spent(&pool) - 20e-6 * n_characters as f64).abs() < 1e-12, "{}", spent(&pool));
        assert_eq!(planned["characters"], n_characters);
        assert!((planned["cost_usd"]["mean"].as_f64().unwrap() - spent(&pool)).abs() < 1e-12, "{planned}");
        let n_requests = if manner.is_empty() { 8 } else { 4 };
        assert_eq!(server.stats().attempts, n_requests);
        // More languages are asked for themselves alone, in whatever batches.
        let text = recipe(&server, ", price: {per_million_characters: 30}", "de, fr, tr");
        std::fs::write(pool.path("recipe.yaml"), text).unwrap();
        run(&pool);
        assert_eq!((server.stats().attempts, server.stats().cells_answered_again), (n_requests + 4, 0));
        assert_eq!(translated(&pool).len(), 12);
        let texts: Vec<String> = prompts.values().map(|prompt| prompt.instruction().to_owned()).collect();
        assert_eq!(whole.get_or_insert_with(|| texts.clone()), &texts, "batches change nothing");
    }
}

#[test]
fn a_lost_mark_is_a_failure_for_good_of_its_row_alone() {
    let server = mock(json!({ "faults": [{"fault": "mangle_marks"}] }));
    let pool = pool(&recipe(&server, "", "de"));
    run(&pool);
    let prompts = translated(&pool);
    assert_eq!(prompts.keys().collect::<Vec<_>>(), ["p1:de", "p3:de"]);
    let lost: Vec<Value> = failures(&pool);
    assert!(lost.len() == 2 && lost.iter().all(|failure| failure["reason"] == "lost_marks"), "{lost:?}");
    let asked = server.stats().attempts;
    std::fs::remove_dir_all(artifact(&pool)).unwrap();
    run(&pool);
    assert_eq!(server.stats().attempts, asked, "nothing that failed for good is asked again");
}

#[test]
fn what_is_refused_among_others_is_asked_alone() {
    // A text that the engine refuses, alone and with others.
    let server = mock(json!({ "faults": [{"fault": "status:400", "match": {"contains": "lighthouse"}}] }));
    let pool = pool(&recipe(&server, ", request: {batch: 8}", "de"));
    run(&pool);
    assert_eq!(translated(&pool).len(), 3);
    let refused = failures(&pool);
    assert!(refused.len() == 1 && refused[0]["reason"] == "request", "{refused:?}");
    // The whole, and each alone.
    assert_eq!(server.stats().cells, 5);
}

#[test]
fn a_language_that_the_engine_lacks_is_told_as_no_data() {
    let server = mock(json!({}));
    let pool = pool(&recipe(&server, "", "tlh"));
    let output = pool.run("store");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("no prompt is translated (4 request)"), "{}", said(&output));
}

#[test]
fn the_key_goes_into_the_body_and_nowhere_else() {
    let server = mock(json!({ "auth": {"key": "canary-0123456789"} }));
    let text = recipe(&server, "", "de")
        .replace("dialect: libretranslate", "dialect: libretranslate, api_key_env: CAMBIST_TEST_MT_KEY");
    let pool = pool(&text);
    let run = |key: &str| {
        pool.cambist_with(&["run", "recipe.yaml", "--quiet", "--store", "store"], ("CAMBIST_TEST_MT_KEY", key))
    };
    let output = run("canary-wrong-000");
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("CAMBIST_TEST_MT_KEY") && !said(&output).contains("canary"), "{}", said(&output));
    let output = run("canary-0123456789");
    assert!(output.status.success(), "{}", said(&output));
    for entry in walk(&pool.path("store")) {
        let bytes = std::fs::read(&entry).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", entry.display());
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn an_engine_is_no_teacher() {
    let server = mock(json!({}));
    let text = recipe(&server, "", "de");
    let cases = [
        (
            text.clone() + "- id: answers\n  generate: {prompts: prompts, router: all}\n",
            "`answers` asks `engine`, which is a translation engine",
        ),
        (
            text.replace("teacher: engine", "teacher: engine, template: \"{target_language}: {text}\""),
            "`more` has a `template`, and `engine` is a translation engine",
        ),
        (recipe(&server, ", price: {input: 1}", "de"), "teacher `engine` is a translation engine and priced by tokens"),
        (
            recipe(&server, ", request: {system: x}", "de"),
            "teacher `engine` is a translation engine, which takes no `request` but `batch`",
        ),
        (text.replace("libretranslate", "libretranslat"), "unknown dialect `libretranslat`"),
        (
            recipe(&server, ", request: {batch: 2}", "de").replace("libretranslate", "openai-chat"),
            "teacher `engine` is no translation engine and has `request.batch`",
        ),
        (
            recipe(&server, ", price: {per_million_characters: 2}", "de").replace("libretranslate", "openai-chat"),
            "teacher `engine` is no translation engine and priced by characters",
        ),
    ];
    for (text, wanted) in cases {
        let output = pool(&text).run("store");
        assert_eq!(output.status.code(), Some(2), "{wanted}: {}", said(&output));
        assert!(said(&output).contains(wanted), "{wanted}: {}", said(&output));
    }
    assert_eq!(server.stats().attempts, 0);
}
