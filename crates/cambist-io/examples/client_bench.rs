//! How much of a bare HTTP client's speed is left behind a lane: `client_bench [N_REQUESTS] [N_IN_FLIGHT] [N_ROUNDS] [N_THREADS]`.
//!
//! Server and client share the machine. Both sides of a round send the same requests to the same server: (a) a loop over
//! reqwest, (b) a lane with an exchange that looks at nothing. Their order alternates. On a machine that does other work
//! too, the processor's time per request says more than requests per second: it is that of the whole process, the
//! server's included, and stands beside it where the system tells it.

use std::{
    convert::Infallible,
    error::Error,
    io::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use cambist_io::{
    endpoint::{Endpoint, EndpointIdentity, Limits, Retries, Timeouts},
    exchange::{Exchange, Failure, HttpCall, HttpReply, TokenEstimate},
    transport::{AuthHeaders, LaneOptions, Transport, TransportOptions},
};
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

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
    let (mut speeds, mut costs) = (Vec::new(), Vec::new());
    for round in 0..n_rounds {
        let (bare, lane) = match round % 2 {
            0 => (measure(|| bare_loop(address, load))?, measure(|| through_lane(address, load))?),
            _ => {
                let lane = measure(|| through_lane(address, load))?;
                (measure(|| bare_loop(address, load))?, lane)
            }
        };
        speeds.push(lane.per_second / bare.per_second);
        costs.push(bare.cpu_seconds / lane.cpu_seconds);
        let micros = |cost: Cost| 1e6 * cost.cpu_seconds / n_requests as f64;
        writeln!(
            out,
            "round {round}: bare {:.0}/s {:.1} us, lane {:.0}/s {:.1} us",
            bare.per_second,
            micros(bare),
            lane.per_second,
            micros(lane)
        )?;
    }
    writeln!(out, "lane/bare by the clock: {}", spread(&mut speeds))?;
    writeln!(out, "lane/bare by the processor's time: {}", spread(&mut costs))?;
    Ok(())
}

/// What a side came to.
#[derive(Clone, Copy)]
struct Cost {
    per_second: f64,
    cpu_seconds: f64,
}

fn measure(side: impl FnOnce() -> Outcome<f64>) -> Outcome<Cost> {
    let before = cpu_seconds();
    let per_second = side()?;
    Ok(Cost { per_second, cpu_seconds: cpu_seconds() - before })
}

/// Seconds of the processor that this process used, where Linux tells it (in ticks of 10 ms).
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn spread(ratios: &mut [f64]) -> String {
    ratios.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (ratios.first(), ratios.last()) else { return "nothing was measured".to_owned() };
    format!("median {:.3}, from {low:.3} to {high:.3}, n = {}", ratios[ratios.len() / 2], ratios.len())
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
        let n_left = Arc::new(AtomicUsize::new(load.n_requests));
        let workers: Vec<_> = (0..load.n_in_flight)
            .map(|_| tokio::spawn(ask_until_done(client.clone(), url.clone(), Arc::clone(&n_left))))
            .collect();
        for worker in workers {
            worker.await??;
        }
        Outcome::Ok(())
    })?;
    Ok(load.n_requests as f64 / began.elapsed().as_secs_f64())
}

/// Asks one question after the other until none is left.
async fn ask_until_done(client: reqwest::Client, url: String, n_left: Arc<AtomicUsize>) -> Outcome<()> {
    let take = |n: usize| n.checked_sub(1);
    while n_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        let request = client.post(&url).header("content-type", "application/json").body(question());
        request.send().await?.bytes().await?;
    }
    Ok(())
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
        dialect: "openai-chat".to_owned(),
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
