//! The store with a disk that fails, files that are damaged and runs that are killed.

use std::{fs, io::ErrorKind};

use serde_json::json;

use super::*;
use crate::{
    dialect::probe::Shown,
    disk::{DiskError, injection::failing_after},
};

fn identity(seed: u64, inputs: Vec<Input>) -> Identity {
    Identity { verb: "select".into(), revision: 1, params: json!({"keep": "best"}), inputs, seed }
}

fn draft() -> ManifestDraft {
    let counts = [("rows".to_owned(), 2)].into();
    ManifestDraft { step: "data".into(), kind: "dataset".into(), counts, threads: 2, ..ManifestDraft::default() }
}

fn make(store: &Store, seed: u64, inputs: Vec<Input>) -> Result<Artifact> {
    let scratch = store.begin(identity(seed, inputs))?;
    scratch.write("rows.jsonl", "{\"text\": \"čeština, 日本語, العربية\"}\n".as_bytes())?;
    scratch.write("checkpoint/config.json", b"{}")?;
    scratch.commit(draft())
}

#[test]
fn what_is_committed_is_found_again_and_equal_work_gives_equal_manifests() {
    let [one, two] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut manifests = Vec::new();
    for folder in [&one, &two] {
        let store = Store::open(folder.path()).unwrap();
        let made = make(&store, 7, vec![]).unwrap();
        let found = store.find(&identity(7, vec![]).id()).unwrap().unwrap();
        assert_eq!(found.manifest(), made.manifest());
        found.verify().unwrap();
        assert_eq!(found.read("checkpoint/config.json").unwrap(), b"{}");
        assert_eq!(found.runtime().unwrap().threads, 2);
        assert_eq!(store.find(&identity(8, vec![]).id()).unwrap().map(|_| ()), None);
        manifests.push(disk::read(&found.folder().join("manifest.json")).unwrap());
    }
    assert_eq!(manifests[0], manifests[1]);
}

#[test]
fn a_disk_that_fails_at_any_operation_leaves_no_artifact_and_no_harm() {
    for kind in [ErrorKind::StorageFull, ErrorKind::PermissionDenied] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let kept = make(&store, 1, vec![]).unwrap();
        let mut n_failures = 0;
        for n in 0.. {
            let seed = 100 + u64::from(n);
            let (made, refused) = failing_after(n, kind, || make(&store, seed, vec![]));
            kept.verify().unwrap();
            let found = store.find(&identity(seed, vec![]).id()).unwrap();
            if !refused {
                made.unwrap().verify().unwrap();
                break;
            }
            n_failures += 1;
            let error = made.unwrap_err();
            let expected = match kind {
                ErrorKind::StorageFull => matches!(error, StoreError::Disk(DiskError::Full { .. })),
                _ => matches!(error, StoreError::Disk(DiskError::Forbidden { .. })),
            };
            assert!(expected && error.fault().exit_code() == 3, "{error:?}");
            // When only the sync after the rename failed, the artifact is there, and then it must be whole.
            if let Some(artifact) = found {
                artifact.verify().unwrap();
            }
            make(&store, seed, vec![]).unwrap().verify().unwrap();
        }
        assert!(n_failures > 15, "{n_failures}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_at_every_operation() {
    for n in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        let (opened, refused) = failing_after(n, ErrorKind::ReadOnlyFilesystem, || Store::open(&root).map(|_| ()));
        if !refused {
            opened.unwrap();
            assert!(n >= 3);
            break;
        }
        assert!(matches!(opened, Err(StoreError::Disk(DiskError::Forbidden { .. }))));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file).unwrap_err();
    assert!(matches!(&error, StoreError::Disk(DiskError::IsFile { .. })), "{error}");
    assert_eq!(error.fault().exit_code(), 2, "another name helps, trying again does not");
}

#[test]
fn a_second_writer_is_refused_with_the_process_of_the_first_and_readers_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the store `{}` is in use by process {}: wait for it to end, or use another store",
            folder.path().display(),
            std::process::id()
        )
    );
    StoreView::open(folder.path()).unwrap();
    drop(store);
    Store::open(folder.path()).unwrap();
}

