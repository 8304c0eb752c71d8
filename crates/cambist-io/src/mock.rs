//! A server that speaks every dialect, with deterministic answers and every fault that servers have.
//!
//! It listens on 127.0.0.1 and answers the routes of teachers (`/v1/chat/completions`, `/v1/completions`,
//! `/v1/messages`, `/v2/chat`, `/generate` of SGLang and TGI, `/completion`), of arbiters (`/classify`, `/pooling`,
//! `/score`, `/v1/score`, `/v1/embeddings`, `/get_reward`, `/predict`, `/rerank`), of batches (`/v1/files`,
//! `/v1/batches`, `/v1/messages/batches`) and of information (`/v1/models`, `/version`, `/health`, `/metrics`,
//! `/tokenize`, `/detokenize`, `/props`, `/slots`, `/info`, `/get_model_info`, `/load`).
//!
//! **Replies are a pure function** of path, model, body without volatile members, sampling seed, the server's seed and
//! the number of the choice; only a reply's `id` tells attempts apart. What goes wrong is written down beforehand, as
//! [`FaultRule`]s. `GET /__mock/stats` and [`MockServer::stats`] say what was asked and answered, and `POST
//! /__mock/reset` forgets it. Requests with the header `x-cambist-probe` only ask what the server can do, and are
//! counted apart.
//!
//! **The model's name says what it does.** `mock-echo` repeats the user's last turn; `mock-lang-xx` writes in language
//! `xx`; any other name is a teacher who writes in the prompt's language, as well as [`mock_quality`] says: that share
//! of its sentences is about words of the prompt, which stand between `“` and `”`. Asked for a translation, they write
//! in the target language and keep placeholders like `⟦0⟧`; shown several answers and asked for one of them all in double
//! square brackets, they put together what is on the topic; given a JSON schema, they fill it in. `mock-rm` scores,
//! `mock-rm-sigmoid`, `mock-rm-sigmoid-default`, `mock-rm-softmax`, `mock-rm-hidden` and `mock-rm-l2` score as wrongly
//! set up servers do, and names that begin with `mock-nim` score through the chat route. `mock-judge-A`,
//! `mock-judge-fair` and `mock-judge-noise:0.2` compare and grade answers that stand between `[Answer A]` and
//! `[End of answer A]`, `[Answer B]` and `[End of answer B]`, or `[Answer]` and `[End of answer]`.

mod options;

mod fault;

mod asked;
mod draw;

mod answer;
mod fusor;
mod judge;
mod prose;
mod reward;
mod schema;
mod template;
mod tokens;
mod tongue;
mod translate;

mod arbiter;
mod batch;
mod info;
mod teacher;
mod turn;

mod reply;
mod reply_body;
mod serve;
mod socket;
mod stats;
mod stream;
mod trouble;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Socket, Type};
use tokio::{runtime, sync::oneshot};

pub use answer::mock_quality;
pub use fault::{ErrorShape, Fault, FaultMatch, FaultParams, FaultRule, LengthField, RetryAfter};
pub use options::{Capacity, LatencyModel, MockKey, MockOptions};
pub use stats::MockStats;

use serve::Mock;
use socket::{CutStream, Line};

/// Connections that may wait to be accepted: as many clients as a test has, all at once.
const BACKLOG: i32 = 4096;

/// A running mock server; it stops when dropped.
#[derive(Debug)]
pub struct MockServer {
    address: SocketAddr,
    mock: Arc<Mock>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    stopped: Arc<(Mutex<bool>, Condvar)>,
}

impl MockServer {
    /// Starts a server on threads of its own; it listens when this returns.
    ///
    /// # Errors
    /// When the port is taken or the threads cannot be started.
    pub fn start(options: MockOptions) -> io::Result<Self> {
        let listener = listen(options.port)?;
        let address = listener.local_addr()?;
        let runtime = build_runtime(options.workers)?;
        let mock = Arc::new(Mock::new(options));
        let stopped = Arc::new((Mutex::new(false), Condvar::new()));
        let (stop, told) = oneshot::channel();
        let (shared, mark) = (Arc::clone(&mock), Arc::clone(&stopped));
        let serve = move || {
            runtime.block_on(serve_until(listener, shared, told));
            // Connections break off: what is being answered is not waited for.
            runtime.shutdown_background();
            *mark.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            mark.1.notify_all();
        };
        let thread = std::thread::Builder::new().name("mock-server".to_owned()).spawn(serve)?;
        Ok(Self { address, mock, stop: Mutex::new(Some(stop)), thread: Mutex::new(Some(thread)), stopped })
    }

    /// The address that it listens at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as a URL without `/v1` and without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what it was asked and what it answered so far.
    pub fn stats(&self) -> MockStats {
        self.mock.counter.read()
    }

    /// Forgets what it was asked so far, attempts of cells included.
    pub fn reset(&self) {
        self.mock.counter.reset();
    }

    /// Stops it and breaks off its connections; returns when the port is free. Stopping twice does nothing.
    pub fn stop(&self) {
        if let Some(stop) = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It may have ended by itself, and then nobody listens.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }

    /// Returns when another thread has stopped it.
    pub fn wait(&self) {
        let (flag, bell) = &*self.stopped;
        let mut is_stopped = flag.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_stopped {
            is_stopped = bell.wait(is_stopped).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // A port that was just given back can be taken again; one that somebody listens at cannot.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn build_runtime(workers: usize) -> io::Result<runtime::Runtime> {
    match workers {
        0 | 1 => runtime::Builder::new_current_thread().enable_all().build(),
        n => runtime::Builder::new_multi_thread().worker_threads(n).enable_all().build(),
    }
}

async fn serve_until(listener: TcpListener, mock: Arc<Mock>, told: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let accepting = tokio::spawn(accept(listener, mock));
    // An error means that the server was dropped, which stops it just as well.
    let _ = told.await;
    accepting.abort();
    let _ = accepting.await;
}

async fn accept(listener: tokio::net::TcpListener, mock: Arc<Mock>) {
    loop {
        // What goes wrong with one connection is no reason to refuse the next; without file descriptors it is the
        // clients that must give some back.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let line = Line::default();
        let stream = TokioIo::new(CutStream::new(stream, line.clone()));
        let mock = Arc::clone(&mock);
        let answer = service_fn(move |request| serve::serve(Arc::clone(&mock), line.clone(), request));
        tokio::spawn(async move {
            // A connection that the client, or a fault, broke off has said all it has to say.
            let _ = http1::Builder::new().serve_connection(stream, answer).await;
        });
    }
}
