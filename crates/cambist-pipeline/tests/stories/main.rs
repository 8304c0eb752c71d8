//! Whole recipes through the public interface, each in seconds.

#![cfg(test)]

mod house;

mod adapters;
mod determinism;
mod feedback;
mod frontier;
mod fusion;
mod handover;
mod held_out_files;
mod hidden;
mod interop;
mod labels;
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
mod unpaired;

mod python;
mod scripts;
