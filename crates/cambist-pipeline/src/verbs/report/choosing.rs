//! How the strategies of a frontier choose: regrets, hits, agreement, whom they take, and what they foretold.

use cambist_core::frontier::{Foretold, RouterMetrics, StrategyMetrics};

use super::measure::to_estimate;
use crate::report::{Block, Cell, Column, Direction, Origin, Row, Style, Table, Words};

/// What is shown: parts by name, the teachers, and where it all comes from.
pub(super) struct Choosing<'a> {
    pub parts: Vec<(Words, &'a RouterMetrics)>,
    pub teachers: &'a [String],
    pub origin: Origin,
}

impl Choosing<'_> {
    /// All that there is to show; nothing without parts.
    pub(super) fn blocks(&self) -> Vec<Block> {
        if self.parts.is_empty() {
            return Vec::new();
        }
        let mut blocks = vec![Block::Heading("How routers choose".into()), self.regrets(), self.hits(), self.shares()];
        blocks.push(self.margins());
        if self.parts.iter().any(|(_, part)| !part.foretold.is_empty()) {
            blocks.push(self.foretold());
        }
        blocks
    }

    fn table(&self, caption: &str, columns: Vec<Column>, rows: Vec<Row>) -> Block {
        Block::Table { table: Table { caption: caption.to_owned(), columns, rows }, origin: self.origin.clone() }
    }

    /// A row for each strategy of each part.
    fn rows(&self, cells: impl Fn(&RouterMetrics, &StrategyMetrics) -> Vec<Cell>) -> Vec<Row> {
        let of_part = |(name, part): &(Words, &RouterMetrics)| {
            let row = |own: &StrategyMetrics| {
                let mut row = vec![name.clone().into(), Words::from(own.strategy.as_str()).into()];
                row.extend(cells(part, own));
                Row::new(row)
            };
            part.strategies.iter().map(row).collect::<Vec<_>>()
        };
        self.parts.iter().flat_map(of_part).collect()
    }

    fn regrets(&self) -> Block {
        let rows = self.rows(|part, own| {
            let estimate = |of: Option<&cambist_core::metrics::Estimate>, factor: f64, why: &str| {
                of.map_or_else(|| Cell::Missing(why.to_owned()), |of| Cell::Estimate(to_estimate(of, factor, part.n)))
            };
            vec![
                Cell::Count(part.n as u64),
                estimate(Some(&own.regret), 1.0, ""),
                estimate(own.relative_regret.as_ref(), 100.0, "rewards do not differ"),
                estimate(own.oracle_gain.as_ref(), 100.0, "the oracle gains nothing"),
                estimate(own.gain_on_fixed.as_ref(), 1.0, "this is fixed"),
                estimate(own.kappa.as_ref(), 1.0, "chance alone agrees"),
                advice(own),
            ]
        });
        let caption = "Regret of each strategy on prompts with at least two valid answers: the best reward minus that \
                       of the answer taken, in spreads of the language’s rewards, and as a share of what a lot gives \
                       up. Then the share kept of what the oracle gains over the best single teacher, what is gained \
                       on fixed (paired), and agreement with the strategy that asks everybody (Cohen’s kappa). Where \
                       the gain on fixed is not above 0 with 95 % confidence, use fixed.";
        let spreads = |title: &str, style| Column::numbers(title, "spreads", style);
        let columns = vec![
            Column::words("Language"),
            Column::words("strategy"),
            Column::numbers("n", "", Style::plain(0)),
            spreads("regret", Style::plain(3)).directed(Direction::LowerIsBetter),
            Column::numbers("of a lot", "%", Style::plain(1)).directed(Direction::LowerIsBetter),
            Column::numbers("of the oracle’s gain", "%", Style::plain(1)).directed(Direction::HigherIsBetter),
            spreads("gain on fixed", Style::signed(3)).directed(Direction::HigherIsBetter),
            Column::numbers("kappa", "", Style::plain(3)).directed(Direction::HigherIsBetter),
            Column::words("advice"),
        ];
        self.table(caption, columns, rows)
    }

    fn hits(&self) -> Block {
        let rows = self.rows(|part, own| {
            let estimate = |of: &cambist_core::metrics::Estimate| Cell::Estimate(to_estimate(of, 100.0, part.n));
            let mut cells = vec![estimate(&own.hit)];
            for (hit, chance) in own.hit_at.iter().zip(&part.chance_hit_at) {
                cells.extend([estimate(hit), Cell::Number(100.0 * chance)]);
            }
            cells
        });
        let percent = |title: String| Column::numbers(title, "%", Style::plain(1));
        let mut columns = vec![
            Column::words("Language"),
            Column::words("strategy"),
            percent("taken".into()).directed(Direction::HigherIsBetter),
        ];
        for k in 1..=3 {
            columns.push(percent(format!("Hit@{k}")).directed(Direction::HigherIsBetter));
            columns.push(percent(format!("chance@{k}")));
        }
        let caption = "How often a teacher with the best reward of the prompt was taken, and how often one is among \
                       the first k that the strategy would ask, beside what as many lots would hit. Ties all count.";
        self.table(caption, columns, rows)
    }

    fn shares(&self) -> Block {
        let rows = self.rows(|_, own| {
            let mut cells: Vec<Cell> = own.shares.iter().map(|share| Cell::Number(100.0 * share)).collect();
            cells.push(Cell::Number(100.0 * own.without));
            cells.push(Cell::Number(own.entropy));
            let effective = own.effective_teachers;
            cells.push(effective.map_or_else(|| Cell::Missing("nothing was taken".into()), Cell::Number));
            cells
        });
        let mut columns = vec![Column::words("Language"), Column::words("strategy")];
        columns.extend(self.teachers.iter().map(|teacher| Column::numbers(teacher, "%", Style::plain(1))));
        columns.push(Column::numbers("nobody", "%", Style::plain(1)).directed(Direction::LowerIsBetter));
        columns.push(Column::numbers("entropy", "nats", Style::plain(2)));
        columns.push(Column::numbers("effective teachers", "", Style::plain(2)));
        let caption = "Whose answers each strategy takes, in each language. The effective teachers are as many as, \
                       equally used, would be as mixed: the exponential of the entropy.";
        self.table(caption, columns, rows)
    }

    fn margins(&self) -> Block {
        let row = |(name, part): &(Words, &RouterMetrics)| {
            let mut cells = vec![name.clone().into(), Cell::Count(part.margins.n_ties as u64)];
            cells.extend(part.margins.counts.iter().map(|n| Cell::Count(*n as u64)));
            cells.push(
                part.margins.ends.last().map_or_else(|| Cell::Missing("no margins".into()), |e| Cell::Number(*e)),
            );
            Row::new(cells)
        };
        let mut columns = vec![Column::words("Language"), Column::numbers("ties", "prompts", Style::plain(0))];
        columns.extend((1..=10).map(|tenth| Column::numbers(format!("to {tenth}/10"), "", Style::plain(0))));
        columns.push(Column::numbers("largest", "spreads", Style::plain(2)));
        let caption = "By how much the best teacher of a prompt is ahead of the second best: prompts by tenths of the \
                       largest margin.";
        self.table(caption, columns, self.parts.iter().map(row).collect())
    }

    fn foretold(&self) -> Block {
        let row = |name: &Words, own: &Foretold| {
            let mut cells = vec![
                name.clone().into(),
                Words::from(own.teacher.as_str()).into(),
                Cell::Count(own.n as u64),
                Cell::Estimate(to_estimate(&own.inside, 100.0, own.n)),
                Words::from(if own.is_off() { "off" } else { "" }).into(),
            ];
            cells.extend(own.histogram.iter().map(|n| Cell::Count(*n as u64)));
            Row::new(cells)
        };
        let of_part =
            |(name, part): &(Words, &RouterMetrics)| part.foretold.iter().map(|own| row(name, own)).collect::<Vec<_>>();
        let mut columns = vec![
            Column::words("Language"),
            Column::words("teacher"),
            Column::numbers("foretold", "rewards", Style::plain(0)),
            Column::numbers("inside", "%", Style::plain(1)),
            Column::words("warning"),
        ];
        columns.extend((1..=10).map(|tenth| Column::numbers(format!("{tenth}"), "", Style::plain(0))));
        let caption = "What budgeted routing expected of each teacher just before it saw the reward: the share of \
                       rewards in the middle four fifths of that (80 % where expectations are right; a warning where \
                       it is clearly outside 70 to 90 %), and how many fell into each tenth of it, from the lowest \
                       rewards on (even where expectations are right).";
        self.table(caption, columns, self.parts.iter().flat_map(of_part).collect())
    }
}

/// Whether to take the strategy or `fixed`.
fn advice(own: &StrategyMetrics) -> Cell {
    match own.beats_fixed() {
        None => Cell::Missing("not compared".into()),
        Some(true) => Words::from(own.strategy.as_str()).into(),
        Some(false) => Words::from("fixed").into(),
    }
}
