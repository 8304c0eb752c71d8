//! Prints sources of `polyglot` with what every language asks and answers, one JSON object a line.
//!
//! ```text
//! cargo run -p cambist-core --example polyglot -- <number of sources> <seed>
//! ```

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, Write},
};

use cambist_core::{
    polyglot::{PolyglotSpec, Source, generate, languages, sources},
    prompt::Prompt,
};
use serde::Serialize;

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    source: &'a Source,
    prompts: BTreeMap<&'a str, [&'a str; 2]>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let n_sources = arguments.next().as_deref().unwrap_or("20").parse()?;
    let seed = arguments.next().as_deref().unwrap_or("7").parse()?;
    let spec = PolyglotSpec { languages: languages(), tasks: Vec::new(), n_sources, seed };
    let prompts = generate(&spec)?;
    let mut out = io::stdout().lock();
    for (source, asked) in sources(&spec.tasks, n_sources, seed)?.iter().zip(prompts.chunks(spec.languages.len())) {
        let line =
            Line { source, prompts: asked.iter().map(|p| (p.language.as_str(), asked_and_answered(p))).collect() };
        writeln!(out, "{}", serde_json::to_string(&line)?)?;
    }
    Ok(())
}

fn asked_and_answered(prompt: &Prompt) -> [&str; 2] {
    [prompt.instruction(), prompt.reference.as_deref().unwrap_or_default()]
}
