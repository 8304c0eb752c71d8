//! `cambist route`: whom a router asks about prompts on stdin.

use std::io::{BufRead, BufReader, Write};

use cambist_core::router::Learned;
use cambist_pipeline::routing::{RoutedLines, open_router_with, route_lines};

use crate::{args::RouteArgs, failure::Failure, screen};

/// As many bytes are read at once, where they are there; whatever is there is routed before more is waited for.
const READ_AT_ONCE: usize = 1 << 20;

/// Routes every line of stdin.
pub(super) fn perform(args: &RouteArgs) -> Result<(), Failure> {
    if !(0.0..=1.0).contains(&args.explore) {
        return Err(Failure::yours(format!("--explore is {}, expected a probability from 0 to 1", args.explore)));
    }
    let mut router = open_router_with(&args.store, &args.router, args.model.as_deref())?;
    (router.explore, router.seed) = (args.explore, args.seed);
    let mut told = Told::default();
    let mut stdin = BufReader::with_capacity(READ_AT_ONCE, std::io::stdin().lock());
    let mut unfinished = Vec::new();
    loop {
        let read = stdin.fill_buf().map_err(|error| Failure::of_the_world(format!("cannot read stdin: {error}")))?;
        let n_read = read.len();
        // Whole lines are routed; the beginning of one waits for its end.
        let end = if n_read == 0 { 0 } else { read.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
        let mut lines = std::mem::take(&mut unfinished);
        lines.extend_from_slice(&read[..end]);
        if end > 0 || n_read == 0 {
            told.route(&router, &lines)?;
            unfinished.extend_from_slice(&read[end..]);
        } else {
            lines.extend_from_slice(read);
            unfinished = lines;
        }
        stdin.consume(n_read);
        if n_read == 0 {
            break;
        }
    }
    told.close();
    Ok(())
}

/// What was routed so far.
#[derive(Default)]
struct Told {
    n_lines: usize,
    n_prompts: usize,
    n_uncalibrated: usize,
}

impl Told {
    /// Prints where lines go.
    fn route(&mut self, router: &Learned, lines: &[u8]) -> Result<(), Failure> {
        let lines = std::str::from_utf8(lines).map_err(|error| {
            let number = self.n_lines + 1 + lines[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            Failure::yours(format!("`line {number}` is no UTF-8"))
        })?;
        let RoutedLines { json, n_prompts, n_uncalibrated } = route_lines(router, lines, self.n_lines + 1)?;
        self.n_lines += lines.lines().count();
        self.n_prompts += n_prompts;
        self.n_uncalibrated += n_uncalibrated;
        let mut out = std::io::stdout().lock();
        out.write_all(json.as_bytes())?;
        Ok(out.flush()?)
    }

    fn close(&self) {
        let Self { n_prompts, n_uncalibrated, .. } = self;
        let languages = format!("{n_uncalibrated} of them in languages that the router did not learn from");
        screen::talk(&match n_uncalibrated {
            0 => format!("{n_prompts} prompts"),
            _ => format!("{n_prompts} prompts, {languages}"),
        });
    }
}
