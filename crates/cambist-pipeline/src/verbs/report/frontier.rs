//! The frontier: what cheaper routing keeps, and which teachers are worth having.

use cambist_core::{
    advice::{LanguageAdvice, MIN_PROMPTS, TeacherWorth},
    frontier::{Part, Point},
};
use cambist_io::store::Artifact;

use super::{
    choosing::Choosing,
    material::Material,
    measure::{interval, name_of, to_estimate},
};
use crate::{
    error::PipelineError,
    plan::Job,
    recipe::Action,
    report::{
        Axis, Block, Cell, Column, Curve, Direction, Line, Origin, Plot, Row, Scatter, Section, Style, Table, Words,
    },
    verbs::frontier::{FRONTIER, FrontierFile},
};

/// What the strategies of one family of points, told apart by the price of reward, begin with.
const FAMILY: &str = "budgeted:";

/// One section over all `frontier` steps; none without any.
pub(super) fn section(material: &Material<'_>) -> Result<Option<Section>, PipelineError> {
    let mut blocks = Vec::new();
    for (job, artifact) in material.of_verb("frontier") {
        blocks.extend(View::read(material, job, artifact)?.blocks());
    }
    Ok((!blocks.is_empty()).then(|| Section { title: "The frontier of routing".into(), blocks }))
}

struct View<'a> {
    job: &'a Job,
    file: FrontierFile,
    draws: usize,
}

impl<'a> View<'a> {
    fn read(material: &Material<'_>, job: &'a Job, artifact: &Artifact) -> Result<Self, PipelineError> {
        let file = serde_json::from_slice(&artifact.read(FRONTIER)?)
            .map_err(|e| PipelineError::input(&job.label, e.to_string(), "run the step again after `cambist gc`"))?;
        let draws = match &material.workshop.plan.step_of(job).action {
            Action::Frontier(params) => params.bootstrap,
            _ => 0,
        };
        Ok(Self { job, file, draws })
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = vec![self.introduction()];
        blocks.extend(self.figure());
        blocks.extend(self.curves());
        blocks.push(self.strategy_table());
        blocks.extend(self.file.prices.iter().map(|prices| super::search::prices(self.job, prices)));
        blocks.extend(self.choosing().blocks());
        blocks.push(Block::Heading("Which teachers are worth having".into()));
        blocks.extend(self.advice());
        blocks
    }

    fn introduction(&self) -> Block {
        let target = 100.0 * self.file.target;
        let text = format!(
            "Strategies were fitted on {} of {} parts of the sources and replayed on the last one, in turns, so that \
             no prompt was routed by what was learned on itself or on its translations. The gain is what asking \
             everybody and keeping the best has over the best single teacher; `budgeted` was told to keep {target} % \
             of it and found its price of reward on the calibration parts alone. A prompt left without a valid answer \
             counts as the lowest valid reward that anybody got.",
            self.file.folds - 1,
            self.file.folds,
        );
        Block::Paragraph(text.into())
    }

    fn origin(&self) -> Origin {
        let all = self.file.frontier.all.as_ref();
        let n = all.map_or_else(String::new, |part| format!("{} prompts of {} sources", part.n, part.n_sources));
        Origin { n, interval: interval(self.draws), artifacts: vec![self.job.id.to_string()], ..Origin::default() }
    }

    /// Every part that has a gain, the one over all languages first where there are several.
    fn parts(&self) -> Vec<(Words, &Part)> {
        let frontier = &self.file.frontier;
        let languages = frontier.languages.iter().map(|(language, part)| (name_of(language).into(), part));
        let all = frontier.all.iter().filter(|_| frontier.languages.len() > 1);
        all.map(|part| (Words::from("all languages"), part)).chain(languages).collect()
    }

