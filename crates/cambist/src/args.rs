//! What may be typed.

use std::{net::IpAddr, num::NonZeroUsize, path::PathBuf};

use cambist_pipeline::{Dtype, Pooling, recipe::params::HeadChoice, run::Capabilities};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// Multilingual arbitrage: ask a pool of models, keep the best answers per language, train a student on them
#[derive(Debug, Parser)]
#[command(name = "cambist", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(
    after_help = "Start here:\n  cambist init                  write a recipe to start from\n  cambist run recipe.yaml       run it; run it again to go on where it stopped\n\nExit codes: 0 done, 2 your input, 3 the world (disk, network), 70 a fault of cambist,\n130 stopped by Ctrl-C"
)]
pub(crate) struct Args {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a recipe: every step whose artifact is not there yet
    #[command(after_help = "Example:\n  cambist run recipes/quickstart.yaml seed=9 students.train.config.steps=200")]
    Run(RunArgs),
    /// Say what a recipe would do: what is finished, what is missing, how many calls are left
    #[command(after_help = "Example:\n  cambist plan recipes/quickstart.yaml")]
    Plan(PlanArgs),
    /// Ask every server of a recipe what it is and what it can do, and nothing else
    #[command(
        after_help = "Example:\n  cambist probe recipes/endpoints.yaml\n\nA few answers of four tokens are paid for; reward models score ten pairs of answers.\nExit codes: 2 when a server has no such model, 3 when one does not answer"
    )]
    Probe(ProbeArgs),
    /// Show an artifact, a step of a recipe's last run, or what the store holds
    #[command(after_help = "Examples:\n  cambist show\n  cambist show quickstart.answers\n  cambist show select-3f2a")]
    Show(ShowArgs),
    /// Read candidates side by side in a browser: a page on this machine, read-only
    #[command(
        after_help = "Examples:\n  cambist view\n  cambist view quickstart.answers\n  cambist view select-3f2a --port 8200 --no-open"
    )]
    View(ViewArgs),
    /// Show rows as a model reads them: the rendered text, its tokens, and which of them are trained
    #[command(
        after_help = "Examples:\n  cambist tokens models/student --data rows.jsonl\n  echo 'Guten Tag' | cambist tokens models/student --prompt --ids\n\nTrained text stands in ⟦brackets⟧. A row with `messages` is a conversation, one with `chosen` and\n`rejected` a pair, one with `prompt` alone is shown as it is answered, one with `text` is a document."
    )]
    Tokens(TokensArgs),
    /// Walk from an artifact back to the prompts and teachers that made it
    #[command(after_help = "Example:\n  cambist why quickstart.students.reward.seed-1")]
    Why(WhyArgs),
    /// Remove what no recipe's last run reaches
    #[command(after_help = "Example:\n  cambist gc --dry-run")]
    Gc(GcArgs),
    /// Write a commented recipe to start from
    #[command(
        after_help = "Examples:\n  cambist init my-recipe.yaml\n  cambist init mine.yaml --prompts prompts.jsonl --answers answers.jsonl --scores scores.jsonl"
    )]
    Init(InitArgs),
    /// Say which teachers of a pool are worth having
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Serve made-up answers in every dialect, to rehearse a recipe without a bill
    #[command(after_help = "Example:\n  cambist mock --port 8123 --behaviour recipes/mock.yaml")]
    Mock(MockArgs),
    /// Serve a local model in OpenAI's dialect, or a reward model in vLLM's
    #[command(
        after_help = "Examples:\n  cambist serve models/student --port 8000\n  cambist serve cambist-store/artifacts/train-3f2a/model --name student\n\nAny client of OpenAI takes the printed address; prompts never leave this machine"
    )]
    Serve(ServeArgs),
    /// Make prompts: a recipe's `prompts` steps, or the built-in task on stdout
    #[command(
        after_help = "Examples:\n  cambist prompts recipes/quickstart.yaml\n  cambist prompts --polyglot tr,ja --sources 12"
    )]
    Prompts(PromptsArgs),
    /// Translate prompts or answers: a recipe's `translate` steps and what they need
    #[command(after_help = "Example:\n  cambist translate recipe.yaml --step translated")]
    Translate(VerbArgs),
    /// Ask teachers: a recipe's `generate` steps and what they need
    #[command(after_help = "Example:\n  cambist generate recipes/quickstart.yaml --step answers")]
    Generate(VerbArgs),
    /// Make one answer of several: a recipe's `fuse` steps and what they need
    #[command(after_help = "Example:\n  cambist fuse recipe.yaml --step fused")]
    Fuse(VerbArgs),
    /// Write the calls that a `generate` step still needs as batch files, for any other runner
    #[command(after_help = "Example:\n  cambist export-requests recipe.yaml --step answers --teacher gpt -o in.jsonl")]
    ExportRequests(ExportRequestsArgs),
    /// Put results of batch files into the ledger; `run` then asks for the rest
    #[command(after_help = "Example:\n  cambist import-results recipe.yaml out.jsonl errors.jsonl")]
    ImportResults(ImportResultsArgs),
    /// Write a `train` step as data and settings for TRL, for students that outgrow one device
    #[command(
        after_help = "Example:\n  cambist export-training recipe.yaml --step student --devices 8 -o handover && sh handover/train.sh"
    )]
    ExportTraining(ExportTrainingArgs),
    /// Take a checkpoint that was trained elsewhere as what a `train` step was to make
    #[command(after_help = "Example:\n  cambist import-checkpoint recipe.yaml handover --step student")]
    ImportCheckpoint(ImportCheckpointArgs),
    /// Take over answers that another tool paid for
    #[command(
        after_help = "Example:\n  cambist import recipe.yaml --step answers --format distilabel --teacher aya --trust leaf.parquet"
    )]
    Import(ImportArgs),
    /// Turn samples of lm-evaluation-harness into prompts, answers and scores for `replay`
    #[command(after_help = "Example:\n  cambist import-samples out/*/samples_*.jsonl -o recorded")]
    ImportSamples(ImportSamplesArgs),
    /// Merge an adapter into its base, as a whole model for programs that read no adapters
    #[command(
        after_help = "Examples:\n  cambist merge-adapter myrecipe.student -o merged\n  cambist merge-adapter peft-folder --base models/base -o merged"
    )]
    MergeAdapter(MergeAdapterArgs),
    /// Upload an artifact, such as a `select` step's sets, to the Hugging Face Hub as a data set
    #[command(after_help = "Example:\n  HF_TOKEN=... cambist push quickstart.arbitrage --repo me/arbitrage --private")]
    Push(PushArgs),
    /// Score answers: a recipe's `score` steps and what they need
    #[command(after_help = "Example:\n  cambist score recipe.yaml")]
    Score(VerbArgs),
    /// Fit a router: a recipe's `fit` steps and what they need, or plain files of prompts and scores
    #[command(
        after_help = "Examples:\n  cambist fit recipe.yaml\n  cambist fit --prompts prompts.jsonl --answers answers.jsonl --scores scores.jsonl -o router.json"
    )]
    Fit(FitArgs),
    /// Say for each prompt on stdin whom a router asks: JSON lines in, JSON lines out
    #[command(
        after_help = "Example:\n  cambist route --router router.json < prompts.jsonl > routes.jsonl\n\nA line has `prompt` or `messages`, and may have `id`, `language` and `task`."
    )]
    Route(RouteArgs),
    /// Keep the best answers, make pairs and labels: a recipe's `select` steps and what they need
    #[command(after_help = "Example:\n  cambist select recipes/quickstart.yaml")]
    Select(VerbArgs),
    /// Measure how much of the gain of asking everybody cheaper routing keeps: a recipe's `frontier` steps and what they
    /// need
    #[command(after_help = "Example:\n  cambist frontier recipes/replay.yaml")]
    Frontier(VerbArgs),
    /// Train models: a recipe's `train` steps and what they need
    #[command(after_help = "Example:\n  cambist train recipes/quickstart.yaml --step students")]
    Train(VerbArgs),
    /// Measure models: a recipe's `evaluate` steps and what they need
    #[command(after_help = "Example:\n  cambist evaluate recipes/quickstart.yaml --json")]
    Evaluate(VerbArgs),
    /// Write the report: a recipe's `report` steps and what they need
    #[command(after_help = "Example:\n  cambist report recipes/quickstart.yaml")]
    Report(VerbArgs),
}

