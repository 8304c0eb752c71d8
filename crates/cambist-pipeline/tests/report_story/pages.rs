//! The numbers on the page are those of the results, and a page comes out of every shape of recipe.

use std::{collections::BTreeSet, path::Path, process::Command, sync::atomic::AtomicBool};

use cambist_io::store::Artifact;
use cambist_pipeline::{
    plan::Plan,
    progress::Silent,
    recipe::Recipe,
    report::Style,
    run::{Runtime, run},
};
use serde_json::Value;

/// chrF grades even what an untrained student says, so that the numbers compared below are not all zero.
const WHOLE: &str = "
name: story
seed: 3
pool:
  - {id: both, languages: all, license: Apache-2.0, local: teacher, price: {input: 0.1, output: 0.3}}
  - {id: arabic, kind: monolingual, languages: [ar], license: MIT, local: start}
arbiters:
  - {id: overlap, chrf: {}}
steps:
  - id: prompts
    prompts:
      polyglot: {tasks: [date-long, percent-format]}
      languages: [ar, ru]
      splits: {answer: 12, teach: 16, test: 8}
  - id: start
    train:
      objective: pretrain
      new: {vocab_size: 320, shape: {n_layers: 1, hidden_size: 32, n_heads: 2, n_kv_heads: 1}}
      data: prompts.teach
      config: {steps: 3}
  - id: teacher
    train: {objective: sft, base: start, data: prompts.teach, config: {steps: 12}}
  - id: answers
    generate: {prompts: prompts.answer, router: all, arbiter: overlap, sampling: {max_new_tokens: 12}}
  - id: kept
    select:
      from: answers
      gates: {keep_truncated: true, language: null, repetition: null}
      strategies:
        single: {router: {single: both}}
        reward: {router: all}
      pairs: {}
  - id: students
    train: {objective: sft, base: start, data: kept, seeds: [1, 2], config: {steps: 6}}
  - id: results
    evaluate:
      models: students
      against: single
      prompts: prompts.test
      arbiter: overlap
      sampling: {max_new_tokens: 12}
      bootstrap: 500
  - report: {title: A story}
";

/// Runs a recipe in a folder of its own and returns the artifacts under their labels.
fn perform(text: &str, folder: &Path) -> Vec<(String, Artifact)> {
    let recipe = Recipe::parse("story.yaml", text, &[]).unwrap();
    let plan = Plan::new(recipe, folder).unwrap();
    let all: Vec<usize> = (0..plan.jobs.len()).collect();
    let runtime = Runtime {
        threads: 2,
        progress: &Silent,
        stop: &AtomicBool::new(false),
        calls: cambist_io::transport::StopSignal::new(),
        capabilities: cambist_pipeline::run::Capabilities::default(),
        state_every: cambist_pipeline::run::STATE_EVERY,
    };
    run(&plan, &all, &folder.join("store"), &runtime).unwrap()
}

fn made<'a>(finished: &'a [(String, Artifact)], label: &str) -> &'a Artifact {
    &finished.iter().find(|(made, _)| made == label).unwrap().1
}

fn json(artifact: &Artifact, name: &str) -> Value {
    serde_json::from_slice(&artifact.read(name).unwrap()).unwrap()
}

fn html(artifact: &Artifact) -> String {
    String::from_utf8(artifact.read("report.html").unwrap()).unwrap()
}

/// The first table of the page whose caption begins so.
fn table<'a>(page: &'a Value, caption: &str) -> &'a Value {
    let blocks = page["sections"].as_array().unwrap().iter().flat_map(|section| section["blocks"].as_array().unwrap());
    let mut tables = blocks.filter_map(|block| block.get("table")).map(|block| &block["table"]);
    tables.find(|table| table["caption"].as_str().unwrap().starts_with(caption)).unwrap()
}

/// The cell below `column` in the row that `row` names.
fn cell<'a>(table: &'a Value, row: &str, column: &str) -> &'a Value {
    let columns = table["columns"].as_array().unwrap();
    let at = columns.iter().position(|known| known["title"] == column).unwrap();
    let mut rows = table["rows"].as_array().unwrap().iter();
    &rows.find(|known| known["cells"][0]["words"]["text"] == row).unwrap()["cells"][at]
}

