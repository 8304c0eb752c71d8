//! Plots as pure functions from numbers to SVG.
//!
//! Each plot is drawn for a wide and for a narrow screen, at one CSS pixel per unit, so that its text is never scaled
//! down; the page shows the one that fits. Series differ by shape as well as colour, and every plot can give its
//! numbers as a table.

mod axis;
mod canvas;
mod labels;
mod scale;

mod bars;
mod curve;
mod forest;
mod heat;
mod scatter;

use serde::Serialize;

pub use axis::Axis;
pub use bars::{Arrangement, BarRow, Bars};
pub use curve::{Curve, Line};
pub use forest::{Forest, ForestRow};
pub use heat::{Heat, HeatRow};
pub use scale::Spacing;
pub use scatter::{Point, Scatter};

use super::table::Table;

/// A picture of numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plot {
    /// Dots with intervals against a line of no difference.
    Forest(Forest),
    /// Bars, stacked to shares or grouped.
    Bars(Bars),
    /// A matrix with numbers in the cells.
    Heat(Heat),
    /// Lines over steps.
    Curve(Curve),
    /// Cost against worth.
    Scatter(Scatter),
}

/// Widths of the two drawings in CSS pixels: a text column, and a screen of 360 px less its margins.
const WIDE: f64 = 720.0;
const NARROW: f64 = 328.0;

impl Plot {
    /// Returns both drawings, or a word where there is nothing to draw; `id` is unique in the page.
    pub(crate) fn html(&self, id: &str) -> String {
        let numbers = self.numbers();
        if numbers.rows.is_empty() || numbers.columns.len() < 2 {
            return r#"<p class="none">nothing to draw</p>"#.to_owned();
        }
        let (wide, narrow) = (self.draw(&format!("{id}-w"), WIDE), self.draw(&format!("{id}-s"), NARROW));
        format!(r#"<div class="wide">{wide}</div><div class="narrow">{narrow}</div>"#)
    }

    /// Returns one drawing of about `width` pixels; `id` is unique in the page.
    pub fn draw(&self, id: &str, width: f64) -> String {
        match self {
            Self::Forest(plot) => plot.draw(id, width),
            Self::Bars(plot) => plot.draw(id, width),
            Self::Heat(plot) => plot.draw(id, width),
            Self::Curve(plot) => plot.draw(id, width),
            Self::Scatter(plot) => plot.draw(id, width),
        }
    }

    /// Returns the numbers of the plot as a table.
    pub fn numbers(&self) -> Table {
        match self {
            Self::Forest(plot) => plot.numbers(),
            Self::Bars(plot) => plot.numbers(),
            Self::Heat(plot) => plot.numbers(),
            Self::Curve(plot) => plot.numbers(),
            Self::Scatter(plot) => plot.numbers(),
        }
    }
}
