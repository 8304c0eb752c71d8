//! Python programs beside the tests, where there is a Python that can run them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns a Python that has `modules`: the one that CAMBIST_PYTHON names, the one that the checks made, or the
/// machine's. Says that the test is skipped where there is none.
pub(crate) fn python_with(modules: &[&str]) -> Option<PathBuf> {
    let named = std::env::var_os("CAMBIST_PYTHON").map(PathBuf::from);
    let made = root().join("target/check-venv/bin/python");
    let found = named.into_iter().chain([made, PathBuf::from("python3")]).find(|python| {
        let imports = Command::new(python).arg("-c").arg(format!("import {}", modules.join(", "))).output();
        imports.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        eprintln!("skipped: no Python with {}; name one in CAMBIST_PYTHON", modules.join(", "));
    }
    found
}

/// Runs a program of the repository.
pub(crate) fn run(python: &Path, script: &str, arguments: &[&Path]) -> Output {
    Command::new(python).arg(root().join(script)).args(arguments).output().unwrap()
}

/// Runs a program that has to end well, and returns what it printed.
pub(crate) fn run_well(python: &Path, script: &str, arguments: &[&Path]) -> String {
    let output = run(python, script, arguments);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}: {stdout}{stderr}");
    stdout.into_owned()
}
