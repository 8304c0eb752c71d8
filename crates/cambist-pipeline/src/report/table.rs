//! Tables whose columns know their unit, their digits and which way is better.

use serde::Serialize;

use super::number::{Direction, Estimate, MISSING, Style, count};
use super::text::{Words, escape};

/// A table; rows stand in the order given until a reader sorts them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// What the table shows, in one sentence.
    pub caption: String,
    /// The columns, left to right; the first one names the row.
    pub columns: Vec<Column>,
    /// The rows. A row shorter than the columns ends in missing cells; cells past the last column are left out.
    pub rows: Vec<Row>,
}

/// What all cells below one heading share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Column {
    /// The heading.
    pub title: String,
    /// The unit, shown beside the heading; empty for none.
    pub unit: String,
    /// Which way numbers of this column should go.
    pub direction: Direction,
    /// How numbers of this column are written; none for a column of words, which is set flush with the row's start.
    pub style: Option<Style>,
}

/// One row of cells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// One cell per column.
    pub cells: Vec<Cell>,
    /// Whether the row sums up the others: set apart at the end, and not moved by sorting.
    pub summary: bool,
}

/// What stands in one place of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// Words, in a language when one is known.
    Words(Words),
    /// An identifier, in a fixed-width face.
    Id(String),
    /// A number in the style of its column; missing when not finite.
    Number(f64),
    /// A whole number.
    Count(u64),
    /// A value with its interval.
    Estimate(Estimate),
    /// A share between 0 and 1, shown in per cent with a bar.
    Share(f64),
    /// Words that lead to an address; an address that is not http(s) or within the page is shown as words alone.
    Link {
        /// What is read.
        text: String,
        /// Where it leads.
        address: String,
    },
    /// Nothing, and why: shown as `n/a` with the reason.
    Missing(String),
}

impl Column {
    /// A column of words or identifiers.
    pub fn words(title: impl Into<String>) -> Self {
        Self { title: title.into(), unit: String::new(), direction: Direction::Neutral, style: None }
    }

    /// A column of numbers; `unit` may be empty.
    pub fn numbers(title: impl Into<String>, unit: impl Into<String>, style: Style) -> Self {
        Self { title: title.into(), unit: unit.into(), direction: Direction::Neutral, style: Some(style) }
    }

    /// The same column with a direction, which the heading shows.
    pub fn directed(self, direction: Direction) -> Self {
        Self { direction, ..self }
    }

