//! Files that are not there or not what they should be.

use std::fs;

use crate::world::World;

#[test]
fn files_that_are_not_there_are_told_before_anything_runs() {
    let world = World::new();
    world.run(&["run", "recpe.yaml"]).is_explained(2, "`…` does not exist");
    world.run(&["run", "."]).is_explained(2, "`…` is a folder: expected a file");
    fs::remove_file(world.at("answers.jsonl")).unwrap();
    world.run(&["run", "recipe.yaml"]).is_explained(2, "the recipe names `…`, which does not exist");
    fs::create_dir(world.at("answers.jsonl")).unwrap();
    world.run(&["run", "recipe.yaml"]).is_explained(2, "`…` is a folder: expected a file");
    assert!(!world.at("cambist-store").exists());
}

#[test]
fn files_of_prompts_that_cannot_be_used() {
    let row = |id: &str, text: &str| format!("{{\"id\":\"{id}\",\"language\":\"es\",\"prompt\":\"{text}\"}}\n");
    let cases: [(Vec<u8>, &str); 9] = [
        (Vec::new(), "`…` has no rows"),
        (b"{\"id\": 1, \"prompt\": \"caf\xe9\"}\n".to_vec(), "byte … is not UTF-8"),
        (b"{\"id\": 1, \"prompt\": \n".to_vec(), "column … is not JSON: …"),
        (b"{\"id\": 1, \"payload\": 3}\n".to_vec(), "no known shape has the fields …"),
        ((row("a", "hola") + &row("a", "adiós")).into_bytes(), "`…` is already the name of …"),
        (row("a", "").into_bytes(), "field `…`: found …, expected …"),
        (row("a", "hola").replace("\"es\"", "\"x!\"").into_bytes(), "field `…`: found …, expected …"),
        (row("a", "12 + 34").replace("\"language\":\"es\",", "").into_bytes(), "no prompts are left"),
        (row("a", "hola").into_bytes(), "the splits ask for … sources and there are …"),
    ];
    for (bytes, pattern) in cases {
        let world = World::new();
        world.write("prompts.jsonl", bytes);
        let told = world.run(&["run", "recipe.yaml"]);
        told.is_explained(2, pattern);
        assert_eq!(told.out, "");
    }
}

#[test]
fn prompts_that_are_too_long_or_named_twice_in_two_files() {
    let world = World::new();
    let told = world.run(&["run", "recipe.yaml", "prompts.prompts.max_chars=5"]);
    told.is_explained(2, "the prompt has … characters: expected at most …");
    let prompts = fs::read(world.at("prompts.jsonl")).unwrap();
    world.write("parts/one.jsonl", &prompts);
    world.write("parts/two.jsonl", &prompts);
    let told = world.run(&["run", "recipe.yaml", "prompts.prompts.file=parts"]);
    told.is_explained(2, "`…` is already the name of … of `…`");
}

#[test]
fn columns_and_shapes_that_are_not_there() {
    let world = World::new();
    let told = world.run(&["run", "recipe.yaml", "prompts.prompts.columns.prompt=frage"]);
    told.is_explained(2, "`…` has no column `…`");
    world.write("prompts.csv", "id,language,prompt\n1,es,\"hola\n");
    let told = world.run(&["run", "recipe.yaml", "prompts.prompts.file=prompts.csv"]);
    told.is_explained(2, "a quotation mark opens a cell and none closes it");
    world.write("prompts.csv", "id,language,prompt\n1,es\n");
    let told = world.run(&["run", "recipe.yaml", "prompts.prompts.file=prompts.csv"]);
    told.is_explained(2, "found … cells, expected … as in the header");
    world.write("prompts.parquet", "PAR1 and no more");
    let told = world.run(&["run", "recipe.yaml", "prompts.prompts.file=prompts.parquet"]);
    told.is_explained(2, "`…` is not …");
}

#[test]
fn recorded_answers_that_do_not_fit() {
    let world = World::new();
    let told = world.run(&["run", "recipe.yaml", "pool.exacto.replay.model=gpt"]);
    told.is_explained(2, "`…` has no answer by `…`");
    assert!(world.run(&["show", "tiny.start"]).code == 0, "finished work is kept");
    assert!(world.run(&["gc"]).err.starts_with("0 unreached"), "and stays kept");
    let answers = fs::read_to_string(world.at("answers.jsonl")).unwrap();
    world.write("answers.jsonl", answers.replace("sum-1-es", "sum-0-es"));
    world.run(&["run", "recipe.yaml"]).is_explained(2, "`…` is already the name of …");
}

#[test]
fn settings_that_only_the_data_refute() {
    let world = World::new();
    let cases = [
        ("students.train.languages=[uk]", "no rows are left to train on"),
        ("start.train.config.batch_size=0", "`…` is 0"),
        ("start.train.new.shape.n_kv_heads=3", "…heads…"),
        ("start.train.new.vocab_size=12", "…vocab…"),
    ];
    for (assignment, pattern) in cases {
        world.run(&["run", "recipe.yaml", assignment]).is_explained(2, pattern);
    }
    let rest = fs::read_to_string(world.at("prompts.jsonl")).unwrap().replace("\"reference\"", "\"hint\"");
    world.write("prompts.jsonl", rest);
    world.run(&["run", "recipe.yaml"]).is_explained(2, "… of … prompts have no reference answer to learn");
}

#[test]
fn polyglot_is_asked_for_what_it_has_not() {
    let world = World::new();
    world.run(&["prompts", "--polyglot", "tlh"]).is_explained(2, "polyglot does not speak `…`");
    world.run(&["prompts", "--polyglot", "x!"]).is_explained(2, "`…` is no language tag");
    world.run(&["prompts", "--polyglot", "tr", "--tasks", "poetry"]).is_explained(2, "`…` is no polyglot task");
    let told = world.run(&["prompts", "--polyglot", "tr", "--tasks", "relative-time", "--sources", "100000"]);
    told.is_explained(2, "… sources were asked for and these tasks have only …");
}
