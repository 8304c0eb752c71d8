//! Questions before any language: drawn by name, all different.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{draw::draw_parameters, parameters::Parameters, task::Task};
use crate::chance::Chance;

/// One question without its words; all languages ask the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `polyglot-<task>-<n>`, with `n` counted from 0 within the task.
    pub id: String,
    /// What is asked.
    pub parameters: Parameters,
}

/// The sources of one task, one after the other, all different.
pub(super) struct Sources {
    seed: u64,
    task: Task,
    n_drawn: usize,
    seen: BTreeSet<Parameters>,
}

/// After so many draws in a row that were all seen before, a task has no more sources.
const PATIENCE: usize = 1000;

impl Sources {
    /// The sources of a task under a seed. Other tasks, the languages and the number of sources asked for play no part.
    pub(super) fn new(seed: u64, task: Task) -> Self {
        Self { seed, task, n_drawn: 0, seen: BTreeSet::new() }
    }
}

impl Iterator for Sources {
    type Item = Source;

    fn next(&mut self) -> Option<Source> {
        for _ in 0..PATIENCE {
            let draw = self.n_drawn.to_string();
            self.n_drawn += 1;
            let parameters = draw_parameters(
                self.task,
                &mut Chance::new(self.seed, &["polyglot", self.task.name(), "parameters", &draw]),
            );
            if self.seen.insert(parameters.in_order()) {
                let id = format!("polyglot-{}-{}", self.task, self.seen.len() - 1);
                return Some(Source { id, parameters });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_a_thousand_different_sources() {
        for task in Task::ALL {
            assert_eq!(Sources::new(3, task).take(1000).count(), 1000, "{task}");
        }
    }

    #[test]
    fn a_small_task_ends_when_it_is_exhausted() {
        let n_sources = Sources::new(3, Task::MonthShift).count();
        let n_possible = 12 * 98 * 2;
        assert!((n_possible - 10..=n_possible).contains(&n_sources), "{n_sources} of {n_possible}");
    }
}
