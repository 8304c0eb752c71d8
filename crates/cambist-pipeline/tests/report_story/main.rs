//! Small runs from recipe to report.

#[cfg(test)]
mod pages;
