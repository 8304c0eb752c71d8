//! What the calls that are left will cost, from the ledger's own history where it has one.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, atomic::AtomicBool},
};

use cambist_core::{language::Language, teacher::Price};
use cambist_io::{disk::DiskError, transport::StopSignal};
use cambist_io::{
    ledger::{CallHistory, Ledger, LedgerError, Moments},
    store::{Store, StoreView},
};
use serde::Serialize;

mod history;
mod others;

use self::history::{History, counts_of};
use super::{Job, Plan};
use crate::{
    error::PipelineError,
    network::Network,
    progress::Silent,
    recipe::{Action, PoolMember, params::GenerateParams},
    run::{Capabilities, Runtime, Workshop},
    verbs,
};

/// What one step's calls to one teacher, arbiter, fusor or translation engine will come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Its name in the recipe.
    pub teacher: String,
    /// What it is asked for: `answers`, `scores`, `translations` or `fusions`.
    pub asked_for: &'static str,
    /// Whether there may be fewer calls, because they are about answers that are not there yet.
    pub is_at_most: bool,
    /// Calls in all.
    pub calls: u64,
    /// Calls that the ledger has no answer to.
    pub calls_left: u64,
    /// Tokens of the requests that are left.
    pub tokens_in: f64,
    /// Tokens of the answers that are left.
    pub tokens_out: f64,
    /// Characters that are left, for translation engines, which count no tokens.
    pub characters: u64,
    /// USD that are left; none where the recipe names no price.
    pub cost_usd: Option<Range>,
    /// On how many calls of the ledger it rests; 0 for a guess from the lengths of the prompts and the longest answer
    /// allowed, and where no call is left in the step.
    pub n_history: u64,
}

/// An estimate with its 90 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Range {
    /// The estimate.
    pub mean: f64,
    /// With 95 % confidence it is not less.
    pub low: f64,
    /// With 95 % confidence it is not more.
    pub high: f64,
}

impl Range {
    /// Both together, as if they erred together.
    pub fn plus(self, other: Self) -> Self {
        Self { mean: self.mean + other.mean, low: self.low + other.low, high: self.high + other.high }
    }
}

/// The 95 % quantile of the normal distribution.
const Z: f64 = 1.645;

impl Plan {
    /// Returns what the calls of each of the jobs in `wanted` will come to, teacher by teacher; nothing for jobs that
    /// ask no server, and for prompts that are not made yet.
    ///
    /// # Errors
    /// When the store or its ledger cannot be read.
    pub fn estimates(
        &self,
        wanted: &[usize],
        store: &StoreView,
    ) -> Result<BTreeMap<usize, Vec<Estimate>>, PipelineError> {
        let ledger = match Ledger::open_read_only(&store.ledger_path()) {
            Err(LedgerError::Disk(DiskError::Missing { .. })) => Ledger::nowhere()?,
            // The next run brings it up; until then nothing can be told from it.
            Err(LedgerError::Schema { found, supported, .. }) if found < supported => return Ok(BTreeMap::new()),
            ledger => ledger?,
        };
        let network = Network::new(&self.recipe.budget, &ledger)?;
        let (ledger, stop) = (Mutex::new(ledger), AtomicBool::new(false));
        let runtime = Runtime {
            threads: 1,
            progress: &Silent,
            stop: &stop,
            calls: StopSignal::new(),
            capabilities: Capabilities::Never,
            state_every: crate::run::STATE_EVERY,
        };
        let probes = verbs::Probes::none();
        let workshop = Workshop { plan: self, store, ledger: &ledger, runtime: &runtime, network, probes };
        let mut history = History::new(&workshop);
        let mut estimates: BTreeMap<usize, Vec<Estimate>> = BTreeMap::new();
        for (index, params) in self.asking(wanted, store)? {
            let (teachers, counts) = verbs::count_calls(&workshop, &self.jobs[index], params)?;
            let history = history.calls(counts.values())?;
            estimates.insert(index, self.estimate((&teachers, counts), (params, history)));
        }
        for &index in wanted {
            let job = &self.jobs[index];
            if store.find(&job.id)?.is_some() {
                continue;
            }
            let scored = verbs::count_scores(&workshop, job)?;
            let scores = history.scores(&scored)?;
            let mut more: Vec<Estimate> = scored.iter().map(|forecast| self.of_scores(forecast, scores)).collect();
            let asked = verbs::count_translations(&workshop, job)?.or(verbs::count_fusions(&workshop, job)?);
            let calls = history.calls(counts_of(asked.as_slice()))?;
            more.extend(asked.iter().filter_map(|forecast| self.of_one_asked(job, forecast, calls)));
            if !more.is_empty() {
                estimates.entry(index).or_default().extend(more);
            }
        }
        Ok(estimates)
    }

