//! What calls cost: exact amounts, prices as data, and a purse that is never overdrawn.
//!
//! No prices are shipped: lists age, and a wrong price is worse than an unknown one. What a reply does not tell costs
//! an unknown amount, which is counted as unknown and never as 0.

pub mod amount;
pub mod day;
pub mod price;
pub mod purse;
pub mod table;
