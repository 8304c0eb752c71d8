//! The estimate of what a run needs in memory against what a process of its own takes at its widest.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::{fs, ops::ControlFlow, process::Command};

use cambist_core::language::Language;
use cambist_model::{
    LocalModel, MemoryNeed, Observer, Pretrain, Shape, StepLog, TrainConfig, TrainRow, Training, run, train_tokenizer,
};

/// Names the case to the process that is measured.
const CASE: &str = "CAMBIST_MEMORY_CASE";

/// A model whose numbers weigh, and one whose tokens do: name, sizes, rows of a step, words of a row.
const CASES: [(&str, [usize; 2], usize, usize); 2] = [("wide", [256, 688], 4, 24), ("long", [64, 176], 4, 120)];

/// What is measured over what is estimated: nothing that was needed is forgotten, and little is claimed that is not.
const BOUNDS: std::ops::RangeInclusive<f64> = 0.75..=1.2;

#[test]
fn the_estimate_is_near_the_peak_of_a_process() {
    for (name, ..) in CASES {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "measured_in_a_process_of_its_own", "--nocapture"])
            .env(CASE, name)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        let numbers = text.lines().find_map(|line| line.split_once("bytes: ").map(|(_, numbers)| numbers));
        let numbers: Vec<f64> =
            numbers.unwrap_or_else(|| panic!("{text}")).split(' ').map(|n| n.parse().unwrap()).collect();
        let [estimated, measured] = numbers[..] else { panic!("{text}") };
        let share = measured / estimated;
        println!("{name}: {estimated} bytes estimated, {measured} measured: {share:.2}");
        assert!(BOUNDS.contains(&share), "{name}: {measured} bytes measured, {estimated} estimated: {share}");
    }
}

/// Hears of the estimate, and looks at the process before the first step.
#[derive(Default)]
struct Listener {
    need: MemoryNeed,
    before: u64,
}

impl Observer for Listener {
    fn begin(&mut self, need: &MemoryNeed) -> ControlFlow<()> {
        self.need = *need;
        // The peak begins anew.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        self.before = status("VmRSS:");
        ControlFlow::Continue(())
    }

    fn step(&mut self, _log: &StepLog) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

#[test]
fn measured_in_a_process_of_its_own() {
    let Ok(case) = std::env::var(CASE) else { return };
    let (_, [hidden_size, intermediate_size], n_rows, n_words) = *CASES.iter().find(|one| one.0 == case).unwrap();
    let words = ["river ", "garden ", "window ", "letter ", "bridge ", "market "];
    let text = |at: usize| (0..n_words).map(|i| words[(i * 7 + at + i / 5) % 6]).collect::<String>();
    let english = Language::parse("en").unwrap();
    let rows: Vec<TrainRow> = (0..n_rows).map(|at| TrainRow::text(at.to_string(), english.clone(), text(at))).collect();
    let shape = Shape { hidden_size, intermediate_size, max_positions: 2048, ..Shape::default() };
    let tokenizer = train_tokenizer(&[text(0), text(1)], 280).unwrap();
    let mut model = LocalModel::new(&shape, &tokenizer, 1).unwrap();
    let config = TrainConfig { steps: Some(2), batch_size: n_rows, ..TrainConfig::default() };
    let mut listener = Listener::default();
    run(&mut model, &Training::new(&rows, &Pretrain), &config, &mut listener).unwrap();
    let estimated = listener.need.optimizer + listener.need.activations;
    let measured = status("VmHWM:") - listener.before;
    println!("bytes: {estimated} {measured}");
}

/// A number of this process's memory, in bytes.
fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
