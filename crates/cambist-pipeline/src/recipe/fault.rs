//! What is wrong with a recipe, and where.

use std::fmt;

/// A place in the recipe's text, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    /// The first character.
    pub const START: Self = Self { line: 1, column: 1 };

    /// Returns the place at `line` and `column`, both counted from 1.
    pub fn new(line: usize, column: usize) -> Self {
        Self { line, column }
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

/// Every fault of one recipe, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The recipe's path as the user gave it.
    pub path: String,
    /// The recipe's text, for showing the lines.
    pub text: String,
    /// The faults.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_faults = self.faults.len();
        let noun = if n_faults == 1 { "fault" } else { "faults" };
        write!(f, "`{}` has {n_faults} {noun}; nothing was run", self.path)?;
        for fault in &self.faults {
            let Place { line, column } = fault.place;
            write!(f, "\n\n{}:{line}:{column}: {}", self.path, fault.what)?;
            if let Some(text) = self.text.lines().nth(line.saturating_sub(1)) {
                let caret = " ".repeat(column.saturating_sub(1));
                write!(f, "\n  {line:>4} | {text}\n       | {caret}^")?;
            }
            write!(f, "\n  hint: {}", fault.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
