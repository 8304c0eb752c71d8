//! A local model as a server: chats, completions and log-probabilities in OpenAI's dialect, or, of a model with a reward
//! head, rewards in vLLM's.
//!
//! Connections only read requests and write replies; one worker owns the model and lets the answers of all requests grow
//! together. An answer depends on its own request and seed, never on who else asks.

mod classify;
mod prompts;
mod refusal;
mod reply;
mod request;
mod task;
mod worker;

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
};

use cambist_io::{
    clock,
    formats::read_model_folder,
    serve::api::{ApiAnswer, ApiReply, ApiRequest, ApiServer, events, later},
};
use cambist_model::{Dtype, Head, LocalModel, ModelFiles, RewardModel};
use serde_json::{Value, json};

use self::{
    classify::Classification,
    refusal::Refusal,
    request::{Ask, Kind},
    task::{Outlet, Task},
};
use crate::error::PipelineError;

/// How a model is served.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where to listen; port 0 for any free one.
    pub address: SocketAddr,
    /// The model's name in requests and replies.
    pub name: String,
    /// Answers that grow together at most, at least 1.
    pub batch_size: usize,
    /// Threads that compute, none for one per core.
    pub threads: Option<usize>,
}

/// A model that is being served; it stops when dropped, and answers under way are lost.
#[derive(Debug)]
pub struct ModelServer {
    // In this order: nobody asks any more before the worker is told to end.
    server: Option<ApiServer>,
    counter: Option<Arc<Counter>>,
    worker: Option<JoinHandle<()>>,
}

/// The model, and where requests to it are handed over.
#[derive(Debug)]
enum Counter {
    /// A language model answers.
    Answers(Arc<LocalModel>, Mutex<Sender<Task>>),
    /// A model with a reward head scores.
    Rewards(Arc<RewardModel>, Mutex<Sender<Classification>>),
}

/// What the worker does until nobody can ask any more.
type Work = Box<dyn FnOnce() + Send>;

impl Counter {
    fn open(model: LocalModel, batch_size: usize) -> io::Result<(Self, Work)> {
        if serves_rewards(&model) {
            let model = Arc::new(RewardModel::new(model, None).map_err(io::Error::other)?);
            let ((sender, receiver), own) = (channel(), Arc::clone(&model));
            let work: Work = Box::new(move || classify::run(&own, &receiver));
            return Ok((Self::Rewards(model, Mutex::new(sender)), work));
        }
        let model = Arc::new(model);
        let ((sender, receiver), own) = (channel(), Arc::clone(&model));
        let work: Work = Box::new(move || worker::run(&own, batch_size, &receiver));
        Ok((Self::Answers(model, Mutex::new(sender)), work))
    }

    fn model(&self) -> &LocalModel {
        match self {
            Self::Answers(model, _) => model,
            Self::Rewards(model, _) => model.model(),
        }
    }
}

/// Hands a request over to the worker.
fn hand_over<T>(tasks: &Mutex<Sender<T>>, task: T) -> Result<(), Refusal> {
    let tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
    tasks.send(task).map_err(|_| Refusal::ours("the model's worker has ended"))
}

/// Reads the model folder that is to be served, its weights into `dtype`, or into the narrowest numbers that change none
/// of them.
///
/// # Errors
/// When it is no model folder, holds anything that is not implemented, or numbers beyond what `dtype` can hold.
pub fn read_model(folder: &Path, dtype: Option<Dtype>) -> Result<LocalModel, PipelineError> {
    let files = ModelFiles(read_model_folder(folder)?);
    LocalModel::for_inference(&files, dtype)
        .map_err(|source| PipelineError::model(&folder.display().to_string(), source))
}

/// Whether a model is served for its rewards, at `/classify`, rather than for answers.
pub fn serves_rewards(model: &LocalModel) -> bool {
    model.head() == Head::Reward
}

