//! Calls by way of files: what goes out comes back in any order, and a run asks for exactly the rest.

#![cfg(test)]

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    sync::atomic::AtomicBool,
};

use cambist_io::{
    formats::{TableRow, to_parquet},
    ledger::Ledger,
    mock::{MockOptions, MockServer},
    transport::StopSignal,
};
use cambist_pipeline::{
    batch::{ExportOptions, export_requests, import_results},
    import::{ImportFormat, ImportOptions, ImportedAnswers, import_answers},
    plan::Plan,
    progress::Silent,
    recipe::Recipe,
    run::{Capabilities, Runtime, run},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const RECIPE: &str = "\
name: batch
seed: 7
pool:
  - id: alpha
    license: apache-2.0
    endpoint: {dialect: openai-chat, base_url: \"BASE\", model: alpha-9b}
    price: {input: 1, output: 1}
  - id: beta
    license: apache-2.0
    endpoint: {dialect: anthropic, base_url: \"BASE\", model: beta-8b}
prices:
  - {match: {model: alpha-9b}, lane: batch, input: 0.5, output: 0.5}
steps:
  - id: prompts
    prompts: {polyglot: {}, languages: [tr, uk], splits: {train: 6}}
  - id: answers
    generate: {prompts: prompts.train, router: all, sampling: {max_new_tokens: 64}}
";

struct House {
    folder: tempfile::TempDir,
    plan: Plan,
    server: MockServer,
}

impl House {
    /// With prompts made and nobody asked.
    fn new() -> Self {
        let server = MockServer::start(MockOptions::default()).unwrap();
        let text = RECIPE.replace("BASE", &server.base_url());
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan::new(Recipe::parse("r.yaml", &text, &[]).unwrap(), folder.path()).unwrap();
        let house = Self { folder, plan, server };
        house.with(|runtime| run(&house.plan, &[0], &house.store(), runtime)).unwrap();
        house
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn with<T>(&self, work: impl FnOnce(&Runtime<'_>) -> T) -> T {
        let stop = AtomicBool::new(false);
        work(&Runtime {
            threads: 2,
            progress: &Silent,
            stop: &stop,
            calls: StopSignal::new(),
            capabilities: Capabilities::default(),
            state_every: cambist_pipeline::run::STATE_EVERY,
        })
    }

    /// Exports alpha's calls and returns the lines.
    fn requests(&self) -> Vec<Value> {
        let to = self.at("in.jsonl");
        let options = ExportOptions { teacher: Some("alpha".into()), to: to.clone(), ..ExportOptions::default() };
        self.with(|runtime| export_requests(&self.plan, &options, &self.store(), runtime)).unwrap();
        let lines = fs::read_to_string(to).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What the server says to one line, as a runner writes it down.
    fn result(&self, request: &Value) -> Value {
        let body = self.post(request["url"].as_str().unwrap(), &request["body"]);
        let response = json!({"status_code": 200, "request_id": "r", "body": body});
        json!({"id": "x", "custom_id": request["custom_id"], "response": response, "error": null})
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (body, address) = (body.to_string(), self.server.address());
        let mut stream = TcpStream::connect(address).unwrap();
        let head = "content-type: application/json\r\nconnection: close";
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {address}\r\n{head}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (start, end) = (reply.find('{').unwrap(), reply.rfind('}').unwrap());
        serde_json::from_str(&reply[start..=end]).unwrap()
    }

    fn write(&self, name: &str, lines: &[String]) -> PathBuf {
        fs::write(self.at(name), lines.join("\n")).unwrap();
        self.at(name)
    }

    fn import(&self, format: ImportFormat, file: PathBuf, (teacher, is_trusted): (&str, bool)) -> ImportedAnswers {
        let teacher = (!teacher.is_empty()).then(|| teacher.to_owned());
        let options = ImportOptions { step: None, format, files: vec![file], teacher, is_trusted };
        self.with(|runtime| import_answers(&self.plan, &options, &self.store(), runtime)).unwrap()
    }

    fn answered(&self) -> u64 {
        let ledger = Ledger::open_read_only(&self.store().join("ledger.sqlite")).unwrap();
        ledger.teacher_totals().unwrap().iter().map(|totals| totals.n_answered).sum()
    }
}

#[test]
fn results_come_back_in_any_order_and_a_run_asks_for_the_rest() {
    let house = House::new();
    let requests = house.requests();
    assert!(requests.len() >= 10 && requests.iter().all(|line| line["body"]["seed"].is_u64()), "{}", requests.len());
    let mut lines: Vec<String> = requests.iter().map(|request| house.result(request).to_string()).collect();
    let late = json!({"custom_id": requests[0]["custom_id"], "response": null,
        "error": {"code": "batch_expired", "message": "too late"}});
    let mut unknown = house.result(&requests[1]);
    unknown["custom_id"] = json!("f".repeat(32));
    // The first two are missing, the rest is turned round, one comes twice.
    lines.drain(..2);
    lines.reverse();
    lines.extend([lines[0].clone(), unknown.to_string(), "no result".to_owned()]);
    let (errors, out) = (house.write("errors.jsonl", &[late.to_string()]), house.write("out.jsonl", &lines));
    let n = requests.len() as u64;
    let files = [errors, out];
    let import = || house.with(|runtime| import_results(&house.plan, (None, &files), &house.store(), runtime)).unwrap();
    let first = import();
    assert_eq!((first.n_stored, first.n_known, first.n_duplicates), (n - 2, 0, 1));
    assert_eq!((first.n_unknown, first.unknown, first.n_broken), (1, vec!["f".repeat(32)], 1));
    assert_eq!(first.failed, [("stopped".to_owned(), 1)].into());
    let again = import();
    assert_eq!((again.n_stored, again.n_known, again.n_left), (0, n - 2, first.n_left));
    house.server.reset();
    let finished = house.with(|runtime| run(&house.plan, &[0, 1], &house.store(), runtime)).unwrap();
    assert_eq!(finished.len(), 2);
    assert_eq!(house.answered(), 2 * n, "every cell of both teachers");
    let ledger = Ledger::open_read_only(&house.store().join("ledger.sqlite")).unwrap();
    let alpha = ledger.teacher_totals().unwrap().into_iter().find(|totals| totals.teacher == "alpha").unwrap();
    assert_eq!(alpha.n_answered, n);
    // Half of the live price for all but two.
    let tokens = (alpha.tokens_in + alpha.tokens_out) as f64;
    assert!(alpha.cost_usd > tokens * 0.5e-6 && alpha.cost_usd < tokens * 0.9e-6, "{alpha:?}");
    assert!(house.requests_left().is_empty(), "nothing is left");
}

impl House {
    fn requests_left(&self) -> Vec<PathBuf> {
        let options = ExportOptions { to: self.at("left"), ..ExportOptions::default() };
        let exported = self.with(|runtime| export_requests(&self.plan, &options, &self.store(), runtime)).unwrap();
        exported.files.into_iter().map(|file| file.part.path).collect()
    }
}

#[test]
fn each_teacher_gets_files_in_its_providers_form() {
    let house = House::new();
    let names = |paths: Vec<PathBuf>| {
        paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(house.requests_left()), ["alpha.jsonl", "beta.json"]);
    let body: Value = serde_json::from_slice(&fs::read(house.at("left/beta.json")).unwrap()).unwrap();
    assert!(body["requests"][0]["params"]["messages"].is_array(), "{body}");
    let refused = |options: ExportOptions| {
        let outcome = house.with(|runtime| export_requests(&house.plan, &options, &house.store(), runtime));
        outcome.unwrap_err().to_string()
    };
    let to = house.at("in.jsonl");
    let told = refused(ExportOptions { to: to.clone(), ..ExportOptions::default() });
    assert!(told.contains("a batch file is for one teacher"), "{told}");
    let told = refused(ExportOptions { teacher: Some("gamma".into()), to, ..ExportOptions::default() });
    assert!(told.contains("`gamma` is no teacher") && told.contains("`alpha`, `beta`"), "{told}");
}

#[test]
fn equal_requests_count_and_bare_texts_only_where_they_are_trusted() {
    let house = House::new();
    let requests = house.requests();
    let curated = |request: &Value| {
        let (reply, body) = (house.post("/v1/chat/completions", &request["body"]), &request["body"]);
        json!({"response_message": reply["choices"][0]["message"]["content"], "response_errors": null,
            "raw_response": reply, "raw_request": body, "finish_reason": "stop",
            "generic_request": {"model": "alpha-9b", "messages": body["messages"], "original_row_idx": 0}})
        .to_string()
    };
    let curator = house.write("responses_0.jsonl", &[curated(&requests[0]), curated(&requests[1])]);
    let unnamed = house.import(ImportFormat::Curator, curator.clone(), ("", false));
    assert_eq!((unnamed.n_stored, unnamed.n_untrusted), (0, 2), "nobody said which server it was");
    let named = house.import(ImportFormat::Curator, curator.clone(), ("alpha", false));
    assert_eq!((named.n_stored, named.n_exact), (2, 2));
    assert_eq!(house.import(ImportFormat::Curator, curator, ("alpha", false)).n_known, 2);
    let text = |at: usize| requests[at]["body"]["messages"][0]["content"].clone();
    let plain = json!({"prompt": text(2), "model": "alpha-9b", "text": "evet"}).to_string();
    let plain = house.write(
        "plain.jsonl",
        &[plain, json!({"prompt": "elsewhere", "model": "alpha", "text": "x"}).to_string(), "{}".to_owned()],
    );
    let doubted = house.import(ImportFormat::Completions, plain.clone(), ("", false));
    assert_eq!((doubted.n_stored, doubted.n_untrusted, doubted.n_unknown_prompt, doubted.n_broken), (0, 1, 1, 1));
    assert_eq!(house.import(ImportFormat::Completions, plain, ("", true)).n_stored, 1);
    let open = json!({"prompt": text(3), "completions": ["bir", "iki"], "model": "alpha", "scores": {"rm": [1, 2]}});
    let open = house.write("open.jsonl", &[open.to_string()]);
    let open = house.import(ImportFormat::OpenInstruct, open, ("", true));
    assert_eq!((open.n_stored, open.n_unknown_prompt), (1, 1), "one answer is asked for");
    let skills = house.write("output-rs0.jsonl", &[json!({"problem": text(4), "generation": "dört"}).to_string()]);
    assert_eq!(house.import(ImportFormat::NemoSkills, skills, ("alpha", true)).n_stored, 1);
    let leaf = Leaf {
        instruction: text(5).as_str().unwrap().to_owned(),
        generations: vec!["beş".into(), "cinco".into()],
        model_names: vec!["alpha-9b".into(), "gamma".into()],
    };
    fs::write(house.at("leaf.parquet"), to_parquet(&[leaf]).unwrap()).unwrap();
    let leaf = house.import(ImportFormat::Distilabel, house.at("leaf.parquet"), ("", true));
    assert_eq!((leaf.n_stored, leaf.unknown_models), (1, [("gamma".to_owned(), 1)].into()));
    let logged =
        json!({"doc_id": 0, "arguments": {"gen_args_0": {"arg_0": text(6)}}, "resps": [["altı", "6"]], "filter": "a"});
    let logged =
        house.write("samples_t_2026.jsonl", &[logged.to_string(), logged.to_string().replace("\"a\"", "\"b\"")]);
    let logged = house.import(ImportFormat::LmEval, logged, ("alpha", true));
    assert_eq!(
        (logged.n_stored, logged.n_unknown_prompt),
        (1, 1),
        "one of two repeats is asked for, filters say it twice"
    );
    assert_eq!(house.answered(), 7);
}

#[derive(Serialize, Deserialize)]
struct Leaf {
    instruction: String,
    generations: Vec<String>,
    model_names: Vec<String>,
}

impl TableRow for Leaf {
    const TABLE: &'static str = "leaf";
    const COLUMNS: &'static [(&'static str, cambist_io::formats::Cell)] = &[
        ("instruction", cambist_io::formats::Cell::Text),
        ("generations", cambist_io::formats::Cell::TextList),
        ("model_names", cambist_io::formats::Cell::TextList),
    ];
}
