//! Candidates are fused, what cannot be read falls back to the best of them, and the result is compared with keeping that.

use std::{collections::BTreeMap, fmt::Write, fs};

use cambist_core::{
    completion::{Completion, Fusion, FusionOutcome},
    score::Score,
};
use cambist_io::{
    formats::read_table,
    mock::{MockOptions, MockServer},
    store::Artifact,
};
use cambist_pipeline::recipe::Recipe;
use serde_json::{Value, json};

use crate::house::{House, Ran, recipe};

const LANGUAGES: [(&str, &str); 3] = [
    ("en", "Please explain in a few sentences how the following works: "),
    ("fr", "Expliquez en quelques phrases comment fonctionne ceci : "),
    ("es", "Explique en pocas frases cómo funciona lo siguiente: "),
];

const TOPICS: [&str; 10] = [
    "lighthouses",
    "sourdough",
    "tides",
    "violins",
    "glaciers",
    "compasses",
    "honey bees",
    "volcanoes",
    "moons",
    "loops",
];

/// Ten sources in three languages; the last two are of the task `code`, the others of `open`.
fn prompts() -> String {
    let mut lines = String::new();
    for (source, topic) in TOPICS.iter().enumerate() {
        for (language, wording) in LANGUAGES {
            let task = if source < 8 { "open" } else { "code" };
            let row = json!({ "id": format!("s{source}-{language}"), "source_id": format!("s{source}"),
                              "language": language, "task": task, "prompt": format!("{wording}{topic}.") });
            let _ = writeln!(lines, "{row}");
        }
    }
    lines
}

/// A house with the prompts, and a server that behaves as told, in JSON.
fn furnished(behaviour: Value) -> (House, MockServer) {
    let house = House::new();
    fs::write(house.folder().join("prompts.jsonl"), prompts()).unwrap();
    let options: MockOptions = serde_json::from_value(behaviour).unwrap();
    (house, MockServer::start(options).unwrap())
}

/// Three teachers of which the last speaks no Spanish, and a fusor that only fuses; `fuse` is what the step has beside
/// `from` and `fusor`.
fn text(server: &MockServer, fuse: &str) -> String {
    let url = server.base_url();
    let member = |id: &str, model: &str, rest: &str| {
        format!("  - {{id: {id}, endpoint: {{base_url: \"{url}\", model: {model}}}, {rest}}}\n")
    };
    format!(
        "name: fusion\nseed: 7\npool:\n{}{}{}{}\
         arbiters:\n  - {{id: judge, endpoint: {{dialect: vllm-classify, base_url: \"{url}\", model: mock-rm}}}}\n\
         steps:\n  - prompts: {{file: prompts.jsonl}}\n\
           \x20 - id: answers\n    generate: {{prompts: prompts, teachers: [alpha, beta, gamma], router: all, arbiter: judge, sampling: {{max_new_tokens: 2000}}}}\n\
           \x20 - id: fused\n    fuse: {{from: answers, fusor: strong, {fuse}}}\n",
        member("alpha", "alpha-9b", "license: apache-2.0, price: {input: 0.2, output: 0.6}"),
        member("beta", "beta-8b", "license: mit, price: {input: 0.1, output: 0.3}"),
        member("gamma", "gamma-7b", "license: mit, languages: [en, fr], price: {input: 0.1, output: 0.4}"),
        member("strong", "strong-70b", "license: gemma, outputs_may_train: yes, price: {input: 1, output: 2}"),
    )
}

const SELECT: &str = "  - id: data
    select:
      from: answers
      strategies:
        reward: {router: all}
        fusion: {router: {single: fusion}, from: fused}
  - report: {}
";

fn table<R: cambist_io::formats::TableRow>(artifact: &Artifact, name: &str) -> Vec<R> {
    read_table(&artifact.path(name).unwrap()).unwrap()
}

fn fused(ran: &Ran) -> Vec<Completion> {
    table(ran.artifact("fused"), "completions.parquet")
}

fn fusion(completion: &Completion) -> &Fusion {
    completion.origin.as_ref().and_then(|origin| origin.fusion.as_ref()).unwrap()
}

