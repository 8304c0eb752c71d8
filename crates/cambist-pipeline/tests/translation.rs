//! Prompts are translated, answered, and answered again through English: the strategy `translation` from end to end.

#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
    sync::{Mutex, atomic::AtomicBool},
};

use cambist_core::{completion::Completion, prompt::Prompt, score::Score};
use cambist_io::{
    formats::read_table,
    mock::{MockOptions, MockServer},
    store::Artifact,
    transport::StopSignal,
};
use cambist_pipeline::{
    PipelineError,
    plan::Plan,
    progress::{Advance, Outcome, Progress},
    recipe::Recipe,
    run::{Capabilities, Finished, Runtime, run},
};
use serde_json::{Value, json};

/// What the prompts are about, in English, French and Spanish.
const TOPICS: [[&str; 3]; 10] = [
    ["a lighthouse", "un phare", "un faro"],
    ["sourdough bread", "le pain au levain", "el pan de masa madre"],
    ["the tides", "les marées", "las mareas"],
    ["a violin", "un violon", "un violín"],
    ["glaciers", "les glaciers", "los glaciares"],
    ["a compass", "une boussole", "una brújula"],
    ["honey bees", "les abeilles", "las abejas"],
    ["volcanoes", "les volcans", "los volcanes"],
    ["the moon", "la lune", "la luna"],
    ["`print(1)` of https://python.example/docs", "`print(1)` en Python", "`print(1)` en Python"],
];

/// What is asked about each, in the same languages.
const WORDINGS: [[&str; 3]; 2] = [
    [
        "Please explain in a few sentences how the following works: ",
        "Expliquez en quelques phrases comment fonctionne ceci : ",
        "Explique en pocas frases cómo funciona lo siguiente: ",
    ],
    [
        "Write a short and friendly story for children about ",
        "Écrivez une petite histoire pour les enfants sur ",
        "Escriba un cuento corto para los niños sobre ",
    ],
];

/// 20 sources in three languages, of which the first two have no English member.
fn prompts() -> String {
    let mut lines = String::new();
    for source in 0..20 {
        for (at, language) in ["en", "fr", "es"].iter().enumerate().skip(usize::from(source < 2)) {
            let text = format!("{}{}.", WORDINGS[source % 2][at], TOPICS[source / 2][at]);
            let row = json!({ "id": format!("s{source}-{language}"), "source_id": format!("s{source}"),
                              "language": language, "prompt": text });
            let _ = writeln!(lines, "{row}");
        }
    }
    lines
}

