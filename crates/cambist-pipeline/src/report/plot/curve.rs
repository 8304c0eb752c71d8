//! Lines over steps, such as losses in training, named at their ends.

use serde::Serialize;

use super::axis::{Axis, Frame, y_gutter};
use super::canvas::{Canvas, LINE, Label, colour, gutter, px, shorten};
use super::labels::spread;
use super::scale::Scale;
use crate::report::number::{MISSING, Style};
use crate::report::table::{Cell, Column, Row, Table};

/// Lines that share both axes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// The horizontal axis, steps or tokens mostly.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// How values of `y` are written.
    pub style: Style,
    /// The lines, in drawing order.
    pub lines: Vec<Line>,
}

/// One line of a [`Curve`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Its name, written at its end.
    pub name: String,
    /// Points `[x, y]` in rising order of x. A point that is not finite, or not positive on a log axis, is a gap.
    pub points: Vec<[f64; 2]>,
}

const HEIGHT: f64 = 250.0;

impl Curve {
    pub(crate) fn draw(&self, id: &str, width: f64) -> String {
        let mut canvas = Canvas::new(width);
        let frame = self.frame(&canvas);
        let (x, y) = self.scales(&frame);
        frame.y_axis(&mut canvas, &self.y, &y);
        canvas.height = frame.x_axis(&mut canvas, &self.x, &x);
        let mut ends = Vec::new();
        for (idx, line) in self.lines.iter().enumerate() {
            let runs = line.runs((&x, &y));
            for run in &runs {
                canvas.path(&format!("line {}", colour(idx)), &steps(&thin(run)));
                along(run, idx).for_each(|at| canvas.mark(idx, at));
            }
            ends.push(runs.last().and_then(|run| run.last().copied()));
        }
        self.names(&mut canvas, &frame, &ends);
        canvas.finish(id, &format!("{} over {}", self.y.title, self.x.title), &self.description())
    }

    /// First, least and last value of every line.
    pub(crate) fn numbers(&self) -> Table {
        let of = |title: &str| Column::numbers(title, "", self.style).directed(self.y.direction);
        let columns = vec![
            Column::words("Line"),
            Column::numbers("points", "", Style::plain(0)),
            of("first"),
            of("best"),
            of("last"),
        ];
        let rows = self.lines.iter().map(|line| {
            let best = |a: f64, b: f64| if self.y.direction.prefers(b, a) { b } else { a };
            let number = |value: Option<f64>| value.map_or(Cell::Missing("no finite value".to_owned()), Cell::Number);
            Row::new(vec![
                Cell::Words(line.name.clone().into()),
                Cell::Count(line.finite().count() as u64),
                number(line.finite().next()),
                number(line.finite().reduce(best)),
                number(line.finite().last()),
            ])
        });
        Table { caption: self.y.title.clone(), columns, rows: rows.collect() }
    }

    fn frame(&self, canvas: &Canvas) -> Frame {
        let names: Vec<String> = self.lines.iter().map(Line::label).collect();
        let names = gutter(names.iter().map(String::as_str), canvas.width * 0.34) + 12.0;
        // Every name gets its line of text.
        let height = HEIGHT.max(self.lines.len() as f64 * LINE);
        let top = self.y.room_above(canvas.width);
        let frame = Frame { left: 0.0, right: canvas.width - names, top, bottom: top + height };
        let (_, y) = self.scales(&frame);
        Frame { left: y_gutter(&y), ..frame }
    }

    fn scales(&self, frame: &Frame) -> (Scale, Scale) {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let x = Scale::over(points().map(|p| p[0]), self.x.spacing, (frame.left, frame.right));
        let y = Scale::over(points().map(|p| p[1]), self.y.spacing, (frame.bottom, frame.top));
        (x, y)
    }

    /// Writes every name beside the end of its line, moved apart where lines end together.
    fn names(&self, canvas: &mut Canvas, frame: &Frame, ends: &[Option<(f64, f64)>]) {
        let wanted: Vec<f64> = ends.iter().map(|end| end.map_or(frame.bottom, |(_, y)| y)).collect();
        let places = spread(&wanted, LINE - 1.0, (frame.top, frame.bottom));
        for (idx, (line, y)) in self.lines.iter().zip(places).enumerate() {
            let room = canvas.width - frame.right - 20.0;
            match ends.get(idx).copied().flatten() {
                Some(end) => {
                    canvas.line(&format!("leader {}", colour(idx)), end, (frame.right + 14.0, y));
                    canvas.mark(idx, end);
                    canvas.text((frame.right + 18.0, y), &Label::start(&shorten(&line.name, room)));
                }
                None => {
                    let name = shorten(&line.label(), room);
                    canvas.text((frame.right + 18.0, y), &Label::start(&name).class("tick"));
                }
            }
        }
    }

