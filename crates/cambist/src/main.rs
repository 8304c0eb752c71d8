//! Cambist.
fn main() {}
