//! Rewards of one pool on one set of prompts, dense and without texts: what policies are fitted and replayed on.

use std::collections::BTreeMap;

use crate::{
    language::Language,
    outline::{Line, Outline},
    pool::Pool,
    prompt::Prompt,
    reward::Scales,
};

/// What is known of one teacher's answer to one prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Opened {
    /// It may not be asked, or nobody asked it: a replay cannot open it.
    Closed,
    /// It was asked, and its answer is invalid or has no reward: paid, and worth nothing.
    Failed,
    /// The reward of a valid answer, on the scale of the language.
    Reward(f64),
}

impl Opened {
    /// The reward of a valid answer.
    pub fn reward(self) -> Option<f64> {
        match self {
            Self::Reward(reward) => Some(reward),
            Self::Closed | Self::Failed => None,
        }
    }
}

/// A prompt of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TablePrompt {
    /// Its id.
    pub id: String,
    /// The source that its translations share, by place in the order of the sources' first prompts.
    pub source: usize,
    /// Its language, by place among [`RewardTable::languages`].
    pub language: usize,
    /// Its task, by place among [`RewardTable::tasks`]; none when unknown.
    pub task: Option<usize>,
}

/// Rewards of a pool's first answers: a row for each prompt with at least one valid reward, a column for each teacher.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardTable {
    teachers: Vec<String>,
    languages: Vec<Language>,
    tasks: Vec<String>,
    scales: Scales,
    prompts: Vec<TablePrompt>,
    n_sources: usize,
    /// `[prompt, teacher]`.
    cells: Vec<Opened>,
    /// What opening each cell cost in USD, its score included, `[prompt, teacher]`.
    paid: Vec<f64>,
    /// What opening is expected to cost, in USD, its score included, `[language, teacher]`.
    expected: Vec<f64>,
    /// What an independent arbiter says of each valid answer, `[prompt, teacher]`; empty without one.
    values: Vec<f64>,
}

impl RewardTable {
    /// Reads the first answers of the pool's teachers, with rewards on the scale of each language.
    ///
    /// Prompts without any valid reward say nothing about teachers and are left out. A teacher without any valid reward
    /// in a language cannot be opened there: it was not scored, or never answered well, and no policy would ask it.
    pub fn of(outline: &Outline, pool: &Pool) -> Self {
        let scales = Scales::of_outline(outline);
        let languages: Vec<Language> = outline.languages().to_vec();
        let teachers: Vec<String> = pool.teachers().iter().map(|teacher| teacher.id.clone()).collect();
        let price = |language| pool.teachers().iter().map(move |t| pool.costs.of(t, language) + pool.score_usd);
        let mut table = Self {
            expected: languages.iter().flat_map(price).collect(),
            teachers,
            languages,
            tasks: Vec::new(),
            scales: Scales::default(),
            prompts: Vec::new(),
            n_sources: 0,
            cells: Vec::new(),
            paid: Vec::new(),
            values: Vec::new(),
        };
        let mut sources: BTreeMap<&str, usize> = BTreeMap::new();
        let mut tasks: BTreeMap<&str, usize> = BTreeMap::new();
        for line in outline.lines().filter(|line| line.best_reward().is_some()) {
            let next = sources.len();
            let source = *sources.entry(line.source_id()).or_insert(next);
            let next = tasks.len();
            let task = line.task().map(|task| *tasks.entry(task).or_insert(next));
            let prompt = TablePrompt { id: line.id().to_owned(), source, language: line.language_place(), task };
            table.push(&line, (pool, &scales));
            table.prompts.push(prompt);
        }
        table.close_unmeasured();
        table.n_sources = sources.len();
        table.tasks = vec![String::new(); tasks.len()];
        tasks.into_iter().for_each(|(task, place)| table.tasks[place] = task.to_owned());
        table.scales = scales;
        table
    }

    fn push(&mut self, line: &Line<'_>, (pool, scales): (&Pool, &Scales)) {
        // Answers are sorted by teacher; prompts as routers see them, without texts.
        let prompt: Prompt = line.row().prompt;
        let query = pool.query(&prompt);
        for teacher in pool.teachers() {
            let answer = line.answers().iter().find(|a| a.sample == 0 && line.teacher(a) == teacher.id);
            let is_open = query.is_eligible(&teacher.id);
            let reward = answer.and_then(|a| scales.normalize(line.language(), a.valid_reward()?));
            self.cells.push(match (answer.filter(|_| is_open), reward) {
                (None, _) => Opened::Closed,
                (Some(_), None) => Opened::Failed,
                (Some(_), Some(reward)) => Opened::Reward(reward),
            });
            self.paid.push(answer.map_or(0.0, |answer| answer.cost_usd + pool.score_usd));
        }
    }

