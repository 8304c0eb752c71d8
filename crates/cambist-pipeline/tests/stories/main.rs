//! Whole recipes through the public interface, each in seconds.

#![cfg(test)]

mod house;

mod determinism;
mod interop;
mod order;
mod prompts;
mod recorded;
mod runner;
mod samples;
mod sets;
mod training;

mod python;
mod scripts;
