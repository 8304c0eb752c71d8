//! The names of what a step leaves behind.

use super::{Action, Recipe, Step, params::TrainParams};

impl Recipe {
    /// The names of the parts that a step makes, in a fixed order; one empty name when it makes one thing.
    ///
    /// Splits of `prompts`, strategies of `select`, and for `train` one `variant.seed-N` for each run.
    pub fn part_names(&self, step: &Step) -> Vec<String> {
        let whole = || vec![String::new()];
        match &step.action {
            Action::Prompts(params) if !params.splits.is_empty() => params.splits.keys().cloned().collect(),
            Action::Select(params) => params.strategies.keys().cloned().collect(),
            Action::Train(params) => self.runs(params).into_iter().map(|run| run.name()).collect(),
            _ => whole(),
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
        match self.step(&params.data.step) {
            Some(source) if matches!(source.action, Action::Select(_)) => {
                let names = self.part_names(source);
                names.into_iter().filter(|name| params.data.covers(name)).map(Some).collect()
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
