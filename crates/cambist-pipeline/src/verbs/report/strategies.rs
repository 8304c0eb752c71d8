//! Strategies: what each one kept, gave up and would have cost.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cambist_core::{
    candidate::Row as AnswerRow,
    language::Language,
    metrics::{Accuracy, PerLanguage, Regret, Shares, regret, shares},
    router::{Decision, Outcome},
};

use super::{
    material::{AnswerSet, Material, Selection},
    measure::{interval_of_means, label, means},
    teachers::best_reward,
};
use crate::{
    report::{
        Arrangement, Axis, BarRow, Bars, Block, Cell, Column, Direction, Estimate, Heat, HeatRow, Origin, Plot, Point,
        Row, Scatter, Section, Style, Table, Words,
    },
    verbs::select::table::StrategyRow,
};

/// One section over all `select` steps; none without any.
pub(super) fn section(material: &Material<'_>) -> Option<Section> {
    let selected = material.answers.iter().filter_map(|answers| Some((answers, answers.selection.as_ref()?)));
    let views: Vec<View<'_>> = selected.map(|(answers, selection)| View::new((answers, selection), material)).collect();
    let several = views.len() > 1;
    let blocks: Vec<Block> = views
        .iter()
        .flat_map(|view| {
            let heading = several.then(|| Block::Heading(format!("Strategies of {}", view.answers.label)));
            heading.into_iter().chain(view.blocks())
        })
        .collect();
    (!blocks.is_empty()).then(|| Section { title: "Strategies".into(), blocks })
}

/// By strategy: the mean reward of the kept answers.
pub(super) fn kept_means<'a>(answers: &'a AnswerSet, selection: &'a Selection, seed: u64) -> Means<'a> {
    of_kept(answers, selection, seed, |_, score| Some(score))
}

/// By strategy: the best valid reward among the shared answers minus the kept one.
fn regrets<'a>(answers: &'a AnswerSet, selection: &'a Selection, seed: u64) -> Means<'a> {
    of_kept(answers, selection, seed, |row, score| Some(best_reward(row)? - score))
}

type Means<'a> = BTreeMap<&'a str, PerLanguage<Accuracy>>;

/// Means of a value of the kept answers that have a reward.
fn of_kept<'a>(
    answers: &'a AnswerSet,
    selection: &'a Selection,
    seed: u64,
    value: impl Fn(&AnswerRow, f64) -> Option<f64>,
) -> Means<'a> {
    let rows: HashMap<&str, &AnswerRow> =
        answers.matrix.rows().iter().map(|row| (row.prompt.id.as_str(), row)).collect();
    let of_strategy = |decisions: &[Decision]| {
        let kept = decisions.iter().filter(|decision| decision.outcome == Outcome::Chosen);
        let values = kept.filter_map(|decision| {
            let row = *rows.get(decision.prompt_id.as_str())?;
            Some((&row.prompt, value(row, decision.score?)?))
        });
        means(values, seed)
    };
    let each = selection.decisions.iter();
    each.map(|(name, (_, decisions))| (name.as_str(), of_strategy(decisions))).collect()
}

/// The place of the column of translations, which stands only where some were made.
const TRANSLATIONS: usize = 2;

struct View<'a> {
    answers: &'a AnswerSet,
    selection: &'a Selection,
    material: &'a Material<'a>,
    names: Vec<&'a str>,
    kept: Means<'a>,
    regret: Means<'a>,
}

impl<'a> View<'a> {
    fn new((answers, selection): (&'a AnswerSet, &'a Selection), material: &'a Material<'a>) -> Self {
        let seed = material.recipe.seed;
        let (kept, regret) = (kept_means(answers, selection, seed), regrets(answers, selection, seed));
        let names = material.ordered(selection.table.strategies.keys(), material.baseline());
        Self { answers, selection, material, names, kept, regret }
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = vec![self.introduction(), self.quality_table(), self.cost_table()];
        blocks.extend(self.scatter());
        blocks.push(self.by_language());
        blocks.push(Block::Heading("Whose answers were kept".into()));
        blocks.extend(self.teacher_shares());
        blocks
    }

