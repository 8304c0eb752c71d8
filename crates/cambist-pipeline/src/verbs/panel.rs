//! Who scores a step: one arbiter, or a panel whose members' values become one.
//!
//! Members are asked one answer at a time, as any arbiter is. A panel's own value of an answer rests on all answers to
//! the prompt and on scales of the whole step, so it is computed when every member has spoken: members are heard first,
//! prompt by prompt, of which only numbers are kept, and then the panel decides, prompt by prompt.

use std::collections::{BTreeMap, HashMap};

use cambist_core::{
    ensemble::{Disagreements, Ensemble, Panel, PanelScales},
    language::Language,
    score::Score,
};
use cambist_io::formats;
use serde_json::{Value, json};

use super::{
    arbiters::{LedgerArbiter, Member, declared},
    prompt_files::PromptFiles,
    tables::MEMBER_SCORES,
};
use crate::{error::PipelineError, plan::Job, recipe::PanelManner, run::Workshop};

/// Why an answer that was given has no reward by a panel.
const TOO_FEW: &str = "too few arbiters";

/// Who scores a step, under the name that the recipe gives it.
pub(super) struct Scorer {
    name: String,
    members: Vec<Member>,
    panel: Option<Rules>,
}

/// How the values of a panel's members become one.
struct Rules {
    ensemble: Ensemble,
    /// Fitted on another step; none for the scales of the step itself.
    scales: Option<PanelScales>,
}

/// Values by arbiter and language.
type Values = BTreeMap<String, BTreeMap<Language, Vec<f64>>>;

impl Scorer {
    /// Opens the arbiter or panel that the recipe calls `id`.
    pub(super) fn open(workshop: &Workshop<'_>, job: &Job, id: &str) -> Result<Self, PipelineError> {
        let name = id.to_owned();
        let Some(panel) = &declared(workshop, id)?.ensemble else {
            return Ok(Self { name, members: vec![Member::open((workshop, job), id)?], panel: None });
        };
        let members = panel.of.iter().map(|member| Member::open((workshop, job), member)).collect::<Result<_, _>>()?;
        let scales = read_scales(workshop, job, panel)?;
        Ok(Self { name, members, panel: Some(Rules { ensemble: panel.ensemble(), scales }) })
    }

    /// The arbiter itself, or the members of the panel, in the order of the recipe.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The servers and models among the members.
    pub(super) fn ledgered(&self) -> Vec<LedgerArbiter<'_>> {
        self.members.iter().filter_map(Member::ledgered).collect()
    }

    /// Begins to hear the members of a panel; none for an arbiter by itself, whose scores stand as they are.
    pub(super) fn hearing(&self) -> Option<Hearing> {
        let rules = self.panel.as_ref()?;
        Some(Hearing {
            name: self.name.clone(),
            members: self.members.iter().map(|member| member.name().to_owned()).collect(),
            ensemble: rules.ensemble.clone(),
            scales: rules.scales.clone(),
            values: Values::new(),
        })
    }
}

/// Fits the scales on what the members said of the calibration answers; none where the step has its own.
fn read_scales(workshop: &Workshop<'_>, job: &Job, panel: &PanelManner) -> Result<Option<PanelScales>, PipelineError> {
    let mut inputs = job.inputs("scales").peekable();
    if panel.calibration.is_none() || inputs.peek().is_none() {
        return Ok(None);
    }
    let mut languages: HashMap<String, Language> = HashMap::new();
    for prompt in PromptFiles::open(workshop, job.inputs("scales prompts"))?.scan() {
        let prompt = prompt?;
        languages.insert(prompt.id, prompt.language);
    }
    let mut values = Values::new();
    for input in inputs {
        let path = workshop.artifact(&input.id)?.checked_path(MEMBER_SCORES)?;
        for score in formats::scan_table::<Score>(&path)? {
            let score = score?;
            if let Some((value, language)) = score.value.zip(languages.get(&score.prompt_id)) {
                add(&mut values, (&score.arbiter, language), value);
            }
        }
    }
    Ok(Some(PanelScales::of(&values)))
}

