//! The transport against a server that misbehaves, over real sockets.

mod ask;
mod retries;
mod server;
