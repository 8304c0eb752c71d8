//! Dots with intervals, one line per language and series, against a line of no difference.

use serde::Serialize;

use super::axis::{Axis, Frame};
use super::canvas::{Canvas, LINE, Label, colour, gutter, px, sentence, shorten};
use super::scale::{Scale, Spacing};
use crate::report::number::{Estimate, MISSING, Style, count};
use crate::report::table::{Cell, Column, Row, Table};
use crate::report::text::Words;

/// A forest plot: for every row one estimate of every series, with its interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forest {
    /// What is measured; the axis is linear.
    pub axis: Axis,
    /// How values are written beside the dots.
    pub style: Style,
    /// Where nothing changes; 0 for gains.
    pub reference: f64,
    /// The names of the series, in drawing order.
    pub series: Vec<String>,
    /// The rows, from top to bottom.
    pub rows: Vec<ForestRow>,
}

/// One row of a [`Forest`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ForestRow {
    /// What the row is about, a language's name mostly.
    pub label: Words,
    /// One estimate per series; none or not finite is missing and shown as `n/a`.
    pub estimates: Vec<Option<Estimate>>,
    /// Whether the row sums up the others; it is set apart by a rule.
    pub summary: bool,
}

/// Horizontal places that all rows share.
struct Columns {
    frame: Frame,
    scale: Scale,
    is_narrow: bool,
}

impl Forest {
    pub(crate) fn draw(&self, id: &str, width: f64) -> String {
        let mut canvas = Canvas::new(width);
        let legend_end = if self.series.len() > 1 { canvas.legend(&self.series, 0.0) } else { 0.0 };
        let top = legend_end + 4.0;
        let columns = self.columns(&canvas, top);
        canvas.height = columns.frame.x_axis(&mut canvas, &self.axis, &columns.scale);
        self.reference_line(&mut canvas, &columns);
        let mut y = top;
        for row in &self.rows {
            self.row(&mut canvas, &columns, (row, y));
            y += self.row_height();
        }
        canvas.finish(id, &self.axis.title, &self.description())
    }

    /// The same numbers in words and digits.
    pub(crate) fn numbers(&self) -> Table {
        let style = self.style;
        let estimates = self.series.iter().flat_map(|name| {
            let value = Column::numbers(name, "", style).directed(self.axis.direction);
            [value, Column::numbers("n", "", Style::plain(0))]
        });
        let columns = std::iter::once(Column::words("Row")).chain(estimates).collect();
        let rows = self.rows.iter().map(|row| {
            let cells = (0..self.series.len()).flat_map(|idx| {
                let estimate = row.estimate(idx);
                let n = estimate.map_or_else(|| Cell::Missing("not measured".to_owned()), |e| Cell::Count(e.n));
                [estimate.into(), n]
            });
            Row { cells: std::iter::once(row.label.clone().into()).chain(cells).collect(), summary: row.summary }
        });
        Table { caption: self.axis.title.clone(), columns, rows: rows.collect() }
    }

    fn columns(&self, canvas: &Canvas, top: f64) -> Columns {
        let is_narrow = canvas.is_narrow();
        let labels = self.rows.iter().map(|row| row.label.text.as_str());
        let left = gutter(labels, canvas.width * 0.3);
        let written: Vec<String> = self.present().map(|e| self.written(e, is_narrow)).collect();
        let right = gutter(written.iter().map(String::as_str).chain([MISSING]), canvas.width * 0.36);
        let bottom = top + self.row_height() * self.rows.len().max(1) as f64;
        let frame = Frame { left, right: canvas.width - right, top, bottom };
        let values = self.present().flat_map(Estimate::extent).chain([self.reference]);
        let scale = Scale::over(values, Spacing::Linear, (frame.left + 6.0, frame.right - 6.0));
        Columns { frame, scale, is_narrow }
    }

    fn present(&self) -> impl Iterator<Item = Estimate> {
        self.rows.iter().flat_map(|row| (0..self.series.len()).filter_map(|idx| row.estimate(idx)))
    }

    fn row_height(&self) -> f64 {
        self.series.len().max(1) as f64 * LINE + 10.0
    }

    fn reference_line(&self, canvas: &mut Canvas, columns: &Columns) {
        if let Some(x) = columns.scale.place(self.reference) {
            canvas.line("zero", (x, columns.frame.top), (x, columns.frame.bottom));
        }
    }

