//! Students: what each strategy's student is worth, and against the baseline's.

use std::collections::BTreeSet;

use cambist_core::{
    language::Language,
    metrics::{Accuracy, PerLanguage, WinRate},
};

use super::{
    material::{Comparison, Material},
    measure::{interval, label, to_estimate},
};
use crate::{
    report::{
        Axis, Block, Cell, Column, Direction, Finding, Forest, ForestRow, Heat, HeatRow, Origin, Plot, Row, Section,
        Style, Table, Words,
    },
    verbs::VariantResult,
};

/// The name of the row over all languages.
const ALL: &str = "all languages";

/// One section over all `evaluate` steps; none without any.
pub(super) fn section(material: &Material<'_>) -> Option<Section> {
    let several = material.comparisons.len() > 1;
    let blocks = material.comparisons.iter().flat_map(|comparison| {
        let heading = several.then(|| Block::Heading(format!("Results of {}", comparison.label)));
        heading.into_iter().chain(View { comparison, material }.blocks())
    });
    let blocks: Vec<Block> = blocks.collect();
    (!blocks.is_empty()).then(|| Section { title: "Students".into(), blocks })
}

/// The numbers for the top of the page, reward-based strategies first.
pub(super) fn findings(material: &Material<'_>) -> Vec<Finding> {
    let of_comparison = |comparison| View { comparison, material }.findings();
    material.comparisons.iter().flat_map(of_comparison).take(4).collect()
}

struct View<'a> {
    comparison: &'a Comparison,
    material: &'a Material<'a>,
}

