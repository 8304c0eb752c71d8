//! Horizontal bars: parts stacked to a whole, or values side by side.

use serde::Serialize;

use super::axis::{Axis, Frame};
use super::canvas::{Canvas, LINE, Label, colour, gutter, px, sentence, shorten, text_width};
use super::scale::Scale;
use crate::report::number::{MISSING, Style};
use crate::report::table::{Cell, Column, Row, Table};
use crate::report::text::Words;

/// Bars of several series for each row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bars {
    /// What is measured.
    pub axis: Axis,
    /// How values are written.
    pub style: Style,
    /// How the bars of one row stand to each other.
    pub arrangement: Arrangement,
    /// The names of the series, in drawing order.
    pub series: Vec<String>,
    /// The rows, from top to bottom.
    pub rows: Vec<BarRow>,
}

/// How the bars of one row stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrangement {
    /// End to end, each as its share of the row's sum in per cent; negative and missing values have no part.
    Shares,
    /// One below the other, from zero.
    Grouped,
}

/// One row of [`Bars`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BarRow {
    /// What the row is about, a language's name mostly.
    pub label: Words,
    /// One value per series; none or not finite is missing.
    pub values: Vec<Option<f64>>,
}

const THICK: f64 = 20.0;

impl Bars {
    pub(crate) fn draw(&self, id: &str, width: f64) -> String {
        let mut canvas = Canvas::new(width);
        let top = match self.arrangement {
            Arrangement::Shares => self.keyed_legend(&mut canvas),
            Arrangement::Grouped => canvas.legend(&self.series, 0.0),
        } + 4.0;
        let left = gutter(self.rows.iter().map(|row| row.label.text.as_str()), width * 0.32);
        let bottom = top + self.row_height() * self.rows.len().max(1) as f64;
        let frame = Frame { left, right: width - self.right_gutter(), top, bottom };
        let scale = self.scale(&frame);
        canvas.height = frame.x_axis(&mut canvas, &self.axis, &scale);
        for (idx, row) in self.rows.iter().enumerate() {
            let y = top + idx as f64 * self.row_height();
            let label = shorten(&row.label.text, left - 10.0);
            canvas.text((0.0, y + self.row_height() / 2.0), &Label::start(&label).of(&row.label));
            match self.arrangement {
                Arrangement::Shares => self.stack(&mut canvas, &scale, (row, y)),
                Arrangement::Grouped => self.group(&mut canvas, &scale, (row, y)),
            }
        }
        canvas.finish(id, &self.axis.title, &self.description())
    }

    /// The same numbers in words and digits.
    pub(crate) fn numbers(&self) -> Table {
        let series = self.series.iter().map(|name| Column::numbers(name, "", self.style).directed(self.axis.direction));
        let columns = std::iter::once(Column::words("Row")).chain(series).collect();
        let rows = self.rows.iter().map(|row| {
            let shares = row.shares();
            let cells = (0..self.series.len()).map(|idx| match (self.arrangement, row.value(idx)) {
                (Arrangement::Shares, Some(_)) => Cell::Share(shares.get(idx).copied().unwrap_or(f64::NAN)),
                (_, Some(value)) => Cell::Number(value),
                (_, None) => Cell::Missing("not measured".to_owned()),
            });
            Row::new(std::iter::once(row.label.clone().into()).chain(cells).collect())
        });
        Table { caption: self.axis.title.clone(), columns, rows: rows.collect() }
    }

    fn row_height(&self) -> f64 {
        match self.arrangement {
            Arrangement::Shares => THICK + 8.0,
            Arrangement::Grouped => self.series.len().max(1) as f64 * LINE + 10.0,
        }
    }

    fn right_gutter(&self) -> f64 {
        match self.arrangement {
            Arrangement::Shares => 14.0,
            Arrangement::Grouped => {
                let values = self.rows.iter().flat_map(|row| row.values.iter().flatten());
                values.map(|value| text_width(&self.style.write(*value))).fold(text_width(MISSING), f64::max) + 10.0
            }
        }
    }

    fn scale(&self, frame: &Frame) -> Scale {
        let ends = (frame.left, frame.right);
        match self.arrangement {
            Arrangement::Shares => Scale::exact((0.0, 100.0), ends),
            Arrangement::Grouped => {
                let values = self.rows.iter().flat_map(|row| row.values.iter().flatten().copied());
                Scale::from_zero(values, ends)
            }
        }
    }

    /// Series of a stack are told apart by letters: in the legend, and on every part that has room.
    fn keyed_legend(&self, canvas: &mut Canvas) -> f64 {
        let (mut x, mut y) = (0.0, LINE / 2.0);
        for (idx, name) in self.series.iter().enumerate() {
            let name = shorten(name, canvas.width - 26.0);
            let wide = 22.0 + text_width(&name);
            if x > 0.0 && x + wide > canvas.width {
                (x, y) = (0.0, y + LINE + 4.0);
            }
            part(canvas, idx, (x, x + 16.0, y - 8.0, 16.0));
            canvas.text((x + 8.0, y), &Label::middle(&key(idx)).class("key"));
            canvas.text((x + 22.0, y), &Label::start(&name));
            x += wide + 16.0;
        }
        y + LINE / 2.0 + 8.0
    }

    fn stack(&self, canvas: &mut Canvas, scale: &Scale, (row, top): (&BarRow, f64)) {
        let (mut sum, y) = (0.0, top + 4.0);
        let shares = row.shares();
        if shares.is_empty() {
            let start = scale.place(0.0).unwrap_or_default();
            canvas.text((start + 6.0, y + THICK / 2.0), &Label::start(MISSING).class("tick"));
        }
        for (idx, share) in shares.into_iter().enumerate() {
            let ends = (scale.place(100.0 * sum), scale.place(100.0 * (sum + share)));
            sum += share;
            if let (Some(start), Some(end)) = ends
                && share > 0.0
            {
                part(canvas, idx, (start, end, y, THICK));
                self.part_label(canvas, (idx, share), (start, end, y + THICK / 2.0));
            }
        }
    }

