//! The scripts that recompute our tables agree with them, and do not agree with tables that were tampered with.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    house::House,
    python::{python_with, run, run_well},
};

const STRATEGIES: &str = "scripts/strategy_table.py";
const RESULTS: &str = "scripts/results_table.py";

#[test]
fn tables_are_recomputed_and_tampering_is_seen() {
    let Some(python) = python_with(&["pyarrow"]) else { return };
    let house = House::new();
    let ran = house.run_small(&[]);
    let (select, evaluate) = (ran.artifact("arbitrage").folder(), ran.artifact("results").folder());
    let said = run_well(&python, STRATEGIES, &[select]);
    assert!(said.starts_with("8 cells of the strategy table"), "{said}");
    let said = run_well(&python, RESULTS, &[evaluate]);
    assert!(said.starts_with("21 numbers of 4 variants"), "{said}");

    let copy = house.folder().join("copy");
    let refused = |script: &str, (from, table): (&Path, &str), at: &str, more: f64| {
        copy_files(from, &copy);
        let path = copy.join(table);
        let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let number = json.pointer_mut(at).unwrap_or_else(|| panic!("`{table}` has no {at}"));
        *number = (number.as_f64().unwrap() + more).into();
        fs::write(&path, json.to_string()).unwrap();
        let output = run(&python, script, &[&copy]);
        assert_eq!(output.status.code(), Some(1), "{at} was changed by {more}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("the artifact says"), "{output:?}");
    };
    for key in ["n_prompts", "n_kept"] {
        refused(STRATEGIES, (select, "strategies.json"), &format!("/strategies/random/languages/tr/{key}"), 1.0);
    }
    for key in ["mean_reward", "regret"] {
        refused(STRATEGIES, (select, "strategies.json"), &format!("/strategies/reward/languages/ja/{key}"), 1e-6);
    }
    refused(RESULTS, (evaluate, "results.json"), "/variants/reward/accuracy/languages/ja/mean/value", 1e-6);
    refused(RESULTS, (evaluate, "results.json"), "/variants/fixed/versus/macro_mean/difference_points/value", 1e-6);
}

#[test]
fn decisions_that_are_not_the_best_are_seen() {
    let Some(python) = python_with(&["pyarrow"]) else { return };
    let house = House::new();
    let ran = house.run_small(&[]);
    let copy = house.folder().join("copy");
    copy_files(ran.artifact("arbitrage").folder(), &copy);
    // Another strategy's decisions under the name of the reward-based one.
    let swap = "import sys, pyarrow as pa; from pyarrow import parquet, compute as pc\n\
                path = sys.argv[1] + '/decisions.parquet'; rows = parquet.read_table(path).to_pylist()\n\
                fixed = {r['prompt_id']: r for r in rows if r['name'] == 'random'}\n\
                keys = ('teacher', 'sample', 'score')\n\
                [r.update({k: fixed[r['prompt_id']][k] for k in keys}) for r in rows if r['name'] == 'reward']\n\
                parquet.write_table(pa.Table.from_pylist(rows), path)";
    let swapped = std::process::Command::new(&python).args(["-c", swap]).arg(&copy).status().unwrap();
    assert!(swapped.success());
    let output = run(&python, STRATEGIES, &[&copy]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("reward on "), "{output:?}");
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