    fn close_unmeasured(&mut self) {
        let n = self.teachers.len();
        let mut is_measured = vec![false; self.languages.len() * n];
        for (prompt, row) in self.prompts.iter().zip(self.cells.chunks_exact(n.max(1))) {
            for (at, cell) in row.iter().enumerate() {
                is_measured[prompt.language * n + at] |= cell.reward().is_some();
            }
        }
        for (prompt, row) in self.prompts.iter().zip(self.cells.chunks_exact_mut(n.max(1))) {
            let measured = &is_measured[prompt.language * n..(prompt.language + 1) * n];
            row.iter_mut().zip(measured).filter(|(_, is)| !**is).for_each(|(cell, _)| *cell = Opened::Closed);
        }
    }

    /// Takes the rewards of `other`, by an independent arbiter, for what answers are worth: this table's rewards go on
    /// choosing them, so that a choice that flatters its own arbiter gains nothing.
    ///
    /// Prompts of which `other` lacks a reward that this table has are left out. Teachers have to be the same.
    pub fn valued_by(mut self, other: &Self) -> Self {
        let n = self.teachers.len();
        let places: BTreeMap<&str, usize> = other.prompts.iter().zip(0..).map(|(p, at)| (p.id.as_str(), at)).collect();
        let values = |at: usize| -> Option<Vec<f64>> {
            let theirs = other.row(*places.get(self.prompts[at].id.as_str())?);
            let value = |(own, their): (&Opened, &Opened)| match own {
                Opened::Reward(_) => their.reward(),
                Opened::Closed | Opened::Failed => Some(0.0),
            };
            self.row(at).iter().zip(theirs).map(value).collect()
        };
        let kept: Vec<(usize, Vec<f64>)> = (0..self.prompts.len()).filter_map(|at| Some((at, values(at)?))).collect();
        self.paid = kept.iter().flat_map(|(at, _)| self.paid[at * n..(at + 1) * n].to_vec()).collect();
        self.cells = kept.iter().flat_map(|(at, _)| self.cells[at * n..(at + 1) * n].to_vec()).collect();
        self.prompts = kept.iter().map(|(at, _)| self.prompts[*at].clone()).collect();
        self.values = kept.into_iter().flat_map(|(_, values)| values).collect();
        self
    }

    /// The teachers, sorted by id (bytes).
    pub fn teachers(&self) -> &[String] {
        &self.teachers
    }

    /// The languages that prompts are written in.
    pub fn languages(&self) -> &[Language] {
        &self.languages
    }

    /// The tasks that prompts are of.
    pub fn tasks(&self) -> &[String] {
        &self.tasks
    }

    /// The scale of each language's rewards.
    pub fn scales(&self) -> &Scales {
        &self.scales
    }

    /// The prompts, in the order of the outline.
    pub fn prompts(&self) -> &[TablePrompt] {
        &self.prompts
    }

    /// How many sources the prompts have.
    pub fn n_sources(&self) -> usize {
        self.n_sources
    }

    /// The answers to one prompt, by teacher.
    pub fn row(&self, prompt: usize) -> &[Opened] {
        let n = self.teachers.len();
        &self.cells[prompt * n..(prompt + 1) * n]
    }

    /// What each answer to one prompt cost in USD, its score included.
    pub fn paid(&self, prompt: usize) -> &[f64] {
        let n = self.teachers.len();
        &self.paid[prompt * n..(prompt + 1) * n]
    }

    /// What an answer of each teacher in a language is expected to cost in USD, its score included.
    pub fn expected_usd(&self, language: usize) -> &[f64] {
        let n = self.teachers.len();
        &self.expected[language * n..(language + 1) * n]
    }

    /// The highest valid reward of a prompt.
    pub fn best(&self, prompt: usize) -> f64 {
        self.rewards(prompt).fold(f64::NEG_INFINITY, f64::max)
    }

    /// The lowest valid reward of a prompt: what a prompt without an answer counts as.
    pub fn floor(&self, prompt: usize) -> f64 {
        self.rewards(prompt).fold(f64::INFINITY, f64::min)
    }

    /// What a teacher's valid answer is worth: by the independent arbiter where there is one, else its reward.
    pub fn worth(&self, prompt: usize, teacher: usize) -> Option<f64> {
        let reward = self.row(prompt)[teacher].reward()?;
        Some(self.values.get(prompt * self.teachers.len() + teacher).copied().unwrap_or(reward))
    }

    /// The lowest worth of a valid answer to a prompt.
    pub fn least_worth(&self, prompt: usize) -> f64 {
        (0..self.teachers.len()).filter_map(|at| self.worth(prompt, at)).fold(f64::INFINITY, f64::min)
    }

    /// The teacher whose valid answer has the highest reward among `open`; ties go to the lower cost, then to the
    /// smaller id.
    pub fn chosen(&self, prompt: usize, open: impl Iterator<Item = usize>) -> Option<usize> {
        let (row, costs) = (self.row(prompt), self.expected_usd(self.prompts[prompt].language));
        let valid = open.filter_map(|at| Some((row[at].reward()?, costs[at], at)));
        let best = valid.min_by(|a, b| b.0.total_cmp(&a.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        best.map(|(_, _, at)| at)
    }

    fn rewards(&self, prompt: usize) -> impl Iterator<Item = f64> {
        self.row(prompt).iter().filter_map(|opened| opened.reward())
    }
}
