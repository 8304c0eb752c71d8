//! Axes drawn: grid lines, tick labels, what is measured and which way is better.

use serde::Serialize;

use super::canvas::{Canvas, LINE, Label, shorten, text_width};
use super::scale::{Scale, Spacing};
use crate::report::number::Direction;

/// What an axis measures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Axis {
    /// What is measured, with its unit in words: `accuracy, %`.
    pub title: String,
    /// How the axis is divided.
    pub spacing: Spacing,
    /// Which way is better.
    pub direction: Direction,
}

impl Axis {
    /// A linear axis.
    pub fn linear(title: impl Into<String>, direction: Direction) -> Self {
        Self { title: title.into(), spacing: Spacing::Linear, direction }
    }

    /// A logarithmic axis: values that are not positive are missing.
    pub fn log(title: impl Into<String>, direction: Direction) -> Self {
        Self { title: title.into(), spacing: Spacing::Log, direction }
    }

    /// Returns how much room a vertical axis needs above its frame.
    pub(crate) fn room_above(&self, width: f64) -> f64 {
        12.0 + LINE * self.title_lines(width).len() as f64
    }

    /// Returns the title with the better side named, in lines of at most `width`.
    fn title_lines(&self, width: f64) -> Vec<String> {
        let better = match self.direction {
            Direction::Neutral => String::new(),
            direction => format!(" ({})", direction.words()),
        };
        let mut lines: Vec<String> = Vec::new();
        for word in format!("{}{better}", self.title).split_whitespace() {
            match lines.last_mut() {
                Some(line) if text_width(line) + text_width(word) + 8.0 <= width => *line = format!("{line} {word}"),
                _ => lines.push(shorten(word, width)),
            }
        }
        lines
    }
}

/// The rectangle that data are drawn in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
}

impl Frame {
    /// Draws the horizontal axis below the frame with vertical grid lines; returns where the drawing then ends.
    pub(crate) fn x_axis(&self, canvas: &mut Canvas, axis: &Axis, scale: &Scale) -> f64 {
        let target = ((self.right - self.left) / 70.0).clamp(2.0, 9.0) as usize;
        let mut free_from = f64::NEG_INFINITY;
        for tick in scale.ticks(target) {
            canvas.line("grid", (tick.at, self.top), (tick.at, self.bottom));
            let half = text_width(&tick.label) / 2.0;
            let at = tick.at.clamp(half, canvas.width - half);
            if at - half > free_from {
                canvas.text((at, self.bottom + 12.0), &Label::middle(&tick.label).class("tick"));
                free_from = at + half + 4.0;
            }
        }
        canvas.line("axis", (self.left, self.bottom), (self.right, self.bottom));
        let lines = axis.title_lines(canvas.width);
        let half = lines.iter().map(|line| text_width(line)).fold(0.0, f64::max) / 2.0;
        let middle = (0.5 * (self.left + self.right)).min(canvas.width - half).max(half);
        for (idx, line) in lines.iter().enumerate() {
            canvas.text((middle, self.bottom + 30.0 + LINE * idx as f64), &Label::middle(line).class("muted"));
        }
        self.bottom + 24.0 + LINE * lines.len() as f64
    }

    /// Draws the vertical axis left of the frame with horizontal grid lines, its title above.
    pub(crate) fn y_axis(&self, canvas: &mut Canvas, axis: &Axis, scale: &Scale) {
        for tick in scale.ticks(5) {
            canvas.line("grid", (self.left, tick.at), (self.right, tick.at));
            canvas.text((self.left - 6.0, tick.at), &Label::end(&tick.label).class("tick"));
        }
        let lines = axis.title_lines(canvas.width);
        for (idx, line) in lines.iter().rev().enumerate() {
            let y = self.top - 16.0 - LINE * idx as f64;
            canvas.text((0.0, y), &Label::start(line).class("muted"));
        }
    }
}

/// Returns how much room the tick labels of a vertical axis need.
pub(crate) fn y_gutter(scale: &Scale) -> f64 {
    scale.ticks(5).iter().map(|tick| text_width(&tick.label)).fold(12.0, f64::max) + 8.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_titles_break_between_words() {
        let axis = Axis::linear("gain over the best single teacher, points", Direction::HigherIsBetter);
        assert_eq!(axis.title_lines(720.0), ["gain over the best single teacher, points (higher is better)"]);
        let narrow = axis.title_lines(200.0);
        assert!(narrow.len() > 1 && narrow.iter().all(|line| text_width(line) <= 200.0), "{narrow:?}");
        assert_eq!(narrow.join(" "), axis.title_lines(720.0).concat());
    }
}
