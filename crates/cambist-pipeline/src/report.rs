//! The report as one HTML page that needs nothing else: no network, no font, no script to be read.
//!
//! A [`Page`] is plain data; [`Page::html`] is a pure function of it, and the same data serialise to JSON for
//! programs. **The odd decision: a table or picture cannot be put on a page without its [`Origin`]** (observations,
//! interval, seeds, task version, artifacts). *Why*: a number without its origin is what reports are mistrusted for.
//! *The price*: every caller must know where its numbers come from.
//!
//! What is missing is shown as `n/a` with its reason, and never drawn as zero. Foreign text is escaped and isolated
//! in its own direction in one place ([`text`]).

pub mod number;
pub mod text;

pub mod examples;
pub mod origin;
pub mod page;
pub mod plot;
pub mod section;
pub mod table;

pub use examples::{Answer, Example, Verdict};
pub use number::{Direction, Estimate, Style};
pub use origin::Origin;
pub use page::{Fact, Finding, Page};
pub use plot::{Arrangement, Axis, BarRow, Bars, Curve, Forest, ForestRow, Heat, HeatRow, Line, Plot, Point, Scatter};
pub use section::{Block, Section};
pub use table::{Cell, Column, Row, Table};
pub use text::Words;
