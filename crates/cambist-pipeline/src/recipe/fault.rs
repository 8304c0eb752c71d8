//! What is wrong with a recipe, and where.

use std::fmt;

use unicode_width::UnicodeWidthStr;

/// Where something stands; the recipe's text comes before the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the recipe's text.
    Text {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// In an override on the command line, counted from 0.
    Override(usize),
}

impl Place {
    /// The first character of the text.
    pub const START: Self = Self::Text { line: 1, column: 1 };

    /// Returns the place in the text at `line` and `column`, both counted from 1.
    pub fn new(line: usize, column: usize) -> Self {
        Self::Text { line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { line, .. } => write!(f, "line {line}"),
            Self::Override(_) => f.write_str("the command line"),
        }
    }
}

/// One thing that is wrong with a recipe: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What was found and what was expected.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Fault {
    /// Returns a fault.
    pub fn new(place: Place, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place, what: what.into(), remedy: remedy.into() }
    }
}

/// Every fault of one recipe, in the order of its lines, those of overrides last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The recipe's path as the user gave it.
    pub path: String,
    /// The recipe's text, for showing the lines.
    pub text: String,
    /// The overrides of the command line.
    pub overrides: Vec<String>,
    /// The faults.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_faults = self.faults.len();
        let noun = if n_faults == 1 { "fault" } else { "faults" };
        write!(f, "`{}` has {n_faults} {noun}; nothing was run", self.path)?;
        for fault in &self.faults {
            match fault.place {
                Place::Text { line, column } => self.show_line(f, (line, column), &fault.what)?,
                Place::Override(at) => {
                    let assignment = self.overrides.get(at).map_or("", String::as_str);
                    write!(f, "\n\nin the override `{assignment}`: {}", fault.what)?;
                }
            }
            write!(f, "\n  hint: {}", fault.remedy)?;
        }
        Ok(())
    }
}

impl Faults {
    fn show_line(&self, f: &mut fmt::Formatter<'_>, (line, column): (usize, usize), what: &str) -> fmt::Result {
        write!(f, "\n\n{}:{line}:{column}: {what}", self.path)?;
        let Some(text) = self.text.lines().nth(line.saturating_sub(1)) else { return Ok(()) };
        // Tabs and wide letters before the caret take as many cells as above it.
        let before: String = text.chars().take(column.saturating_sub(1)).collect();
        let margin: String = before.split('\t').map(|part| " ".repeat(part.width())).collect::<Vec<_>>().join("\t");
        write!(f, "\n  {line:>4} | {text}\n       | {margin}^")
    }
}

impl std::error::Error for Faults {}