    /// Whether a job asks teachers, or servers for scores, translations or fusions.
    pub fn asks(&self, job: &Job) -> bool {
        let scores = |arbiter: &str| self.recipe.members_of(arbiter).iter().any(|member| member.endpoint.is_some());
        let is_served = |id: &str| self.recipe.pool.iter().any(|member| member.id == id && member.endpoint.is_some());
        match &self.step_of(job).action {
            Action::Generate(_) => true,
            Action::Score(params) => scores(&params.arbiter),
            Action::Evaluate(params) => scores(&params.arbiter),
            Action::Translate(params) => is_served(&params.teacher),
            Action::Fuse(params) => is_served(&params.fusor) || params.arbiter.as_deref().is_some_and(scores),
            _ => false,
        }
    }

    /// Asks each server about at most `n` prompts of each language, so that estimates rest on answers; they stay in
    /// the ledger for the run.
    ///
    /// # Errors
    /// As a run of these calls.
    pub fn probe(
        &self,
        (wanted, n): (&[usize], usize),
        store_folder: &Path,
        runtime: &Runtime<'_>,
    ) -> Result<(), PipelineError> {
        let store = Store::open(store_folder)?;
        let ledger = Ledger::open(&store.ledger_path())?;
        let network = Network::new(&self.recipe.budget, &ledger)?;
        let ledger = Mutex::new(ledger);
        let probes = verbs::Probes::new(&store, runtime.capabilities);
        let workshop = Workshop { plan: self, store: &store, ledger: &ledger, runtime, network, probes };
        for (index, params) in self.asking(wanted, &store)? {
            verbs::probe(&workshop, &self.jobs[index], (params, n))?;
        }
        Ok(())
    }

    /// The unfinished `generate` jobs that ask servers and whose inputs are finished.
    fn asking(&self, wanted: &[usize], store: &StoreView) -> Result<Vec<(usize, &GenerateParams)>, PipelineError> {
        let mut asking = Vec::new();
        for &index in wanted {
            let job = &self.jobs[index];
            let Action::Generate(params) = &self.step_of(job).action else { continue };
            let is_asked = |member: &&PoolMember| params.teachers.is_empty() || params.teachers.contains(&member.id);
            let asks_servers = self.recipe.pool.iter().filter(is_asked).any(|member| member.endpoint.is_some());
            let finished = |id| Ok::<_, PipelineError>(store.find(id)?.is_some());
            let mut is_ready = asks_servers && !finished(&job.id)?;
            for input in &job.inputs {
                is_ready = is_ready && finished(&input.id)?;
            }
            if is_ready {
                asking.push((index, params));
            }
        }
        Ok(asking)
    }

