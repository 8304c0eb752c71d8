//! Runs that are killed or interrupted.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::world::{Told, World};

/// Everything that the store holds, with the bytes that a manifest vouches for.
fn artifacts(world: &World) -> BTreeSet<(String, Vec<u8>)> {
    let entries = fs::read_dir(world.at("cambist-store/artifacts")).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path.join("manifest.json")).unwrap())
        })
        .collect()
}

#[test]
fn killed_at_any_instant_it_ends_as_if_undisturbed() {
    let undisturbed = artifacts(&World::finished());
    let world = World::new();
    for kill in 0..20u64 {
        let mut child = world.command(&["run", "recipe.yaml", "--quiet"]).stdout(Stdio::null()).spawn().unwrap();
        // Spread over the length of a run, in no order.
        thread::sleep(Duration::from_millis(5 + kill * 37 % 120));
        child.kill().unwrap();
        child.wait().unwrap();
        // What is finished is never garbage.
        if world.at("cambist-store/artifacts").exists() {
            let swept = world.run(&["gc", "--dry-run"]);
            assert_eq!((swept.code, swept.err.contains("damaged")), (0, false), "{}", swept.err);
        }
    }
    let told = world.run(&["run", "recipe.yaml"]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert_eq!(artifacts(&world), undisturbed);
    assert_eq!(fs::read_dir(world.at("cambist-store/scratch")).unwrap().count(), 0);
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn ctrl_c_stops_after_the_work_in_flight() {
    let world = World::new();
    let long = ["run", "recipe.yaml", "students.train.config.steps=200000"];
    let child = world.command(&long).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = world.at("cambist-store/runs/tiny/arbitrage");
    for _ in 0..1000 {
        if started.exists() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(100));
    interrupt(&child);
    let told = Told::of(child.wait_with_output().unwrap());
    told.is_explained(130, "stopped on request; finished work is kept");
    assert!(told.err.contains("  stop  students."), "{}", told.err);
    assert!(!told.err.contains("error:"), "stopping is no error: {}", told.err);
    let told = world.run(&["run", "recipe.yaml"]);
    assert!(told.code == 0 && told.err.contains("6 of 11 jobs finished"), "{}", told.err);
}
