//! What calibration prompts say about a prompt that has shown some of its rewards.

use crate::reward_table::{Opened, RewardTable};

/// How calibration prompts weigh for another prompt.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Likeness {
    /// The difference of two rewards of one teacher, on the scale of the language, at which a calibration prompt weighs
    /// a factor e less; infinite where rewards seen say nothing about those to come.
    pub bandwidth: f64,
    /// The share of the weight that stays what it was before any reward was seen, 0 to 1.
    pub prior: f64,
    /// What a calibration prompt in another language weighs, 0 to 1.
    pub elsewhere: f64,
    /// What a calibration prompt of another task weighs, 0 to 1.
    pub other_task: f64,
}

impl Likeness {
    /// Every calibration prompt of the language weighs the same, whatever is seen: boxes are independent.
    pub const NONE: Self = Self { bandwidth: f64::INFINITY, prior: 0.0, elsewhere: 0.0, other_task: 1.0 };

    /// Where choosing begins: a prompt of the language and of the task counts about three times as much as another. The
    /// bandwidth and the share of the prior are not chosen: below a thousand prompts their choice is noise.
    pub const START: Self = Self { bandwidth: 1.0, prior: 0.3, elsewhere: 0.3, other_task: 0.3 };

    /// Whether rewards seen say something about those to come.
    pub fn is_shared(&self) -> bool {
        self.bandwidth.is_finite()
    }
}

/// Why rewards make no memory.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MemoryError {
    /// Too few prompts to learn from.
    #[error(
        "{found} calibration prompts have a valid answer with a reward, and budgeted routing needs at least {needed}: ask and score more of them"
    )]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many it takes.
        needed: usize,
    },
}

/// Rewards of calibration prompts, laid out to be weighed.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    n_rows: usize,
    n_teachers: usize,
    /// `[teacher, row]`.
    cells: Vec<Opened>,
    /// By teacher: the rows that have a record, valid ones first, from the highest reward on.
    descending: Vec<Vec<u32>>,
    /// By row.
    languages: Vec<usize>,
    tasks: Vec<Option<usize>>,
    sources: Vec<usize>,
}

impl Memory {
    /// The fewest prompts that make a memory.
    pub const MIN_ROWS: usize = 10;

    /// Remembers some prompts of a table.
    ///
    /// # Errors
    /// When there are fewer than [`Memory::MIN_ROWS`].
    pub fn of(table: &RewardTable, prompts: &[usize]) -> Result<Self, MemoryError> {
        if prompts.len() < Self::MIN_ROWS {
            return Err(MemoryError::TooFew { found: prompts.len(), needed: Self::MIN_ROWS });
        }
        let n_teachers = table.teachers().len();
        let cells = (0..n_teachers).flat_map(|at| prompts.iter().map(move |prompt| table.row(*prompt)[at])).collect();
        let mut memory = Self {
            n_rows: prompts.len(),
            n_teachers,
            cells,
            descending: Vec::new(),
            languages: prompts.iter().map(|prompt| table.prompts()[*prompt].language).collect(),
            tasks: prompts.iter().map(|prompt| table.prompts()[*prompt].task).collect(),
            sources: prompts.iter().map(|prompt| table.prompts()[*prompt].source).collect(),
        };
        memory.descending = (0..n_teachers).map(|teacher| memory.descending_of(teacher)).collect();
        Ok(memory)
    }

    /// How many prompts it remembers.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// How many teachers there are.
    pub fn n_teachers(&self) -> usize {
        self.n_teachers
    }

    fn descending_of(&self, teacher: usize) -> Vec<u32> {
        let cells = self.column(teacher);
        let mut rows: Vec<u32> = (0..self.n_rows as u32).filter(|row| cells[*row as usize] != Opened::Closed).collect();
        let reward = |row: u32| cells[row as usize].reward().unwrap_or(f64::NEG_INFINITY);
        rows.sort_by(|a, b| reward(*b).total_cmp(&reward(*a)));
        rows
    }

    fn column(&self, teacher: usize) -> &[Opened] {
        &self.cells[teacher * self.n_rows..(teacher + 1) * self.n_rows]
    }

    /// Returns what each row weighs before any reward is seen; rows of the source `without` weigh nothing. Where no row is
    /// like the prompt, all others weigh the same.
    pub(super) fn prior(
        &self,
        likeness: &Likeness,
        (language, task): (Option<usize>, Option<usize>),
        without: Option<usize>,
    ) -> Vec<f64> {
        let is_there = |row: usize| f64::from(u8::from(without != Some(self.sources[row])));
        let weight = |row: usize| {
            let by_language = if language == Some(self.languages[row]) { 1.0 } else { likeness.elsewhere };
            let by_task = if self.tasks[row] == task { 1.0 } else { likeness.other_task };
            is_there(row) * by_language * by_task
        };
        let mut weights: Vec<f64> = (0..self.n_rows).map(weight).collect();
        if weights.iter().all(|weight| *weight == 0.0) {
            weights = (0..self.n_rows).map(is_there).collect();
        }
        normalize(&mut weights);
        weights
    }

