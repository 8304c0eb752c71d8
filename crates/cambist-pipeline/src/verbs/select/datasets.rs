//! The files of a `select` artifact: sets for training in the field's shapes, and what led to them.

use std::collections::{BTreeMap, HashMap, HashSet};

use cambist_core::{
    align::AlignedStrategy,
    candidate::{Candidate, Matrix},
    license::{Permission, permission},
    pairs::Pairs,
    prompt::{Message, Prompt},
    router::Decision,
};
use cambist_io::{
    formats::{PreferenceRow, SftRow, TableRow, to_jsonl},
    store::Scratch,
};
use serde_json::json;

use super::{Played, card::card};
use crate::{
    error::PipelineError,
    recipe::{Recipe, params::SelectParams},
    verbs::tables::{CANDIDATES, CandidateRow, DECISIONS, DecisionRow, write_table},
};

/// What the files are written from.
pub(super) struct Sets<'a> {
    /// The recipe, for names and licences.
    pub recipe: &'a Recipe,
    /// The answers that all strategies share.
    pub matrix: &'a Matrix,
    /// The prompts that each strategy keeps.
    pub aligned: &'a BTreeMap<String, AlignedStrategy>,
    /// The artifact in the making.
    pub scratch: &'a Scratch,
}

impl Sets<'_> {
    /// `candidates.parquet`: every answer with its reward and verdict.
    pub(super) fn candidates(&self, played: &BTreeMap<String, Played>) -> Result<(), PipelineError> {
        let own = played.iter().filter_map(|(name, strategy)| Some((name.as_str(), strategy.own.as_ref()?)));
        let sets = std::iter::once(("", self.matrix)).chain(own);
        let rows: Vec<CandidateRow> = sets
            .flat_map(|(set, matrix)| matrix.rows().iter().map(move |row| (set, row)))
            .flat_map(|(set, row)| {
                row.candidates.iter().map(move |candidate| candidate_row(set, &row.prompt, candidate))
            })
            .collect();
        write_table(self.scratch, CANDIDATES, &rows)
    }

    /// `decisions.parquet`: what each strategy decided about each prompt.
    pub(super) fn decisions(&self, played: &BTreeMap<String, Played>) -> Result<(), PipelineError> {
        let row = |name: &String, strategy: &Played, decision: &Decision| DecisionRow {
            name: name.clone(),
            set: if strategy.own.is_some() { name.clone() } else { String::new() },
            decision: decision.clone(),
        };
        let rows: Vec<DecisionRow> = played
            .iter()
            .flat_map(|(name, strategy)| strategy.decisions.iter().map(move |decision| row(name, strategy, decision)))
            .collect();
        write_table(self.scratch, DECISIONS, &rows)
    }

    /// `<strategy>/sft.parquet` and `.jsonl`: one conversation for each kept prompt.
    pub(super) fn sft(&self, played: &BTreeMap<String, Played>) -> Result<(), PipelineError> {
        for (name, strategy) in played {
            let kept: HashSet<&str> = self.aligned[name].prompt_ids.iter().map(String::as_str).collect();
            let matrix = strategy.own.as_ref().unwrap_or(self.matrix);
            let of_prompt: HashMap<&str, &Decision> =
                strategy.decisions.iter().map(|decision| (decision.prompt_id.as_str(), decision)).collect();
            let rows: Vec<SftRow> = matrix
                .rows()
                .iter()
                .filter(|row| kept.contains(row.prompt.id.as_str()))
                .filter_map(|row| {
                    let decision = of_prompt.get(row.prompt.id.as_str())?;
                    let candidate = row.candidate(decision.teacher.as_deref()?, decision.sample?)?;
                    Some(self.sft_row(&row.prompt, candidate))
                })
                .collect();
            self.both(&format!("{name}/sft"), &rows)?;
        }
        Ok(())
    }

    /// `pairs.parquet` and `.jsonl`: preference pairs over all answers, in TRL's conversational shape.
    pub(super) fn pairs(&self, pairs: &Pairs) -> Result<(), PipelineError> {
        let rows_by_id: HashMap<&str, _> = self.matrix.rows().iter().map(|row| (row.prompt.id.as_str(), row)).collect();
        let rows: Vec<PreferenceRow> = pairs
            .pairs
            .iter()
            .filter_map(|pair| {
                let row = rows_by_id.get(pair.prompt_id.as_str())?;
                let text = |side: &cambist_core::pairs::Side| {
                    let candidate = row.candidate(&side.teacher, side.sample)?;
                    Some(vec![Message::assistant(candidate.completion.text.clone())])
                };
                Some(PreferenceRow {
                    id: pair.prompt_id.clone(),
                    source_id: pair.source_id.clone(),
                    language: pair.language.clone(),
                    source: row.prompt.source.clone(),
                    prompt: row.prompt.messages.clone(),
                    chosen: text(&pair.chosen)?,
                    rejected: text(&pair.rejected)?,
                    chosen_model: pair.chosen.teacher.clone(),
                    rejected_model: pair.rejected.teacher.clone(),
                    chosen_score: pair.chosen.score,
                    rejected_score: pair.rejected.score,
                    margin: pair.margin,
                })
            })
            .collect();
        self.both("pairs", &rows)
    }

    /// `dropped.jsonl`: every prompt that a set left out, and why.
    pub(super) fn dropped(&self, pairs: Option<&Pairs>) -> Result<(), PipelineError> {
        let of_strategies = self.aligned.iter().flat_map(|(name, strategy)| {
            let line = move |d: &cambist_core::align::Dropped| {
                json!({ "set": name, "prompt_id": d.prompt_id, "reason": d.reason, "lacking": d.lacking })
            };
            strategy.dropped.iter().map(line)
        });
        let unpaired = pairs.into_iter().flat_map(|pairs| &pairs.unpaired);
        let of_pairs = unpaired.map(|u| json!({ "set": "pairs", "prompt_id": u.prompt_id, "reason": u.reason }));
        let lines: String = of_strategies.chain(of_pairs).map(|line| format!("{line}\n")).collect();
        Ok(self.scratch.write("dropped.jsonl", lines.as_bytes())?)
    }

    /// `README.md`: the dataset card.
    pub(super) fn card(&self, params: &SelectParams, pairs: Option<&Pairs>) -> Result<(), PipelineError> {
        let text = card(self, params, pairs);
        Ok(self.scratch.write("README.md", text.as_bytes())?)
    }

    fn both<R: TableRow>(&self, stem: &str, rows: &[R]) -> Result<(), PipelineError> {
        write_table(self.scratch, &format!("{stem}.parquet"), rows)?;
        Ok(self.scratch.write(&format!("{stem}.jsonl"), &to_jsonl(rows)?)?)
    }

    fn sft_row(&self, prompt: &Prompt, candidate: &Candidate) -> SftRow {
        let completion = &candidate.completion;
        let mut messages = prompt.messages.clone();
        messages.push(Message::assistant(completion.text.clone()));
        SftRow {
            id: prompt.id.clone(),
            source_id: prompt.source_id.clone(),
            language: prompt.language.clone(),
            source: prompt.source.clone(),
            task: prompt.task.clone(),
            messages,
            teacher: completion.teacher.clone(),
            license: self.license(&completion.teacher),
            score: candidate.reward,
        }
    }

    /// Whether a teacher's answers may train a model: what the recipe declares, else what the licence says.
    pub(super) fn permission(&self, teacher: &str) -> Permission {
        let member = self.recipe.pool.iter().find(|member| member.id == teacher);
        member.map_or(Permission::Unknown, |m| m.outputs_may_train.unwrap_or_else(|| permission(&m.license)))
    }

    /// The licence of a teacher's answers.
    pub(super) fn license(&self, teacher: &str) -> String {
        let member = self.recipe.pool.iter().find(|member| member.id == teacher);
        member.map_or_else(|| "unknown".to_owned(), |member| member.license.clone())
    }
}

fn candidate_row(set: &str, prompt: &Prompt, candidate: &Candidate) -> CandidateRow {
    let completion = &candidate.completion;
    CandidateRow {
        set: set.to_owned(),
        prompt_id: prompt.id.clone(),
        source_id: prompt.source_id.clone(),
        language: prompt.language.clone(),
        task: prompt.task.clone(),
        teacher: completion.teacher.clone(),
        sample: completion.sample,
        reward: candidate.reward,
        passed: candidate.passed(),
        stopped: candidate.verdict.stopped.as_ref().map(|stop| stop.reason.code().to_owned()),
        tokens_in: completion.tokens_in,
        tokens_out: completion.tokens_out,
        cost_usd: completion.cost_usd,
    }
}