    fn description(&self) -> String {
        let lines = self.lines.iter().map(|line| match (line.finite().next(), line.finite().last()) {
            (Some(first), Some(last)) => {
                format!("{}: from {} to {}.", line.name, self.style.write(first), self.style.write(last))
            }
            _ => format!("{}: {MISSING}.", line.name),
        });
        lines.collect::<Vec<_>>().join(" ")
    }
}

impl Line {
    /// The name as it is written: a line without a value says so.
    fn label(&self) -> String {
        if self.finite().next().is_none() { format!("{} {MISSING}", self.name) } else { self.name.clone() }
    }

    fn finite(&self) -> impl DoubleEndedIterator<Item = f64> {
        self.points.iter().filter(|point| point.iter().all(|v| v.is_finite())).map(|point| point[1])
    }

    /// Returns the stretches between gaps as places.
    fn runs(&self, (x, y): (&Scale, &Scale)) -> Vec<Vec<(f64, f64)>> {
        let mut runs = vec![Vec::new()];
        for point in &self.points {
            match (x.place(point[0]), y.place(point[1])) {
                (Some(x), Some(y)) => runs.last_mut().into_iter().for_each(|run| run.push((x, y))),
                _ => runs.push(Vec::new()),
            }
        }
        runs.retain(|run| !run.is_empty());
        runs
    }
}

/// Returns places for the line's marks about every 100 px; those of other lines stand between them.
fn along(run: &[(f64, f64)], idx: usize) -> impl Iterator<Item = (f64, f64)> {
    const APART: f64 = 100.0;
    let shift = (idx as f64 * 23.0) % APART;
    let stretch = move |at: &(f64, f64)| ((at.0 - shift) / APART).floor();
    run.windows(2).filter(move |pair| stretch(&pair[0]) != stretch(&pair[1])).map(|pair| pair[1])
}

/// Keeps the first, highest, lowest and last place of every pixel column: the picture stays, the bytes go.
fn thin(run: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut kept = Vec::new();
    for column in run.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        let mut extremes: Vec<usize> = vec![0, column.len() - 1];
        let by_y = |a: &usize, b: &usize| column[*a].1.total_cmp(&column[*b].1);
        extremes.extend((0..column.len()).min_by(by_y));
        extremes.extend((0..column.len()).max_by(by_y));
        extremes.sort_unstable();
        extremes.dedup();
        kept.extend(extremes.into_iter().map(|idx| column[idx]));
    }
    kept
}

fn steps(run: &[(f64, f64)]) -> String {
    let places = run.iter().map(|(x, y)| format!("{} {}", px(*x), px(*y)));
    format!("M{}", places.collect::<Vec<_>>().join("L"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::number::Direction;

    fn curve(lines: Vec<Line>) -> Curve {
        let (x, y) = (Axis::linear("step", Direction::Neutral), Axis::log("loss", Direction::LowerIsBetter));
        Curve { x, y, style: Style::plain(2), lines }
    }

    fn line(name: &str, ys: &[f64]) -> Line {
        Line { name: name.to_owned(), points: ys.iter().enumerate().map(|(x, y)| [x as f64, *y]).collect() }
    }

    #[test]
    fn gaps_break_the_line_and_are_not_bridged() {
        let svg = curve(vec![line("a", &[3.0, f64::NAN, 2.0, 1.0, 0.0, 0.5])]).draw("c", 720.0);
        assert_eq!(svg.matches("class=\"line").count(), 3, "{svg}");
        assert!(!svg.contains("NaN") && svg.contains("a: from 3.00 to 0.50."), "{svg}");
    }

    #[test]
    fn names_stand_apart_even_when_lines_end_together() {
        let lines = (0..20).map(|n| line(&format!("model {n}"), &[2.0, 1.0])).collect();
        let svg = curve(lines).draw("c", 720.0);
        let mut ys: Vec<f64> = svg
            .lines()
            .filter(|l| l.starts_with("<text") && l.contains(">model "))
            .map(|l| {
                let from = l.find("y=\"").unwrap() + 3;
                l[from..].split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        ys.sort_by(f64::total_cmp);
        assert_eq!(ys.len(), 20);
        assert!(ys.windows(2).all(|w| w[1] - w[0] > 12.0), "{ys:?}");
    }

    #[test]
    fn nothing_to_draw_is_said() {
        assert!(curve(vec![line("b", &[])]).draw("c", 328.0).contains(">b n/a</text>"));
        assert!(curve(vec![]).draw("c", 328.0).contains("</svg>"));
    }

    #[test]
    fn a_long_line_keeps_its_extremes_and_loses_bytes() {
        let ys: Vec<f64> = (0..20_000).map(|n| if n == 7_777 { 90.0 } else { 1.0 + f64::from(n % 7) }).collect();
        let run: Vec<(f64, f64)> = ys.iter().enumerate().map(|(x, y)| (x as f64 / 40.0, *y)).collect();
        let kept = thin(&run);
        assert!(kept.len() < 2_100 && kept.iter().any(|place| place.1 == 90.0));
    }
}