#[test]
fn the_page_says_what_the_results_say() {
    let folder = tempfile::tempdir().unwrap();
    let finished = perform(WHOLE, folder.path());
    let results = json(made(&finished, "results"), "results.json");
    let report = json(made(&finished, "report"), "report.json");
    let (page, html) = (&report["page"], html(made(&finished, "report")));

    // Accuracy by language and strategy, as data and as it is read.
    let accuracies = table(page, "ChrF of the students");
    let mut values = BTreeSet::new();
    for (strategy, variant) in results["variants"].as_object().unwrap() {
        for (tag, row) in [("ar", "Arabic (ar)"), ("ru", "Russian (ru)")] {
            let expected = &variant["accuracy"]["languages"][tag];
            let shown = &cell(accuracies, row, strategy)["estimate"];
            assert_eq!(shown["value"], expected["mean"]["value"], "{strategy} in {tag}");
            assert_eq!(shown["interval"][0], expected["mean"]["interval"]["low"], "{strategy} in {tag}");
            assert_eq!(shown["n"], expected["n_prompts"]);
            let value = expected["mean"]["value"].as_f64().unwrap();
            assert!(html.contains(&format!(">{} <span class=\"interval\">", Style::plain(1).write(value))));
            values.insert(value.to_string());
        }
    }
    assert!(values.len() > 1, "students that are all alike would prove nothing: {values:?}");

    // The headline, its table, and the verdict.
    let expected = &results["variants"]["reward"]["versus"]["macro_mean"];
    let points = expected["difference_points"]["value"].as_f64().unwrap();
    assert_eq!(page["findings"][0]["estimate"]["value"].as_f64().unwrap(), points);
    let games = table(page, "The student of reward against");
    let difference = &cell(games, "all languages", "wins \u{2212} losses")["estimate"];
    assert_eq!(difference["interval"][1], expected["difference_points"]["interval"]["high"]);
    assert_eq!(cell(games, "all languages", "wins")["number"].as_f64(), expected["wins"].as_f64().map(|w| 100.0 * w));
    let verdict = page["summary"][0]["text"].as_str().unwrap();
    assert!(verdict.contains(&format!("{} [", Style::signed(1).write(points))), "{verdict}");

    // What strategies kept and paid.
    let strategies = json(made(&finished, "kept"), "strategies.json");
    let kept = table(page, "What each strategy kept");
    let paid = table(page, "What each strategy would have cost");
    for (name, strategy) in strategies["strategies"].as_object().unwrap() {
        assert_eq!(cell(kept, name, "kept")["count"], strategy["cost"]["n_chosen"]);
        assert_eq!(cell(paid, name, "calls")["count"], strategy["cost"]["run"]["generations"]);
        let cells = strategy["languages"].as_object().unwrap().values();
        let means: Vec<f64> = cells.filter_map(|cell| cell["mean_reward"].as_f64()).collect();
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        let shown = cell(kept, name, "chrF")["estimate"]["value"].as_f64().unwrap();
        // The means of `single` are known only where the arbiter scored what it kept: everywhere here.
        assert!((shown - mean).abs() < 1e-9, "{name}: {shown} is not {mean}");
    }
    for (_, artifact) in finished.iter().filter(|(label, _)| label != "report") {
        assert!(html.contains(&format!("<code>{}</code>", artifact.manifest().id)), "{}", artifact.manifest().id);
    }
    look(&html, "report_story.html");
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let pages = [(); 2].map(|()| {
        let folder = tempfile::tempdir().unwrap();
        let finished = perform(WHOLE, folder.path());
        (html(made(&finished, "report")), made(&finished, "report").read("report.json").unwrap())
    });
    assert!(pages[0] == pages[1], "a report holds nothing of the time or the machine");
}

