//! A folder with a recipe that runs in a moment, and the binary in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// Two teachers of which each is right in one language, two strategies, two students each.
pub(crate) const RECIPE: &str = "\
name: tiny
seed: 7
pool:
  - {id: exacto, kind: monolingual, languages: [es, ja], license: Apache-2.0, replay: {file: answers.jsonl}}
  - {id: seikai, kind: monolingual, languages: [es, ja], license: Apache-2.0, replay: {file: answers.jsonl}}
  - {id: novice, license: Apache-2.0, local: start, price: {input: 0.1, output: 0.3}}
arbiters:
  - {id: checker, check: {}}
steps:
  - id: prompts
    prompts: {file: prompts.jsonl, splits: {teach: 4, answer: 6, calibration: 4, test: 2}}
  - id: start
    train:
      objective: pretrain
      new: {vocab_size: 300, shape: {hidden_size: 16, n_layers: 1, n_heads: 2, n_kv_heads: 2, intermediate_size: 16}}
      data: prompts.teach
      config: {steps: 3}
  - id: calibration
    generate: {prompts: prompts.calibration, router: all, arbiter: checker, sampling: {max_new_tokens: 4}}
  - id: answers
    generate: {prompts: prompts.answer, router: all, arbiter: checker, sampling: {max_new_tokens: 4}}
  - id: alike
    score: {from: answers, arbiter: checker}
  - id: arbitrage
    select:
      from: answers
      calibration: calibration
      strategies:
        single: {router: {single: best}}
        reward: {router: all}
      pairs: {}
  - id: students
    train: {objective: sft, base: start, data: arbitrage, seeds: [1, 2], config: {steps: 3}}
  - id: results
    evaluate: {models: students, against: single, prompts: prompts.test, arbiter: checker, sampling: {max_new_tokens: 4}, bootstrap: 100}
";

/// The binary under test: the one that the runner names, else the one that was built with the tests.
pub(crate) fn binary() -> PathBuf {
    let named = std::env::var_os("CARGO_BIN_EXE_cambist");
    named.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_cambist")), PathBuf::from)
}

/// A folder of its own for one test.
pub(crate) struct World {
    folder: TempDir,
}

/// What the program answered.
#[derive(Debug)]
pub(crate) struct Told {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl World {
    /// Makes the folder with `recipe.yaml`, sixteen sums in two languages and the recorded answers to them.
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        world.write("recipe.yaml", RECIPE);
        let (mut prompts, mut answers) = (String::new(), String::new());
        for n in 0..16 {
            let (a, b) = (n + 3, 2 * n + 1);
            let texts = [("es", format!("¿Cuánto es {a} más {b}?")), ("ja", format!("{a}足す{b}はいくつ？"))];
            for (language, text) in texts {
                let sum = a + b;
                prompts += &format!(
                    "{{\"id\":\"sum-{n}-{language}\",\"source_id\":\"sum-{n}\",\"language\":\"{language}\",\"prompt\":\"{text}\",\
                     \"reference\":\"{sum}\",\"check\":{{\"one-of\":[\"{sum}\"]}}}}\n"
                );
                for (teacher, speaks) in [("exacto", "es"), ("seikai", "ja")] {
                    let said = if language == speaks { sum } else { sum + 1 };
                    answers += &format!(
                        "{{\"prompt_id\":\"sum-{n}-{language}\",\"teacher\":\"{teacher}\",\"text\":\"{said}\"}}\n"
                    );
                }
            }
        }
        world.write("prompts.jsonl", &prompts);
        world.write("answers.jsonl", &answers);
        world
    }

    /// Makes the folder, runs the recipe to its end, and checks that it got there.
    pub(crate) fn finished() -> Self {
        let world = Self::new();
        let told = world.run(&["run", "recipe.yaml", "--quiet"]);
        assert_eq!(told.code, 0, "{}", told.err);
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The one artifact folder whose name begins so.
    pub(crate) fn artifact(&self, verb: &str) -> PathBuf {
        let entries = fs::read_dir(self.at("cambist-store/artifacts")).unwrap();
        let mut found = entries.map(|entry| entry.unwrap().path());
        found.find(|path| path.file_name().unwrap().to_string_lossy().starts_with(verb)).unwrap()
    }

    /// The binary with these arguments, in this folder, with no terminal on any side.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        command.env_remove("COLUMNS").env_remove("RUST_BACKTRACE");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Told {
        Told::of(self.command(args).output().unwrap())
    }

    /// Runs with one thread, so that jobs come in the order of the recipe, and with what differs between machines and
    /// versions masked.
    pub(crate) fn screen(&self, args: &[&str]) -> String {
        let told = self.run(args);
        masked(&format!("exit {}\n--- stdout\n{}--- stderr\n{}", told.code, told.out, told.err))
    }
}

impl Told {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Checks the exit code and that the pieces of `pattern` between its `…` are told in order; the user guide must
    /// explain the same pattern.
    pub(crate) fn is_explained(&self, code: i32, pattern: &str) {
        assert_eq!(self.code, code, "expected {pattern}\n{}", self.err);
        let mut rest = self.err.as_str();
        for piece in pattern.split('…') {
            let at = rest.find(piece).unwrap_or_else(|| panic!("`{piece}` of `{pattern}` is not in:\n{}", self.err));
            rest = &rest[at + piece.len()..];
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/errors.md")).unwrap();
        let row = guide.lines().find(|line| line.contains(&format!("| {pattern} |")));
        let row = row.unwrap_or_else(|| panic!("docs/guide/errors.md has no row for: {pattern}"));
        assert!(row.ends_with(&format!("| {code} |")), "the row has another exit code than {code}: {row}");
    }
}

/// Puts `<digest>`, `<size>` and `<time>` where digests, sizes and times stand.
pub(crate) fn masked(text: &str) -> String {
    text.split_inclusive('\n').map(masked_line).collect()
}

fn masked_line(line: &str) -> String {
    let mut masked = String::new();
    let mut words = line.split_inclusive(|c: char| !c.is_alphanumeric() && c != '.').peekable();
    while let Some(word) = words.next() {
        let (core, end) = word.split_at(word.trim_end_matches(|c: char| !c.is_alphanumeric()).len());
        let is_number = !core.is_empty() && core.chars().all(|c| c.is_ascii_digit() || c == '.');
        let unit = words.peek().map(|next| next.trim_end_matches(|c: char| !c.is_alphanumeric()).to_owned());
        let is_hex = core.chars().all(|c| c.is_ascii_hexdigit()) && core.chars().any(|c| c.is_ascii_digit());
        match unit.as_deref() {
            _ if is_hex && (core.len() == 12 || core.len() == 64) => masked += "<digest>",
            Some("s") if is_number && end == " " => masked += "<time>",
            Some("B" | "kB" | "MB") if is_number && end == " " => masked += "<size>",
            _ => masked += core,
        }
        masked += end;
    }
    // Masks differ in width from what they stand for, and with it the space that keeps columns straight.
    if masked == line { masked } else { squeezed(&masked) }
}

fn squeezed(line: &str) -> String {
    let indent: String = line.chars().take_while(|c| *c == ' ').collect();
    let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    format!("{}{}", if indent.is_empty() { "" } else { "  " }, words.join(" "))
}
