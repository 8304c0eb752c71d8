//! What we write is read by the libraries of the field, and our models say in them what they said to us.

use crate::{
    house::{House, SMALL, recipe},
    python::{python_with, run_well},
};

#[test]
fn datasets_and_transformers_read_what_we_write() {
    let Some(python) = python_with(&["torch", "transformers", "datasets", "pyarrow"]) else { return };
    let house = House::new();
    house.run_small(&[]);
    let run = house.store().join("runs/small");
    let script = "crates/cambist-pipeline/tests/stories/interop.py";
    let said = run_well(&python, script, &[&run, "arbitrage".as_ref(), "answers".as_ref(), "teacher-both".as_ref()]);
    eprintln!("{said}");
    assert!(said.contains("20 of 20 answers are equal"), "{said}");
}

/// Sets of one file, of several and without rows, and names that YAML would take for something else than text.
#[test]
fn datasets_loads_the_folder_by_its_card() {
    let Some(python) = python_with(&["datasets", "pyarrow"]) else { return };
    let (selecting, _) = SMALL.split_once("  - id: students").unwrap();
    let selecting =
        selecting.replace("        random: ", "        no: ").replace("        reward: ", "        \"12\": ");
    let empty = "      align: none\n      eligibility: {exclude: [turkish]}\n      strategies:\n        empty: {router: {single: turkish}}\n";
    let selecting = selecting.replace("      strategies:\n", empty) + "      labels: {}\n";
    for (shard_rows, n_files, per_file) in [("null", 6, 1000), ("5", 1 + 4 * 10 + 3, 5)] {
        let house = House::new();
        let recipe = recipe(&selecting, &[&format!("arbitrage.select.shard_rows={shard_rows}")]);
        let ran = house.run(recipe, 2).unwrap();
        let said = run_well(&python, "scripts/datasets_check.py", &[ran.artifact("arbitrage").folder()]);
        assert!(said.contains("no: 48 rows") && said.contains("pairs: ") && !said.contains("empty: "), "{said}");
        let (_, labelled) = said.split_once("labels: ").unwrap();
        let n_labelled: usize = labelled.split(' ').next().unwrap().parse().unwrap();
        let n_files = n_files + n_labelled.div_ceil(per_file);
        assert!(said.ends_with(&format!("; {n_files} files\n")), "{said}");
    }
}
