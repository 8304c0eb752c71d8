//! Calls to servers: what each teacher's answers cost and are worth, how many were kept, why the others failed.
//!
//! Everything comes from artifacts, but for how long calls took: that is in the ledger alone, and the one thing on a page
//! that differs between two runs of the same calls.

use std::collections::{BTreeMap, BTreeSet};

use cambist_core::{
    candidate::Candidate,
    completion::{Completion, FinishReason},
    language::Language,
};
use cambist_io::exchange::FailureClass;

use super::{
    material::{AnswerSet, Material},
    measure::{interval_of_means, label, means},
    teachers::rewards,
};
use crate::report::{
    Axis, Block, Cell, Column, Direction, Origin, Plot, Point, Row, Scatter, Section, Style, Table, Words,
};

/// One section over all answers that servers gave; none where no server was asked.
pub(super) fn section(material: &Material<'_>) -> Option<Section> {
    let served: BTreeSet<&str> =
        material.recipe.pool.iter().filter(|m| m.endpoint.is_some()).map(|m| m.id.as_str()).collect();
    let views = material.answers.iter().map(|answers| View::new(answers, material, &served));
    let views: Vec<View<'_>> = views.filter(|view| !view.cells.is_empty()).collect();
    let several = views.len() > 1;
    let blocks: Vec<Block> = views
        .iter()
        .flat_map(|view| {
            let heading = several.then(|| Block::Heading(format!("Calls of {}", view.answers.label)));
            heading.into_iter().chain(view.blocks())
        })
        .chain(latency(material, &served).filter(|_| !views.is_empty()))
        .collect();
    (!blocks.is_empty()).then(|| Section { title: "Calls to servers".into(), blocks })
}

/// How long the answers of servers took; none where the ledger timed no call.
fn latency(material: &Material<'_>, served: &BTreeSet<&str>) -> Option<Block> {
    let timed = material.latencies.iter().filter(|latency| served.contains(latency.teacher.as_str()));
    let rows: Vec<Row> = timed
        .clone()
        .map(|latency| {
            let language = match Language::parse(&latency.language) {
                Ok(language) => label(&language).into(),
                Err(_) => Cell::Missing("not kept".into()),
            };
            let teacher = Words::from(latency.teacher.as_str()).into();
            Row::new(vec![
                teacher,
                language,
                Cell::Count(latency.n),
                Cell::Number(latency.p50),
                Cell::Number(latency.p95),
            ])
        })
        .collect();
    let n_calls: u64 = timed.map(|latency| latency.n).sum();
    let seconds = |title: &str| Column::numbers(title, "s", Style::plain(2)).directed(Direction::LowerIsBetter);
    let table = Table {
        caption:
            "How long answered calls were in flight, all attempts of a call together, as the ledger of this store \
                  measured it: what the machine and the hour made of it is in these numbers too."
                .into(),
        columns: vec![
            Column::words("Teacher"),
            Column::words("Language"),
            Column::numbers("answered", "calls", Style::plain(0)),
            seconds("median"),
            seconds("95 of 100 within"),
        ],
        rows,
    };
    let artifacts = material.answers.iter().map(|answers| answers.artifact.clone()).collect();
    let origin = Origin { n: format!("{n_calls} answered calls"), artifacts, ..Origin::default() };
    (!table.rows.is_empty()).then_some(Block::Table { table, origin })
}

/// What one teacher's calls in one language came to.
#[derive(Default)]
struct Tally {
    n_calls: u64,
    n_failed: u64,
    n_stopped: u64,
    n_kept: u64,
    cost_usd: f64,
    /// By kind of failure.
    kinds: BTreeMap<String, u64>,
}

struct View<'a> {
    answers: &'a AnswerSet,
    seed: u64,
    /// The strategy whose choices are counted as kept.
    strategy: Option<&'a str>,
    cells: BTreeMap<(&'a str, &'a Language), Tally>,
}

