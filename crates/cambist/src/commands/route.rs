//! `cambist route`: whom a router asks about prompts on stdin.

use std::io::{BufRead, Write};

use cambist_core::router::Learned;
use cambist_pipeline::routing::{open_router, route_lines};

use crate::{args::RouteArgs, failure::Failure, screen};

/// Lines that are routed side by side.
const CHUNK: usize = 4096;

/// Routes every line of stdin.
pub(super) fn perform(args: &RouteArgs) -> Result<(), Failure> {
    if !(0.0..=1.0).contains(&args.explore) {
        return Err(Failure::yours(format!("--explore is {}, expected a probability from 0 to 1", args.explore)));
    }
    let mut router = open_router(&args.store, &args.router)?;
    (router.explore, router.seed) = (args.explore, args.seed);
    let mut lines = std::io::stdin().lock().lines().enumerate();
    let (mut n_routed, mut n_uncalibrated) = (0usize, 0usize);
    loop {
        let chunk = chunk_of(&mut lines)?;
        if chunk.is_empty() {
            break;
        }
        n_routed += chunk.len();
        n_uncalibrated += print(&router, &chunk)?;
    }
    let languages = format!("{n_uncalibrated} of them in languages that the router did not learn from");
    screen::talk(&if n_uncalibrated > 0 {
        format!("{n_routed} prompts, {languages}")
    } else {
        format!("{n_routed} prompts")
    });
    Ok(())
}

/// The next lines that are not blank, with their numbers.
fn chunk_of(
    lines: &mut impl Iterator<Item = (usize, std::io::Result<String>)>,
) -> Result<Vec<(usize, String)>, Failure> {
    let mut chunk = Vec::new();
    for (at, line) in lines {
        let line = line.map_err(|error| Failure::of_the_world(format!("cannot read stdin: {error}")))?;
        if !line.trim().is_empty() {
            chunk.push((at + 1, line));
        }
        if chunk.len() == CHUNK {
            break;
        }
    }
    Ok(chunk)
}

/// Prints where the lines go; returns how many are in languages that the router did not learn from.
fn print(router: &Learned, chunk: &[(usize, String)]) -> Result<usize, Failure> {
    let routed = route_lines(router, chunk)?;
    let mut out = std::io::stdout().lock();
    for route in &routed {
        let line = serde_json::to_string(route).map_err(Failure::ours)?;
        writeln!(out, "{line}")?;
    }
    Ok(routed.iter().filter(|route| !route.calibrated).count())
}
