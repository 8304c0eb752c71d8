//! Servers are asked what they can do before they are asked what counts.

use std::{fs, path::Path};

use cambist_io::mock::{MockServer, MockStats};
use serde_json::{Value, json};

use super::pool::{Pool, mock, n_stored, said};

/// A recipe with one teacher; `more` goes into the teacher, `router` asks it.
fn recipe(base_url: &str, more: &str, router: &str) -> String {
    format!(
        "name: one\npool:\n- {{id: alpha, license: MIT, endpoint: {{base_url: \"{base_url}\", model: alpha{more}}}}}\n\
         steps:\n- id: prompts\n  prompts: {{polyglot: {{sources: 6}}, languages: [ja, tr]}}\n\
         - id: answers\n  generate: {{prompts: prompts, router: {router}, sampling: {{max_new_tokens: 64}}}}\n"
    )
}

/// A fault of the pages by which a server says what it is.
fn no_page(path: &str) -> Value {
    json!({ "fault": "status:404", "match": {"path": path, "probe": true} })
}

fn run(pool: &Pool, more: &[&str]) -> (i32, String) {
    let output = pool.cambist(&[&["run", "recipe.yaml", "--store", "store"], more].concat());
    (output.status.code().unwrap(), said(&output))
}

fn n_probes(stats: &MockStats, path: &str) -> u64 {
    stats.probes.get(path).copied().unwrap_or(0)
}

fn probe_record(pool: &Pool) -> Value {
    serde_json::from_slice(&fs::read(pool.path("store/runs/one/probe.json")).unwrap()).unwrap()
}

#[test]
fn a_run_says_what_answers_and_pays_for_nothing_by_it() {
    let server = mock(json!({}));
    let pool = Pool::new(&recipe(&server.base_url(), "", "all"));
    let (code, told) = run(&pool, &[]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains(&format!("alpha: vllm 0.11.0 at {}, 16384 tokens", server.base_url())), "{told}");
    let stats = server.stats();
    assert_eq!((stats.attempts, stats.answered, stats.cells), (12, 12, 12), "one answer to each prompt and no more");
    assert_eq!((n_probes(&stats, "/v1/models"), n_probes(&stats, "/version")), (1, 1), "{:?}", stats.probes);
    assert_eq!(n_probes(&stats, "/v1/chat/completions"), 0, "one sample needs no trial: {:?}", stats.probes);
    let found = &probe_record(&pool)["endpoints"]["alpha"];
    assert_eq!((&found["facts"]["kind"], &found["facts"]["max_model_len"]), (&json!("vllm"), &json!(16384)), "{found}");
    // What is answered is not asked for, and nobody is asked what they can do; the record of the run stays whole.
    let (code, told) = run(&pool, &[]);
    assert_eq!((code, server.stats().probes), (0, stats.probes), "{told}");
    assert_eq!(&probe_record(&pool)["endpoints"]["alpha"], found);
    assert!(!told.contains("vllm"), "{told}");
}

#[test]
fn pages_that_a_server_does_not_have_fail_nothing() {
    let pages = ["/v1/models", "/version", "/get_model_info", "/info", "/props"];
    let broken = json!({ "fault": "wrong_type", "match": {"path": "/v1/models", "probe": true} });
    for faults in [pages.map(no_page).to_vec(), vec![broken]] {
        let server = mock(json!({ "faults": faults }));
        let pool = Pool::new(&recipe(&server.base_url(), "", "all"));
        let (code, told) = run(&pool, &[]);
        assert_eq!(code, 0, "{told}");
        assert_eq!(n_stored(&pool.path("store")), 12);
    }
    let silent = mock(json!({ "faults": pages.map(no_page) }));
    let pool = Pool::new(&recipe(&silent.base_url(), "", "all"));
    assert!(run(&pool, &[]).1.contains("alpha: unnamed server at"));
    assert_eq!(probe_record(&pool)["endpoints"]["alpha"]["facts"]["kind"], "none");
}

#[test]
fn a_server_with_slots_is_never_asked_for_more_at_once() {
    let faults = ["/version", "/get_model_info", "/info"].map(no_page);
    let server = mock(json!({ "faults": faults, "capacity": {"hard_cap": {"n": 2}}, "latency": {"fixed_ms": 5} }));
    let pool = Pool::new(&recipe(&server.base_url(), "", "all"));
    let (code, told) = run(&pool, &[]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("llamacpp mock at") && told.contains("2 at once"), "{told}");
    let stats = server.stats();
    assert!(stats.max_in_flight <= 2 && !stats.statuses.contains_key(&429), "{stats:?}");
}