#[test]
fn leftovers_of_killed_runs_are_swept_and_resumable_work_is_kept_until_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let scratch = store.begin(identity(7, vec![])).unwrap();
    let resumable = scratch.resumable().unwrap();
    disk::write_atomic(&resumable.join("step-100"), b"weights").unwrap();
    scratch.write("rows.jsonl", b"half").unwrap();
    std::mem::forget(scratch);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(disk::entries(&folder.path().join("scratch")).unwrap(), [] as [PathBuf; 0]);
    let again = store.begin(identity(7, vec![])).unwrap();
    assert_eq!(disk::read(&again.resumable().unwrap().join("step-100")).unwrap(), b"weights");
    drop(again);
    make(&store, 7, vec![]).unwrap();
    assert!(!resumable.exists());
}

#[test]
fn damage_is_named_with_file_and_both_digests() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let artifact = make(&store, 7, vec![]).unwrap();
    let rows = artifact.folder().join("rows.jsonl");
    let whole = disk::read(&rows).unwrap();

    fs::write(&rows, b"other").unwrap();
    for error in [artifact.verify().unwrap_err(), artifact.read("rows.jsonl").map(|_| ()).unwrap_err()] {
        let StoreError::Corrupt { path, found, expected } = &error else { panic!("{error}") };
        assert_eq!(path, &rows);
        assert_eq!(found, "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa");
        assert_eq!(expected, artifact.manifest().files["rows.jsonl"].sha256.as_str());
        assert!(error.to_string().contains("cambist gc --corrupt"), "{error}");
    }
    fs::remove_file(&rows).unwrap();
    assert!(matches!(artifact.verify(), Err(StoreError::Corrupt { found, .. }) if found == "missing"));
    fs::write(&rows, whole).unwrap();
    fs::write(artifact.folder().join("stranger"), b"").unwrap();
    assert!(matches!(artifact.verify(), Err(StoreError::Corrupt { found, .. }) if found == "unexpected"));
}

#[test]
fn manifests_of_other_versions_and_damaged_ones_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let artifact = make(&store, 7, vec![]).unwrap();
    let path = artifact.folder().join("manifest.json");
    let whole = fs::read_to_string(&path).unwrap();
    let id = &artifact.manifest().id;

    for (version, found) in [("2", "2"), ("0", "0"), ("\"1\"", "\"1\"")] {
        fs::write(&path, whole.replace("\"schema_version\": 1", &format!("\"schema_version\": {version}"))).unwrap();
        assert!(matches!(store.find(id), Err(StoreError::Schema { found: f, .. }) if f == found));
    }
    let damages =
        [whole.replace("best", "worst"), whole[..whole.len() / 2].to_owned(), String::new(), "\0".repeat(400)];
    for damaged in damages {
        fs::write(&path, damaged).unwrap();
        assert!(matches!(store.find(id), Err(StoreError::Unreadable { .. })));
        let listing = store.list().unwrap();
        assert_eq!((listing.artifacts.len(), listing.damaged.len()), (0, 1));
    }
    store.remove_damaged(artifact.folder()).unwrap();
    assert!(store.find(id).unwrap().is_none() && store.list().unwrap().damaged.is_empty());
    assert!(matches!(store.remove_damaged(folder.path()), Err(StoreError::OutsideStore { .. })));
}