/// By prompt: the rewards of the candidates by their texts, of those that passed no gate too.
fn rewards(ran: &Ran) -> BTreeMap<String, BTreeMap<String, f64>> {
    let answers: Vec<Completion> = table(ran.artifact("answers"), "completions.parquet");
    let scores: Vec<Score> = table(ran.artifact("answers"), "scores.parquet");
    let mut rewards: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for (answer, score) in answers.iter().zip(&scores) {
        assert_eq!((&answer.prompt_id, &answer.teacher), (&score.prompt_id, &score.teacher));
        rewards.entry(answer.prompt_id.clone()).or_default().insert(answer.text.clone(), score.value.unwrap());
    }
    rewards
}

fn highest(rewards: &BTreeMap<String, f64>) -> (&str, f64) {
    let better = |a: &(&String, &f64), b: &(&String, &f64)| a.1.total_cmp(b.1);
    rewards.iter().max_by(better).map(|(text, reward)| (text.as_str(), *reward)).unwrap()
}

#[test]
fn fused_answers_are_compared_with_keeping_the_best() {
    let (house, server) = furnished(json!({"max_chars": 400}));
    let fuse = "tasks: {code: best}, arbiter: judge, sampling: {max_new_tokens: 4000}";
    let whole = text(&server, fuse) + SELECT;
    let ran = house.run(recipe(&whole, &[]), 2).unwrap();
    let (made, rewards) = (fused(&ran), rewards(&ran));
    assert_eq!(made.len(), 30);
    assert!(made.iter().all(|answer| answer.teacher == "fusion" && answer.failure.is_none() && answer.sample == 0));
    let answers: Vec<Completion> = table(ran.artifact("answers"), "completions.parquet");
    let mut n_fused = 0;
    for answer in &made {
        let of_prompt: Vec<&Completion> = answers.iter().filter(|other| other.prompt_id == answer.prompt_id).collect();
        let origin = fusion(answer);
        assert_eq!((origin.n_asked as usize, origin.fallback), (of_prompt.len(), false));
        let (best, _) = highest(&rewards[&answer.prompt_id]);
        match origin.kept {
            FusionOutcome::Best => assert!(answer.text == best, "{answer:?}"),
            FusionOutcome::Fused => {
                n_fused += 1;
                assert!(origin.n_fusions == 1 && origin.authors.len() >= 2, "{origin:?}");
                assert_eq!(answer.origin.as_ref().unwrap().teacher, "strong");
                let shown: u32 = of_prompt.iter().filter_map(|other| other.tokens_out).sum();
                let paid: u32 = of_prompt.iter().filter_map(|other| other.tokens_in).sum();
                assert!(answer.tokens_in.unwrap() - paid > shown, "the fusor reads all candidates");
            }
            other => panic!("{other:?}"),
        }
        let is_code = answer.prompt_id.starts_with("s8") || answer.prompt_id.starts_with("s9");
        assert_eq!(origin.kept == FusionOutcome::Best, is_code, "verifiable tasks are not fused");
    }
    assert_eq!((n_fused, house.calls()["strong"]), (24, 24), "one question about each prompt that is fused");
    let counts = &ran.artifact("fused").manifest().counts;
    assert_eq!((counts["fused"], counts["best of its task"], counts["questions to the fusor"]), (24, 6, 24));
    assert_eq!(counts["fused and compared"], 24);

    let strategies: Value = serde_json::from_slice(&ran.artifact("data").read("strategies.json").unwrap()).unwrap();
    let run_of = |name: &str| strategies["strategies"][name]["cost"]["run"].clone();
    assert_eq!(run_of("fusion")["generations"], answers.len() + 24, "the sum of all n, and N");
    let paid: f64 = made.iter().map(|answer| answer.cost_usd).sum();
    let asked: f64 = answers.iter().map(|answer| answer.cost_usd).sum();
    let replayed = run_of("fusion")["generation_usd"].as_f64().unwrap();
    assert!((replayed - paid).abs() < 1e-12 && paid > asked, "{replayed} {paid} {asked}");
    let mean = |name: &str| strategies["strategies"][name]["languages"]["en"]["mean_reward"].as_f64().unwrap();
    assert!(mean("fusion") > mean("reward"), "{} {}", mean("fusion"), mean("reward"));
    let rows = String::from_utf8(ran.artifact("data").read("fusion/sft.jsonl").unwrap()).unwrap();
    assert_eq!(rows.lines().count(), 30);
    assert_eq!(rows.matches("\"license\":\"gemma\"").count(), 24, "the strictest of candidates and fusor");
    let page = String::from_utf8(ran.artifact("report").read("report.html").unwrap()).unwrap();
    assert!(page.contains("single:fusion") && page.contains("Fusion"), "the report tells of it");

    server.reset();
    let again = house.run(recipe(&whole, &[]), 2).unwrap();
    assert!(again.made.is_empty() && server.stats().attempts == 0, "{:?}", again.made);
    keeps_the_better(&house, (&server, &whole), &made);
}

