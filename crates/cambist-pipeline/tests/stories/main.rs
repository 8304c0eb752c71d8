//! Whole recipes through the public interface, each in seconds.

#![cfg(test)]

mod house;

mod adapters;
mod determinism;
mod frontier;
mod fusion;
mod handover;
mod interop;
mod learned;
mod local_arbiters;
mod mbr;
mod order;
mod preference;
mod prompts;
mod recorded;
mod reward_training;
mod runner;
mod samples;
mod sets;
mod training;

mod python;
mod scripts;