fn add(values: &mut Values, (arbiter, language): (&str, &Language), value: f64) {
    if !values.contains_key(arbiter) {
        values.insert(arbiter.to_owned(), BTreeMap::new());
    }
    let Some(languages) = values.get_mut(arbiter) else { return };
    match languages.get_mut(language) {
        Some(all) => all.push(value),
        None => drop(languages.insert(language.clone(), vec![value])),
    }
}

/// What the members of a panel said, as far as it is needed for scales.
pub(super) struct Hearing {
    name: String,
    members: Vec<String>,
    ensemble: Ensemble,
    scales: Option<PanelScales>,
    values: Values,
}

impl Hearing {
    /// Takes in what a member said of an answer to a prompt in `language`.
    pub(super) fn hear(&mut self, language: &Language, score: &Score) {
        if let Some(value) = score.value.filter(|_| self.scales.is_none()) {
            add(&mut self.values, (&score.arbiter, language), value);
        }
    }

    /// How many members there are.
    pub(super) fn n_members(&self) -> usize {
        self.members.len()
    }

    /// Ends the hearing: the scales are fitted now and stay.
    pub(super) fn close(self) -> Verdicts {
        let scales = self.scales.unwrap_or_else(|| PanelScales::of(&self.values));
        let Self { name, members, ensemble, .. } = self;
        Verdicts { name, members, ensemble, scales, disagreements: Disagreements::default() }
    }
}

/// What a panel decides.
pub(super) struct Verdicts {
    name: String,
    members: Vec<String>,
    ensemble: Ensemble,
    scales: PanelScales,
    disagreements: Disagreements,
}

impl Verdicts {
    /// Returns the panel's scores of the answers to one prompt in `language`, in their order; `said` holds for each
    /// answer what the members said of it, in the order of the members.
    ///
    /// An answer that nobody gave is not compared with the others; one that too few members scored has no reward.
    pub(super) fn decide(&mut self, language: &Language, said: &[&[Score]]) -> Result<Vec<Score>, PipelineError> {
        let is_given = |of: &&&[Score]| !of.iter().all(|score| score.missing.as_deref() == Some("no_answer"));
        let given: Vec<&&[Score]> = said.iter().filter(is_given).collect();
        let of_member = |at: usize| given.iter().map(|of| of.get(at).and_then(|score| score.value)).collect();
        let members = self.members.iter().enumerate();
        let panel = Panel { values: members.map(|(at, member)| (member.clone(), of_member(at))).collect() };
        self.disagreements.add((language, &panel), &self.scales);
        let rewards = self.ensemble.rewards((language, &panel), &self.scales);
        let remedy = "mend the scores, or leave the arbiter out of the panel";
        let rewards = rewards.map_err(|error| PipelineError::input(&self.name, error.to_string(), remedy))?;
        let mut rewards = rewards.into_iter();
        let score = |of: &&[Score]| {
            let value = if is_given(&of) { rewards.next().flatten() } else { None };
            let reason = if is_given(&of) { TOO_FEW } else { "no_answer" };
            let blank = of.first().cloned()?;
            let missing = value.is_none().then(|| reason.to_owned());
            Some(Score { arbiter: self.name.clone(), value, missing, ..blank })
        };
        Ok(said.iter().filter_map(score).collect())
    }

    /// How far the members disagree, by language, as the file `disagreement.json` tells it.
    pub(super) fn disagreement(&self) -> Value {
        json!({
            "schema_version": 1, "arbiter": self.name, "members": self.members,
            "languages": self.disagreements.result(),
        })
    }

    /// How many prompts two members or more scored whole, and in how many of them they have no best answer in common.
    pub(super) fn counts(&self) -> (u64, u64) {
        let all = self.disagreements.result();
        let compared = all.values().map(|found| found.n_prompts as u64).sum();
        let split = |found: f64, n: usize| (found * n as f64).round() as u64;
        let apart = all.values().filter_map(|found| Some(split(found.other_winner?, found.n_prompts))).sum();
        (compared, apart)
    }
}