/// What to do about a pool.
#[derive(Debug, Subcommand)]
pub(crate) enum PoolCommand {
    /// Say which teachers to keep in each language, what that keeps of the gain, what it costs, and how sure it is
    #[command(after_help = "Example:\n  cambist pool advise recipe.yaml --limit 300")]
    Advise(PoolAdviseArgs),
}

/// A recipe with `frontier` steps.
#[derive(Debug, ClapArgs)]
pub(crate) struct PoolAdviseArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// Where artifacts are kept.
#[derive(Debug, ClapArgs)]
pub(crate) struct StoreArgs {
    /// Folder that keeps artifacts and paid calls
    #[arg(long, value_name = "FOLDER", default_value = "cambist-store")]
    pub store: PathBuf,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// A recipe with changes to it.
#[derive(Debug, ClapArgs)]
pub(crate) struct RecipeArgs {
    /// The recipe
    #[arg(value_name = "RECIPE")]
    pub recipe: PathBuf,
    /// Changes to the recipe, such as `seed=9` or `students.train.config.steps=50`
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Keep at most N sources in each set of prompts, for a rehearsal
    #[arg(long, value_name = "N")]
    pub limit: Option<NonZeroUsize>,
}

/// How to run.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct RuntimeArgs {
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Say nothing but errors on stderr
    #[arg(long, short)]
    pub quiet: bool,
    /// Whether servers are asked what they can do before the first call that counts: with trials once a day, with all
    /// trials, not at all
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub capabilities: CapabilitiesArg,
    /// Seconds between two states that a training run keeps, to go on from after a kill
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub state_every: u64,
}