    fn row(&self, canvas: &mut Canvas, columns: &Columns, (row, top): (&ForestRow, f64)) {
        let middle = top + self.row_height() / 2.0;
        let rule = if row.summary { "axis" } else { "grid" };
        if top > columns.frame.top {
            canvas.line(rule, (0.0, top), (canvas.width, top));
        }
        let label = shorten(&row.label.text, columns.frame.left - 10.0);
        let weight = if row.summary { "strong" } else { "" };
        canvas.text((0.0, middle), &Label::start(&label).of(&row.label).class(weight));
        for idx in 0..self.series.len() {
            let y = top + 5.0 + (idx as f64 + 0.5) * LINE;
            match row.estimate(idx) {
                Some(estimate) => self.estimate(canvas, columns, (idx, estimate, y)),
                None => canvas.text((canvas.width, y), &Label::end(MISSING).class("tick")),
            }
        }
    }

    fn estimate(&self, canvas: &mut Canvas, columns: &Columns, (idx, estimate, y): (usize, Estimate, f64)) {
        let place = |value: f64| columns.scale.place(value);
        if let Some([Some(low), Some(high)]) = estimate.interval.map(|ends| ends.map(place)) {
            let (a, b, up, down) = (px(low), px(high), px(y - 3.0), px(y + 3.0));
            let steps = format!("M{a} {up}V{down}M{b} {up}V{down}M{a} {}H{b}", px(y));
            canvas.path(&format!("whisker {}", colour(idx)), &steps);
        }
        if let Some(x) = place(estimate.value) {
            canvas.mark(idx, (x, y));
        }
        let written = self.written(estimate, columns.is_narrow);
        canvas.text((canvas.width, y), &Label::end(&written).class("num"));
    }

    fn written(&self, estimate: Estimate, is_narrow: bool) -> String {
        let value = self.style.write(estimate.value);
        match estimate.interval {
            Some(ends) if !is_narrow => format!("{value} {}", self.style.write_interval(ends)),
            _ => value,
        }
    }

    fn description(&self) -> String {
        let write = |e: Estimate| format!("{}, n = {}", self.written(e, false), count(e.n));
        let rows = self.rows.iter().map(|row| {
            let values = (0..self.series.len()).map(|idx| row.estimate(idx).map(write));
            sentence(&row.label.text, self.series.iter().zip(values))
        });
        rows.collect::<Vec<_>>().join(" ")
    }
}

impl ForestRow {
    fn estimate(&self, series_idx: usize) -> Option<Estimate> {
        self.estimates.get(series_idx).copied().flatten().and_then(Estimate::finite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::number::Direction;

    fn forest(rows: Vec<ForestRow>) -> Forest {
        let axis = Axis::linear("gain, points", Direction::HigherIsBetter);
        let series = vec!["fixed".to_owned(), "reward".to_owned()];
        Forest { axis, style: Style::signed(1), reference: 0.0, series, rows }
    }

    fn row(values: [f64; 2]) -> ForestRow {
        let estimate = |value: f64| Some(Estimate { value, interval: Some([value - 1.0, value + 1.0]), n: 40 });
        ForestRow { label: "ar".into(), estimates: values.map(estimate).to_vec(), summary: false }
    }

    #[test]
    fn every_estimate_has_a_dot_an_interval_and_its_digits() {
        let svg = forest(vec![row([2.0, -3.0])]).draw("f", 720.0);
        assert_eq!(svg.matches("class=\"whisker").count(), 2);
        assert!(svg.contains("+2.0 [+1.0, +3.0]") && svg.contains("−3.0 [−4.0, −2.0]"), "{svg}");
        assert!(svg.contains("fixed +2.0 [+1.0, +3.0], n = 40"), "the description says n");
        assert!(svg.contains(r#"class="zero""#));
    }

    #[test]
    fn missing_is_said_and_not_drawn_at_zero() {
        let svg =
            forest(vec![row([f64::NAN, 1.0]), ForestRow { estimates: vec![], ..row([0.0, 0.0]) }]).draw("f", 328.0);
        assert_eq!(svg.matches(">n/a</text>").count(), 3);
        assert_eq!(svg.matches("class=\"whisker").count(), 1);
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn no_rows_and_huge_values_still_draw() {
        for svg in [forest(vec![]).draw("f", 720.0), forest(vec![row([-1e12, 1e300])]).draw("f", 328.0)] {
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