    fn heading(&self) -> String {
        let class = if self.style.is_some() { r#" class="num""# } else { "" };
        let arrow = match self.direction {
            Direction::HigherIsBetter => "\u{2191}",
            Direction::LowerIsBetter => "\u{2193}",
            Direction::Neutral => "",
        };
        let words = self.direction.words();
        let arrow = match arrow {
            "" => String::new(),
            _ => format!(r#"<abbr title="{words}" aria-label="{words}">{arrow}</abbr>"#),
        };
        let detail = [escape(&self.unit), arrow].join(" ");
        let detail = match detail.trim() {
            "" => String::new(),
            detail => format!(r#" <span class="unit">{detail}</span>"#),
        };
        format!(r#"<th scope="col"{class}>{}{detail}</th>"#, escape(&self.title))
    }
}

impl From<Words> for Cell {
    fn from(words: Words) -> Self {
        Self::Words(words)
    }
}

impl From<Option<Estimate>> for Cell {
    fn from(estimate: Option<Estimate>) -> Self {
        estimate.map_or_else(|| Self::Missing("not measured".to_owned()), Self::Estimate)
    }
}

impl Row {
    /// A row among others.
    pub fn new(cells: Vec<Cell>) -> Self {
        Self { cells, summary: false }
    }
}

impl Table {
    /// Returns the table in a box that scrolls by itself; `id` is unique in the page, `heading` is `Table 3` or empty.
    pub(crate) fn html(&self, id: &str, heading: &str) -> String {
        let caption = escape(&self.caption);
        let number = if heading.is_empty() { String::new() } else { format!("<b>{}</b> ", escape(heading)) };
        let headings: String = self.columns.iter().map(Column::heading).collect();
        let (rows, sums): (Vec<&Row>, Vec<&Row>) = self.rows.iter().partition(|row| !row.summary);
        let body: String = rows.iter().map(|row| self.row(row)).collect();
        let foot: String = sums.iter().map(|row| self.row(row)).collect();
        let body = if self.rows.is_empty() { self.no_rows() } else { body };
        let foot = if foot.is_empty() { foot } else { format!("<tfoot>{foot}</tfoot>") };
        format!(
            r#"<div class="scroll" role="region" tabindex="0" aria-labelledby="{id}-caption"><table id="{id}"><caption id="{id}-caption"><span>{number}{caption}</span></caption><thead><tr>{headings}</tr></thead><tbody>{body}</tbody>{foot}</table></div>"#
        )
    }

    fn row(&self, row: &Row) -> String {
        let nothing = Cell::Missing("no value".to_owned());
        let cells = self.columns.iter().enumerate().map(|(idx, column)| {
            let cell = row.cells.get(idx).unwrap_or(&nothing);
            cell.html(column, if idx == 0 { r#"th scope="row""# } else { "td" })
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    }

    fn no_rows(&self) -> String {
        format!(r#"<tr><td class="none" colspan="{}">none</td></tr>"#, self.columns.len().max(1))
    }
}

impl Cell {
    /// Returns the cell as the element that `open` begins; numbers carry their sort key.
    fn html(&self, column: &Column, open: &str) -> String {
        let name = open.split(' ').next().unwrap_or(open);
        let class = if column.style.is_some() { r#" class="num""# } else { "" };
        let key = self.sort_key().map(|key| format!(r#" data-key="{key}""#)).unwrap_or_default();
        format!("<{open}{class}{key}>{}</{name}>", self.content(column.style.unwrap_or(Style::plain(2))))
    }

    /// Returns what stands in the cell, as markup.
    pub(super) fn content(&self, style: Style) -> String {
        match self {
            Self::Words(words) => words.isolated(),
            Self::Id(id) => format!("<code>{}</code>", escape(id)),
            Self::Count(n) => count(*n),
            Self::Number(value) if value.is_finite() => style.write(*value),
            Self::Estimate(estimate) => estimate.finite().map_or_else(|| missing("not finite"), |e| interval(e, style)),
            Self::Share(share) if share.is_finite() => share_bar(*share),
            Self::Number(_) | Self::Share(_) => missing("not finite"),
            Self::Link { text, address } => link(text, address),
            Self::Missing(why) => missing(why),
        }
    }

    fn sort_key(&self) -> Option<f64> {
        match self {
            Self::Number(value) | Self::Share(value) => value.is_finite().then_some(*value),
            Self::Count(n) => Some(*n as f64),
            Self::Estimate(estimate) => estimate.finite().map(|e| e.value),
            _ => None,
        }
    }
}

fn missing(why: &str) -> String {
    let why = escape(why);
    format!(r#"<abbr class="missing" title="{why}" aria-label="{MISSING}: {why}">{MISSING}</abbr>"#)
}

fn interval(estimate: Estimate, style: Style) -> String {
    let value = style.write(estimate.value);
    match estimate.interval {
        Some(ends) => format!(r#"{value} <span class="interval">{}</span>"#, style.write_interval(ends)),
        None => value,
    }
}

fn share_bar(share: f64) -> String {
    let percent = 100.0 * share;
    let width = percent.clamp(0.0, 100.0);
    let words = Style::plain(1).write(percent);
    format!(r#"<span class="share" style="--w:{width:.1}%">{words}{}</span>"#, "\u{202f}%")
}

/// An address is followed only where it cannot run anything.
fn link(text: &str, address: &str) -> String {
    let is_safe = ["https://", "http://", "#"].iter().any(|scheme| address.starts_with(scheme));
    if is_safe {
        format!(r#"<a href="{}">{}</a>"#, escape(address), escape(text))
    } else {
        Words::from(text).isolated()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: Vec<Column>, rows: Vec<Row>) -> String {
        Table { caption: "A < B".to_owned(), columns, rows }.html("t", "Table 1")
    }

    fn accuracy() -> Column {
        Column::numbers("Accuracy", "%", Style::plain(1)).directed(Direction::HigherIsBetter)
    }

    #[test]
    fn numbers_say_unit_direction_interval_and_sort_by_value() {
        let estimate = Estimate { value: 61.25, interval: Some([-3.0, 70.0]), n: 12 };
        let html = table(
            vec![Column::words("Language"), accuracy()],
            vec![Row::new(vec![Words::from("Deutsch").into(), Cell::Estimate(estimate)])],
        );
        assert!(html.contains("A &lt; B"));
        assert!(html.contains(r#"Accuracy <span class="unit">% <abbr "#));
        assert!(html.contains(r#"aria-label="higher is better""#));
        assert!(html.contains(r#"data-key="61.25">61.2 <span class="interval">[−3.0, 70.0]</span>"#), "{html}");
        assert!(html.contains(r#"<th scope="row"><bdi dir="auto">Deutsch</bdi></th>"#));
    }

    #[test]
    fn no_rows_and_short_rows_and_nan_are_said() {
        let none = table(vec![Column::words("Fault"), accuracy()], vec![]);
        assert!(none.contains(r#"<td class="none" colspan="2">none</td>"#));
        let short = table(vec![Column::words("Fault"), accuracy()], vec![Row::new(vec![])]);
        assert_eq!(short.matches("n/a: no value").count(), 2);
        let nan = table(vec![accuracy()], vec![Row::new(vec![Cell::Number(f64::NAN)])]);
        assert!(nan.contains("n/a: not finite") && !nan.contains("data-key"));
    }

    #[test]
    fn sums_stand_in_the_foot() {
        let sum = Row { cells: vec![Cell::Count(12_000)], summary: true };
        let html = table(vec![Column::words("All")], vec![sum, Row::new(vec![Cell::Id("a\"b".to_owned())])]);
        assert!(html.find("<code>a&quot;b</code>").unwrap() < html.find("<tfoot>").unwrap());
        assert!(html.contains("12\u{202f}000"));
    }

    #[test]
    fn addresses_that_run_code_are_not_links() {
        assert_eq!(link("x", "javascript:alert(1)"), r#"<bdi dir="auto">x</bdi>"#);
        assert_eq!(link("x", "data:text/html,x"), r#"<bdi dir="auto">x</bdi>"#);
        assert_eq!(link("a&b", "https://e.org/?a&\"b"), r#"<a href="https://e.org/?a&amp;&quot;b">a&amp;b</a>"#);
    }
}