/// Numbers of a model folder.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum DtypeArg {
    #[default]
    F32,
    Bf16,
    F16,
}

impl From<DtypeArg> for Dtype {
    fn from(arg: DtypeArg) -> Self {
        match arg {
            DtypeArg::F32 => Self::F32,
            DtypeArg::Bf16 => Self::Bf16,
            DtypeArg::F16 => Self::F16,
        }
    }
}

/// When servers are asked what they can do.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum CapabilitiesArg {
    // Words of help here would spread every page of help over twice the lines.
    #[default]
    Auto,
    Force,
    Never,
}

impl From<CapabilitiesArg> for Capabilities {
    fn from(arg: CapabilitiesArg) -> Self {
        match arg {
            CapabilitiesArg::Auto => Self::Auto,
            CapabilitiesArg::Force => Self::Force,
            CapabilitiesArg::Never => Self::Never,
        }
    }
}

/// Arguments of `run`.
#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Say what would be done and stop
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `plan`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Ask each server about N prompts of each language first, so that the estimate rests on answers; the run does not
    /// ask again
    #[arg(long, value_name = "N")]
    pub probe: Option<NonZeroUsize>,
    /// Whether servers are asked what they can do before the first call of --probe: with trials once a day, with all
    /// trials, not at all
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub capabilities: CapabilitiesArg,
}

/// Arguments of `probe`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ProbeArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `mock`.
#[derive(Debug, ClapArgs)]
pub(crate) struct MockArgs {
    /// Port on 127.0.0.1 [default: that of the behaviour, else any free one]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// YAML file with latency, capacity and faults
    #[arg(long, value_name = "FILE")]
    pub behaviour: Option<PathBuf>,
    /// Seed of answers, scores and faults [default: that of the behaviour, else 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Arguments of `serve`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ServeArgs {
    /// A Hugging Face model folder, or a GGUF file
    #[arg(value_name = "MODEL_FOLDER")]
    pub model: PathBuf,
    /// Port, 0 for any free one
    #[arg(long, value_name = "N", default_value_t = 8000)]
    pub port: u16,
    /// Address to listen at; with any other than the default, everybody who reaches this machine may ask
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// The model's name in requests [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Answers that grow together at most
    #[arg(long, value_name = "N", default_value = "32")]
    pub batch_size: NonZeroUsize,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Numbers to keep weights in, in memory [default: the narrowest that change none of them]
    #[arg(long, value_name = "TYPE", value_enum)]
    pub dtype: Option<DtypeArg>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of a verb.
#[derive(Debug, ClapArgs)]
pub(crate) struct VerbArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Only this step, or one run of it such as `students.reward.seed-1`
    #[arg(long, value_name = "ID")]
    pub step: Option<String>,
}