/// Another way of keeping asks nobody anything.
fn keeps_the_better(house: &House, (server, whole): (&MockServer, &str), before: &[Completion]) {
    let better = house
        .run(
            recipe(
                &whole.replace(
                    "arbiter: judge, sampling: {max_new_tokens: 4000}",
                    "arbiter: judge, keep: better, sampling: {max_new_tokens: 4000}",
                ),
                &[],
            ),
            2,
        )
        .unwrap();
    assert_eq!(better.made, ["data", "fused", "report"]);
    let calls = server.stats().calls;
    assert!(!calls.keys().any(|route| route.starts_with("/v1/chat")), "{calls:?}");
    let rewards = rewards(&better);
    let scores: Vec<Score> = table(better.artifact("fused"), "scores.parquet");
    let kept = fused(&better);
    for ((answer, score), was) in kept.iter().zip(&scores).zip(before) {
        let (best, reward) = highest(&rewards[&answer.prompt_id]);
        assert!(score.teacher == "fusion" && score.value.unwrap() >= reward - 1e-9, "{answer:?} {score:?}");
        match fusion(answer).kept {
            FusionOutcome::Better => assert!(answer.text == best && was.text != best && !fusion(answer).fallback),
            _ => assert_eq!(answer.text, was.text),
        }
    }
    let n_better = kept.iter().filter(|answer| fusion(answer).kept == FusionOutcome::Better).count() as u64;
    let counts = &better.artifact("fused").manifest().counts;
    let n_below = counts.get("fused below the best candidate").copied().unwrap_or(0);
    assert_eq!((counts.get("better candidate").copied().unwrap_or(0), n_below), (n_better, n_better));
}

#[test]
fn what_cannot_be_read_is_asked_for_once_more_and_then_the_best_stands_in() {
    let fault = json!({"fault": "no_brackets", "probability": 0.7, "match": {"model": "strong-70b"}});
    let (house, server) = furnished(json!({"max_chars": 300, "faults": [fault]}));
    let whole = text(&server, "sampling: {max_new_tokens: 4000}");
    let ran = house.run(recipe(&whole, &[]), 2).unwrap();
    let (made, rewards) = (fused(&ran), rewards(&ran));
    let mut seen = BTreeMap::new();
    for answer in &made {
        let origin = fusion(answer);
        *seen.entry((origin.kept, origin.fallback, origin.n_fusions)).or_insert(0u64) += 1;
        if origin.fallback {
            assert_eq!(answer.text, highest(&rewards[&answer.prompt_id]).0, "the winner of the rewards");
            let candidate = answer.origin.as_ref().unwrap();
            assert!(candidate.teacher != "strong" && origin.authors.len() == 1, "{candidate:?}");
        } else {
            assert!(!answer.text.contains("[[") && !answer.text.contains("the others add"), "{}", answer.text);
        }
    }
    let n = |kept, fallback, n_fusions| seen.get(&(kept, fallback, n_fusions)).copied().unwrap_or(0);
    let (at_once, again) = (n(FusionOutcome::Fused, false, 1), n(FusionOutcome::Fused, false, 2));
    let fallbacks = n(FusionOutcome::Best, true, 2);
    assert!(at_once > 2 && again > 2 && fallbacks > 2 && at_once + again + fallbacks == 30, "{seen:?}");
    let manifest = ran.artifact("fused").manifest();
    assert_eq!((manifest.failures["no_brackets"], manifest.counts["fallback to the best"]), (fallbacks, fallbacks));
    assert_eq!(house.calls()["strong"], at_once + 2 * again + 2 * fallbacks, "no call is paid twice");
    let told = String::from_utf8(ran.artifact("fused").read("failures.jsonl").unwrap()).unwrap();
    assert!(told.lines().count() as u64 == fallbacks && told.contains("no answer between"), "{told}");
    server.reset();
    fs::remove_dir_all(ran.artifact("fused").folder()).unwrap();
    let again = house.run(recipe(&whole, &[]), 2).unwrap();
    assert_eq!((again.made, server.stats().attempts), (vec!["fused".to_owned()], 0), "the ledger has it all");
}

