//! The candidates of finished artifacts, for a person who reads them: the page and what it asks for.
//!
//! **The odd decision: a copy of every text is put away when the view is opened.** Tables of artifacts are compressed in
//! blocks of many rows, and the answers to one prompt may stand in several files.
//! *Why*: any prompt is then read in well under a millisecond, and searching needs no decompression. *The price*: opening
//! takes as long as reading everything once, and texts beyond 200 MB go to a file in the temporary folder, which needs
//! as much space as the texts twice.
//!
//! Nothing is ever written to a store. All text leaves as JSON; the page puts it in place as text, never as markup.

mod fold;
mod index;
mod query;
mod ranking;
mod row;
mod shelf;
mod sources;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use cambist_core::gates::Gates;
use cambist_io::{
    ledger::Ledger,
    store::{Artifact, Manifest, StoreView},
};
use serde_json::{Value, json};

use self::{
    index::{Index, Shelves},
    query::{PAGE, Query},
    row::tongue,
    sources::{Sources, VIEWABLE},
};
use crate::error::PipelineError;

/// Bytes of text held in memory; more go to a temporary file.
pub const TEXT_LIMIT_BYTES: usize = 200_000_000;

const HTML: &str = include_str!("view/page.html");
const STYLE: &str = include_str!("view/page.css");
const SCRIPT: &str = include_str!("view/page.js");

/// The candidates behind one artifact, ready to be asked about.
#[derive(Debug)]
pub struct View {
    manifest: Manifest,
    index: Index,
    shelves: Shelves,
    gates: Gates,
    ledger: Option<Mutex<Ledger>>,
    found: Mutex<Option<(Query, Arc<Vec<u32>>)>>,
}

/// What a view answers.
#[derive(Clone, Debug, PartialEq)]
pub enum ViewReply {
    /// The page, as HTML.
    Page(String),
    /// What the page asked for, as JSON.
    Json(Value),
    /// The question cannot be answered, and why: the asker's mistake.
    Refused(String),
    /// There is nothing at this path.
    Nowhere,
}

impl View {
    /// Reads everything behind an artifact once; `text_limit` is how many bytes of text stay in memory
    /// ([`TEXT_LIMIT_BYTES`] unless there is a reason).
    ///
    /// The gates are those of a `select` artifact's step, else the default ones.
    ///
    /// # Errors
    /// When the artifact holds no candidates, something that it was made from is gone, or a file cannot be read.
    pub fn open(store: &StoreView, artifact: Artifact, text_limit: usize) -> Result<Self, PipelineError> {
        let sources = Sources::of(store, artifact)?;
        let ledger = open_ledger(&store.ledger_path())?;
        let (index, shelves) = index::build(&sources, ledger.as_ref(), text_limit)?;
        Ok(Self {
            manifest: sources.artifact.manifest().clone(),
            index,
            shelves,
            gates: sources.gates,
            ledger: ledger.map(Mutex::new),
            found: Mutex::new(None),
        })
    }

    /// Returns the artifact that a reader most likely means: of the last `select` step of any recipe's run, else the
    /// last `fuse`, `score` or `generate` step, in this order.
    ///
    /// # Errors
    /// When the store's runs cannot be read, or none of them made anything to view.
    pub fn latest(store: &StoreView) -> Result<Artifact, PipelineError> {
        let runs = store.runs()?;
        for verb in VIEWABLE {
            let steps = runs.iter().rev().flat_map(|run| run.steps.iter().rev());
            for step in steps.filter(|step| step.artifact.verb == verb) {
                if let Some(artifact) = store.find(&step.artifact)? {
                    return Ok(artifact);
                }
            }
        }
        let what = "no recipe's last run made answers, scores or selections";
        let remedy = "run a recipe with a `generate` step first";
        Err(PipelineError::input(&store.root().display().to_string(), what, remedy))
    }

    /// How many prompts have answers.
    pub fn n_prompts(&self) -> usize {
        self.index.entries.iter().filter(|entry| !entry.answers.is_empty()).count()
    }

    /// Whether texts had to go to a temporary file.
    pub fn is_on_disk(&self) -> bool {
        self.shelves.rows.is_on_disk() || self.shelves.folded.is_on_disk()
    }

