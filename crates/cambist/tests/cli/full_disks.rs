//! Disks that are full, or refuse the nth write: it is said, what was finished is kept, and a run with room goes on
//! there and ends as if nothing had happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use crate::world::{Told, World, binary};

/// The artifacts of a store: folder and the manifest that vouches for its files.
fn artifacts(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = fs::read_dir(store.join("artifacts")) else { return BTreeMap::new() };
    let entries = entries.map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path.join("manifest.json")).unwrap())
        })
        .collect()
}

/// Finished work is whole: nothing is damaged, and nothing that was there before is gone or changed.
fn keeps(world: &World, store: &str, before: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let now = artifacts(&world.at(store));
    for (name, manifest) in before {
        assert_eq!(now.get(name), Some(manifest), "{name} was finished before the disk refused");
    }
    if world.at(store).join("artifacts").exists() {
        let swept = world.run(&["gc", "--dry-run", "--corrupt", "--store", store]);
        assert_eq!((swept.code, swept.out.contains("is damaged")), (0, false), "{swept:?}");
    }
    now
}

/// No file may grow beyond so many kibibytes: the system refuses the write that would, wherever it comes.
fn run_with_files_of(world: &World, kibibytes: u32, options: &str) -> Told {
    let script = format!("trap '' XFSZ; ulimit -f {kibibytes}; exec \"$0\" run recipe.yaml --quiet {options}");
    let mut command = Command::new("bash");
    command.args(["-c", &script]).arg(binary()).current_dir(world.path());
    Told::of(command.output().unwrap())
}

#[test]
fn writes_that_are_refused_anywhere_cost_nothing_that_was_finished() {
    let undisturbed = artifacts(&World::finished().at("cambist-store"));
    let world = World::new();
    let (mut kept, mut outcomes) = (BTreeMap::new(), BTreeSet::new());
    for kibibytes in [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48, 64, 96, 128, 192, 256, 512] {
        let told = run_with_files_of(&world, kibibytes, "");
        assert!(told.code == 0 || told.code == 3, "{kibibytes} KiB: {told:?}");
        if told.err.contains("File too large") {
            told.is_explained(3, "cannot … `…`: File too large");
        } else if told.code == 3 {
            // What SQLite tells of the same.
            assert!(told.err.contains("ledger.sqlite"), "{kibibytes} KiB: {told:?}");
        }
        outcomes.insert(told.code);
        kept = keeps(&world, "cambist-store", &kept);
    }
    assert_eq!(outcomes, [0, 3].into(), "it is refused with little room and ends with enough");
    assert_eq!(kept, undisturbed);
    assert_eq!(fs::read_dir(world.at("cambist-store/scratch")).unwrap().count(), 0);
}

/// A state holds weights and moments, three times what a model's folder holds: there is a size at which it alone fails.
#[test]
fn a_state_that_cannot_be_kept_ends_the_run_and_costs_nothing() {
    // So large that the model, and not the ledger, needs the largest file.
    const LARGE: &str = "start.train.new.shape.hidden_size=96";
    let whole = World::new();
    let enough = [128, 192, 256, 384, 512, 768, 1024]
        .into_iter()
        .find(|kibibytes| run_with_files_of(&whole, *kibibytes, LARGE).code == 0)
        .unwrap();
    let world = World::new();
    let told = run_with_files_of(&world, enough, &format!("{LARGE} --state-every 0"));
    told.is_explained(3, "cannot … `…`: File too large");
    assert!(told.err.contains("state.safetensors"), "{}", told.err);
    let kept = keeps(&world, "cambist-store", &BTreeMap::new());
    let told = world.run(&["run", "recipe.yaml", LARGE, "--quiet", "--state-every", "0"]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert_eq!(keeps(&world, "cambist-store", &kept), artifacts(&whole.at("cambist-store")));
    let partial = fs::read_dir(world.at("cambist-store/partial")).map_or(0, Iterator::count);
    assert_eq!(partial, 0, "states are gone with the artifacts that they were kept for");
}

/// A file system of some kilobytes; it is gone when dropped.
struct Disk<'a>(&'a Path);

impl Disk<'_> {
    fn mount(&self, options: &str) -> bool {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.0).output();
        mount.is_ok_and(|done| done.status.success())
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

/// Needs to mount a small file system, which only root may.
#[test]
fn a_full_disk_is_said_and_with_more_room_the_run_goes_on() {
    let undisturbed = artifacts(&World::finished().at("cambist-store"));
    let world = World::new();
    fs::create_dir(world.at("small")).unwrap();
    let small = world.at("small");
    let disk = Disk(&small);
    if !disk.mount("size=400k") {
        println!("skipped: no small disk can be mounted here");
        return;
    }
    let run = ["run", "recipe.yaml", "--store", "small/store"];
    let told = world.run(&run);
    told.is_explained(3, "no space left on the disk at `…`");
    let kept = keeps(&world, "small/store", &BTreeMap::new());
    assert!(!kept.is_empty() && kept.len() < undisturbed.len(), "{} of {} artifacts", kept.len(), undisturbed.len());
    assert!(disk.mount("remount,size=64m"), "root may mount it larger");
    let told = world.run(&run);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.err.contains(&format!("{} of 11 jobs finished", kept.len())), "{}", told.err);
    assert_eq!(keeps(&world, "small/store", &kept), undisturbed);
}