    /// Writes the key and the per cent on a part, or the key alone, as far as there is room.
    fn part_label(&self, canvas: &mut Canvas, (idx, share): (usize, f64), (start, end, y): (f64, f64, f64)) {
        let full = format!("{} {}", key(idx), Style::plain(0).write(100.0 * share));
        let fitting = [full, key(idx)].into_iter().find(|text| text_width(text) + 3.0 <= end - start);
        if let Some(text) = fitting {
            canvas.text((0.5 * (start + end), y), &Label::middle(&text).class("key"));
        }
    }

    fn group(&self, canvas: &mut Canvas, scale: &Scale, (row, top): (&BarRow, f64)) {
        let zero = scale.place(0.0).unwrap_or_default();
        for idx in 0..self.series.len() {
            let y = top + 5.0 + idx as f64 * LINE;
            let value = row.value(idx);
            let end = value.and_then(|value| scale.place(value)).unwrap_or(zero);
            if value.is_some() {
                part(canvas, idx, (zero.min(end), zero.max(end), y + 2.0, LINE - 4.0));
            }
            let written = value.map_or(MISSING.to_owned(), |value| self.style.write(value));
            let class = if value.is_some() { "num" } else { "tick" };
            // Values below zero are written past zero, where no bar of their own stands.
            canvas.text((zero.max(end) + 9.0, y + LINE / 2.0), &Label::start(&written).class(class));
            if value.is_some() {
                canvas.mark(idx, (end, y + LINE / 2.0));
            }
        }
        canvas.line("zero", (zero, top), (zero, top + self.row_height()));
    }

    fn description(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let shares = row.shares();
            let values = (0..self.series.len()).map(|idx| match self.arrangement {
                Arrangement::Shares => shares.get(idx).map(|s| Style::plain(1).write(100.0 * s) + "\u{202f}%"),
                Arrangement::Grouped => row.value(idx).map(|value| self.style.write(value)),
            });
            sentence(&row.label.text, self.series.iter().zip(values))
        });
        rows.collect::<Vec<_>>().join(" ")
    }
}

impl BarRow {
    fn value(&self, series_idx: usize) -> Option<f64> {
        self.values.get(series_idx).copied().flatten().filter(|value| value.is_finite())
    }

    /// Each value's part of the row's sum; empty when nothing is positive.
    fn shares(&self) -> Vec<f64> {
        let parts: Vec<f64> = (0..self.values.len()).map(|idx| self.value(idx).unwrap_or(0.0).max(0.0)).collect();
        let largest = parts.iter().copied().fold(0.0, f64::max);
        if largest <= 0.0 {
            return Vec::new();
        }
        // Divided by the largest first: the sum of huge parts is finite.
        let sum: f64 = parts.iter().map(|part| part / largest).sum();
        parts.iter().map(|part| part / largest / sum).collect()
    }
}

/// One bar, with a hair of paper between it and the next.
fn part(canvas: &mut Canvas, idx: usize, (start, end, top, height): (f64, f64, f64, f64)) {
    let (x, wide) = (px(start), px((end - start - 1.0).max(0.5)));
    let (y, high) = (px(top), px(height));
    let class = colour(idx);
    canvas.push(&format!(r#"<rect class="part {class}" x="{x}" y="{y}" width="{wide}" height="{high}"/>"#));
}

/// The letter of a series: A to Z, then numbers.
fn key(idx: usize) -> String {
    match u8::try_from(idx) {
        Ok(n) if n < 26 => char::from(b'A' + n).to_string(),
        _ => (idx + 1).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::number::Direction;

    fn bars(arrangement: Arrangement, values: Vec<Option<f64>>) -> Bars {
        let axis = Axis::linear("share of prompts, %", Direction::Neutral);
        let series = ["multi", "east", "mono"].map(str::to_owned).to_vec();
        let rows = vec![BarRow { label: "日本語".into(), values }];
        Bars { axis, style: Style::plain(1), arrangement, series, rows }
    }

    #[test]
    fn shares_are_of_the_sum_and_keyed() {
        let svg = bars(Arrangement::Shares, vec![Some(30.0), Some(10.0), Some(0.0)]).draw("b", 720.0);
        assert!(svg.contains(">A 75</text>") && svg.contains(">B 25</text>"), "{svg}");
        assert!(svg.contains("mono 0.0\u{202f}%"));
        assert_eq!(svg.matches("<rect").count(), 3 + 2, "three keys, two parts");
    }

    #[test]
    fn nothing_to_share_is_missing() {
        for values in [vec![], vec![Some(0.0)], vec![None, Some(f64::NAN), Some(-3.0)]] {
            let svg = bars(Arrangement::Shares, values).draw("b", 328.0);
            assert!(svg.contains(">n/a</text>") && !svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn huge_parts_still_sum_to_one() {
        let row = BarRow { label: "x".into(), values: vec![Some(f64::MAX), Some(f64::MAX)] };
        assert_eq!(row.shares(), [0.5, 0.5]);
    }

    #[test]
    fn grouped_bars_write_every_value() {
        let svg = bars(Arrangement::Grouped, vec![Some(-4.0), None, Some(2.5)]).draw("b", 720.0);
        assert!(svg.contains("−4.0</text>") && svg.contains("2.5</text>") && svg.contains(">n/a</text>"), "{svg}");
    }

    #[test]
    fn keys_go_on_after_z() {
        assert_eq!([key(0), key(25), key(26)], ["A", "Z", "27"]);
    }
}
