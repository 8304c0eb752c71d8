//! The recipe: one page of YAML that is the whole experiment, parsed into typed steps before anything runs or costs.

mod budget;
mod decode;
mod endpoints;
mod fault;
pub mod fusion;
mod labels;
mod local_arbiter;
pub(crate) mod loss;
mod mbr;
mod node;
mod overrides;
mod panel;
pub mod params;
pub(crate) mod parts;
mod pool;
mod preference;
mod reference;
pub(crate) mod references;
mod relative;
pub mod routing;

use serde::{Serialize, de::DeserializeOwned};

use cambist_io::money::table::PriceTable;

use self::node::{Content, Entry};
pub use self::{
    budget::Budget,
    fault::{Fault, Faults, Place},
    loss::{LossKind, LossParams, NllParams},
    mbr::{EvidenceManner, MbrManner},
    node::Node,
    panel::{CombineWord, PanelManner},
    parts::TrainRun,
    pool::{
        Arbiter, Chrf, Compare, Empty, JudgeManner, Manner, ManyAnswers, PoolMember, Recorded, Replay, RewardManner,
        RougeKind, RougeManner,
    },
    reference::{Reference, References},
};
use fusion::FuseParams;
use params::{
    EvaluateParams, FitParams, GenerateParams, PromptsParams, ReportParams, ScoreParams, SelectParams, TrainParams,
    TranslateParams,
};
use routing::FrontierParams;

/// A whole experiment.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Names the experiment and its folder under `runs/`.
    pub name: String,
    /// Where all random numbers come from; 0 by default.
    pub seed: u64,
    /// Models that may be asked.
    pub pool: Vec<PoolMember>,
    /// Who scores.
    pub arbiters: Vec<Arbiter>,
    /// How to read what a call cost from its reply, before the list prices of the pool.
    pub prices: PriceTable,
    /// What may be spent; changes no result.
    pub budget: Budget,
    /// Whether the raw replies of servers are kept in the ledger; they are by default.
    pub keep_raw: bool,
    /// What to do, from top to bottom.
    pub steps: Vec<Step>,
    /// The text that it was read from, overrides not applied.
    pub text: String,
}

/// One step: a verb with its parameters.
#[derive(Clone, Debug)]
pub struct Step {
    /// Names the step; the verb where the recipe gives none.
    pub id: String,
    /// Where it stands.
    pub place: Place,
    /// What to do.
    pub action: Action,
}

/// A verb with its typed parameters.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Makes prompts.
    Prompts(PromptsParams),
    /// Translates prompts or answers.
    Translate(TranslateParams),
    /// Asks teachers.
    Generate(GenerateParams),
    /// Makes one answer of several.
    Fuse(FuseParams),
    /// Scores answers.
    Score(ScoreParams),
    /// Fits a router.
    Fit(FitParams),
    /// Keeps the best answers, makes preference pairs and labels answers.
    Select(SelectParams),
    /// Measures what cheaper routing keeps.
    Frontier(FrontierParams),
    /// Trains a model.
    Train(Box<TrainParams>),
    /// Measures models.
    Evaluate(EvaluateParams),
    /// Writes the report.
    Report(ReportParams),
}

/// The keys of a recipe.
const TOP_LEVEL: [&str; 8] = ["name", "seed", "pool", "arbiters", "prices", "budget", "keep_raw", "steps"];

/// The verbs in the order of the work.
pub const VERBS: [&str; 11] =
    ["prompts", "translate", "generate", "fuse", "score", "fit", "select", "frontier", "train", "evaluate", "report"];

impl Action {
    /// The verb's name.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Prompts(_) => "prompts",
            Self::Translate(_) => "translate",
            Self::Generate(_) => "generate",
            Self::Fuse(_) => "fuse",
            Self::Score(_) => "score",
            Self::Fit(_) => "fit",
            Self::Select(_) => "select",
            Self::Frontier(_) => "frontier",
            Self::Train(_) => "train",
            Self::Evaluate(_) => "evaluate",
            Self::Report(_) => "report",
        }
    }
}

