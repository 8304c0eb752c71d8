//! The transport against a server that misbehaves, over real sockets.

mod ask;
mod limits;
mod nothing_lost;
mod retries;
mod secrets;
mod server;
mod stops;