fn recipe(url: &str) -> String {
    format!(
        "name: translation
seed: 7
pool:
  - id: alpha
    license: apache-2.0
    endpoint: {{dialect: openai-chat, base_url: \"{url}\", model: alpha-9b}}
    price: {{input: 0.10, output: 0.30}}
  - id: beta
    license: apache-2.0
    endpoint: {{dialect: anthropic, base_url: \"{url}\", model: beta-8b}}
    price: {{input: 0.20, output: 0.60}}
  - id: strong
    license: apache-2.0
    languages: [en]
    endpoint: {{dialect: openai-chat, base_url: \"{url}\", model: strong-70b}}
    price: {{input: 1, output: 2}}
  - id: mt
    license: mit
    endpoint: {{dialect: openai-chat, base_url: \"{url}\", model: mt-3b}}
    price: {{input: 0.01, output: 0.02}}
arbiters:
  - id: judge
    endpoint: {{dialect: vllm-classify, base_url: \"{url}\", model: mock-rm}}
steps:
  - prompts: {{file: prompts.jsonl}}
  - id: everywhere
    translate: {{prompts: prompts, from: en, to: [de, tr, ja, ar], teacher: mt, keep_sources: true}}
  - id: answers
    generate: {{prompts: everywhere, teachers: [alpha, beta], router: all, arbiter: judge, sampling: {{max_new_tokens: 2000}}}}
  - id: english
    generate: {{prompts: everywhere, teachers: [strong], router: {{single: strong}}, sampling: {{max_new_tokens: 2000}}}}
  - id: translated
    translate: {{answers: english, teacher: mt, sampling: {{max_new_tokens: 4000}}}}
  - id: values
    score: {{from: translated, arbiter: judge}}
  - id: data
    select:
      from: answers
      strategies:
        reward: {{router: all}}
        random: {{router: random}}
        translation: {{router: {{single: translation}}, from: translated, scores: values}}
  - report: {{}}
"
    )
}

/// Notes which jobs were made.
#[derive(Default)]
struct Listener(Mutex<Vec<String>>);

impl Progress for Listener {
    fn begin(&self, _job: &str, _verb: &str) {}

    fn advance(&self, _job: &str, _at: Advance<'_>) {}

    fn end(&self, job: &str, outcome: Outcome<'_>) {
        if !matches!(outcome, Outcome::Reused { .. }) {
            self.0.lock().unwrap().push(job.to_owned());
        }
    }
}

fn run_all(folder: &Path, text: &str) -> Result<(Finished, Vec<String>), PipelineError> {
    let plan = Plan::new(Recipe::parse("recipe.yaml", text, &[])?, folder)?;
    let all: Vec<usize> = (0..plan.jobs.len()).collect();
    let (listener, stop) = (Listener::default(), AtomicBool::new(false));
    let runtime = Runtime {
        threads: 2,
        progress: &listener,
        stop: &stop,
        calls: StopSignal::new(),
        capabilities: Capabilities::default(),
        state_every: cambist_pipeline::run::STATE_EVERY,
    };
    let finished = run(&plan, &all, &folder.join("store"), &runtime)?;
    Ok((finished, listener.0.into_inner().unwrap()))
}

fn artifact<'a>(finished: &'a Finished, label: &str) -> &'a Artifact {
    &finished.iter().find(|(other, _)| other == label).unwrap().1
}

fn by_language<'a>(languages: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    languages.fold(BTreeMap::new(), |mut counts, language| {
        *counts.entry(language).or_default() += 1;
        counts
    })
}

#[test]
fn a_strategy_through_english_is_compared_on_the_same_prompts() {
    let server = MockServer::start(MockOptions { max_chars: 300, ..MockOptions::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("prompts.jsonl"), prompts()).unwrap();
    let text = recipe(&server.base_url());
    let (finished, _) = run_all(folder.path(), &text).unwrap();

    let everywhere = artifact(&finished, "everywhere");
    let all: Vec<Prompt> = read_table(&everywhere.path("prompts.parquet").unwrap()).unwrap();
    let counts = by_language(all.iter().map(|prompt| prompt.language.as_str()));
    let expected = [("ar", 18), ("de", 18), ("en", 18), ("es", 20), ("fr", 20), ("ja", 18), ("tr", 18)];
    assert_eq!(counts, expected.into(), "{:?}", everywhere.manifest().failures);
    let member = all.iter().find(|prompt| prompt.id == "s18:ja").unwrap();
    assert_eq!((member.origin.as_deref(), member.mt_engine.as_deref()), (Some("translated"), Some("mt")));
    let shielded = ["`print(1)`", "https://python.example/docs"];
    assert!(shielded.iter().all(|part| member.instruction().contains(part)), "{}", member.instruction());
    assert!(!member.instruction().contains('⟦') && member.source_id == "s18");

    let translated: Vec<Completion> =
        read_table(&artifact(&finished, "translated").path("completions.parquet").unwrap()).unwrap();
    assert_eq!(translated.len(), 18 * 7);
    assert!(translated.iter().all(|answer| answer.teacher == "translation" && answer.failure.is_none()));
    assert_eq!(artifact(&finished, "translated").manifest().failures["none_eligible"], 4);
    let english: Vec<Completion> =
        read_table(&artifact(&finished, "english").path("completions.parquet").unwrap()).unwrap();
    let of_mt = server.stats().calls["/v1/chat/completions"] - 130 - 18;
    assert_eq!((english.len(), of_mt), (18, 18 * 4 + 18 * 6), "English once for each source, MT for each language");

    let data = artifact(&finished, "data");
    let table: Value = serde_json::from_slice(&data.read("strategies.json").unwrap()).unwrap();
    let run_of = |name: &str| table["strategies"][name]["cost"]["run"].clone();
    assert_eq!(run_of("translation")["generations"], 18);
    assert_eq!(run_of("translation")["translations"], 18 * 6);
    assert_eq!((&run_of("reward")["generations"], &run_of("random")["translations"]), (&json!(260), &json!(0)));
    let paid: f64 = translated.iter().map(|answer| answer.cost_usd).sum();
    let written: f64 = english.iter().map(|answer| answer.cost_usd).sum();
    let replayed = run_of("translation")["generation_usd"].as_f64().unwrap();
    assert!((replayed - paid).abs() < 1e-12 && paid > written && paid < 1.2 * written, "{replayed} {paid} {written}");
    for language in ["ar", "de", "en", "es", "fr", "ja", "tr"] {
        let cell = &table["strategies"]["translation"]["languages"][language];
        assert!(cell["mean_reward"].is_number() && cell["n_kept"] == 18, "{language}: {cell}");
    }

    let ids = |strategy: &str| -> Vec<String> {
        let rows = data.read(&format!("{strategy}/sft.jsonl")).unwrap();
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
        String::from_utf8(rows).unwrap().lines().map(id).collect()
    };
    let sets: BTreeSet<Vec<String>> = ["reward", "random", "translation"].map(ids).into();
    assert_eq!(sets.len(), 1, "all strategies have the same prompts in the same order");
    let dropped = String::from_utf8(data.read("dropped.jsonl").unwrap()).unwrap();
    let told = |line: &str| serde_json::from_str::<Value>(line).unwrap()["prompt_id"].as_str().unwrap().to_owned();
    let n_dropped = dropped.lines().map(told).collect::<BTreeSet<String>>().len();
    assert_eq!(sets.first().unwrap().len(), 130 - n_dropped, "every prompt is kept or its reason told");
    assert!((4..10).contains(&n_dropped), "{dropped}");
    assert_eq!(data.manifest().failures["translation: none_eligible"], 4);
    let row = String::from_utf8(data.read("translation/sft.jsonl").unwrap()).unwrap();
    assert!(row.contains("\"license\":\"apache-2.0\"") && !row.contains("unknown"));
    let page = String::from_utf8(artifact(&finished, "report").read("report.html").unwrap()).unwrap();
    assert!(page.contains("single:translation") && page.contains("translations"));

    server.reset();
    let (_, made) = run_all(folder.path(), &text).unwrap();
    assert!(made.is_empty() && server.stats().attempts == 0, "{made:?}");
    let named = text.replace("answers: english,", "answers: english, answers_of: strong,");
    let (_, made) = run_all(folder.path(), &named).unwrap();
    let calls = server.stats().calls;
    let asks_nobody = !calls.keys().any(|route| route.starts_with("/v1/"));
    assert!(made.len() == 4 && asks_nobody, "{made:?} {calls:?}: every teacher's call is in the ledger");
}

#[test]
fn an_english_answer_brought_over_supports_answers_in_other_languages() {
    let server = MockServer::start(MockOptions { max_chars: 300, ..MockOptions::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("prompts.jsonl"), prompts()).unwrap();
    let arbiters =
        "arbiters:\n  - {id: votes, mbr: {evidence: {from: translated, weight: 3}}}\n  - {id: alone, mbr: {}}\n";
    let text = recipe(&server.base_url()).replacen("arbiters:\n", arbiters, 1);
    let (steps, _) = text.split_once("  - id: values\n").unwrap();
    let scored = |id: &str| format!("  - id: {id}\n    score: {{from: answers, arbiter: {id}}}\n");
    let text = format!("{steps}{}{}", scored("votes"), scored("alone"));
    let (finished, _) = run_all(folder.path(), &text).unwrap();
    let scores = |step: &str| -> BTreeMap<(String, String), f64> {
        let path = artifact(&finished, step).path("scores.parquet").unwrap();
        let scores: Vec<Score> = read_table(&path).unwrap();
        scores.into_iter().map(|score| ((score.prompt_id, score.teacher), score.value.unwrap())).collect()
    };
    let (supported, alone) = (scores("votes"), scores("alone"));
    assert_eq!(supported.keys().collect::<Vec<_>>(), alone.keys().collect::<Vec<_>>());
    assert!(supported.keys().all(|(_, teacher)| teacher == "alpha" || teacher == "beta"), "evidence is no candidate");
    // Two answers alone tie; the sources without an English member have no evidence.
    let is_tie =
        |of: &BTreeMap<_, f64>, id: &str| of[&(id.to_owned(), "alpha".into())] == of[&(id.to_owned(), "beta".into())];
    let ids: BTreeSet<&str> = alone.keys().map(|(id, _)| id.as_str()).collect();
    let decided: Vec<&&str> = ids.iter().filter(|id| !is_tie(&supported, id)).collect();
    assert!(ids.iter().all(|id| is_tie(&alone, id)) && decided.len() > ids.len() / 2, "{decided:?}");
    assert!(decided.iter().all(|id| !id.starts_with("s0-") && !id.starts_with("s1-")), "{decided:?}");
}

#[test]
fn what_is_no_translation_is_counted_and_never_kept() {
    let server = MockServer::start(MockOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rows = [
        ("a", "Please write down what `f(x)` does and what it does not do."),
        ("b", "Please explain in a few sentences how the tides of the sea work."),
        ("c", "`2 + 2`"),
    ];
    let lines = rows.map(|(id, text)| format!("{}\n", json!({ "id": id, "language": "en", "prompt": text })));
    fs::write(folder.path().join("prompts.jsonl"), lines.concat()).unwrap();
    let text = format!(
        "name: echo
pool:
  - {{id: echo, license: mit, endpoint: {{dialect: openai-chat, base_url: \"{}\", model: mock-echo}}}}
steps:
  - prompts: {{file: prompts.jsonl}}
  - id: german
    translate: {{prompts: prompts, to: [en, de], teacher: echo, template: \"{{text}} {{text}} in {{target_language}}\"}}
",
        server.base_url()
    );
    let (finished, _) = run_all(folder.path(), &text).unwrap();
    let german = artifact(&finished, "german");
    let kept: Vec<Prompt> = read_table(&german.path("prompts.parquet").unwrap()).unwrap();
    assert_eq!(kept.iter().map(|prompt| prompt.id.as_str()).collect::<Vec<_>>(), ["c:de"], "code needs no translation");
    let failures = BTreeMap::from([("lost_marks".to_owned(), 1), ("wrong_lang".to_owned(), 1)]);
    assert_eq!(german.manifest().failures, failures);
    let told = String::from_utf8(german.read("failures.jsonl").unwrap()).unwrap();
    assert!(told.contains("doubled [0]") && told.contains("\"b:de\""), "{told}");
    let nothing = text.replace("to: [en, de]", "from: fr, to: [de]");
    let error = run_all(folder.path(), &nothing).unwrap_err().to_string();
    assert!(error.contains("no prompt is translated"), "{error}");
}