#[test]
fn without_scores_and_with_one_candidate() {
    let fault = json!({"fault": "no_brackets", "match": {"model": "strong-70b"}});
    let (house, server) = furnished(json!({"max_chars": 300, "faults": [fault]}));
    let whole = text(&server, "tasks: {open: fuse, maths: best}, sampling: {max_new_tokens: 4000}")
        .replace(", arbiter: judge", "")
        .replace("teachers: [alpha, beta, gamma]", "teachers: [alpha, gamma]")
        .replace("license: apache-2.0, price", "license: apache-2.0, languages: [fr, de], price");
    let ran = house.run(recipe(&whole, &[]), 2).unwrap();
    let made = fused(&ran);
    // Gamma alone answers in English, both do in French, and nobody in Spanish.
    assert_eq!(made.len(), 20);
    for answer in &made {
        let (origin, is_english) = (fusion(answer), answer.language.as_str() == "en");
        let expected = if is_english { (FusionOutcome::Only, false, 0) } else { (FusionOutcome::Best, true, 2) };
        assert_eq!((origin.kept, origin.fallback, origin.n_fusions), expected);
        assert_eq!(answer.origin.as_ref().unwrap().teacher, "gamma", "the cheaper one stands in where nobody scored");
    }
    let manifest = ran.artifact("fused").manifest();
    assert_eq!((house.calls()["strong"], manifest.failures["none_eligible"]), (20, 10));
    assert_eq!(manifest.notes, ["`tasks` names `maths`, which is the task of no prompt"]);
    let warnings = cambist_pipeline::plan::Plan::new(recipe(&whole, &[]), house.folder()).unwrap().warnings();
    assert!(warnings.iter().any(|told| told.starts_with("unscored_best: `fused`")), "{warnings:?}");
}

#[test]
fn gates_close_on_candidates_and_on_what_was_fused() {
    // A teacher that answers in German whatever it is asked, and a fusor that does.
    let (house, server) = furnished(json!({"max_chars": 300}));
    let german = "[[Der Fluss wird breiter, weil das Wasser an der Außenseite schneller fließt.]]";
    let template = format!("template: \"{german} {{language}} {{request}} {{answers}}\"");
    let whole = text(&server, &template)
        .replace("model: strong-70b", "model: mock-echo")
        .replace("model: beta-8b", "model: mock-lang-de");
    let ran = house.run(recipe(&whole, &[]), 2).unwrap();
    for answer in &fused(&ran) {
        let origin = fusion(answer);
        // Two teachers are left for English and French, one for Spanish.
        let (kept, fallback) = match answer.language.as_str() {
            "es" => (FusionOutcome::Only, false),
            _ => (FusionOutcome::Best, true),
        };
        assert_eq!((origin.kept, origin.fallback, origin.n_fusions), (kept, fallback, u32::from(fallback)));
        assert!(!origin.authors.contains("beta") && origin.n_asked >= 2, "{origin:?}");
    }
    assert_eq!(ran.artifact("fused").manifest().failures, BTreeMap::from([("wrong_lang".to_owned(), 20)]));
}

#[test]
fn there_must_be_answers_and_a_fusor_that_answers() {
    let (house, server) = furnished(json!({}));
    let nobody = text(&server, "max_candidates: 3")
        .replace("router: all", "router: all, eligibility: {exclude: [alpha, beta, gamma]}");
    let error = house.run(recipe(&nobody, &[]), 2).err().unwrap().to_string();
    assert!(error.contains("there are no answers to fuse"), "{error}");
    let refused = json!({"faults": [{"fault": "status:400", "match": {"model": "strong-70b"}}]});
    let (house, server) = furnished(refused);
    let error = house.run(recipe(&text(&server, "tasks: {open: best}"), &[]), 2).err().unwrap().to_string();
    assert!(error.contains("teacher `strong` gave no answer at all"), "{error}");
}

