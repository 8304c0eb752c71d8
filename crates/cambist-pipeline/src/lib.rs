//! Cambist.

pub mod report;