    /// Answers what a browser asks: `/`, `/api/about`, `/api/prompts` and `/api/prompts/PLACE`.
    ///
    /// # Errors
    /// When a text cannot be read.
    pub fn answer(&self, path: &str, query: &[(String, String)]) -> Result<ViewReply, PipelineError> {
        match path {
            "/" => Ok(ViewReply::Page(page())),
            "/api/about" => Ok(ViewReply::Json(self.about())),
            _ => {
                let Some(rest) = path.strip_prefix("/api/prompts") else { return Ok(ViewReply::Nowhere) };
                match Query::parse(query, &self.index) {
                    Ok(query) => self.prompts(rest, &query),
                    Err(why) => Ok(ViewReply::Refused(why)),
                }
            }
        }
    }

    fn prompts(&self, rest: &str, query: &Query) -> Result<ViewReply, PipelineError> {
        if rest.is_empty() {
            return self.list(query).map(ViewReply::Json);
        }
        let place = rest.strip_prefix('/').and_then(|place| place.parse::<u32>().ok());
        match place.filter(|&place| (place as usize) < self.index.entries.len()) {
            Some(place) => self.row(query, place).map(ViewReply::Json),
            None => Ok(ViewReply::Nowhere),
        }
    }

    fn list(&self, query: &Query) -> Result<Value, PipelineError> {
        let found = self.find(query)?;
        let pages = found.len().div_ceil(PAGE);
        let page = query.page.min(pages.saturating_sub(1));
        let prompts: Vec<Value> = found
            .iter()
            .skip(page * PAGE)
            .take(PAGE)
            .map(|&place| self.summary(query, place))
            .collect::<Result<_, _>>()?;
        Ok(json!({ "n": found.len(), "page": page, "pages": pages, "prompts": prompts }))
    }

    /// Turning pages does not search again.
    fn find(&self, query: &Query) -> Result<Arc<Vec<u32>>, PipelineError> {
        let asked = Query { page: 0, ..query.clone() };
        let known = || self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, places)) = known().as_ref()
            && *last == asked
        {
            return Ok(Arc::clone(places));
        }
        let places = Arc::new(query.find(&self.index, &self.shelves)?);
        *known() = Some((asked, Arc::clone(&places)));
        Ok(places)
    }

    fn about(&self) -> Value {
        let Index { entries, languages, teachers, arbiters, rankings, n_strays, .. } = &self.index;
        let mut counts = vec![0u64; languages.len()];
        for entry in entries.iter().filter(|entry| !entry.answers.is_empty()) {
            counts[usize::from(entry.language)] += 1;
        }
        let mut spoken: Vec<(Value, u64)> =
            languages.iter().map(tongue).zip(counts).filter(|(_, n_prompts)| *n_prompts > 0).collect();
        spoken.sort_by(|a, b| a.0["tag"].as_str().cmp(&b.0["tag"].as_str()));
        let spoken: Vec<Value> = spoken
            .into_iter()
            .map(|(mut tongue, n_prompts)| {
                tongue["n_prompts"] = json!(n_prompts);
                tongue
            })
            .collect();
        let (mut teachers, mut arbiters) = (teachers.clone(), arbiters.clone());
        teachers.sort();
        arbiters.sort();
        json!({
            "artifact": self.manifest.id, "step": self.manifest.step, "verb": self.manifest.verb,
            "n_prompts": self.n_prompts(), "n_answers": entries.iter().map(|entry| entry.answers.len()).sum::<usize>(),
            "n_strays": n_strays, "languages": spoken, "teachers": teachers, "arbiters": arbiters,
            "rankings": rankings.iter().map(|ranking| &ranking.name).collect::<Vec<_>>(), "page_size": PAGE,
        })
    }
}

/// None where there is no ledger, as with answers of local models that were copied here.
fn open_ledger(path: &Path) -> Result<Option<Ledger>, PipelineError> {
    if path.exists() { Ok(Some(Ledger::open_read_only(path)?)) } else { Ok(None) }
}

/// The page with everything that it needs in it.
fn page() -> String {
    HTML.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT)
}