#[test]
fn answers_of_several_steps_are_fused_together() {
    let (house, server) = furnished(json!({"max_chars": 300}));
    let more = "  - id: more\n    generate: {prompts: prompts, teachers: [strong], router: {single: strong}, sampling: {max_new_tokens: 2000}}\n  - id: fused\n";
    let whole = text(&server, "max_candidates: 2, sampling: {max_new_tokens: 4000}")
        .replace("teachers: [alpha, beta, gamma]", "teachers: [alpha]")
        .replace(", arbiter: judge", "")
        .replace("  - id: fused\n", more)
        .replace("from: answers", "from: [answers, more]");
    let ran = house.run(recipe(&whole, &[]), 2).unwrap();
    let made = fused(&ran);
    assert!(made.len() == 30 && made.iter().all(|answer| fusion(answer).n_asked == 2), "{}", made.len());
    let fault = Recipe::parse("r.yaml", &whole.replace("from: [answers, more]", "from: 3"), &[]).unwrap_err();
    assert!(fault.to_string().contains("expected the id of a step or a list of ids"), "{fault}");
}

#[test]
fn what_is_unsafe_is_never_fused() {
    let (house, server) = furnished(json!({"max_chars": 400}));
    let safe = "  - id: safe\n    score: {from: answers, arbiter: judge}\n  - id: fused\n";
    let fuse = "safety: safe, gates: {safety: {min_score: 4}}, sampling: {max_new_tokens: 4000}";
    let whole = text(&server, fuse).replace("  - id: fused\n", safe);
    let ran = house.run(recipe(&whole, &[]), 2).unwrap();
    let answers: Vec<Completion> = table(ran.artifact("answers"), "completions.parquet");
    let scores: Vec<Score> = table(ran.artifact("answers"), "scores.parquet");
    let (mut n_unsafe, mut n_fused) = (0, 0);
    for answer in &fused(&ran) {
        let origin = fusion(answer);
        n_fused += u32::from(origin.kept == FusionOutcome::Fused);
        for (candidate, score) in answers.iter().zip(&scores).filter(|(one, _)| one.prompt_id == answer.prompt_id) {
            let is_safe = score.value.unwrap() >= 4.0;
            n_unsafe += u32::from(!is_safe);
            assert!(is_safe || !origin.authors.contains(&candidate.teacher), "{origin:?} {score:?}");
        }
    }
    assert!(n_unsafe > 5 && n_fused > 4, "{n_unsafe} {n_fused}");
}

#[test]
fn recorded_fusions_are_read_beside_scores_of_a_later_step() {
    let (house, server) = furnished(json!({"max_chars": 300}));
    let said =
        |id: String| json!({"prompt_id": id, "model": "recorded", "text": "One is longer.\n[[It works by turning.]]"});
    let lines: String = (0..10).map(|source| format!("{}\n", said(format!("s{source}-en")))).collect();
    fs::write(house.folder().join("fused.jsonl"), lines).unwrap();
    let values = "  - id: values\n    score: {from: answers, arbiter: judge}\n  - id: fused\n";
    let whole = text(&server, "scores: values")
        .replace(", router: all, arbiter: judge", ", router: all")
        .replace("  - id: fused\n", values)
        .replace("pool:\n", "pool:\n  - {id: recorded, license: mit, replay: {file: fused.jsonl}}\n")
        .replace("fusor: strong", "fusor: recorded");
    let ran = house.run(recipe(&whole, &[]), 2).unwrap();
    let answers: Vec<Completion> = table(ran.artifact("answers"), "completions.parquet");
    let scores: Vec<Score> = table(ran.artifact("values"), "scores.parquet");
    for answer in &fused(&ran) {
        if answer.language.as_str() == "en" {
            assert_eq!((answer.text.as_str(), fusion(answer).kept), ("It works by turning.", FusionOutcome::Fused));
            continue;
        }
        assert!(fusion(answer).fallback && fusion(answer).n_fusions == 1, "nobody recorded it: {answer:?}");
        let of_prompt = scores.iter().filter(|score| score.prompt_id == answer.prompt_id);
        let best = of_prompt.max_by(|a, b| a.value.unwrap().total_cmp(&b.value.unwrap())).unwrap();
        let cell = |one: &&Completion| one.prompt_id == best.prompt_id && one.teacher == best.teacher;
        assert_eq!(answer.text, answers.iter().find(cell).unwrap().text);
    }
    assert_eq!(ran.artifact("fused").manifest().failures, BTreeMap::from([("no_answer".to_owned(), 20)]));
}