    fn introduction(&self) -> Block {
        let n_sets: BTreeSet<usize> = self.rows().map(|(_, row)| row.n_aligned).collect();
        let sizes = n_sets.iter().map(usize::to_string).collect::<Vec<_>>().join(" to ");
        let text = format!(
            "Every strategy was replayed on the same recorded answers: asking everybody once pays for the comparison. \
             After alignment each strategy’s training set holds {sizes} of {} prompts.",
            self.answers.matrix.rows().len()
        );
        Block::Paragraph(text.into())
    }

    /// The strategies in the order of all pictures.
    fn rows(&self) -> impl Iterator<Item = (&'a str, &'a StrategyRow)> {
        self.names.iter().filter_map(|name| Some((*name, self.selection.table.strategies.get(*name)?)))
    }

    fn origin(&self) -> Origin {
        Origin {
            n: format!("{} prompts in {} languages", self.answers.matrix.rows().len(), self.languages().len()),
            interval: interval_of_means(),
            artifacts: vec![self.answers.artifact.clone()],
            ..Origin::default()
        }
    }

    fn languages(&self) -> BTreeSet<&'a Language> {
        self.answers.matrix.rows().iter().map(|row| &row.prompt.language).collect()
    }

    fn quality_table(&self) -> Block {
        let measure = &self.answers.measure;
        let row = |(name, row): (&str, &StrategyRow)| {
            let hits = self.hits(name);
            let of =
                |part: fn(&Regret) -> f64| hits.as_ref().map_or(no_hits(), |hits| Cell::Number(100.0 * part(hits)));
            let estimate = |from: &BTreeMap<&str, PerLanguage<Accuracy>>| {
                let mean = from.get(name).and_then(|means| means.macro_mean.as_ref());
                Cell::from(mean.map(|accuracy| measure.estimate(accuracy)))
            };
            Row::new(vec![
                Words::from(name).into(),
                Cell::Id(row.strategy.clone()),
                Cell::Count(row.cost.n_chosen as u64),
                Cell::Count(row.n_aligned as u64),
                estimate(&self.kept),
                estimate(&self.regret),
                of(|hits| hits.hit),
                of(|hits| hits.chance_hit),
                hits.as_ref().map_or(no_hits(), |hits| Cell::Count(hits.n as u64)),
            ])
        };
        let table = Table {
            caption: format!(
                "What each strategy kept, before and after alignment, and the {} of what it kept as mean over \
                 languages. Regret is what the best valid answer would have had more; hits are prompts where no valid answer is better than the kept one, counted over \
                 prompts with at least two valid answers (n of hits), beside what a uniform choice would hit. Means \
                 are over what a strategy kept: one that kept fewer answers stands on other prompts.",
                measure.noun
            ),
            columns: vec![
                Column::words("Strategy"),
                Column::words("router"),
                Column::numbers("kept", "", Style::plain(0)).directed(Direction::HigherIsBetter),
                Column::numbers("aligned", "", Style::plain(0)),
                measure.column(measure.noun),
                Column::numbers("regret", measure.unit, measure.style).directed(Direction::LowerIsBetter),
                Column::numbers("hits", "%", Style::plain(1)).directed(Direction::HigherIsBetter),
                Column::numbers("chance", "%", Style::plain(1)),
                Column::numbers("n of hits", "", Style::plain(0)),
            ],
            rows: self.rows().map(row).collect(),
        };
        Block::Table { table, origin: self.origin() }
    }

    /// None for a strategy with answers of its own: the shared matrix does not hold them.
    fn hits(&self, name: &str) -> Option<Regret> {
        let (is_own, decisions) = self.selection.decisions.get(name)?;
        if *is_own { None } else { regret(&self.answers.matrix, decisions).macro_mean }
    }

    fn cost_table(&self) -> Block {
        let translates = self.rows().any(|(_, row)| row.cost.run.translations > 0);
        let row = |(name, row): (&str, &StrategyRow)| {
            let (run, calibration) = (&row.cost.run, &row.cost.calibration);
            let per_kept = row.cost.usd_per_kept();
            let mut cells = vec![
                Words::from(name).into(),
                Cell::Count(run.generations),
                Cell::Count(run.translations),
                Cell::Count(run.arbiter_scores),
                Cell::Count(run.tokens_in),
                Cell::Count(run.tokens_out),
                Cell::Number(run.total_usd()),
                Cell::Count(calibration.generations),
                Cell::Number(calibration.total_usd()),
                per_kept.map_or(Cell::Missing("nothing was kept".into()), |usd| Cell::Number(1000.0 * usd)),
            ];
            if !translates {
                cells.remove(TRANSLATIONS);
            }
            Row::new(cells)
        };
        let count = |title: &str| Column::numbers(title, "", Style::plain(0)).directed(Direction::LowerIsBetter);
        let usd = |title: &str| Column::numbers(title, "USD", Style::plain(4)).directed(Direction::LowerIsBetter);
        let mut columns = vec![
            Column::words("Strategy"),
            count("calls"),
            count("translations"),
            count("scores"),
            count("tokens in"),
            count("tokens out"),
            usd("cost"),
            count("calls to calibrate"),
            usd("cost to calibrate"),
            usd("per 1000 kept"),
        ];
        if !translates {
            columns.remove(TRANSLATIONS);
        }
        let table = Table {
            caption: "What each strategy would have cost had it run alone, at list prices. Calibration is paid once, \
                      before the first prompt, and is part of the last column."
                .into(),
            columns,
            rows: self.rows().map(row).collect(),
        };
        Block::Table { table, origin: Origin { interval: String::new(), ..self.origin() } }
    }

    /// Cost against what the student is worth, or what was kept where no student was measured.
    fn scatter(&self) -> Option<Block> {
        let students = self
            .material
            .comparisons
            .iter()
            .find(|comparison| self.names.iter().any(|name| comparison.results.variants.contains_key(*name)));
        let worth = |name: &str| -> Option<Estimate> {
            let (accuracy, measure) = match students {
                Some(of) => (of.results.variants.get(name)?.accuracy.macro_mean.as_ref()?, &of.measure),
                None => (self.kept.get(name)?.macro_mean.as_ref()?, &self.answers.measure),
            };
            Some(measure.estimate(accuracy))
        };
        let is_priced = self.rows().any(|(_, row)| row.cost.run.total_usd() > 0.0);
        let cost = |row: &StrategyRow| {
            let calls = (row.cost.run.generations + row.cost.calibration.generations) as f64;
            let per_kept = row.cost.usd_per_kept().map(|usd| 1000.0 * usd);
            if is_priced { per_kept } else { (row.cost.n_chosen > 0).then(|| calls / row.cost.n_chosen as f64) }
        };
        let point =
            |(name, row): (&str, &StrategyRow)| Some(Point { name: name.to_owned(), x: cost(row)?, y: worth(name)? });
        let points: Vec<Point> = self.rows().filter_map(point).collect();
        if points.len() < 2 {
            return None;
        }
        let cost_title = if is_priced { "USD per 1000 kept answers" } else { "calls per kept answer" };
        let measure = students.map_or(&self.answers.measure, |students| &students.measure);
        let whose = if students.is_some() { "of the student" } else { "of the kept answers" };
        let scatter = Scatter {
            x: Axis::linear(format!("{cost_title}, calibration included"), Direction::LowerIsBetter),
            y: Axis::linear(format!("{} {whose}{}", measure.noun, unit(measure.unit)), Direction::HigherIsBetter),
            x_style: Style::plain(if is_priced { 4 } else { 2 }),
            y_style: measure.style,
            points,
        };
        let mut origin = self.origin();
        if let Some(students) = students {
            origin.interval = super::measure::interval(students.results.bootstrap.draws);
            origin.n = format!("{} held-out prompts", students.results.n_prompts);
            origin.seeds = students.seeds.clone();
            origin.artifacts.push(students.artifact.clone());
        }
        let caption = "What each strategy pays and what it gets. The dashed line joins the strategies that no other \
                       beats on both axes."
            .into();
        Some(Block::Figure { plot: Plot::Scatter(scatter), caption, origin })
    }

    fn by_language(&self) -> Block {
        let measure = &self.answers.measure;
        let value = |name: &str, language: &Language| {
            Some(measure.factor * self.kept.get(name)?.languages.get(language)?.mean.value)
        };
        let row = |language: &&Language| HeatRow {
            label: label(language),
            values: self.names.iter().map(|name| value(name, language)).collect(),
        };
        let heat = Heat {
            title: format!("{} of the kept answers by language and strategy", measure.title()),
            style: measure.style,
            direction: Direction::HigherIsBetter,
            columns: self.names.iter().map(|name| (*name).to_owned()).collect(),
            rows: self.languages().iter().map(row).collect(),
        };
        let caption = "What the kept answers are worth, before alignment. Hatched: the strategy kept nothing in this \
                       language."
            .into();
        Block::Figure { plot: Plot::Heat(heat), caption, origin: self.origin() }
    }

    /// One picture for each strategy, and one table of how widely it spreads.
    fn teacher_shares(&self) -> Vec<Block> {
        let decisions = |name: &str| Some(&self.selection.decisions.get(name)?.1);
        let spread: Vec<(&str, BTreeMap<Language, Shares>)> =
            self.names.iter().filter_map(|name| Some((*name, shares(decisions(name)?)))).collect();
        let mut blocks: Vec<Block> = spread
            .iter()
            .filter(|(_, shares)| shares.values().flat_map(|s| s.counts.keys()).collect::<BTreeSet<_>>().len() > 1)
            .map(|(name, shares)| self.share_bars(name, shares))
            .collect();
        blocks.push(self.spread_table(&spread));
        blocks
    }

    fn share_bars(&self, name: &str, shares: &BTreeMap<Language, Shares>) -> Block {
        let teachers = self.answers.pool.teachers();
        let row = |(language, of): (&Language, &Shares)| BarRow {
            label: label(language),
            values: teachers.iter().map(|teacher| Some(*of.counts.get(&teacher.id)? as f64)).collect(),
        };
        let bars = Bars {
            axis: Axis::linear("share of kept answers, %", Direction::Neutral),
            style: Style::plain(0),
            arrangement: Arrangement::Shares,
            series: teachers.iter().map(|teacher| teacher.id.clone()).collect(),
            rows: shares.iter().map(row).collect(),
        };
        let caption = format!("Whose answers {name} kept, by language.");
        Block::Figure { plot: Plot::Bars(bars), caption, origin: Origin { interval: String::new(), ..self.origin() } }
    }

    fn spread_table(&self, spread: &[(&str, BTreeMap<Language, Shares>)]) -> Block {
        let row = |language: &&Language| {
            let cell = |(_, shares): &(&str, BTreeMap<Language, Shares>)| {
                let effective = shares.get(*language).and_then(|shares| shares.effective_teachers);
                effective.map_or(Cell::Missing("nothing was kept".into()), Cell::Number)
            };
            let n = self.answers.matrix.rows().iter().filter(|row| row.prompt.language == **language).count();
            Row::new(
                [label(language).into(), Cell::Count(n as u64)].into_iter().chain(spread.iter().map(cell)).collect(),
            )
        };
        let columns = [Column::words("Language"), Column::numbers("n", "", Style::plain(0))];
        let of_strategies = spread.iter().map(|(name, _)| Column::numbers(*name, "teachers", Style::plain(2)));
        let table = Table {
            caption:
                "How many teachers a strategy effectively uses: the number of equally used teachers with the same \
                      entropy of shares. n counts prompts."
                    .into(),
            columns: columns.into_iter().chain(of_strategies).collect(),
            rows: self.languages().iter().map(row).collect(),
        };
        Block::Table { table, origin: Origin { interval: String::new(), ..self.origin() } }
    }
}

fn unit(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(", {unit}") }
}

fn no_hits() -> Cell {
    Cell::Missing("no prompt with two valid answers, or answers of its own".into())
}