#[test]
fn trials_are_made_when_they_decide_something_and_hold_for_a_day() {
    let server = mock(json!({}));
    let chats = || n_probes(&server.stats(), "/v1/chat/completions");
    let pool = Pool::new(&recipe(&server.base_url(), "", "{all-bon: {samples: 3}}"));
    let (code, told) = run(&pool, &[]);
    assert_eq!((code, chats()), (0, 1), "{told}");
    assert!(told.contains("n yes"), "{told}");
    let (code, told) = run(&pool, &["prompts.prompts.polyglot.sources=8"]);
    assert_eq!((code, chats()), (0, 1), "what was shown today is not asked again: {told}");
    let (code, told) = run(&pool, &["prompts.prompts.polyglot.sources=10", "--capabilities", "force"]);
    assert_eq!((code, chats()), (0, 2), "{told}");
    let before = server.stats().probes;
    let (code, told) = run(&pool, &["prompts.prompts.polyglot.sources=12", "--capabilities", "never"]);
    assert_eq!((code, server.stats().probes), (0, before), "{told}");
    // A day later nothing is known.
    let path = pool.path("store/trials.json");
    let mut known: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for server in known["servers"].as_object_mut().unwrap().values_mut() {
        server["at_unix_ms"] = json!(server["at_unix_ms"].as_u64().unwrap() - 24 * 60 * 60 * 1000);
    }
    fs::write(&path, known.to_string()).unwrap();
    let (code, told) = run(&pool, &["prompts.prompts.polyglot.sources=14"]);
    assert_eq!((code, chats()), (0, 3), "{told}");
    fs::write(&path, "no json").unwrap();
    let (code, told) = run(&pool, &["prompts.prompts.polyglot.sources=16"]);
    assert_eq!((code, chats()), (0, 4), "{told}");
}

#[test]
fn a_schema_that_is_refused_is_told_before_it_costs() {
    let refuses = json!({ "fault": "status:400", "match": {"probe": true, "contains": "json_schema"} });
    let server = mock(json!({ "faults": [refuses] }));
    let schema = "{type: object, properties: {river: {type: string}}}";
    let more = format!("}}, request: {{json_schema: {schema}}}, price: {{input: 0");
    let pool = Pool::new(&recipe(&server.base_url(), &more, "all"));
    let (code, told) = run(&pool, &[]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("warning: json_schema: the server of `alpha`"), "{told}");
    let follows = mock(json!({}));
    fs::write(pool.path("recipe.yaml"), recipe(&follows.base_url(), &more, "all")).unwrap();
    let (code, told) = run(&pool, &["seed=2"]);
    assert!(code == 0 && told.contains("JSON schema yes") && !told.contains("warning"), "{told}");
}

/// Writes a tokenizer with one token for each byte of UTF-8, numbered from `first`, and a template.
pub(crate) fn write_tokenizer(folder: &Path, first: u32) {
    // Bytes that are no printable letters of their own stand as letters behind U+0100, as byte-level tokenizers do it.
    let is_letter = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut others = 0x100..;
    let letter = |byte: u8| {
        let code = if is_letter(byte) { u32::from(byte) } else { others.next().unwrap() };
        (char::from_u32(code).unwrap().to_string(), json!(u32::from(byte) + first))
    };
    let vocab: serde_json::Map<String, Value> = (0..=255u8).map(letter).collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": bytes, "post_processor": null, "decoder": bytes,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []},
    });
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: ";
    fs::write(folder.join("tokenizer_config.json"), json!({ "chat_template": template }).to_string()).unwrap();
}

#[test]
fn a_tokenizer_of_another_model_is_warned_of() {
    // The mock's ids are bytes plus 3.
    for (first, is_same) in [(3, true), (4, false)] {
        let server = mock(json!({}));
        let pool = Pool::new(&recipe(&server.base_url(), "}, request: {tokenizer: tok}, price: {input: 0", "all"));
        write_tokenizer(&pool.path("tok"), first);
        let (code, told) = run(&pool, &[]);
        assert_eq!(code, 0, "{told}");
        assert_eq!(told.contains("tokenizer yes"), is_same, "{told}");
        assert_eq!(told.contains("warning: tokenizer: the server of `alpha` cuts text"), !is_same, "{told}");
        let n_texts = n_probes(&server.stats(), "/tokenize");
        assert_eq!(n_texts, if is_same { 5 } else { 1 });
    }
    let without = mock(json!({ "faults": [no_page("/tokenize")] }));
    let pool = Pool::new(&recipe(&without.base_url(), "}, request: {tokenizer: tok}, price: {input: 0", "all"));
    write_tokenizer(&pool.path("tok"), 3);
    let (code, told) = run(&pool, &[]);
    assert!(code == 0 && told.contains("tokenizer unknown") && !told.contains("warning"), "{told}");
}

/// A recipe with a teacher, a judge and a reward model, each on a server of its own.
fn three(teacher: &MockServer, judge: &MockServer, reward: &MockServer) -> String {
    let arbiters = format!(
        "arbiters:\n- {{id: rm, endpoint: {{dialect: vllm-classify, base_url: \"{}\", model: mock-rm}}}}\n\
         - {{id: judge, judge: {{mode: abs-10}}, endpoint: {{base_url: \"{}\", model: mock-judge-fair}}}}\nsteps:",
        reward.base_url(),
        judge.base_url()
    );
    recipe(&teacher.base_url(), "", "all").replace("steps:", &arbiters)
}

