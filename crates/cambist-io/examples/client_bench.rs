//! How much of a bare HTTP client's speed is left behind a lane: `client_bench [N_REQUESTS] [N_IN_FLIGHT] [N_ROUNDS] [N_THREADS]`.
//!
//! Server and client share the machine. Both sides of a round send the same requests to the same server: (a) a loop over
//! reqwest, (b) a lane with an exchange that looks at nothing. Their order alternates.

use std::{convert::Infallible, error::Error, io::Write, net::SocketAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use cambist_io::{
    endpoint::{Endpoint, EndpointIdentity, Limits, Retries, Timeouts},
    exchange::{Exchange, Failure, HttpCall, HttpReply, TokenEstimate},
    transport::{AuthHeaders, LaneOptions, Transport, TransportOptions},
};
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::Semaphore};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What is measured.
#[derive(Clone, Copy)]
struct Load {
    n_requests: usize,
    n_in_flight: usize,
    n_threads: usize,
}

/// 1 KB out, and a look at the length of what comes back.
struct Ping;

impl Exchange for Ping {
    type Answer = usize;

    fn call(&self, _attempt: u32) -> HttpCall {
        HttpCall { body: question(), ..HttpCall::post_json("/v1/ping", &serde_json::Value::Null) }
    }

    fn read(&mut self, reply: &HttpReply) -> Result<usize, Failure> {
        Ok(reply.body.len())
    }

    fn tokens(&self) -> TokenEstimate {
        TokenEstimate { input: 100, output_max: 100 }
    }

    fn tokens_done(&self, _answer: &usize) -> u32 {
        100
    }

    fn worst_cost_usd(&self) -> Option<f64> {
        None
    }

    fn cost_usd(&self, _answer: &usize) -> Option<f64> {
        None
    }
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).map_while(|text| text.parse().ok());
    let n_requests = arguments.next().unwrap_or(100_000);
    let n_in_flight = arguments.next().unwrap_or(1000);
    let n_rounds = arguments.next().unwrap_or(5);
    let n_threads = arguments.next().unwrap_or(1);
    let load = Load { n_requests, n_in_flight, n_threads };
    let address = serve()?;
    // The bare client needs one too; an error says that there is one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut out = std::io::stdout();
    let mut ratios = Vec::new();
    for round in 0..n_rounds {
        let (bare, lane) = match round % 2 {
            0 => (bare_loop(address, load)?, through_lane(address, load)?),
            _ => {
                let lane = through_lane(address, load)?;
                (bare_loop(address, load)?, lane)
            }
        };
        ratios.push(lane / bare);
        writeln!(out, "round {round}: bare {bare:.0}/s, lane {lane:.0}/s, ratio {:.3}", lane / bare)?;
    }
    ratios.sort_by(f64::total_cmp);
    let (low, middle, high) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
    writeln!(out, "ratio: median {middle:.3}, from {low:.3} to {high:.3}, n = {}", ratios.len())?;
    Ok(())
}

fn question() -> Vec<u8> {
    vec![b'q'; 1024]
}

/// Starts a server on its own thread that answers everything with 1 KB.
fn serve() -> Outcome<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || -> Outcome<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener)?;
            loop {
                let (stream, _peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
                tokio::spawn(connection);
            }
        })
    });
    Ok(address)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    static BODY: [u8; 1024] = [b' '; 1024];
    // The question is read to its end, as a real server does.
    drop(http_body_util::BodyExt::collect(request.into_body()).await);
    let mut response = Response::new(Full::new(Bytes::from_static(&BODY)));
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Requests per second of a loop over reqwest that reads each reply.
fn bare_loop(address: SocketAddr, load: Load) -> Outcome<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = runtime.block_on(async { reqwest::Client::builder().no_proxy().build() })?;
    let url = format!("http://{address}/v1/ping");
    let began = Instant::now();
    runtime.block_on(async {
        let permits = Arc::new(Semaphore::new(load.n_in_flight));
        let mut tasks = Vec::with_capacity(load.n_requests);
        for _ in 0..load.n_requests {
            let permit = Arc::clone(&permits).acquire_owned().await?;
            let request = client.post(&url).header("content-type", "application/json").body(question());
            tasks.push(tokio::spawn(async move {
                let length = request.send().await?.bytes().await?.len();
                drop(permit);
                Ok::<usize, reqwest::Error>(length)
            }));
        }
        for task in tasks {
            task.await??;
        }
        Outcome::Ok(())
    })?;
    Ok(load.n_requests as f64 / began.elapsed().as_secs_f64())
}

/// Requests per second through a lane, from the first `send` to the last outcome.
fn through_lane(address: SocketAddr, load: Load) -> Outcome<f64> {
    let transport = Transport::start(TransportOptions { n_threads: load.n_threads, ..TransportOptions::default() })?;
    let client = transport.client(&endpoint(address, load), AuthHeaders::none())?;
    let (submit, outcomes) = client.lane::<Ping>(LaneOptions { queue: 2048, ..LaneOptions::default() });
    let began = Instant::now();
    let sender = std::thread::spawn(move || (0..load.n_requests).filter(|_| submit.send(Ping).is_ok()).count());
    let n_answered = outcomes.filter(|settled| settled.outcome.is_ok()).count();
    let seconds = began.elapsed().as_secs_f64();
    if sender.join().ok() != Some(n_answered) || n_answered != load.n_requests {
        return Err(format!("{n_answered} of {} were answered", load.n_requests).into());
    }
    Ok(n_answered as f64 / seconds)
}

fn endpoint(address: SocketAddr, load: Load) -> Endpoint {
    Endpoint {
        base_url: format!("http://{address}"),
        model: String::new(),
        api_key_env: None,
        headers: Default::default(),
        extra_body: None,
        identity: EndpointIdentity::Auto,
        limits: Limits { concurrency: Some(load.n_in_flight), ..Limits::default() },
        timeouts: Timeouts::default(),
        retries: Retries::default(),
    }
}