impl View<'_> {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks = vec![self.introduction()];
        blocks.extend(self.forest());
        blocks.push(self.accuracy_table());
        blocks.push(self.overview());
        blocks.extend(self.tasks());
        blocks.extend(self.win_tables());
        blocks
    }

    fn results(&self) -> &crate::verbs::Results {
        &self.comparison.results
    }

    fn names(&self) -> Vec<&str> {
        self.material.ordered(self.results().variants.keys(), self.results().against.as_deref())
    }

    /// The variants in order, with their names as shown.
    fn variants(&self) -> Vec<(String, &VariantResult)> {
        let shown = |name: &str| if name.is_empty() { "model".to_owned() } else { name.to_owned() };
        let of = |name: &str| Some((shown(name), self.results().variants.get(name)?));
        self.names().into_iter().filter_map(of).collect()
    }

    /// The variants that were compared with the baseline.
    fn compared(&self) -> Vec<(String, &PerLanguage<WinRate>)> {
        self.variants().into_iter().filter_map(|(name, variant)| Some((name, variant.versus.as_ref()?))).collect()
    }

    fn languages(&self) -> BTreeSet<&Language> {
        self.results().variants.values().flat_map(|variant| variant.accuracy.languages.keys()).collect()
    }

    fn origin(&self) -> Origin {
        let n_languages = self.languages().len();
        Origin {
            n: format!("{} held-out prompts in {n_languages} languages", self.results().n_prompts),
            interval: interval(self.results().bootstrap.draws),
            seeds: self.comparison.seeds.clone(),
            task: self.comparison.task.clone(),
            artifacts: vec![self.comparison.artifact.clone()],
        }
    }

    fn introduction(&self) -> Block {
        let arbiter = &self.results().arbiter;
        let text = match &self.results().against {
            Some(against) => format!(
                "Each strategy’s student starts from the same weights and learns from the same prompts; only the \
                 teachers behind the answers differ. The arbiter `{arbiter}` grades what the students say to prompts \
                 that none of them has seen. A prompt is won when the strategy’s student is graded higher than the \
                 student of `{against}` with the same seed, lost when lower."
            ),
            None => format!(
                "The arbiter `{arbiter}` grades what the models say to held-out prompts. No baseline was named \
                 (`against`), so nothing is compared."
            ),
        };
        Block::Paragraph(text.into())
    }

    fn forest(&self) -> Option<Block> {
        let compared = self.compared();
        let against = self.results().against.as_ref()?;
        let points = |rate: &WinRate| to_estimate(&rate.difference_points, 1.0, rate.n_prompts);
        let row = |language: &&Language| ForestRow {
            label: label(language),
            estimates: compared.iter().map(|(_, versus)| versus.languages.get(*language).map(points)).collect(),
            summary: false,
        };
        let mut rows: Vec<ForestRow> = self.languages().iter().map(row).collect();
        if rows.len() > 1 {
            let estimates = compared.iter().map(|(_, versus)| versus.macro_mean.as_ref().map(points)).collect();
            rows.push(ForestRow { label: ALL.into(), estimates, summary: true });
        }
        let axis = Axis::linear("wins minus losses, points", Direction::HigherIsBetter);
        let series = compared.iter().map(|(name, _)| name.clone()).collect();
        Some(Block::Figure {
            plot: Plot::Forest(Forest { axis, style: Style::signed(1), reference: 0.0, series, rows }),
            caption: format!(
                "Wins minus losses against the student of {against}, in points of prompts, with 95 % intervals. Right \
                 of the line the strategy’s student is better; an interval that crosses it leaves the question open."
            ),
            origin: self.origin(),
        })
    }

    fn accuracy_table(&self) -> Block {
        let measure = &self.comparison.measure;
        let variants = self.variants();
        let cell = |of: Option<&Accuracy>| of.map(|accuracy| measure.estimate(accuracy)).into();
        let n_of =
            |of: Option<&Accuracy>| of.map_or(Cell::Missing("not graded".into()), |a| Cell::Count(a.n_prompts as u64));
        let row = |language: &&Language| {
            let each: Vec<_> = variants.iter().map(|(_, variant)| variant.accuracy.languages.get(*language)).collect();
            let n = n_of(each.iter().flatten().next().copied());
            Row::new([label(language).into(), n].into_iter().chain(each.into_iter().map(cell)).collect())
        };
        let mut rows: Vec<Row> = self.languages().iter().map(row).collect();
        let each: Vec<_> = variants.iter().map(|(_, variant)| variant.accuracy.macro_mean.as_ref()).collect();
        let n = n_of(each.iter().flatten().next().copied());
        let cells = [Words::from(ALL).into(), n].into_iter().chain(each.into_iter().map(cell)).collect();
        rows.push(Row { cells, summary: true });
        let columns = [Column::words("Language"), Column::numbers("n", "", Style::plain(0))];
        let of_variants = variants.iter().map(|(name, _)| measure.column(name.as_str()));
        let caption = format!(
            "{} of the students on held-out prompts, mean over seeds with 95 % interval; n counts prompts.",
            capital(measure.noun)
        );
        let table = Table { caption, columns: columns.into_iter().chain(of_variants).collect(), rows };
        Block::Table { table, origin: self.origin() }
    }

    fn overview(&self) -> Block {
        let measure = &self.comparison.measure;
        let row = |(name, variant): (String, &VariantResult)| {
            let all = variant.accuracy.macro_mean.as_ref();
            let count =
                |n: Option<usize>| n.map_or(Cell::Missing("nothing was graded".into()), |n| Cell::Count(n as u64));
            let sd = all.and_then(|a| a.seed_sd).map(|sd| Cell::Number(measure.factor * sd));
            Row::new(vec![
                Words::from(name).into(),
                all.map(|a| measure.estimate(a)).into(),
                count(all.map(|a| a.n_prompts)),
                count(all.map(|a| a.n_clusters)),
                count(all.map(|a| a.n_seeds)),
                sd.unwrap_or_else(|| Cell::Missing("one seed has no spread".into())),
                Cell::Count(variant.n_missing as u64),
            ])
        };
        let table = Table {
            caption:
                "The students over all languages, each language weighing the same. The spread over seeds says how \
                      far another training run would be off; the interval says how far other prompts would."
                    .into(),
            columns: vec![
                Column::words("Student"),
                measure.column(capital(measure.noun)),
                Column::numbers("prompts", "", Style::plain(0)),
                Column::numbers("sources", "", Style::plain(0)),
                Column::numbers("seeds", "", Style::plain(0)),
                Column::numbers("seed sd", measure.unit, measure.style),
                Column::numbers("not graded", "answers", Style::plain(0)).directed(Direction::LowerIsBetter),
            ],
            rows: self.variants().into_iter().map(row).collect(),
        };
        Block::Table { table, origin: self.origin() }
    }

    fn tasks(&self) -> Vec<Block> {
        let variants = self.variants();
        let tasks: BTreeSet<&String> = variants.iter().flat_map(|(_, variant)| variant.tasks.keys()).collect();
        if tasks.len() < 2 {
            return Vec::new();
        }
        let measure = &self.comparison.measure;
        let of = |task: &String| variants.iter().map(|(_, variant)| variant.tasks.get(task)).collect::<Vec<_>>();
        let heat_row = |task: &&String| HeatRow {
            label: Words::from(task.as_str()),
            values: of(task).into_iter().map(|cell| Some(measure.factor * cell?.mean.value)).collect(),
        };
        let table_row = |task: &&String| {
            let each = of(task);
            let n = each.iter().flatten().next().map_or(0, |accuracy| accuracy.n_prompts);
            let cells = each.into_iter().map(|cell| cell.map(|a| measure.estimate(a)).into());
            Row::new([Words::from(task.as_str()).into(), Cell::Count(n as u64)].into_iter().chain(cells).collect())
        };
        let names: Vec<String> = variants.iter().map(|(name, _)| name.clone()).collect();
        let heat = Heat {
            title: format!("{} by task and student", measure.title()),
            style: measure.style,
            direction: Direction::HigherIsBetter,
            columns: names.clone(),
            rows: tasks.iter().map(heat_row).collect(),
        };
        let columns = [Column::words("Task"), Column::numbers("n", "", Style::plain(0))];
        let table = Table {
            caption: format!("{} by task, each language weighing the same; n counts prompts.", capital(measure.noun)),
            columns: columns.into_iter().chain(names.iter().map(|name| measure.column(name.as_str()))).collect(),
            rows: tasks.iter().map(table_row).collect(),
        };
        let caption = "What the students learned of each kind of task; the best student of a task is outlined.".into();
        vec![
            Block::Heading("By task".into()),
            Block::Figure { plot: Plot::Heat(heat), caption, origin: self.origin() },
            Block::Table { table, origin: self.origin() },
        ]
    }

    fn win_tables(&self) -> Vec<Block> {
        let Some(against) = &self.results().against else { return Vec::new() };
        let heading = Block::Heading(format!("Wins, ties and losses against {against}"));
        let tables = self.compared().into_iter().map(|(name, versus)| {
            let mut rows: Vec<Row> =
                versus.languages.iter().map(|(language, rate)| win_row(label(language), rate)).collect();
            rows.extend(versus.macro_mean.iter().map(|rate| Row { summary: true, ..win_row(ALL.into(), rate) }));
            let caption = format!(
                "The student of {name} against the student of {against}. Points are the headline; the relative form \
                 is 100 (wins − losses) / losses. “Detectable” is the smallest difference that this many prompts can \
                 be expected to show (80 % power). p is of sign flips of whole sources, corrected by Holm’s method \
                 over the languages."
            );
            Block::Table { table: Table { caption, columns: win_columns(), rows }, origin: self.origin() }
        });
        std::iter::once(heading).chain(tables).collect()
    }

    fn findings(&self) -> Vec<Finding> {
        let Some(against) = &self.results().against else { return Vec::new() };
        let finding = |(name, versus): (String, &PerLanguage<WinRate>)| {
            let rate = versus.macro_mean.as_ref();
            let relative = rate.and_then(|rate| rate.relative_percent);
            Finding {
                label: format!("{name} over {against}"),
                estimate: rate.map(|rate| to_estimate(&rate.difference_points, 1.0, rate.n_prompts)),
                style: Style::signed(1),
                unit: "points".into(),
                direction: Direction::HigherIsBetter,
                beside: relative
                    .map(|r| format!("{}\u{202f}% relative", Style::signed(0).write(r.value)))
                    .unwrap_or_default(),
                origin: Origin { n: String::new(), ..self.origin() },
            }
        };
        self.compared().into_iter().map(finding).collect()
    }
}