    fn figure(&self) -> Option<Block> {
        let part = self.file.frontier.all.as_ref().filter(|part| part.is_gain)?;
        let point = |point: &Point| {
            let gain = to_estimate(point.gain.as_ref()?, 100.0, part.n);
            Some(crate::report::Point { name: point.strategy.clone(), x: 100.0 * point.calls_share, y: gain })
        };
        let scatter = Scatter {
            x: Axis::linear("answers asked for, % of asking everybody", Direction::LowerIsBetter),
            y: Axis::linear("gain kept, %", Direction::HigherIsBetter),
            x_style: Style::plain(1),
            y_style: Style::plain(1),
            points: part.points.iter().filter(|point| !point.strategy.starts_with(FAMILY)).filter_map(point).collect(),
        };
        let caption = "What each strategy keeps of the gain of asking everybody, for what share of the answers, each \
                       language weighing the same. The oracle asks the right teacher by hindsight: nobody can run it."
            .into();
        Some(Block::Figure { plot: Plot::Scatter(scatter), caption, origin: self.origin() })
    }

    /// Budgeted routing over all prices of reward, a line for each language.
    fn curves(&self) -> Option<Block> {
        let line = |(name, part): (Words, &Part)| {
            let family = part.points.iter().filter(|point| point.strategy.starts_with(FAMILY));
            let place = |point: &Point| Some([100.0 * point.calls_share, 100.0 * point.gain.as_ref()?.value]);
            let mut points: Vec<[f64; 2]> = family.filter_map(place).collect();
            points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
            points.dedup();
            Line { name: name.text.clone(), points }
        };
        let lines: Vec<Line> =
            self.parts().into_iter().map(line).filter(|line| !line.points.is_empty()).take(8).collect();
        let curve = Curve {
            x: Axis::linear("answers asked for, % of asking everybody", Direction::LowerIsBetter),
            y: Axis::linear("gain kept, %", Direction::HigherIsBetter),
            style: Style::plain(1),
            lines,
        };
        let caption = "Budgeted routing from dear to cheap reward: each point is one price of reward. At most eight \
                       languages are drawn; the table has them all."
            .into();
        (!curve.lines.is_empty()).then(|| Block::Figure { plot: Plot::Curve(curve), caption, origin: self.origin() })
    }

    fn strategy_table(&self) -> Block {
        let mut rows = Vec::new();
        for (name, part) in self.parts() {
            for point in part.points.iter().filter(|point| !point.strategy.starts_with(FAMILY)) {
                let gain = point.gain.as_ref().map(|gain| to_estimate(gain, 100.0, part.n));
                rows.push(Row::new(vec![
                    name.clone().into(),
                    Words::from(point.strategy.as_str()).into(),
                    Cell::Count(part.n as u64),
                    gain.map_or_else(|| Cell::Missing("asking everybody gains nothing here".into()), Cell::Estimate),
                    Cell::Number(100.0 * point.calls_share),
                    point
                        .usd_share
                        .map_or_else(|| Cell::Missing("nothing costs anything".into()), |s| Cell::Number(100.0 * s)),
                    Cell::Number(point.calls),
                    Cell::Number(point.rounds),
                ]));
            }
        }
        let table = Table {
            caption: "Gain kept and cost, both as shares of asking everybody. Where the interval of that gain touches \
                      0, there is no arbitrage gain in the language and no share of it."
                .into(),
            columns: vec![
                Column::words("Language"),
                Column::words("strategy"),
                Column::numbers("n", "", Style::plain(0)),
                Column::numbers("gain kept", "%", Style::plain(1)).directed(Direction::HigherIsBetter),
                Column::numbers("answers", "%", Style::plain(1)).directed(Direction::LowerIsBetter),
                Column::numbers("money", "%", Style::plain(1)).directed(Direction::LowerIsBetter),
                Column::numbers("asked", "", Style::plain(2)),
                Column::numbers("rounds", "", Style::plain(2)),
            ],
            rows,
        };
        Block::Table { table, origin: self.origin() }
    }