impl Recipe {
    /// Reads and checks a recipe; `path` only names it in messages.
    ///
    /// # Errors
    /// Every fault at once: bad YAML, unknown or missing keys, references to steps that are not there or of the wrong
    /// kind, teachers and arbiters that nobody declared.
    pub fn parse(path: &str, text: &str, overrides: &[String]) -> Result<Self, Faults> {
        let in_file =
            |faults| Faults { path: path.to_owned(), text: text.to_owned(), overrides: overrides.to_vec(), faults };
        let mut root = Node::parse(text).map_err(|fault| in_file(vec![fault]))?;
        for (at, assignment) in overrides.iter().enumerate() {
            overrides::apply(&mut root, assignment, Place::Override(at)).map_err(|fault| in_file(vec![fault]))?;
        }
        let mut reader = Reader::default();
        let mut recipe = reader.read(&root);
        recipe.text = text.to_owned();
        if reader.faults.is_empty() {
            reader.faults.extend(references::check(&recipe, &root));
        }
        if reader.faults.is_empty() {
            return Ok(recipe);
        }
        reader.faults.sort_by_key(|fault| fault.place);
        Err(in_file(reader.faults))
    }

    /// Keeps at most `n_sources` in each set of prompts, for a rehearsal.
    pub fn limit(&mut self, n_sources: usize) {
        for step in &mut self.steps {
            if let Action::Prompts(params) = &mut step.action {
                params.limit = Some(params.limit.map_or(n_sources, |limit| limit.min(n_sources)));
            }
        }
    }

    /// The step called `id`.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }
}

/// Collects faults while the tree becomes a recipe.
#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
}

impl Reader {
    fn read(&mut self, root: &Node) -> Recipe {
        let Content::Mapping(entries) = &root.content else {
            let what = format!("found {}, expected a mapping with `name` and `steps`", root.describe());
            self.faults.push(Fault::new(root.place, what, "`cambist init` writes a recipe to start from"));
            return self.finish(None, root, Vec::new());
        };
        for Entry { key, key_place, .. } in entries {
            if !TOP_LEVEL.contains(&key.as_str()) {
                self.faults.push(decode::unknown(*key_place, ("key", key), &TOP_LEVEL));
            }
        }
        let steps = self.steps(root);
        let name = root.get("name").and_then(|node| self.decode::<String>(node));
        if let (Some(name), Some(node)) = (&name, root.get("name"))
            && !is_id(name)
        {
            self.faults.push(bad_id(node.place, name));
        }
        self.finish(name, root, steps)
    }

    fn finish(&mut self, name: Option<String>, root: &Node, steps: Vec<Step>) -> Recipe {
        if name.is_none() && self.faults.is_empty() {
            self.faults.push(Fault::new(Place::START, "the key `name` is missing", "add `name: ...` at the top"));
        }
        Recipe {
            name: name.unwrap_or_default(),
            seed: root.get("seed").and_then(|node| self.decode(node)).unwrap_or(0),
            pool: self.list(root, "pool"),
            arbiters: self.list(root, "arbiters"),
            prices: PriceTable(self.list(root, "prices")),
            budget: root.get("budget").and_then(|node| self.decode(node)).unwrap_or_default(),
            keep_raw: root.get("keep_raw").and_then(|node| self.decode(node)).unwrap_or(true),
            steps,
            text: String::new(),
        }
    }

    fn decode<T: DeserializeOwned>(&mut self, node: &Node) -> Option<T> {
        decode::decode(node).map_err(|faults| self.faults.extend(faults)).ok()
    }

    fn list<T: DeserializeOwned>(&mut self, root: &Node, key: &str) -> Vec<T> {
        self.items(root, key).iter().filter_map(|item| self.decode(item)).collect()
    }