    /// Takes one more reward into the log-likelihoods of the rows; a failure says nothing.
    pub(super) fn observe(&self, logs: &mut [f64], likeness: &Likeness, (teacher, reward): (usize, Option<f64>)) {
        let Some(reward) = reward.filter(|_| likeness.is_shared()) else { return };
        for (log, cell) in logs.iter_mut().zip(self.column(teacher)) {
            if let Opened::Reward(own) = cell {
                *log -= (own - reward).abs() / likeness.bandwidth;
            }
        }
    }

    /// Returns the weights of the rows after what was observed, in sum 1.
    pub(super) fn posterior(&self, prior: &[f64], logs: &[f64], likeness: &Likeness) -> Vec<f64> {
        let known = logs.iter().zip(prior).filter(|(_, prior)| **prior > 0.0).map(|(log, _)| *log);
        let top = known.fold(f64::NEG_INFINITY, f64::max);
        let mut weights: Vec<f64> = logs
            .iter()
            .zip(prior)
            .map(|(log, prior)| if *prior > 0.0 { prior * (log - top).exp() } else { 0.0 })
            .collect();
        normalize(&mut weights);
        let keep = likeness.prior;
        weights.iter_mut().zip(prior).for_each(|(weight, prior)| *weight = (1.0 - keep) * *weight + keep * prior);
        weights
    }

    /// Returns the reservation values of a teacher at opening costs in rising order: the `z` with
    /// `sum w (x - z)+ = kappa sum w`. `+inf` at no cost, `-inf` where no row has a valid reward.
    pub(super) fn reservations(&self, teacher: usize, weights: &[f64], kappas: &[f64]) -> Vec<f64> {
        let cells = self.column(teacher);
        let rows = &self.descending[teacher];
        let total: f64 = rows.iter().map(|row| weights[*row as usize]).sum();
        let valid = rows.iter().filter_map(|row| Some((cells[*row as usize].reward()?, weights[*row as usize])));
        let mut valid = valid.filter(|(_, weight)| *weight > 0.0).peekable();
        let (mut weight, mut sum) = (0.0, 0.0);
        let mut values = Vec::with_capacity(kappas.len());
        for kappa in kappas {
            // The next reward belongs to the sum as long as z would not lie above it.
            while let Some((reward, own)) = valid.peek() {
                if weight > 0.0 && (sum - total * kappa) / weight >= *reward {
                    break;
                }
                weight += own;
                sum += own * reward;
                valid.next();
            }
            values.push(match (weight > 0.0, *kappa > 0.0) {
                (false, _) => f64::NEG_INFINITY,
                (true, false) => f64::INFINITY,
                (true, true) => (sum - total * kappa) / weight,
            });
        }
        values
    }

    /// Returns what opening a teacher is expected to add to `best`, before its cost; failures count as adding nothing.
    pub(super) fn expected_gain(&self, teacher: usize, weights: &[f64], best: f64) -> f64 {
        let cells = self.column(teacher);
        let (mut gain, mut total) = (0.0, 0.0);
        for (cell, weight) in cells.iter().zip(weights) {
            match cell {
                Opened::Closed => {}
                Opened::Failed => total += weight,
                Opened::Reward(reward) => {
                    total += weight;
                    gain += weight * (reward - best).max(0.0);
                }
            }
        }
        if total > 0.0 { gain / total } else { 0.0 }
    }

    /// The records of a teacher with their weights: rewards, none for invalid answers.
    pub(super) fn records<'a>(
        &'a self,
        teacher: usize,
        weights: &'a [f64],
    ) -> impl Iterator<Item = (Option<f64>, f64)> + 'a {
        let asked = self.column(teacher).iter().zip(weights).filter(|(cell, _)| **cell != Opened::Closed);
        asked.map(|(cell, weight)| (cell.reward(), *weight))
    }

    /// Returns the mean of a teacher's valid rewards; `-inf` without any.
    pub(super) fn mean(&self, teacher: usize, weights: &[f64]) -> f64 {
        let valid =
            self.column(teacher).iter().zip(weights).filter_map(|(cell, weight)| Some((cell.reward()?, weight)));
        let (sum, total) = valid.fold((0.0, 0.0), |(sum, total), (reward, w)| (sum + w * reward, total + w));
        if total > 0.0 { sum / total } else { f64::NEG_INFINITY }
    }
}

/// Brings weights to a sum of 1.
pub(super) fn normalize(weights: &mut [f64]) {
    let total: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);
}