    fn choosing(&self) -> Choosing<'_> {
        let parts = self.parts().into_iter().filter_map(|(name, part)| Some((name, part.routers.as_ref()?)));
        Choosing { parts: parts.collect(), teachers: &self.file.frontier.teachers, origin: self.origin() }
    }

    fn advice(&self) -> Vec<Block> {
        let advice = &self.file.advice;
        let mut blocks = Vec::new();
        if advice.languages.is_empty() {
            let text = format!("No language has the {MIN_PROMPTS} scored prompts that advice needs.");
            return vec![Block::Paragraph(text.into())];
        }
        blocks.push(self.pool_table());
        blocks.push(self.teacher_table());
        if !advice.drop.is_empty() {
            let names = advice.drop.iter().cloned().collect::<Vec<_>>().join(", ");
            blocks.push(Block::Paragraph(format!("No language keeps {names}.").into()));
        }
        if !advice.too_few.is_empty() {
            let few = advice.too_few.iter().map(|(language, n)| format!("{language} ({n})")).collect::<Vec<_>>();
            let text = format!("Fewer than {MIN_PROMPTS} prompts, and therefore no advice: {}.", few.join(", "));
            blocks.push(Block::Paragraph(text.into()));
        }
        blocks
    }

    fn pool_table(&self) -> Block {
        let row = |(language, own): (&cambist_core::language::Language, &LanguageAdvice)| {
            let last = own.keep.len().checked_sub(1).and_then(|at| own.pools.get(at));
            let kept = last.and_then(|pool| pool.kept.as_ref()).map(|kept| to_estimate(kept, 100.0, own.n));
            let percent = |share: Option<f64>, why: &str| {
                share.map_or_else(|| Cell::Missing(why.into()), |share| Cell::Number(100.0 * share))
            };
            Row::new(vec![
                Words::from(name_of(language)).into(),
                Cell::Count(own.n as u64),
                Cell::Estimate(to_estimate(&own.gain, 1.0, own.n)),
                Words::from(own.keep.join(", ")).into(),
                kept.map_or_else(|| Cell::Missing("several teachers gain nothing here".into()), Cell::Estimate),
                percent(last.and_then(|pool| pool.kept_by_lot), "several teachers gain nothing here"),
                percent(last.and_then(|pool| pool.usd_share), "nothing costs anything"),
                percent(own.certainty, "several teachers gain nothing here"),
            ])
        };
        let table = Table {
            caption: format!(
                "The smallest greedy pool that keeps {} % of what the whole pool gains over its best teacher, \
                 measured on sources that it was not chosen on; beside it what pools of that size keep when they are \
                 drawn by lot. Sure is the share of resampled sets of sources in which the target is kept.",
                100.0 * self.file.target
            ),
            columns: vec![
                Column::words("Language"),
                Column::numbers("n", "", Style::plain(0)),
                Column::numbers("gain of everybody", "scales", Style::signed(3)),
                Column::words("keep"),
                Column::numbers("kept", "%", Style::plain(1)).directed(Direction::HigherIsBetter),
                Column::numbers("by lot", "%", Style::plain(1)),
                Column::numbers("money", "%", Style::plain(1)).directed(Direction::LowerIsBetter),
                Column::numbers("sure", "%", Style::plain(0)),
            ],
            rows: self.file.advice.languages.iter().map(row).collect(),
        };
        Block::Table { table, origin: self.origin() }
    }

    fn teacher_table(&self) -> Block {
        let mut rows = Vec::new();
        for (language, own) in &self.file.advice.languages {
            for TeacherWorth { teacher, n_valid, mean, shapley, leave_one_out, usd } in &own.teachers {
                let estimate = |of| Cell::Estimate(to_estimate(of, 1.0, own.n));
                rows.push(Row::new(vec![
                    Words::from(name_of(language)).into(),
                    Words::from(teacher.as_str()).into(),
                    Cell::Count(*n_valid as u64),
                    estimate(mean),
                    estimate(shapley),
                    estimate(leave_one_out),
                    Cell::Number(1000.0 * usd),
                ]));
            }
        }
        let table = Table {
            caption: "What each teacher adds to the best reward of a prompt: its Shapley value, and what the whole \
                      pool loses without it. Two equal teachers lose nothing alone and share a Shapley value. Rewards \
                      on the scale of the language (median 0, spread 1)."
                .into(),
            columns: vec![
                Column::words("Language"),
                Column::words("teacher"),
                Column::numbers("valid", "", Style::plain(0)),
                Column::numbers("mean", "scales", Style::signed(3)).directed(Direction::HigherIsBetter),
                Column::numbers("Shapley value", "scales", Style::plain(3)).directed(Direction::HigherIsBetter),
                Column::numbers("leave one out", "scales", Style::plain(3)).directed(Direction::HigherIsBetter),
                Column::numbers("price of 1000", "USD", Style::plain(3)).directed(Direction::LowerIsBetter),
            ],
            rows,
        };
        Block::Table { table, origin: self.origin() }
    }
}