impl<'a> View<'a> {
    fn new(answers: &'a AnswerSet, material: &'a Material<'_>, served: &BTreeSet<&str>) -> Self {
        let selection = answers.selection.as_ref();
        let strategy = selection.and_then(|selection| {
            let shared = selection.decisions.iter().filter(|(_, (is_own, _))| !is_own).map(|(name, _)| name);
            material.ordered(shared, material.baseline()).into_iter().next()
        });
        let mut cells: BTreeMap<(&str, &Language), Tally> = BTreeMap::new();
        let candidates = answers.matrix.rows().iter().flat_map(|row| &row.candidates);
        for candidate in candidates.filter(|candidate| served.contains(candidate.completion.teacher.as_str())) {
            let completion = &candidate.completion;
            cells.entry((&completion.teacher, &completion.language)).or_default().add(candidate);
        }
        let decisions = strategy.and_then(|name| selection?.decisions.get(name)).map(|(_, decisions)| decisions);
        for decision in decisions.into_iter().flatten() {
            let cell = decision.teacher.as_deref().and_then(|teacher| cells.get_mut(&(teacher, &decision.language)));
            if let Some(cell) = cell {
                cell.n_kept += 1;
            }
        }
        Self { answers, seed: material.recipe.seed, strategy, cells }
    }

    fn blocks(&self) -> Vec<Block> {
        let failed = self.failures();
        [self.scatter(), Some(self.yields()), failed].into_iter().flatten().collect()
    }

    fn origin(&self) -> Origin {
        let n_calls: u64 = self.cells.values().map(|cell| cell.n_calls).sum();
        Origin { n: format!("{n_calls} calls"), artifacts: vec![self.answers.artifact.clone()], ..Origin::default() }
    }

    /// What a thousand calls to each teacher cost, and what its valid answers are worth.
    fn scatter(&self) -> Option<Block> {
        let measure = &self.answers.measure;
        let point = |teacher: &'a str| {
            let of_teacher = self.cells.iter().filter(|((name, _), _)| *name == teacher).map(|(_, cell)| cell);
            let (n_calls, cost) = of_teacher.fold((0, 0.0), |(n, cost), cell| (n + cell.n_calls, cost + cell.cost_usd));
            let worth = means(rewards(self.answers, teacher), self.seed);
            let y = measure.estimate(worth.macro_mean.as_ref()?);
            (n_calls > 0).then(|| Point { name: teacher.to_owned(), x: 1000.0 * cost / n_calls as f64, y })
        };
        let teachers: BTreeSet<&str> = self.cells.keys().map(|(teacher, _)| *teacher).collect();
        let points: Vec<Point> = teachers.into_iter().filter_map(point).collect();
        let is_priced = points.iter().any(|point| point.x > 0.0);
        if points.len() < 2 || !is_priced {
            return None;
        }
        let scatter = Scatter {
            x: Axis::linear("USD per 1000 calls", Direction::LowerIsBetter),
            y: Axis::linear(format!("{} of valid answers", measure.title()), Direction::HigherIsBetter),
            x_style: Style::plain(4),
            y_style: measure.style,
            points,
        };
        let caption = "What calls to each teacher cost at list prices, failed ones included as far as their cost is \
                       known, and what its valid answers are worth. The dashed line joins the teachers that no other \
                       beats on both axes."
            .into();
        let origin = Origin { interval: interval_of_means(), ..self.origin() };
        Some(Block::Figure { plot: Plot::Scatter(scatter), caption, origin })
    }

    /// Kept answers for calls and money.
    fn yields(&self) -> Block {
        let row = |((teacher, language), cell): (&(&str, &Language), &Tally)| {
            let mut cells = vec![Words::from(*teacher).into(), label(language).into()];
            cells.extend(cell.cells(self.strategy.is_some()));
            Row::new(cells)
        };
        let mut all = Tally::default();
        self.cells.values().for_each(|cell| all.join(cell));
        let mut sum = vec![Words::from("all teachers").into(), Words::from("all languages").into()];
        sum.extend(all.cells(self.strategy.is_some()));
        let mut rows: Vec<Row> = self.cells.iter().map(row).collect();
        rows.push(Row { cells: sum, summary: true });
        let kept = self.strategy.map_or_else(String::new, |name| {
            format!(" Kept counts the answers that {name} took; the cost for them counts every call of the row.")
        });
        let count = |title: &str| Column::numbers(title, "", Style::plain(0));
        let table = Table {
            caption: format!(
                "What calls to servers yielded, by teacher and language: calls without an answer, answers that a gate \
                 stopped, and list prices.{kept}"
            ),
            columns: vec![
                Column::words("Teacher"),
                Column::words("Language"),
                count("calls"),
                count("failed").directed(Direction::LowerIsBetter),
                count("stopped").directed(Direction::LowerIsBetter),
                count("kept"),
                Column::numbers("kept per call", "%", Style::plain(1)).directed(Direction::HigherIsBetter),
                Column::numbers("cost", "USD", Style::plain(4)).directed(Direction::LowerIsBetter),
                Column::numbers("per 1000 kept", "USD", Style::plain(4)).directed(Direction::LowerIsBetter),
            ],
            rows,
        };
        Block::Table { table, origin: self.origin() }
    }

    /// None where every call had an answer.
    fn failures(&self) -> Option<Block> {
        let each = self.cells.iter().flat_map(|((teacher, language), cell)| {
            cell.kinds.iter().map(move |(kind, n)| {
                let share = *n as f64 / cell.n_calls.max(1) as f64;
                Row::new(vec![
                    Words::from(*teacher).into(),
                    label(language).into(),
                    Words::from(kind.replace('_', " ")).into(),
                    Cell::Count(*n),
                    Cell::Share(share),
                ])
            })
        });
        let rows: Vec<Row> = each.collect();
        let table = Table {
            caption: "Calls without an answer, by teacher, language and kind of failure.".into(),
            columns: vec![
                Column::words("Teacher"),
                Column::words("Language"),
                Column::words("kind"),
                Column::numbers("failed", "calls", Style::plain(0)).directed(Direction::LowerIsBetter),
                Column::numbers("of its calls", "%", Style::plain(1)).directed(Direction::LowerIsBetter),
            ],
            rows,
        };
        (!table.rows.is_empty()).then(|| Block::Table { table, origin: self.origin() })
    }
}

