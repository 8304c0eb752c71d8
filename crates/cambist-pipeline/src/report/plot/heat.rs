//! A heat map with its numbers in the cells.

use serde::Serialize;

use super::canvas::{Canvas, Label, gutter, px, sentence, shorten, text_width};
use crate::report::number::{Direction, MISSING, Style};
use crate::report::table::{Cell, Column, Row, Table};
use crate::report::text::Words;

/// A matrix of values, rows by columns, such as language by teacher.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Heat {
    /// What is measured, with its unit in words.
    pub title: String,
    /// How values are written in the cells.
    pub style: Style,
    /// Which way is better; the best cell of each row is outlined, all of them when several are equal.
    pub direction: Direction,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, from top to bottom.
    pub rows: Vec<HeatRow>,
}

/// One row of a [`Heat`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeatRow {
    /// What the row is about, a language's name mostly.
    pub label: Words,
    /// One value per column; none or not finite is missing: hatched, and `n/a` in words.
    pub values: Vec<Option<f64>>,
}

const HIGH: f64 = 26.0;
const LEAST_WIDE: f64 = 46.0;
const MOST_WIDE: f64 = 96.0;

impl Heat {
    pub(crate) fn draw(&self, id: &str, width: f64) -> String {
        let left = gutter(self.rows.iter().map(|row| row.label.text.as_str()), width * 0.3);
        let widest = self.present().map(|value| text_width(&self.style.write(value))).fold(0.0, f64::max) + 14.0;
        let n_columns = self.columns.len().max(1) as f64;
        let least = LEAST_WIDE.max(widest);
        let wide = ((width - left) / n_columns).floor().clamp(least, MOST_WIDE.max(widest));
        // Many columns make the drawing wider than asked for: its box scrolls.
        let grid_end = left + wide * n_columns;
        let mut canvas = Canvas::new(width);
        let top = self.headings(&mut canvas, left, wide) + 6.0;
        canvas.width = canvas.width.max(grid_end + 1.0);
        for (idx, row) in self.rows.iter().enumerate() {
            self.row(&mut canvas, row, (left, top + idx as f64 * HIGH, wide));
        }
        canvas.height = top + HIGH * self.rows.len().max(1) as f64 + 4.0;
        if self.best_is_marked() {
            let y = canvas.height + 10.0;
            let best = format!("best of the row ({})", self.direction.words());
            canvas.push(&format!(
                r#"<rect class="best" x="{}" y="{}" width="18" height="12"/>"#,
                px(left + 1.0),
                px(y - 6.0)
            ));
            canvas.text((left + 26.0, y), &Label::start(&best).class("muted"));
            canvas.height += 22.0;
        }
        canvas.finish(id, &self.title, &self.description())
    }

    /// The same numbers as a table.
    pub(crate) fn numbers(&self) -> Table {
        let columns = self.columns.iter().map(|name| Column::numbers(name, "", self.style).directed(self.direction));
        let rows = self.rows.iter().map(|row| {
            let cells = (0..self.columns.len())
                .map(|idx| row.value(idx).map_or_else(|| Cell::Missing("not measured".to_owned()), Cell::Number));
            Row::new(std::iter::once(row.label.clone().into()).chain(cells).collect())
        });
        Table {
            caption: self.title.clone(),
            columns: std::iter::once(Column::words("Row")).chain(columns).collect(),
            rows: rows.collect(),
        }
    }

