//! The mock server over real sockets: every dialect's shapes, every fault, the batch lane, its counts.

#![cfg(test)]

#[path = "mock/arbiters.rs"]
mod arbiters;
#[path = "mock/batches.rs"]
mod batches;
#[path = "mock/client.rs"]
mod client;
#[path = "mock/connections.rs"]
mod connections;
#[path = "mock/faults.rs"]
mod faults;
#[path = "mock/server.rs"]
mod server;
#[path = "mock/teachers.rs"]
mod teachers;