/// Arguments of `export-requests`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ExportRequestsArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    /// The `generate` step [default: the only one]
    #[arg(long, value_name = "ID")]
    pub step: Option<String>,
    /// Only this teacher's calls [default: those of every teacher with an endpoint]
    #[arg(long, value_name = "NAME")]
    pub teacher: Option<String>,
    /// How files are written [default: as the teacher's provider takes them]
    #[arg(long, value_name = "FORMAT", value_parser = ["openai-batch", "anthropic-batch"])]
    pub format: Option<String>,
    /// A file for one teacher, or a folder that gets a file for each
    #[arg(long, short, value_name = "PATH", default_value = "requests")]
    pub output: PathBuf,
}

/// Arguments of `import-results`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ImportResultsArgs {
    /// The recipe
    #[arg(value_name = "RECIPE")]
    pub recipe: PathBuf,
    /// Result files and error files, in any order
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The `generate` step [default: the only one]
    #[arg(long, value_name = "ID")]
    pub step: Option<String>,
    /// A change to the recipe, such as `seed=9`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Keep at most N sources in each set of prompts, for a rehearsal
    #[arg(long, value_name = "N")]
    pub limit: Option<NonZeroUsize>,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `export-training`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ExportTrainingArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    /// The `train` step, or one run of it such as `students.reward.seed-1` [default: the only one]
    #[arg(long, value_name = "ID")]
    pub step: Option<String>,
    /// Devices to train on; the rows of a step are dealt out to them
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN)]
    pub devices: NonZeroUsize,
    /// The folder to write; must not hold anything yet
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
}

/// Arguments of `import-checkpoint`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ImportCheckpointArgs {
    /// The recipe
    #[arg(value_name = "RECIPE")]
    pub recipe: PathBuf,
    /// The trained model's folder, or the one that `export-training` wrote
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// The `train` step, or one run of it such as `students.reward.seed-1` [default: the only one]
    #[arg(long, value_name = "ID")]
    pub step: Option<String>,
    /// A change to the recipe, such as `seed=9`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Keep at most N sources in each set of prompts, for a rehearsal
    #[arg(long, value_name = "N")]
    pub limit: Option<NonZeroUsize>,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `import`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub results: ImportResultsArgs,
    /// What made the files
    #[arg(long, value_name = "FORMAT",
        value_parser = ["completions", "distilabel", "curator", "open-instruct", "nemo-skills", "lm-eval"])]
    pub format: String,
    /// The teacher that answered [default: the one that the files name]
    #[arg(long, value_name = "NAME")]
    pub teacher: Option<String>,
    /// Let bare texts count as answers though nobody saw their requests
    #[arg(long)]
    pub trust: bool,
}

/// Arguments of `import-samples`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ImportSamplesArgs {
    /// Files that lm_eval wrote with `--log_samples`, of any number of models and tasks
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Folder for prompts.jsonl, answers.jsonl and scores.jsonl
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// The model that answered [default: the name of the folder that a file lies in]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The language of the prompts [default: identified when they are read]
    #[arg(long, value_name = "LANGUAGE")]
    pub language: Option<String>,
    /// The filter whose metrics count [default: the first of each file]
    #[arg(long, value_name = "NAME")]
    pub filter: Option<String>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `merge-adapter`.