fn win_columns() -> Vec<Column> {
    let share = |title: &str| Column::numbers(title, "%", Style::plain(1));
    let points = |title: &str| Column::numbers(title, "points", Style::signed(1)).directed(Direction::HigherIsBetter);
    vec![
        Column::words("Language"),
        Column::numbers("n", "", Style::plain(0)),
        share("wins"),
        share("ties"),
        share("losses"),
        points("wins − losses"),
        Column::numbers("relative", "%", Style::signed(0)).directed(Direction::HigherIsBetter),
        Column::numbers("detectable", "points", Style::plain(1)),
        Column::numbers("p", "Holm", Style::plain(3)),
        Column::numbers("seed sd", "points", Style::plain(1)),
    ]
}

fn win_row(label: Words, rate: &WinRate) -> Row {
    let number = |value: Option<f64>, why: &str| value.map_or(Cell::Missing(why.into()), Cell::Number);
    let estimate = |of: &cambist_core::metrics::Estimate| Cell::Estimate(to_estimate(of, 1.0, rate.n_prompts));
    Row::new(vec![
        label.into(),
        Cell::Count(rate.n_prompts as u64),
        Cell::Number(100.0 * rate.wins),
        Cell::Number(100.0 * rate.ties),
        Cell::Number(100.0 * rate.losses),
        estimate(&rate.difference_points),
        rate.relative_percent.as_ref().map_or(Cell::Missing("no game was lost".into()), estimate),
        number(rate.detectable_points, "no standard error"),
        number(rate.p_holm, "not corrected over languages"),
        number(rate.seed_sd_points, "one seed has no spread"),
    ])
}

/// The word at the start of a sentence.
pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
