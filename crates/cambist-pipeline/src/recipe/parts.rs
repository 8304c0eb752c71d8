//! The names of what a step leaves behind.

use super::{
    Action, Arbiter, Recipe, Step,
    params::{TrainParams, TranslateParams},
    reference::Reference,
};

/// What a `select` step calls its preference pairs, beside the sets of its strategies.
pub(crate) const PAIRS: &str = "pairs";

/// What a `select` step calls its labelled answers.
pub(crate) const LABELS: &str = "labels";

/// What a reference names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Preference pairs of a `select` step.
    Pairs,
    /// Labelled answers of a `select` step.
    Labels,
    /// Anything else: prompts, sets of strategies.
    Others,
}

impl Recipe {
    /// The names of the parts that a step makes, in a fixed order; one empty name when it makes one thing.
    ///
    /// Splits of `prompts` (translated ones too), strategies of `select`, and for `train` one `variant.seed-N` for each run.
    pub fn part_names(&self, step: &Step) -> Vec<String> {
        let whole = || vec![String::new()];
        match &step.action {
            Action::Prompts(params) if !params.splits.is_empty() => params.splits.keys().cloned().collect(),
            Action::Translate(params) => self.translated_parts(params).unwrap_or_else(whole),
            Action::Select(params) => params.strategies.keys().cloned().collect(),
            Action::Train(params) => self.runs(params).into_iter().map(|run| run.name()).collect(),
            _ => whole(),
        }
    }

    /// What `reference` names.
    pub(super) fn rows_of(&self, reference: &Reference) -> Rows {
        let Some(Action::Select(params)) = self.step(&reference.step).map(|step| &step.action) else {
            return Rows::Others;
        };
        match reference.part.as_deref() {
            Some(PAIRS) if params.pairs.is_some() => Rows::Pairs,
            Some(LABELS) if params.labels.is_some() => Rows::Labels,
            _ => Rows::Others,
        }
    }

    /// The parts of `step` that `reference` reads: those that it covers; pairs and labelled answers by their names alone.
    pub(crate) fn parts_read(&self, step: &Step, reference: &Reference) -> Vec<String> {
        match self.rows_of(reference) {
            Rows::Pairs => return vec![PAIRS.to_owned()],
            Rows::Labels => return vec![LABELS.to_owned()],
            Rows::Others => {}
        }
        self.part_names(step).into_iter().filter(|name| reference.covers(name)).collect()
    }

    /// Translated prompts keep the names of their sets.
    fn translated_parts(&self, params: &TranslateParams) -> Option<Vec<String>> {
        let prompts = params.prompts.as_ref().filter(|_| params.answers.is_none())?;
        let is_own = |step: &Step| matches!(&step.action, Action::Translate(other) if std::ptr::eq(other, params));
        // What comes later is a fault of its own, and would lead around in circles.
        let source = self.steps.iter().take_while(|step| !is_own(step)).find(|step| step.id == prompts.step)?;
        Some(self.part_names(source).into_iter().filter(|name| prompts.covers(name)).collect())
    }

    /// The steps that put out answers under a name that is no teacher's, translated or fused ones, and that name.
    pub(crate) fn named_answers(&self) -> impl Iterator<Item = (&Step, &str)> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Translate(params) if params.answers.is_some() => Some((step, params.name.as_str())),
            Action::Fuse(params) => Some((step, params.name.as_str())),
            _ => None,
        })
    }

    /// The arbiter called `id`, or the members of that panel.
    pub(crate) fn members_of<'a>(&'a self, id: &str) -> Vec<&'a Arbiter> {
        let find = |id: &str| self.arbiters.iter().find(|arbiter| arbiter.id == id);
        match find(id).and_then(|arbiter| arbiter.ensemble.as_ref()) {
            Some(panel) => panel.of.iter().filter_map(|member| find(member)).collect(),
            None => find(id).into_iter().collect(),
        }
    }

    /// The runs of a `train` step: every variant of its data with every seed.
    pub fn runs(&self, params: &TrainParams) -> Vec<TrainRun> {
        let seeds: Vec<Option<u64>> =
            if params.seeds.is_empty() { vec![None] } else { params.seeds.iter().copied().map(Some).collect() };
        let run = |variant: &Option<String>, seed| TrainRun { variant: variant.clone(), seed };
        let variants = self.variants(params);
        variants.iter().flat_map(|variant| seeds.iter().map(move |seed| run(variant, *seed))).collect()
    }

    fn variants(&self, params: &TrainParams) -> Vec<Option<String>> {
        let data = params.data.as_ref();
        match data.and_then(|data| self.step(&data.step)) {
            _ if params.objective.reads_pairs() => vec![None],
            Some(source) if matches!(source.action, Action::Select(_)) => {
                let names = self.part_names(source);
                names.into_iter().filter(|name| data.is_some_and(|data| data.covers(name))).map(Some).collect()
            }
            _ => vec![None],
        }
    }
}

/// One run of a `train` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainRun {
    /// The strategy whose data it trains on; none when the data has no strategies.
    pub variant: Option<String>,
    /// Its seed; none when the step lists none.
    pub seed: Option<u64>,
}

impl TrainRun {
    /// `variant.seed-N`, without the parts that are not there.
    pub fn name(&self) -> String {
        let seed = self.seed.map(|seed| format!("seed-{seed}"));
        self.variant.iter().cloned().chain(seed).collect::<Vec<_>>().join(".")
    }
}
