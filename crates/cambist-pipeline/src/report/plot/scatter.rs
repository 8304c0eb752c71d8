//! Points of cost against worth, each with its name.

use serde::Serialize;

use super::axis::{Axis, Frame, y_gutter};
use super::canvas::{Canvas, Label, colour, px, shorten, text_width};
use super::labels::{Area, settle};
use super::scale::Scale;
use crate::report::number::{Direction, Estimate, Style};
use crate::report::table::{Cell, Column, Row, Table};

/// Named points on two axes, with intervals along y.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scatter {
    /// The horizontal axis, cost mostly.
    pub x: Axis,
    /// The vertical axis, reward or accuracy mostly.
    pub y: Axis,
    /// How values of `x` are written.
    pub x_style: Style,
    /// How values of `y` are written.
    pub y_style: Style,
    /// The points; their marks follow this order.
    pub points: Vec<Point>,
}

/// One point of a [`Scatter`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Its name, written beside it.
    pub name: String,
    /// Its place along x; a point that has none (not finite, not positive on a log axis) is only in the table.
    pub x: f64,
    /// Its place along y.
    pub y: Estimate,
}

const HEIGHT: f64 = 280.0;

impl Scatter {
    pub(crate) fn draw(&self, id: &str, width: f64) -> String {
        let mut canvas = Canvas::new(width);
        let top = self.y.room_above(width);
        let frame = Frame { left: 0.0, right: width - 10.0, top, bottom: top + HEIGHT };
        let (_, y) = self.scales(&frame);
        let frame = Frame { left: y_gutter(&y), ..frame };
        let (x, y) = self.scales(&frame);
        frame.y_axis(&mut canvas, &self.y, &y);
        canvas.height = frame.x_axis(&mut canvas, &self.x, &x);
        let places: Vec<_> = self.points.iter().map(|point| point.place((&x, &y))).collect();
        self.frontier(&mut canvas, &places);
        for (idx, at) in places.iter().enumerate() {
            if let Some(at) = at {
                self.point(&mut canvas, idx, (*at, &y));
            }
        }
        self.names(&mut canvas, &frame, (&places, &y));
        canvas.finish(id, &format!("{} against {}", self.y.title, self.x.title), &self.description())
    }

    /// The same numbers in digits.
    pub(crate) fn numbers(&self) -> Table {
        let columns = vec![
            Column::words("Point"),
            Column::numbers(&self.x.title, "", self.x_style).directed(self.x.direction),
            Column::numbers(&self.y.title, "", self.y_style).directed(self.y.direction),
            Column::numbers("n", "", Style::plain(0)),
        ];
        let rows = self.points.iter().map(|point| {
            let name = Cell::Words(point.name.clone().into());
            Row::new(vec![name, Cell::Number(point.x), Cell::Estimate(point.y), Cell::Count(point.y.n)])
        });
        Table { caption: format!("{} against {}", self.y.title, self.x.title), columns, rows: rows.collect() }
    }

    fn scales(&self, frame: &Frame) -> (Scale, Scale) {
        let along_x = self.points.iter().map(|point| point.x);
        let along_y = self.points.iter().flat_map(|point| point.y.extent());
        let x = Scale::over(along_x, self.x.spacing, (frame.left + 8.0, frame.right - 8.0));
        let y = Scale::over(along_y, self.y.spacing, (frame.bottom - 8.0, frame.top + 8.0));
        (x, y)
    }

    fn point(&self, canvas: &mut Canvas, idx: usize, ((x, y), scale): ((f64, f64), &Scale)) {
        if let Some((high, low)) = self.points.get(idx).and_then(|point| point.whisker(scale)) {
            let (left, right, middle) = (px(x - 3.0), px(x + 3.0), px(x));
            let (high, low) = (px(high), px(low));
            let steps = format!("M{left} {high}H{right}M{left} {low}H{right}M{middle} {high}V{low}");
            canvas.path(&format!("whisker {}", colour(idx)), &steps);
        }
        canvas.mark(idx, (x, y));
    }

    /// Joins the points that no other point beats on both axes; there is none where an axis has no better side.
    fn frontier(&self, canvas: &mut Canvas, places: &[Option<(f64, f64)>]) {
        let beats = |a: &Point, b: &Point| {
            let (x, y) = (self.x.direction, self.y.direction);
            (x.prefers(a.x, b.x) && !y.prefers(b.y.value, a.y.value))
                || (y.prefers(a.y.value, b.y.value) && !x.prefers(b.x, a.x))
        };
        if self.x.direction == Direction::Neutral || self.y.direction == Direction::Neutral {
            return;
        }
        let drawn = || self.points.iter().zip(places).filter_map(|(point, at)| at.map(|at| (point, at)));
        let unbeaten = drawn().filter(|(point, _)| !drawn().any(|(other, _)| beats(other, point)));
        let mut corners: Vec<(f64, f64)> = unbeaten.map(|(_, at)| at).collect();
        corners.sort_by(|a, b| a.0.total_cmp(&b.0));
        if corners.len() > 1 {
            let steps: Vec<String> = corners.iter().map(|(x, y)| format!("{} {}", px(*x), px(*y))).collect();
            canvas.path("frontier", &format!("M{}", steps.join("L")));
        }
    }