    /// Writes the column names above the grid, slanted when one is wider than a cell; returns where they end.
    fn headings(&self, canvas: &mut Canvas, left: f64, wide: f64) -> f64 {
        let widest = self.columns.iter().map(|name| text_width(name)).fold(0.0, f64::max);
        if widest <= wide - 4.0 {
            for (idx, name) in self.columns.iter().enumerate() {
                canvas.text((left + (idx as f64 + 0.5) * wide, 8.0), &Label::middle(name));
            }
            return 16.0;
        }
        // Slanted names lean out to the right; where that does not fit, they stand upright.
        let longest = widest.min(150.0);
        let last = left + (self.columns.len() as f64 - 0.5) * wide;
        let leans = last + 0.81 * longest + 10.0 <= canvas.width;
        let (turn, height) = if leans { (-36, longest * 0.6 + 14.0) } else { (-90, longest + 8.0) };
        for (idx, name) in self.columns.iter().enumerate() {
            let (x, name) = (left + (idx as f64 + 0.5) * wide, shorten(name, longest));
            canvas.push(&format!(r#"<g transform="translate({} {}) rotate({turn})">"#, px(x), px(height - 4.0)));
            canvas.text((0.0, 0.0), &Label::start(&name));
            canvas.push("</g>");
        }
        height
    }

    fn row(&self, canvas: &mut Canvas, row: &HeatRow, (left, top, wide): (f64, f64, f64)) {
        let middle = top + HIGH / 2.0;
        let label = shorten(&row.label.text, left - 10.0);
        canvas.text((0.0, middle), &Label::start(&label).of(&row.label));
        let best = self.best(row);
        for idx in 0..self.columns.len() {
            let x = left + idx as f64 * wide;
            let value = row.value(idx);
            let is_best = value.is_some() && value == best;
            match value {
                Some(value) => self.cell(canvas, (value, is_best), (x, top, wide)),
                None => canvas.path("hatching", &hatching((x + 0.5, top + 0.5), (wide - 2.0, HIGH - 2.0))),
            }
            let written = value.map_or(MISSING.to_owned(), |value| self.style.write(value));
            let class = match value {
                None => "tick halo",
                Some(_) if is_best => "num strong",
                Some(_) => "num",
            };
            canvas.text((x + wide / 2.0, middle), &Label::middle(&written).class(class));
        }
    }

    fn cell(&self, canvas: &mut Canvas, (value, is_best): (f64, bool), (left, top, wide): (f64, f64, f64)) {
        let (x, y, wide, high) = (px(left + 0.5), px(top + 0.5), px(wide - 2.0), px(HIGH - 2.0));
        let (best, depth) = (if is_best { " best" } else { "" }, self.depth(value));
        canvas.push(&format!(
            r#"<rect class="cell{best}" style="--x:{depth:.0}%" x="{x}" y="{y}" width="{wide}" height="{high}"/>"#
        ));
    }

    fn present(&self) -> impl Iterator<Item = f64> {
        self.rows.iter().flat_map(|row| (0..self.columns.len()).filter_map(|idx| row.value(idx)))
    }

    /// How deep the colour is, 4 to 100 per cent between the least and the largest value.
    fn depth(&self, value: f64) -> f64 {
        let (low, high) = self.present().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let span = high / 2.0 - low / 2.0;
        if span > 0.0 { 4.0 + 96.0 * ((value / 2.0 - low / 2.0) / span) } else { 50.0 }
    }

    fn best(&self, row: &HeatRow) -> Option<f64> {
        if !self.best_is_marked() {
            return None;
        }
        let present = (0..self.columns.len()).filter_map(|idx| row.value(idx));
        present.reduce(|best, value| if self.direction.prefers(value, best) { value } else { best })
    }

    fn best_is_marked(&self) -> bool {
        self.direction != Direction::Neutral && self.columns.len() > 1 && !self.rows.is_empty()
    }

    fn description(&self) -> String {
        let write = |value: f64| self.style.write(value);
        let rows = self.rows.iter().map(|row| {
            let values = (0..self.columns.len()).map(|idx| row.value(idx).map(write));
            sentence(&row.label.text, self.columns.iter().zip(values))
        });
        rows.collect::<Vec<_>>().join(" ")
    }
}

impl HeatRow {
    fn value(&self, column_idx: usize) -> Option<f64> {
        self.values.get(column_idx).copied().flatten().filter(|value| value.is_finite())
    }
}

/// Slanted lines that fill a rectangle.
fn hatching((left, top): (f64, f64), (wide, high): (f64, f64)) -> String {
    const APART: f64 = 6.0;
    let n_lines = ((wide + high) / APART) as usize;
    let lines = (1..=n_lines).map(|n| {
        let along = n as f64 * APART;
        let (x1, y1) = (left + (along - high).max(0.0), top + along.min(high));
        let (x2, y2) = (left + along.min(wide), top + (along - wide).max(0.0));
        format!("M{} {}L{} {}", px(x1), px(y1), px(x2), px(y2))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heat(direction: Direction, rows: Vec<Vec<Option<f64>>>) -> Heat {
        let columns = ["multi", "east"].map(str::to_owned).to_vec();
        let rows = rows.into_iter().map(|values| HeatRow { label: "zh".into(), values }).collect();
        Heat { title: "accuracy, %".to_owned(), style: Style::plain(0), direction, columns, rows }
    }

    #[test]
    fn the_best_of_each_row_is_outlined_by_direction() {
        let rows = vec![vec![Some(10.0), Some(30.0)], vec![Some(5.0), Some(5.0)]];
        let count = |direction| heat(direction, rows.clone()).draw("h", 720.0).matches("class=\"cell best\"").count();
        assert_eq!(count(Direction::HigherIsBetter), 3, "one, and both of a tie");
        assert_eq!(count(Direction::Neutral), 0);
        let low = heat(Direction::LowerIsBetter, rows).draw("h", 720.0);
        assert!(low.contains(r#"class="num strong">10<"#) && !low.contains(r#"class="num strong">30<"#));
    }

    #[test]
    fn missing_cells_are_hatched_and_said() {
        let svg = heat(Direction::HigherIsBetter, vec![vec![None, Some(f64::NAN)], vec![Some(1.0)]]).draw("h", 328.0);
        assert_eq!(svg.matches("class=\"hatching\"").count(), 3);
        assert_eq!(svg.matches(">n/a</text>").count(), 3);
    }

    #[test]
    fn no_rows_equal_and_huge_values_have_colours() {
        for rows in [vec![], vec![vec![Some(3.0), Some(3.0)]], vec![vec![Some(f64::MAX), Some(f64::MIN)]]] {
            let svg = heat(Direction::HigherIsBetter, rows).draw("h", 720.0);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
