//! What servers speak: each dialect encodes requests and decodes replies, and does nothing else.
//!
//! Nothing here waits, retries, logs, or knows an address, a key or the time. What servers are known to get wrong is
//! met here, once: thinking text in three places, four names for the length limit, success with a web page for a body.

pub mod answer;
pub mod batch;
pub mod body;
pub mod decode;
pub mod encode;
pub mod failures;
pub mod identity;
pub mod judge;
pub mod probe;
pub mod request;
pub mod reward;
pub mod schema;
pub mod stream;
pub mod teacher;
pub mod translation;
pub mod waits;