impl Tally {
    fn add(&mut self, candidate: &Candidate) {
        let completion = &candidate.completion;
        let failed = completion.finish_reason == FinishReason::Error;
        self.n_calls += 1;
        self.cost_usd += completion.cost_usd;
        self.n_failed += u64::from(failed);
        self.n_stopped += u64::from(!failed && !candidate.passed());
        if failed {
            *self.kinds.entry(kind(completion)).or_default() += 1;
        }
    }

    fn join(&mut self, other: &Self) {
        self.n_calls += other.n_calls;
        self.n_failed += other.n_failed;
        self.n_stopped += other.n_stopped;
        self.n_kept += other.n_kept;
        self.cost_usd += other.cost_usd;
    }

    fn cells(&self, has_strategy: bool) -> Vec<Cell> {
        let nobody = || Cell::Missing("no strategy chose".into());
        let (kept, share) = match has_strategy {
            true => (Cell::Count(self.n_kept), Cell::Share(self.n_kept as f64 / self.n_calls.max(1) as f64)),
            false => (nobody(), nobody()),
        };
        let per_kept = match (has_strategy, self.n_kept) {
            (false, _) => nobody(),
            (true, 0) => Cell::Missing("nothing was kept".into()),
            (true, n) => Cell::Number(1000.0 * self.cost_usd / n as f64),
        };
        let counts = [self.n_calls, self.n_failed, self.n_stopped].map(Cell::Count);
        counts.into_iter().chain([kept, share, Cell::Number(self.cost_usd), per_kept]).collect()
    }
}

/// The class of a failure; where it has none, `other`, because its words may differ from call to call.
fn kind(completion: &Completion) -> String {
    let class = completion.failure.as_deref().and_then(|reason| reason.split(':').next());
    class.filter(|class| FailureClass::parse(class).is_some()).unwrap_or("other").to_owned()
}