fn probe(pool: &Pool, more: &[&str]) -> (i32, String, String) {
    let output = pool.cambist(&[&["probe", "recipe.yaml", "--store", "store"], more].concat());
    (output.status.code().unwrap(), String::from_utf8(output.stdout.clone()).unwrap(), said(&output))
}

#[test]
fn the_verb_asks_everybody_and_nothing_else() {
    let (teacher, judge, reward) = (mock(json!({})), mock(json!({})), mock(json!({})));
    let pool = Pool::new(&three(&teacher, &judge, &reward));
    let (code, out, told) = probe(&pool, &["--json"]);
    assert_eq!(code, 0, "{told}");
    let out: Value = serde_json::from_str(&out).unwrap();
    let of = |at: usize| out["endpoints"][at].clone();
    let shown = json!({ "n": "yes", "seed": "yes" });
    assert_eq!((&of(0)["trials"]["shown"], &of(0)["trials"]["length_field"]), (&shown, &json!("max_tokens")), "{out}");
    assert_eq!((&of(1)["role"], &of(1)["trials"]["shown"]["raw_rewards"]), (&json!("reward model"), &json!("yes")));
    assert_eq!((&of(2)["role"], &of(2)["facts"]["kind"]), (&json!("judge"), &json!("vllm")), "{out}");
    let pages = |server: &MockServer| n_probes(&server.stats(), "/v1/models");
    assert_eq!((pages(&teacher), pages(&judge), pages(&reward)), (1, 1, 1));
    assert_eq!((teacher.stats().attempts, judge.stats().attempts), (0, 0));
    assert_eq!(n_probes(&teacher.stats(), "/v1/chat/completions"), 5);
    assert!(!pool.path("store/artifacts").read_dir().unwrap().any(|_| true), "nothing is made");
    let (code, table, _) = probe(&pool, &[]);
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert_eq!(code, 0);
    assert!(row("alpha").contains("n yes, seed yes, length limit max_tokens"), "{table}");
    assert!(row("rm").contains("raw rewards yes") && row("judge").contains("vllm 0.11.0"), "{table}");
    assert_eq!(probe_record(&pool)["endpoints"].as_object().unwrap().len(), 3);
}

#[test]
fn the_verb_tells_whose_turn_it_is() {
    let there = || mock(json!({}));
    let (judge, reward) = (there(), there());
    // Nobody at the teacher's address: the others are asked all the same.
    let gone = there();
    gone.stop();
    let text = three(&gone, &judge, &reward).replace("model: alpha", "model: alpha, retries: {max: 0}");
    let (code, out, told) = probe(&Pool::new(&text), &[]);
    assert_eq!(code, 3, "{told}");
    assert!(out.contains("transport") && out.contains("raw rewards yes"), "{out}");
    // The wrong model.
    let other = mock(json!({"models": ["b"]}));
    let (code, out, told) = probe(&Pool::new(&three(&other, &judge, &reward)), &[]);
    assert!(code == 2 && told.contains("it has `b`") && out.contains("has no model `alpha`"), "{told}{out}");
    // A page without a list, and a model that the first answer says is not there.
    let blind = mock(json!({"models": ["b"], "faults": [no_page("/v1/models")]}));
    let (code, _, told) = probe(&Pool::new(&three(&blind, &judge, &reward)), &[]);
    assert!(code == 2 && told.contains("not_found"), "{told}");
    // A refused key, and rewards that are none.
    let closed = mock(json!({ "auth": {"key": "right"} }));
    let (code, out, told) = probe(&Pool::new(&three(&closed, &judge, &reward)), &[]);
    assert!(code == 3 && out.contains("auth"), "{told}{out}");
    let teacher = there();
    let text = three(&teacher, &judge, &reward).replace("model: mock-rm", "model: mock-rm-sigmoid");
    let (code, out, told) = probe(&Pool::new(&text), &[]);
    assert!(code == 2 && told.contains("sigmoid") && out.contains("n yes"), "{told}{out}");
}

#[test]
fn trials_stop_at_the_budget() {
    let server = mock(json!({}));
    let text = recipe(&server.base_url(), "}, price: {input: 1000, output: 1000", "{all-bon: {samples: 2}}");
    let pool = Pool::new(&text.replace("pool:", "budget: {total_usd: 0.000001}\npool:"));
    let (code, told) = run(&pool, &[]);
    assert!(code == 3 && told.contains("the budget is spent"), "{told}");
    let stats = server.stats();
    assert_eq!((stats.attempts, n_probes(&stats, "/v1/chat/completions")), (0, 0));
}
