//! `score`: scores answers that exist.

use std::collections::HashMap;

use cambist_core::{completion::Completion, prompt::Prompt};
use cambist_io::store::{Artifact, ManifestDraft};

use super::{
    Work,
    answering::{self, Rivals},
    panel::Scorer,
    prompts::read_prompts,
    tables::{COMPLETIONS, SCORES, read_table, write_table},
};
use crate::{error::PipelineError, recipe::params::ScoreParams};

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &ScoreParams) -> Result<Artifact, PipelineError> {
    let prompts = read_prompts(workshop, job.inputs("prompts"))?;
    let by_id: HashMap<&str, &Prompt> = prompts.iter().map(|prompt| (prompt.id.as_str(), prompt)).collect();
    let scorer = Scorer::open(workshop, job, &params.arbiter)?;
    let mut completions = Vec::new();
    for input in job.inputs("from") {
        completions.extend(read_table::<Completion>(&workshop.artifact(&input.id)?, COMPLETIONS)?);
    }
    let answers: Vec<(&Prompt, &Completion)> = completions
        .iter()
        .filter_map(|completion| Some((*by_id.get(completion.prompt_id.as_str())?, completion)))
        .collect();
    let marks = answering::score((workshop, job), &scorer, (&answers, Rivals::OfPrompt))?;
    let scores = &marks.scores;
    write_table(&scratch, SCORES, scores)?;
    let mut draft = ManifestDraft { step: job.label.clone(), kind: "scores".into(), ..ManifestDraft::default() };
    draft.counts.insert("scores".into(), scores.iter().filter(|score| score.value.is_some()).count() as u64);
    for reason in scores.iter().filter_map(|score| score.missing.as_ref()) {
        *draft.failures.entry(format!("no score: {reason}")).or_default() += 1;
    }
    marks.write_grounds(&scratch, &mut draft)?;
    Ok(scratch.commit(draft)?)
}
