//! The binary against servers on loopback: killed at random, refused, and rehearsed.

#![cfg(test)]

mod killed;
mod panel;
mod pool;
mod refused;
mod spent;
