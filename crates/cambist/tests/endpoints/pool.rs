//! A recipe over servers on loopback, and the binary that runs it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use cambist_io::mock::{MockOptions, MockServer};
use serde_json::Value;
use tempfile::TempDir;

/// A folder of its own with a recipe in it.
pub(crate) struct Pool {
    folder: TempDir,
}

/// Starts a mock that behaves as `options` says, in JSON.
pub(crate) fn mock(options: Value) -> MockServer {
    let options: MockOptions = serde_json::from_value(options).unwrap();
    MockServer::start(options).unwrap()
}

impl Pool {
    /// Writes the recipe.
    pub(crate) fn new(recipe: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("recipe.yaml"), recipe).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cambist"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_remove("OPENAI_API_KEY").env("NO_COLOR", "1");
        command
    }

    /// Runs the recipe to its end, well or badly.
    pub(crate) fn run(&self, store: &str) -> Output {
        self.cambist(&["run", "recipe.yaml", "--quiet", "--store", store])
    }

    /// Runs the binary to its end.
    pub(crate) fn cambist(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the binary to its end with one more environment variable.
    pub(crate) fn cambist_with(&self, arguments: &[&str], (name, value): (&str, &str)) -> Output {
        self.command(arguments).env(name, value).output().unwrap()
    }

    /// Starts a run.
    pub(crate) fn start(&self, store: &str) -> Child {
        let mut command = self.command(&["run", "recipe.yaml", "--quiet", "--store", store]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// What a program said on stderr.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// How many answers the ledger of a store holds.
pub(crate) fn n_stored(store: &Path) -> u64 {
    let path = store.join("ledger.sqlite");
    if !path.exists() {
        return 0;
    }
    let ledger = cambist_io::ledger::Ledger::open(&path).unwrap();
    ledger.answered_keys().unwrap().len() as u64
}

/// Checks the exit code and that the pieces of `pattern` between its `…` are told in order; the user guide must explain
/// the same pattern.
pub(crate) fn is_explained(output: &Output, code: i32, pattern: &str) {
    let told = said(output);
    assert_eq!(output.status.code(), Some(code), "expected {pattern}\n{told}");
    let mut rest = told.as_str();
    for piece in pattern.split('…') {
        let at = rest.find(piece).unwrap_or_else(|| panic!("`{piece}` of `{pattern}` is not in:\n{told}"));
        rest = &rest[at + piece.len()..];
    }
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/errors.md")).unwrap();
    let row = guide.lines().find(|line| line.contains(&format!("| {pattern} |")));
    let row = row.unwrap_or_else(|| panic!("docs/guide/errors.md has no row for: {pattern}"));
    assert!(row.ends_with(&format!("| {code} |")), "the row has another exit code than {code}: {row}");
}

/// The first table of the pool's report whose caption begins so, as data.
pub(crate) fn table_of_report(folder: &std::path::Path, caption: &str) -> Value {
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
    let sections = report["page"]["sections"].as_array().unwrap();
    let blocks = sections.iter().flat_map(|section| section["blocks"].as_array().unwrap());
    let mut tables = blocks.filter_map(|block| block.get("table")).map(|block| &block["table"]);
    tables.find(|table| table["caption"].as_str().unwrap().starts_with(caption)).unwrap().clone()
}