#[test]
fn short_names_resolve_and_garbage_is_what_no_run_reaches() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let first = make(&store, 1, vec![]).unwrap().manifest().id.clone();
    let second = make(&store, 2, vec![Input { name: "from".into(), id: first.clone() }]).unwrap().manifest().id.clone();
    let stray = make(&store, 3, vec![]).unwrap().manifest().id.clone();

    assert_eq!(store.resolve(&first.to_string()).unwrap().manifest().id, first);
    assert_eq!(store.resolve(&stray.digest.as_str()[..8]).unwrap().manifest().id, stray);
    assert!(matches!(store.resolve("select-"), Err(StoreError::Ambiguous { candidates, .. }) if candidates.len() == 3));
    assert!(matches!(store.resolve("train"), Err(StoreError::UnknownArtifact { .. })));

    let mut record = RunRecord::new("arbitraje-日本", "name: arbitraje-日本\n");
    record.steps.push(RunStep { step: "data".into(), artifact: second.clone() });
    record.steps.push(RunStep { step: "old".into(), artifact: stray.clone() });
    store.record_run(&record).unwrap();
    record.steps.pop();
    store.record_run(&record).unwrap();
    assert_eq!(store.run("arbitraje-日本").unwrap().unwrap(), record);
    let linked = folder.path().join("runs/arbitraje-日本/data/manifest.json");
    assert!(linked.exists() && !folder.path().join("runs/arbitraje-日本/old").exists());

    let reachable = store.reachable().unwrap();
    assert_eq!(reachable, [first.clone(), second].into());
    for artifact in store.list().unwrap().artifacts {
        if !reachable.contains(&artifact.manifest().id) {
            store.remove(&artifact.manifest().id).unwrap();
        }
    }
    assert!(store.find(&stray).unwrap().is_none() && store.find(&first).unwrap().is_some());
}

#[test]
fn names_that_leave_their_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let scratch = store.begin(identity(7, vec![])).unwrap();
    for name in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "manifest.json", "runtime.json", "a\nb"] {
        assert!(matches!(scratch.write(name, b""), Err(StoreError::BadName { .. })), "{name}");
    }
    for name in ["", "..", "a/b", ".hidden", "run.json"] {
        assert!(matches!(store.record_run(&RunRecord::new(name, "")), Err(StoreError::BadName { .. })), "{name}");
    }
    assert!(matches!(StoreView::open(&folder.path().join("none")), Err(StoreError::NoStore { .. })));
}

#[test]
fn what_servers_showed_holds_for_a_day_and_stands_beside_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let day = TRIALS_HOLD_MS;
    let trials = |shown: &[(Trial, Shown)]| Trials { shown: shown.iter().copied().collect(), length_field: None };
    let showed = trials(&[(Trial::N, Shown::Yes), (Trial::Seed, Shown::Unknown)]);
    store.keep_trials("one", &showed, 5 * day).unwrap();
    let yes = trials(&[(Trial::N, Shown::Yes)]);
    assert_eq!(store.known_trials("one", 6 * day - 1), yes, "what showed nothing is tried again");
    assert_eq!(store.known_trials("one", 6 * day), Trials::default());
    assert_eq!(store.known_trials("two", 5 * day), Trials::default());
    // Later trials of the same server make the first ones no younger.
    let more = trials(&[(Trial::N, Shown::Yes), (Trial::JsonSchema, Shown::No)]);
    store.keep_trials("one", &more, 6 * day - 2).unwrap();
    assert_eq!(store.known_trials("one", 6 * day - 1), more);
    store.keep_trials("two", &more, 6 * day).unwrap();
    assert_eq!(store.known_trials("one", 5 * day + 1), Trials::default(), "old ones are forgotten");
    store.forget_trials("two").unwrap();
    store.forget_trials("two").unwrap();
    assert_eq!(store.known_trials("two", 6 * day), Trials::default());
    fs::write(folder.path().join("trials.json"), b"no json").unwrap();
    assert_eq!(store.known_trials("one", 1), Trials::default());
    store.keep_trials("one", &yes, 1).unwrap();
    assert_eq!(store.known_trials("one", 2), yes);

    let endpoint = EndpointProbe { name: "alpha".into(), trials: showed, ..EndpointProbe::default() };
    let endpoints = [("alpha".to_owned(), endpoint)].into();
    let record = ProbeRecord { schema_version: PROBE_SCHEMA, recipe: "night".into(), endpoints };
    assert_eq!(store.probe_record("night").unwrap(), None);
    store.record_probe(&record).unwrap();
    store.record_run(&RunRecord::new("night", "name: night")).unwrap();
    assert_eq!(store.probe_record("night").unwrap(), Some(record.clone()), "a run record leaves it where it is");
    assert!(store.record_probe(&ProbeRecord { recipe: "../night".into(), ..record }).is_err());
    assert_eq!(store.runs().unwrap().len(), 1);
}
