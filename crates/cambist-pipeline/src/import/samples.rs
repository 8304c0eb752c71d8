//! Samples of lm-evaluation-harness as plain files of prompts, answers and scores for `replay`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
};

use cambist_core::language::Language;
use cambist_io::{
    disk,
    formats::{
        LineWriter,
        rows::{RowError, open_rows},
    },
};
use serde::Serialize;
use serde_json::{Value, json};

use super::lm_eval::{Sample, model_of, task_of};
use crate::error::PipelineError;

/// Rows without a sample that are shown, at most; all are counted.
const SHOWN: usize = 10;

/// What to read, and as what.
#[derive(Clone, Debug, Default)]
pub struct SamplesOptions {
    /// `samples_TASK_DATE.jsonl` files of any number of models and tasks.
    pub files: Vec<PathBuf>,
    /// Who answered; by default the name of the folder that a file lies in, `org__name` as `org/name`.
    pub model: Option<String>,
    /// The language of the prompts; by default it is left to be identified.
    pub language: Option<Language>,
    /// The filter whose metrics count; by default the first of each file.
    pub filter: Option<String>,
}

/// What samples came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ImportedSamples {
    /// Different prompts.
    pub n_prompts: u64,
    /// Answers, repeats included.
    pub n_answers: u64,
    /// Answers by model.
    pub models: BTreeMap<String, u64>,
    /// Scores by metric; each metric is a judge.
    pub metrics: BTreeMap<String, u64>,
    /// Rows of other filters, which say nothing new of answers.
    pub n_other_filters: u64,
    /// Rows whose prompt differs from what another model was asked under the same name, as with other few-shot
    /// examples; they are left out.
    pub n_differing: u64,
    /// Rows whose model answered the same document before; the first answer stays.
    pub n_known: u64,
    /// Rows that are no samples.
    pub n_broken: u64,
    /// The first ten of them: file, place, reason.
    pub broken: Vec<String>,
}

/// Writes `prompts.jsonl`, `answers.jsonl` and `scores.jsonl` into `folder`. A prompt is called `TASK-DOCUMENT`, and each
/// metric is a judge of its name. Where answers are repeated, a metric is of all of them, and stands with the first.
///
/// # Errors
/// When a file cannot be read, holds no sample, or the folder cannot be written.
pub fn import_samples(options: &SamplesOptions, folder: &Path) -> Result<ImportedSamples, PipelineError> {
    disk::create_folder(folder)?;
    let writer = |name: &str| LineWriter::create(&folder.join(name));
    let mut writing = Writing {
        options,
        prompts: writer("prompts.jsonl")?,
        answers: writer("answers.jsonl")?,
        scores: writer("scores.jsonl")?,
        asked: HashMap::new(),
        seen: HashSet::new(),
        imported: ImportedSamples::default(),
    };
    for path in &options.files {
        writing.file(path)?;
    }
    let Writing { prompts, answers, scores, imported, .. } = writing;
    prompts.finish()?;
    answers.finish()?;
    scores.finish()?;
    if imported.n_answers == 0 {
        let what = format!("no file holds a sample: {}", imported.broken.first().map_or("", String::as_str));
        let remedy = "name `samples_*.jsonl` files that lm_eval wrote with `--log_samples`";
        return Err(PipelineError::input(&folder.display().to_string(), what, remedy));
    }
    Ok(imported)
}

struct Writing<'a> {
    options: &'a SamplesOptions,
    prompts: LineWriter,
    answers: LineWriter,
    scores: LineWriter,
    /// What was asked under each name.
    asked: HashMap<String, Value>,
    /// Names and models that have an answer.
    seen: HashSet<(String, String)>,
    imported: ImportedSamples,
}

impl Writing<'_> {
    fn file(&mut self, path: &Path) -> Result<(), PipelineError> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let model = self.options.model.clone().or_else(|| model_of(path)).ok_or_else(|| {
            let what = format!("`{}` lies in no folder that names its model", path.display());
            PipelineError::input("import-samples", what, "name it with --model")
        })?;
        let mut filter = self.options.filter.clone();
        for row in open_rows(path)? {
            let (place, sample) = match row {
                Ok(row) => (row.place, Sample::read(&row.fields)),
                Err(RowError::Row(fault)) => (fault.place, Err(fault.problem.to_string())),
                Err(RowError::File(error)) => return Err(error.into()),
            };
            match sample {
                Ok(sample) if *filter.get_or_insert_with(|| sample.filter.clone()) != sample.filter => {
                    self.imported.n_other_filters += 1;
                }
                Ok(sample) => self.sample((task_of(&file), &model), sample)?,
                Err(reason) => {
                    self.imported.n_broken += 1;
                    if self.imported.broken.len() < SHOWN {
                        self.imported.broken.push(format!("{file}, {place}: {reason}"));
                    }
                }
            }
        }
        Ok(())
    }

    fn sample(&mut self, (task, model): (&str, &str), sample: Sample) -> Result<(), PipelineError> {
        let id = format!("{task}-{}", sample.doc_id);
        match self.asked.get(&id) {
            Some(asked) if *asked != sample.prompt => {
                self.imported.n_differing += 1;
                return Ok(());
            }
            Some(_) => {}
            None => {
                let Sample { prompt, target, .. } = &sample;
                let language = self.options.language.as_ref();
                let row =
                    json!({ "id": id, "language": language, "prompt": prompt, "reference": target, "task": task });
                self.prompts.push(&row)?;
                self.asked.insert(id.clone(), prompt.clone());
                self.imported.n_prompts += 1;
            }
        }
        if !self.seen.insert((id.clone(), model.to_owned())) {
            self.imported.n_known += 1;
            return Ok(());
        }
        for (at, text) in sample.answers.iter().enumerate() {
            self.answers.push(&json!({ "prompt_id": id, "model": model, "sample": at, "text": text }))?;
            self.imported.n_answers += 1;
            *self.imported.models.entry(model.to_owned()).or_default() += 1;
        }
        for (metric, value) in &sample.metrics {
            self.scores.push(&json!({ "prompt_id": id, "model": model, "judge": metric, "score": value }))?;
            *self.imported.metrics.entry(metric.clone()).or_default() += 1;
        }
        Ok(())
    }
}
