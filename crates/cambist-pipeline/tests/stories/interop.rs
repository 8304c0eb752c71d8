//! What we write is read by the libraries of the field, and our models say in them what they said to us.

use crate::{
    house::House,
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