    fn estimate(
        &self,
        (teachers, counts): (&[String], verbs::Counts),
        (params, history): (&GenerateParams, &[CallHistory]),
    ) -> Vec<Estimate> {
        let mut estimates: BTreeMap<usize, Estimate> = BTreeMap::new();
        for ((voice, language), count) in counts {
            let Some(member) = teachers.get(voice).and_then(|id| self.recipe.pool.iter().find(|m| m.id == *id)) else {
                continue;
            };
            if member.endpoint.is_none() {
                continue;
            }
            let max_out = member
                .request
                .sampling
                .as_ref()
                .map_or(params.sampling.max_new_tokens as f64, |s| f64::from(s.max_tokens));
            let stratum = Stratum::of(history, (&member.id, &language), (count.bytes_left, count.left, max_out));
            let price = member.price.unwrap_or_default();
            let estimate =
                estimates.entry(voice).or_insert_with(|| Estimate::of(&member.id, "answers", member.has_price()));
            estimate.add(&count, &stratum, price);
        }
        estimates.into_values().collect()
    }
}

impl Estimate {
    /// Of nothing yet.
    fn of(name: &str, asked_for: &'static str, has_price: bool) -> Self {
        Self {
            teacher: name.to_owned(),
            asked_for,
            is_at_most: false,
            calls: 0,
            calls_left: 0,
            tokens_in: 0.0,
            tokens_out: 0.0,
            characters: 0,
            cost_usd: has_price.then(Range::default),
            n_history: 0,
        }
    }

    /// Adds the calls of one language.
    fn add(&mut self, count: &verbs::Count, stratum: &Stratum, price: Price) {
        let n = count.left as f64;
        self.calls += count.total;
        self.calls_left += count.left;
        self.tokens_in += n * stratum.input.mean;
        self.tokens_out += n * stratum.output.mean;
        self.n_history += stratum.n_history;
        self.cost_usd = self.cost_usd.map(|cost| cost.plus(stratum.cost_usd(n, price)));
    }
}

/// What is known of one teacher in one language.
struct Stratum {
    input: Range,
    output: Range,
    n_history: u64,
}

impl Stratum {
    /// From the history of the language, else of the teacher in all languages, else from lengths alone.
    fn of(
        history: &[CallHistory],
        (teacher, language): (&str, &Language),
        (bytes, left, max_out): (u64, u64, f64),
    ) -> Self {
        let of_teacher = || history.iter().filter(|seen| seen.teacher == teacher);
        let sum = |rows: Vec<&CallHistory>| {
            let add = |pick: fn(&CallHistory) -> Moments| {
                rows.iter().map(|row| pick(row)).fold(Moments::default(), Moments::plus)
            };
            (add(|row| row.tokens_in), add(|row| row.tokens_out))
        };
        let spoken = sum(of_teacher().filter(|seen| seen.language == language.as_str()).collect());
        let (input, output) = if spoken.1.n >= 5 { spoken } else { sum(of_teacher().collect()) };
        match (range(input), range(output)) {
            (Some(input), Some(found)) if output.n >= 5 => Self { input, output: found, n_history: output.n },
            _ => Self::of_lengths((bytes, left, max_out)),
        }
    }

    /// From lengths alone.
    fn of_lengths((bytes, left, max_out): (u64, u64, f64)) -> Self {
        let per_call = bytes as f64 / verbs::BYTES_PER_TOKEN / left.max(1) as f64;
        Self {
            input: Range { mean: per_call, low: per_call / 2.0, high: per_call * 2.0 },
            output: Range { mean: max_out / 2.0, low: max_out / 10.0, high: max_out },
            n_history: 0,
        }
    }

    fn cost_usd(&self, n: f64, price: Price) -> Range {
        let of = |input: f64, output: f64| n * (price.input * input + price.output * output) / 1e6;
        Range {
            mean: of(self.input.mean, self.output.mean),
            low: of(self.input.low, self.output.low),
            high: of(self.input.high, self.output.high),
        }
    }
}

/// The mean of a call with the interval of that mean.
fn range(moments: Moments) -> Option<Range> {
    let mean = moments.mean()?;
    let error = Z * (moments.variance().unwrap_or(mean * mean) / moments.n as f64).sqrt();
    Some(Range { mean, low: (mean - error).max(0.0), high: mean + error })
}
