//! Each verb alone.

use crate::world::World;

#[test]
fn each_verb_runs_its_steps_and_what_they_need() {
    let steps = [
        ("prompts", "prompts", 1),
        ("train", "start", 2),
        ("generate", "answers", 3),
        ("score", "alike", 4),
        ("select", "arbitrage", 5),
        ("train", "students.reward.seed-2", 6),
        ("train", "students", 9),
        ("evaluate", "results", 10),
    ];
    for (verb, step, n_jobs) in steps {
        let world = World::new();
        let told = world.run(&[verb, "recipe.yaml", "--step", step]);
        assert_eq!(told.code, 0, "{verb} {step}: {}", told.err);
        let n_done = told.err.lines().filter(|line| line.starts_with("  done")).count();
        assert_eq!(n_done, n_jobs, "{verb} {step}: {}", told.err);
        let again = world.run(&[verb, "recipe.yaml", "--step", step]);
        assert!(!again.err.contains("  done"), "nothing is made twice: {}", again.err);
    }
}

#[test]
fn a_step_that_is_not_there_is_answered_with_those_that_are() {
    let world = World::new();
    let told = world.run(&["train", "recipe.yaml", "--step", "student"]);
    told.is_explained(2, "the recipe has no `…` step");
    assert!(told.err.contains("hint: those of this verb are: start, students"), "{}", told.err);
    let told = world.run(&["report", "recipe.yaml"]);
    assert!(told.err.contains("no `report` step\nhint: its steps are: prompts, start"), "{}", told.err);
    assert!(!world.at("cambist-store").exists());
}

#[test]
fn a_verb_alone_keeps_the_rest_of_the_last_run() {
    let world = World::finished();
    assert_eq!(world.run(&["prompts", "recipe.yaml"]).code, 0);
    let told = world.run(&["gc"]);
    assert!(told.err.starts_with("0 unreached artifacts"), "{}", told.err);
    assert_eq!(world.run(&["show", "tiny.results"]).code, 0);
}
