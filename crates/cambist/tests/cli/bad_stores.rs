//! Stores that are damaged, foreign, full or in use.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::world::{Told, World};

/// The largest table or file of an artifact that is no manifest.
fn a_file(artifact: &Path, ending: &str) -> PathBuf {
    let entries = fs::read_dir(artifact).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().ends_with(ending)).min().unwrap()
}

#[test]
fn a_store_that_is_not_there_or_no_folder() {
    let world = World::new();
    world.run(&["show"]).is_explained(2, "there is no store at `…`");
    world.run(&["gc"]).is_explained(2, "there is no store at `…`");
    assert!(!world.at("cambist-store").exists(), "looking makes none");
    world.write("cambist-store", "a file");
    for verb in ["run", "plan"] {
        let told = world.run(&[verb, "recipe.yaml"]);
        assert!(told.code == 2 && told.err.contains("cambist-store"), "{verb}: {}", told.err);
    }
    fs::create_dir(world.at("inner")).unwrap();
    world.write("inner/artifacts", "a file");
    let told = world.run(&["run", "recipe.yaml", "--store", "inner"]);
    told.is_explained(2, "cannot create `…`: a file stands where a folder is expected");
}

#[test]
fn a_flipped_byte_is_found_and_mended() {
    let world = World::finished();
    let undisturbed = world.run(&["run", "recipe.yaml", "--quiet"]).out;
    let table = a_file(&world.artifact("generate"), ".parquet");
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&table, bytes).unwrap();
    world.run(&["run", "recipe.yaml", "arbitrage.select.pairs.min_margin=0.01", "alike.score.arbiter=checker"]);
    let told = world.run(&["gc", "--dry-run", "--corrupt"]);
    assert!(told.out.contains("is damaged: its SHA-256 is"), "{told:?}");
    assert!(table.exists(), "a dry run removes nothing");
    assert_eq!(world.run(&["gc", "--corrupt"]).code, 0);
    let mended = world.run(&["run", "recipe.yaml"]);
    assert!(mended.err.contains("10 of 11 jobs finished"), "{}", mended.err);
    assert_eq!(mended.out, undisturbed);
}

#[test]
fn damage_stops_the_step_that_reads_it() {
    let world = World::finished();
    let table = a_file(&world.artifact("prompts"), "test.parquet");
    fs::remove_file(&table).unwrap();
    let told = world.run(&["run", "recipe.yaml", "results.evaluate.bootstrap=50"]);
    told.is_explained(3, "`…` is damaged: its SHA-256 is …, expected …");
    world.run(&["gc", "--corrupt"]);
    assert_eq!(world.run(&["run", "recipe.yaml", "results.evaluate.bootstrap=50"]).code, 0);
}

#[test]
fn a_cut_manifest_is_told_and_removed_and_the_rest_kept() {
    let world = World::finished();
    let folder = world.artifact("select");
    let manifest = fs::read(folder.join("manifest.json")).unwrap();
    fs::write(folder.join("manifest.json"), &manifest[..manifest.len() / 2]).unwrap();
    for args in [&["run", "recipe.yaml"][..], &["plan", "recipe.yaml"], &["why", "tiny.results"]] {
        world.run(args).is_explained(3, "`…` is damaged: …");
    }
    let shown = world.run(&["show"]);
    assert!(shown.code == 0 && shown.err.contains("damaged: "), "{shown:?}");
    let swept = world.run(&["gc"]);
    assert!(swept.err.contains("0 unreached") && swept.err.contains("1 damaged artifacts stay"), "{}", swept.err);
    assert_eq!(world.run(&["gc", "--corrupt"]).code, 0);
    let told = world.run(&["run", "recipe.yaml"]);
    assert!(told.code == 0 && told.err.contains("10 of 11 jobs finished"), "{}", told.err);
}

