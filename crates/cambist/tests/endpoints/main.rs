//! The binary against servers on loopback: asked what they can do, killed at random, refused, and rehearsed.

#![cfg(test)]

mod capabilities;
mod checklist;
mod fused;
mod killed;
mod lasting;
mod pairwise;
mod panel;
mod pool;
mod refused;
mod samples;
mod spent;
mod streams;
mod translated;
