//! The program as a user meets it: every test starts the real binary in a folder of its own.

#![cfg(test)]

mod bad_files;
mod bad_recipes;
mod bad_stores;
mod full_disks;
mod guide;
mod route;
mod screens;
mod serve;
mod stopped;
mod streams;
mod tokens;
mod verbs;
mod world;
