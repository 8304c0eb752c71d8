//! Data on stdout, talk on stderr, whoever listens.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::world::{Told, World, binary};

#[test]
fn a_run_talks_on_stderr_and_its_result_goes_to_stdout() {
    let world = World::new();
    let told = world.run(&["run", "recipe.yaml"]);
    assert!(told.err.starts_with("tiny: 0 of 11 jobs finished, calls are counted once"), "{}", told.err);
    assert!(told.err.contains("why: cambist why tiny.results"), "{}", told.err);
    assert!(told.out.contains("accuracy in percent") && !told.out.contains("done"), "{}", told.out);
    let quiet = world.run(&["run", "recipe.yaml", "seed=8", "--quiet"]);
    assert_eq!((quiet.code, quiet.err.as_str()), (0, ""));
    assert!(quiet.out.contains("accuracy in percent"));
}

#[test]
fn no_escape_codes_without_a_terminal_or_with_no_color() {
    let world = World::new();
    let commands: [&[&str]; 5] =
        [&["--help"], &["run", "recipe.yaml"], &["show"], &["plan", "nowhere.yaml"], &["frobnicate"]];
    for args in commands {
        let told = world.run(args);
        assert!(!told.out.contains('\u{1b}') && !told.err.contains('\u{1b}'), "{args:?}: {told:?}");
    }
    // A terminal made by `script`, with NO_COLOR: clap would colour its help there.
    let mut on_terminal = Command::new("script");
    let help = format!("{} --help", binary().display());
    on_terminal.args(["-qec", &help, "/dev/null"]).stdin(Stdio::null()).env("TERM", "xterm");
    let Ok(coloured) = on_terminal.output() else {
        println!("skipped: no `script` here to make a terminal");
        return;
    };
    assert!(coloured.stdout.contains(&0x1b), "a terminal is coloured, or this test sees nothing");
    let plain = on_terminal.env("NO_COLOR", "1").output().unwrap();
    let text = String::from_utf8_lossy(&plain.stdout).replace("\u{1b}[4m", "").replace("\u{1b}[1m", "");
    assert!(!text.contains("\u{1b}[3"), "{text:?}");
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let world = World::finished();
    for args in [&["show"][..], &["prompts", "--polyglot", "tr,ja,de,uk", "--sources", "2000"]] {
        let mut child = world.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty());
        let told = Told::of(child.wait_with_output().unwrap());
        assert_eq!((told.code, told.err.contains("error")), (0, false), "{args:?}: {}", told.err);
    }
}

#[test]
fn a_full_disk_behind_stdout_is_said() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        println!("skipped: no /dev/full here");
        return;
    };
    let world = World::new();
    let told = Told::of(world.command(&["prompts", "--polyglot", "tr"]).stdout(full).output().unwrap());
    told.is_explained(3, "cannot write to stdout: …");
}

#[test]
fn recipes_and_stores_lie_anywhere() {
    let world = World::new();
    for name in ["recipe.yaml", "prompts.jsonl", "answers.jsonl"] {
        fs::create_dir_all(world.at("мови і 言語")).unwrap();
        fs::rename(world.at(name), world.at("мови і 言語").join(name)).unwrap();
    }
    let args = ["run", "мови і 言語/recipe.yaml", "--store", "сховище/склад один"];
    let told = world.run(&args);
    assert_eq!(told.code, 0, "{}", told.err);
    let hint = "why: cambist why tiny.results --store 'сховище/склад один'";
    assert!(told.err.contains(hint), "a hint works as it stands: {}", told.err);
    assert!(world.at("сховище/склад один/runs/tiny/results/results.json").exists());
    let told = world.run(&["why", "tiny.results", "--store", "сховище/склад один"]);
    assert!(told.out.contains("step `prompts`"), "{}", told.out);
}