impl ModelServer {
    /// Starts to serve; it listens when this returns.
    ///
    /// # Errors
    /// When the address is taken or a thread cannot be started.
    pub fn start(model: LocalModel, options: &ServeOptions) -> io::Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.unwrap_or(0)).build();
        let pool = pool.map_err(io::Error::other)?;
        let (counter, work) = Counter::open(model, options.batch_size)?;
        let counter = Arc::new(counter);
        let desk = Desk {
            counter: Arc::clone(&counter),
            name: options.name.clone(),
            n_asked: AtomicU64::new(0),
            started_unix_ms: clock::now_unix_ms(),
        };
        let server = ApiServer::start(options.address, Arc::new(move |asked| desk.respond(asked)))?;
        let worker = std::thread::Builder::new().name("model".to_owned()).spawn(move || pool.install(work))?;
        Ok(Self { server: Some(server), counter: Some(counter), worker: Some(worker) })
    }

    /// Where it listens, such as `http://127.0.0.1:8000`; clients of OpenAI take it with `/v1` behind, those that ask for
    /// rewards as it is.
    pub fn base_url(&self) -> String {
        self.server.as_ref().map(ApiServer::base_url).unwrap_or_default()
    }

    /// Returns when the server has stopped.
    pub fn wait(&self) {
        if let Some(server) = &self.server {
            server.wait();
        }
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.server = None;
        self.counter = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

/// Where requests are read and handed to the worker.
struct Desk {
    counter: Arc<Counter>,
    name: String,
    n_asked: AtomicU64,
    started_unix_ms: u64,
}

impl Desk {
    fn respond(&self, asked: &ApiRequest) -> ApiReply {
        self.route(asked).unwrap_or_else(|refusal| ApiReply::Now(refusal.answer()))
    }

    fn route(&self, asked: &ApiRequest) -> Result<ApiReply, Refusal> {
        let path = asked.path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(&asked.path);
        let expected = if matches!(path, CHATS | COMPLETIONS | CLASSIFY) { "POST" } else { "GET" };
        let is_known = [CHATS, COMPLETIONS, CLASSIFY, MODELS, "/health"].contains(&path) || path.starts_with(MODEL);
        if is_known && asked.method != expected && asked.method != "HEAD" {
            return Err(Refusal::method(&asked.method, path, expected));
        }
        match (path, &*self.counter) {
            (CHATS, Counter::Answers(model, tasks)) => self.ask((model, tasks), (Kind::Chat, &asked.body)),
            (COMPLETIONS, Counter::Answers(model, tasks)) => self.ask((model, tasks), (Kind::Completion, &asked.body)),
            (CLASSIFY, Counter::Rewards(model, tasks)) => self.classify((model, tasks), &asked.body),
            (CHATS | COMPLETIONS | CLASSIFY, counter) => Err(Refusal::head(&self.name, counter.model().head(), path)),
            ("/health", _) => Ok(now(json!({"status": "ok"}))),
            (MODELS, _) => Ok(now(json!({"object": "list", "data": [self.card()]}))),
            (path, _) => match path.strip_prefix(MODEL) {
                Some(name) if name == self.name => Ok(now(self.card())),
                Some(name) => Err(Refusal::model(name, &self.name)),
                None => Err(Refusal::nowhere(path)),
            },
        }
    }

    fn card(&self) -> Value {
        json!({
            "id": self.name, "object": "model", "created": self.started_unix_ms / 1000, "owned_by": "cambist",
            "max_model_len": self.counter.model().max_positions(),
        })
    }

    fn classify(
        &self,
        (model, tasks): (&RewardModel, &Mutex<Sender<Classification>>),
        body: &[u8],
    ) -> Result<ApiReply, Refusal> {
        let number = self.n_asked.fetch_add(1, Ordering::Relaxed);
        let inputs = classify::read((model, &self.name), body)?;
        let (slot, reply) = later();
        let id = format!("classify-{:x}-{number}", self.started_unix_ms);
        let head = reply::Head { id, created: clock::now_unix_ms() / 1000, model: self.name.clone() };
        hand_over(tasks, Classification { inputs, head, slot })?;
        Ok(reply)
    }

    fn ask(
        &self,
        (model, tasks): (&LocalModel, &Mutex<Sender<Task>>),
        (kind, body): (Kind, &[u8]),
    ) -> Result<ApiReply, Refusal> {
        let number = self.n_asked.fetch_add(1, Ordering::Relaxed);
        let now_unix_ms = clock::now_unix_ms();
        // Without a seed, every request has random numbers of its own.
        let fresh_seed = now_unix_ms.wrapping_mul(1 << 20).wrapping_add(number);
        let ask = Ask::read((model, &self.name), (kind, body), fresh_seed)?;
        let (outlet, reply) = match ask.stream {
            Some(_) => {
                let (sink, reply) = events();
                (Outlet::Events(sink), reply)
            }
            None => {
                let (slot, reply) = later();
                (Outlet::Whole(slot), reply)
            }
        };
        let id =
            format!("{}-{:x}-{number}", if kind == Kind::Chat { "chatcmpl" } else { "cmpl" }, self.started_unix_ms);
        let task = Task::new(ask, outlet, reply::Head { id, created: now_unix_ms / 1000, model: self.name.clone() });
        hand_over(tasks, task)?;
        Ok(reply)
    }
}

const CHATS: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const CLASSIFY: &str = "/classify";
const MODELS: &str = "/v1/models";
const MODEL: &str = "/v1/models/";

fn now(body: Value) -> ApiReply {
    ApiReply::Now(ApiAnswer { status: 200, body })
}