#[derive(Debug, ClapArgs)]
pub(crate) struct MergeAdapterArgs {
    /// A folder with `adapter_config.json`, or a `train` artifact by the beginning of its name or digest, or
    /// `recipe.step`
    #[arg(value_name = "ADAPTER")]
    pub adapter: String,
    /// Folder for the whole model; must not hold anything yet
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Numbers to write the model in
    #[arg(long, value_name = "TYPE", value_enum, default_value_t)]
    pub dtype: DtypeArg,
    /// Folder of the model that the adapter was trained on [default: what the adapter names]
    #[arg(long, value_name = "FOLDER")]
    pub base: Option<PathBuf>,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `push`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PushArgs {
    /// An artifact by the beginning of its name or digest, or `recipe.step`
    #[arg(value_name = "ARTIFACT")]
    pub name: String,
    /// The data set on the Hub, made where it is not there yet
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: String,
    /// Make it for yourself alone
    #[arg(long)]
    pub private: bool,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `prompts`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PromptsArgs {
    /// The recipe
    #[arg(value_name = "RECIPE", required_unless_present = "polyglot")]
    pub recipe: Option<PathBuf>,
    /// Changes to the recipe, such as `seed=9`
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Print prompts of the built-in task in these languages as JSON lines
    #[arg(long, value_name = "LANGUAGES", value_delimiter = ',', conflicts_with = "recipe")]
    pub polyglot: Vec<String>,
    /// Sources to draw for --polyglot; each is written in every language
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub sources: usize,
    /// Tasks to draw for --polyglot [default: all]
    #[arg(long, value_name = "TASKS", value_delimiter = ',')]
    pub tasks: Vec<String>,
    /// Seed for --polyglot
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Keep at most N sources in each set of prompts, for a rehearsal
    #[arg(long, value_name = "N", conflicts_with = "polyglot")]
    pub limit: Option<NonZeroUsize>,
    /// Say what would be done and stop
    #[arg(long, conflicts_with = "polyglot")]
    pub dry_run: bool,
    /// Only this step
    #[arg(long, value_name = "ID", conflicts_with = "polyglot")]
    pub step: Option<String>,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// Arguments of `tokens`.
#[derive(Debug, ClapArgs)]
pub(crate) struct TokensArgs {
    /// A model folder; its tokenizer and chat template are read
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Rows in JSONL, JSON, CSV or Parquet [default: text on stdin]
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Take the text on stdin as a user's turn to be answered, not as a document
    #[arg(long, conflicts_with = "data")]
    pub prompt: bool,
    /// List every token with its number
    #[arg(long)]
    pub ids: bool,
    /// Rows to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub rows: usize,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `fit`.
#[derive(Debug, ClapArgs)]
pub(crate) struct FitArgs {
    /// The recipe
    #[arg(value_name = "RECIPE", required_unless_present = "prompts")]
    pub recipe: Option<PathBuf>,
    /// Changes to the recipe, such as `seed=9`
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Fit on plain files instead: prompts
    #[arg(long, value_name = "FILE", conflicts_with = "recipe", requires = "scores", requires = "output")]
    pub prompts: Option<PathBuf>,
    /// Scores, a row for each prompt and model
    #[arg(long, value_name = "FILE", requires = "prompts")]
    pub scores: Option<PathBuf>,
    /// Answers; without them every scored answer counts as given
    #[arg(long, value_name = "FILE", requires = "prompts")]
    pub answers: Option<PathBuf>,
    /// Whose scores count [default: the only one in the file]
    #[arg(long, value_name = "NAME", requires = "prompts")]
    pub judge: Option<String>,
    /// Which head scores teachers
    #[arg(long, value_name = "HEAD", value_enum, default_value_t, conflicts_with = "recipe")]
    pub head: HeadArg,
    /// Read prompts with this model folder or GGUF file instead of hashing their words
    #[arg(long, value_name = "FOLDER", requires = "prompts")]
    pub model: Option<PathBuf>,
    /// Layer of the model whose hidden states are read, from 0 (the embeddings) [default: the last]
    #[arg(long, value_name = "N", requires = "model")]
    pub layer: Option<usize>,
    /// How the hidden states of a prompt become one
    #[arg(long, value_name = "HOW", value_enum, default_value_t, requires = "model")]
    pub pooling: PoolingArg,
    /// Seed of the folds that heads are compared on
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "recipe")]
    pub seed: u64,
    /// Largest weight of an answer where rows have a `propensity` and not everybody was asked
    #[arg(long, value_name = "W", default_value_t = 50.0, conflicts_with = "recipe")]
    pub max_weight: f64,
    /// File for the router
    #[arg(long, short, value_name = "FILE", requires = "prompts")]
    pub output: Option<PathBuf>,
    /// Keep at most N sources in each set of prompts, for a rehearsal
    #[arg(long, value_name = "N", conflicts_with = "prompts")]
    pub limit: Option<NonZeroUsize>,
    /// Say what would be done and stop
    #[arg(long, conflicts_with = "prompts")]
    pub dry_run: bool,
    /// Only this step
    #[arg(long, value_name = "ID", conflicts_with = "prompts")]
    pub step: Option<String>,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// How hidden states are pooled.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum PoolingArg {
    #[default]
    Mean,
    Last,
}

impl From<PoolingArg> for Pooling {
    fn from(arg: PoolingArg) -> Self {
        match arg {
            PoolingArg::Mean => Self::Mean,
            PoolingArg::Last => Self::Last,
        }
    }
}

/// Which head scores teachers.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum HeadArg {
    #[default]
    Auto,
    KlSoftmax,
    BradleyTerry,
    Ridge,
}

impl From<HeadArg> for HeadChoice {
    fn from(arg: HeadArg) -> Self {
        match arg {
            HeadArg::Auto => Self::Auto,
            HeadArg::KlSoftmax => Self::KlSoftmax,
            HeadArg::BradleyTerry => Self::BradleyTerry,
            HeadArg::Ridge => Self::Ridge,
        }
    }
}

/// Arguments of `route`.
#[derive(Debug, ClapArgs)]
pub(crate) struct RouteArgs {
    /// A router: a file, an artifact by the beginning of its name or digest, or `recipe.step`
    #[arg(long, value_name = "NAME")]
    pub router: String,
    /// The model folder or GGUF file that the router reads prompts with, where it was fitted with one
    #[arg(long, value_name = "FOLDER")]
    pub model: Option<PathBuf>,
    /// The probability of drawing a teacher from the router's shares instead of naming its first
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub explore: f64,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Folder that keeps artifacts and paid calls
    #[arg(long, value_name = "FOLDER", default_value = "cambist-store")]
    pub store: PathBuf,
}

/// Arguments of `why`.
#[derive(Debug, ClapArgs)]
pub(crate) struct WhyArgs {
    /// An artifact by the beginning of its name or digest, or `recipe.step`
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `show`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ShowArgs {
    /// An artifact by the beginning of its name or digest, or `recipe.step`
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Rows to show of each table
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub rows: usize,
}

/// Arguments of `view`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ViewArgs {
    /// A `select`, `score` or `generate` artifact by the beginning of its name or digest, or `recipe.step` [default: the
    /// last that was made]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Port on 127.0.0.1; 0 takes any free one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port: u16,
    /// Leave the browser alone and only print the address
    #[arg(long)]
    pub no_open: bool,
}

/// Arguments of `gc`.
#[derive(Debug, ClapArgs)]
pub(crate) struct GcArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// Say what would be removed and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Remove damaged artifacts too, so that the next run makes them again
    #[arg(long)]
    pub corrupt: bool,
}

/// Arguments of `init`.
#[derive(Debug, ClapArgs)]
pub(crate) struct InitArgs {
    /// The file to write
    #[arg(value_name = "RECIPE", default_value = "recipe.yaml")]
    pub path: PathBuf,
    /// Recorded prompts (id, language, prompt): write a recipe for answers that you have
    #[arg(long, value_name = "FILE", requires = "answers")]
    pub prompts: Option<PathBuf>,
    /// Recorded answers (prompt_id, model, text)
    #[arg(long, value_name = "FILE", requires = "prompts")]
    pub answers: Option<PathBuf>,
    /// Recorded scores (prompt_id, model, score); beside the answers when absent
    #[arg(long, value_name = "FILE", requires = "answers")]
    pub scores: Option<PathBuf>,
    /// Whose scores count, where several judges scored
    #[arg(long, value_name = "NAME", requires = "answers")]
    pub judge: Option<String>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}