/// Prompts in two languages, and what two models said to them; no score for some.
fn write_recorded(folder: &Path) {
    let (mut prompts, mut answers, mut scores) = (String::new(), String::new(), String::new());
    for (language, question) in
        [("he", "\u{5de}\u{5d4} \u{5d4}\u{5ea}\u{5e9}\u{5d5}\u{5d1}\u{5d4}"), ("ja", "答えは何ですか")]
    {
        for n in 0..6 {
            let id = format!("{language}-{n}");
            prompts += &format!(
                "{{\"id\":\"{id}\",\"source_id\":\"s{n}\",\"language\":\"{language}\",\"prompt\":\"{question} {n}\"}}\n"
            );
            for (at, model) in ["first", "second"].iter().enumerate() {
                answers += &format!("{{\"prompt_id\":\"{id}\",\"model\":\"{model}\",\"text\":\"{question} {at}.\"}}\n");
                if n > 0 {
                    let score = (n + at) % 3;
                    scores += &format!(
                        "{{\"prompt_id\":\"{id}\",\"model\":\"{model}\",\"judge\":\"judge\",\"score\":{score}}}\n"
                    );
                }
            }
        }
    }
    for (name, text) in [("prompts.jsonl", prompts), ("answers.jsonl", answers), ("scores.jsonl", scores)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

const RECORDED: &str = "
name: recorded
pool:
  - {id: first, license: MIT, replay: {file: answers.jsonl}}
  - {id: second, license: MIT, languages: [ja], replay: {file: answers.jsonl}}
arbiters:
  - {id: judge, recorded: {file: scores.jsonl}}
steps:
";

/// Runs `steps` on the recorded answers and returns the page.
fn recorded(steps: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    write_recorded(folder.path());
    let finished = perform(&format!("{RECORDED}{steps}  - report: {{}}\n"), folder.path());
    html(made(&finished, "report"))
}

#[test]
fn a_page_comes_out_of_every_shape_of_recipe() {
    const PROMPTS: &str = "  - {id: prompts, prompts: {file: prompts.jsonl}}\n";
    const ANSWERS: &str = "  - {id: answers, generate: {prompts: prompts, router: all}}\n";
    const SCORES: &str = "  - {id: scores, score: {from: answers, arbiter: judge}}\n";
    const KEPT: &str = "  - id: kept\n    select: {from: answers, scores: scores, strategies: {reward: {router: all}, lot: {router: random}}}\n";

    let nothing = recorded("");
    assert!(nothing.contains("The run compared nothing") && nothing.contains("No step reported a failure"));

    let prompts = recorded(PROMPTS);
    assert!(prompts.contains("Hebrew (he)") && !prompts.contains("Teachers"));

    let unscored = recorded(&[PROMPTS, ANSWERS].concat());
    assert!(unscored.contains("No answer of any teacher was both valid and scored"));
    assert!(unscored.contains("not checked") && !unscored.contains("not kept"));

    let scored = recorded(&[PROMPTS, ANSWERS, SCORES].concat());
    assert!(scored.contains("the teacher does not cover the language") && !scored.contains(">Strategies<"));

    let kept = recorded(&[PROMPTS, ANSWERS, SCORES, KEPT].concat());
    assert!(kept.contains(">Strategies<") && kept.contains("by lot, reward"));
    assert!(kept.contains("reward: all answers that came were stopped by a gate or had no reward"));

    for page in [nothing, prompts, unscored, scored, kept] {
        assert!(!page.contains("NaN") && !page.contains(">inf"), "what is not finite is said in words");
    }
}

/// Opens a page in a browser where there is one, and says so where there is none.
fn look(html: &str, name: &str) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, html).unwrap();
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_playwright =
        Command::new(&python).args(["-c", "import playwright"]).output().is_ok_and(|o| o.status.success());
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !has_playwright || !Path::new(&chromium).exists() {
        eprintln!("skipped: the look at {name} in a browser needs {chromium} and playwright for {python}");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/report.py");
    let seen = Command::new(&python).arg(script).arg(&path).output().unwrap();
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
}