    /// The items of a list under `key`, with two of the same `id` reported.
    fn items<'a>(&mut self, root: &'a Node, key: &str) -> &'a [Node] {
        let Some(node) = root.get(key) else { return &[] };
        let Content::Sequence(items) = &node.content else {
            let what = format!("`{key}`: found {}, expected a list", node.describe());
            self.faults.push(Fault::new(node.place, what, "put `- ` before each item"));
            return &[];
        };
        let mut seen: Vec<(String, Place)> = Vec::new();
        for id in items.iter().filter_map(|item| item.get("id")) {
            // An id that is no text is a fault of its own, told where the item is read.
            let Some(text) = id.to_json().as_str().map(str::to_owned) else { continue };
            if !is_id(&text) {
                self.faults.push(bad_id(id.place, &text));
            }
            if let Some((_, first)) = seen.iter().find(|(other, _)| *other == text) {
                let what = format!("the id `{text}` stands twice in `{key}`, first in {first}");
                self.faults.push(Fault::new(id.place, what, "give each its own id"));
            }
            seen.push((text, id.place));
        }
        items
    }

    fn steps(&mut self, root: &Node) -> Vec<Step> {
        if root.get("steps").is_none() {
            let known = VERBS.join(", ");
            let fault = Fault::new(Place::START, "the key `steps` is missing", format!("list what to do: {known}"));
            self.faults.push(fault);
        }
        let nodes = self.items(root, "steps");
        if let (Some(node), []) = (root.get("steps"), nodes)
            && matches!(node.content, Content::Sequence(_))
        {
            let remedy = format!("list what to do: {}", VERBS.join(", "));
            self.faults.push(Fault::new(node.place, "`steps` is empty", remedy));
        }
        nodes.iter().filter_map(|node| self.step(node)).collect()
    }

    fn step(&mut self, node: &Node) -> Option<Step> {
        let Content::Mapping(entries) = &node.content else {
            let what = format!("found {}, expected a step such as `prompts: {{...}}`", node.describe());
            self.faults.push(Fault::new(node.place, what, "write a verb and its parameters"));
            return None;
        };
        let mut verbs = entries.iter().filter(|entry| entry.key != "id");
        let Some(verb) = verbs.next() else {
            let what = "this step has no verb";
            self.faults.push(Fault::new(node.place, what, format!("add one of: {}", VERBS.join(", "))));
            return None;
        };
        for extra in verbs {
            let what = format!("`{}` stands beside the verb `{}`", extra.key, verb.key);
            let remedy = "a step has one verb; indent the verb's parameters under it, or begin a new step with `- `";
            self.faults.push(Fault::new(extra.key_place, what, remedy));
        }
        let id = node.get("id").and_then(|id| self.decode::<String>(id)).unwrap_or_else(|| verb.key.clone());
        for key in ["splits", "strategies"] {
            self.check_names(&verb.value, key);
        }
        let action = self.action(verb)?;
        Some(Step { id, place: node.place, action })
    }

    /// The names of splits and strategies become files and parts of references too.
    fn check_names(&mut self, params: &Node, key: &str) {
        let Some(Content::Mapping(named)) = params.get(key).map(|node| &node.content) else { return };
        let faults = named.iter().filter(|entry| !is_id(&entry.key)).map(|entry| bad_id(entry.key_place, &entry.key));
        self.faults.extend(faults);
    }

    fn action(&mut self, verb: &Entry) -> Option<Action> {
        let params = &verb.value;
        match verb.key.as_str() {
            "prompts" => self.decode(params).map(Action::Prompts),
            "translate" => self.decode(params).map(Action::Translate),
            "generate" => self.decode(params).map(Action::Generate),
            "fuse" => self.decode(params).map(Action::Fuse),
            "score" => self.decode(params).map(Action::Score),
            "fit" => self.decode(params).map(Action::Fit),
            "select" => self.decode(params).map(Action::Select),
            "frontier" => self.decode(params).map(Action::Frontier),
            "train" => self.decode(params).map(|params| Action::Train(Box::new(params))),
            "evaluate" => self.decode(params).map(Action::Evaluate),
            "report" => self.decode(params).map(Action::Report),
            other => {
                self.faults.push(decode::unknown(verb.key_place, ("verb", other), &VERBS));
                None
            }
        }
    }
}

/// Ids become folder names and parts of references: letters, digits, `-` and `_` only.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn bad_id(place: Place, text: &str) -> Fault {
    Fault::new(place, format!("`{text}` cannot be an id"), "use letters, digits, `-` and `_`")
}