#[test]
fn other_versions_are_left_alone() {
    let world = World::finished();
    let folder = world.artifact("score");
    let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
    for version in ["0", "9"] {
        let other = manifest.replace("\"schema_version\": 1", &format!("\"schema_version\": {version}"));
        fs::write(folder.join("manifest.json"), other).unwrap();
        world.run(&["run", "recipe.yaml"]).is_explained(3, "`…` has schema version …, this version reads …");
        world.run(&["gc", "--corrupt"]);
        assert!(folder.exists(), "another version is not damage");
    }
    fs::write(folder.join("manifest.json"), manifest).unwrap();
    let run = world.at("cambist-store/runs/tiny/run.json");
    let record = fs::read_to_string(&run).unwrap();
    fs::write(&run, record.replace("\"schema_version\": 1", "\"schema_version\": 2")).unwrap();
    for args in [&["run", "recipe.yaml"][..], &["plan", "recipe.yaml"], &["gc"], &["show"]] {
        world.run(args).is_explained(3, "`…` has schema version …, this version reads …");
    }
    fs::write(&run, "{").unwrap();
    world.run(&["gc"]).is_explained(3, "`…` is damaged: …");
}

#[test]
fn ledgers_that_are_none() {
    let world = World::finished();
    let ledger = world.at("cambist-store/ledger.sqlite");
    let sound = fs::read(&ledger).unwrap();
    // The version of the tables stands at byte 60 of an SQLite file.
    let mut newer = sound.clone();
    newer[60..64].copy_from_slice(&9u32.to_be_bytes());
    fs::write(&ledger, newer).unwrap();
    world.run(&["run", "recipe.yaml", "seed=8"]).is_explained(3, "the ledger `…` has schema version …");
    fs::write(&ledger, "my shopping list, long enough to be looked at as a file of its own".repeat(20)).unwrap();
    world.run(&["run", "recipe.yaml", "seed=8"]).is_explained(2, "`…` is no ledger");
    let mut broken = sound.clone();
    for byte in broken.iter_mut().skip(100) {
        *byte = 0xa5;
    }
    fs::write(&ledger, broken).unwrap();
    world.run(&["run", "recipe.yaml", "seed=8"]).is_explained(3, "the ledger `…` is damaged");
    fs::write(&ledger, sound).unwrap();
    assert_eq!(world.run(&["run", "recipe.yaml", "seed=8"]).code, 0);
}

#[test]
fn one_run_at_a_time() {
    let world = World::new();
    let mut first =
        world.command(&["run", "recipe.yaml", "start.train.config.steps=100000", "--quiet"]).spawn().unwrap();
    let lock = world.at("cambist-store/lock");
    let holder = || fs::read_to_string(&lock).unwrap_or_default().trim().parse() == Ok(first.id());
    for _ in 0..500 {
        if holder() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let told = world.run(&["run", "recipe.yaml"]);
    told.is_explained(3, "the store `…` is in use by process …");
    assert!(told.err.contains(&first.id().to_string()), "{}", told.err);
    assert_eq!(world.run(&["plan", "recipe.yaml"]).code, 0, "looking is free");
    world.run(&["gc"]).is_explained(3, "the store `…` is in use by process …");
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(world.run(&["run", "recipe.yaml"]).code, 0, "a killed process holds nothing");
}

#[test]
fn names_that_nothing_has() {
    let world = World::finished();
    world.run(&["show", "train-ffffffffffff"]).is_explained(2, "no artifact `…` in the store `…`");
    world.run(&["show", "other.results"]).is_explained(2, "no artifact `…` in the store `…`");
    world.run(&["why", "tiny.resluts"]).is_explained(2, "the last run of `…` made no `…`");
    world.run(&["show", "train-"]).is_explained(2, "`…` names several artifacts: …");
}

#[test]
fn a_store_that_may_not_be_written() {
    let world = World::new();
    // Nobody may make folders here, root included.
    let told: Told = world.run(&["run", "recipe.yaml", "--store", "/proc/cambist"]);
    told.is_explained(3, "cannot create `…`: …");
}