    fn names(&self, canvas: &mut Canvas, frame: &Frame, (places, scale): (&[Option<(f64, f64)>], &Scale)) {
        let bounds = Area { left: frame.left, top: frame.top, right: canvas.width, bottom: frame.bottom };
        let marks = places.iter().zip(&self.points).filter_map(|(at, point)| {
            let (x, y) = (*at)?;
            let (high, low) = point.whisker(scale).unwrap_or((y, y));
            let whisker = Area { left: x - 4.0, top: high, right: x + 4.0, bottom: low };
            Some([Area { left: x - 6.0, top: y - 6.0, right: x + 6.0, bottom: y + 6.0 }, whisker])
        });
        let mut taken: Vec<Area> = marks.flatten().collect();
        for (idx, (point, at)) in self.points.iter().zip(places).enumerate() {
            let Some(at) = *at else { continue };
            let name = shorten(&point.name, (frame.right - frame.left) * 0.6);
            let area = settle(at, (text_width(&name) + 2.0, 15.0), (&taken, &bounds));
            let middle = 0.5 * (area.top + area.bottom);
            let near = (at.0.clamp(area.left, area.right), at.1.clamp(area.top + 3.0, area.bottom - 3.0));
            if (near.0 - at.0).hypot(near.1 - at.1) > 13.0 {
                canvas.line(&format!("leader {}", colour(idx)), at, near);
            }
            // A name left of its point ends there, whatever its true width.
            let (x, label) = match area.right < at.0 {
                true => (area.right - 1.0, Label::end(&name)),
                false => (area.left + 1.0, Label::start(&name)),
            };
            canvas.text((x, middle), &label.class("halo"));
            taken.push(area);
        }
    }

    fn description(&self) -> String {
        let points = self.points.iter().map(|point| {
            let interval = point.y.interval.map(|ends| self.y_style.write_interval(ends)).unwrap_or_default();
            let (x, y) = (self.x_style.write(point.x), self.y_style.write(point.y.value));
            format!("{}: {} {x}, {} {y} {interval}, n = {}.", point.name, self.x.title, self.y.title, point.y.n)
        });
        points.collect::<Vec<_>>().join(" ")
    }
}

impl Point {
    fn place(&self, (x, y): (&Scale, &Scale)) -> Option<(f64, f64)> {
        Some((x.place(self.x)?, y.place(self.y.value)?))
    }

    fn whisker(&self, scale: &Scale) -> Option<(f64, f64)> {
        let [low, high] = self.y.finite()?.interval?;
        Some((scale.place(high)?, scale.place(low)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scatter(points: Vec<Point>) -> Scatter {
        Scatter {
            x: Axis::log("calls per prompt", Direction::LowerIsBetter),
            y: Axis::linear("accuracy, %", Direction::HigherIsBetter),
            x_style: Style::plain(0),
            y_style: Style::plain(1),
            points,
        }
    }

    fn point(name: &str, x: f64, y: f64) -> Point {
        Point { name: name.to_owned(), x, y: Estimate { value: y, interval: Some([y - 2.0, y + 2.0]), n: 10 } }
    }

    #[test]
    fn the_frontier_joins_what_nothing_beats() {
        let points = vec![point("single", 1.0, 40.0), point("bad", 5.0, 30.0), point("all", 10.0, 60.0)];
        let svg = scatter(points).draw("s", 720.0);
        let line = svg.lines().find(|l| l.contains("frontier")).unwrap();
        assert_eq!(line.matches('L').count(), 1, "two corners: {line}");
    }

    #[test]
    fn points_without_a_place_are_in_the_table_alone() {
        let plot = scatter(vec![point("free", 0.0, 40.0), point("lost", 2.0, f64::NAN)]);
        let svg = plot.draw("s", 328.0);
        assert!(!svg.contains("class=\"mark") && !svg.contains("NaN"), "{svg}");
        assert_eq!(plot.numbers().rows.len(), 2);
    }

    #[test]
    fn every_name_is_written_once() {
        let points = (0..9).map(|n| point(&format!("strategy {n}"), 3.0, 40.0 + 0.1 * f64::from(n))).collect();
        let svg = scatter(points).draw("s", 328.0);
        assert_eq!(svg.lines().filter(|l| l.starts_with("<text") && l.contains(">strategy ")).count(), 9);
    }
}
