//! How fast a `generate` step asks a server, everything included, beside a bare client: `calls_speed [N_CELLS] [N_ROUNDS]`.
//!
//! Both ask the mock in this process 1,000 at a time, over the same kind of sockets and with bodies of the same length:
//! (a) a loop over reqwest that looks at nothing, (b) `cambist` from a file of prompts to a finished artifact: surveying,
//! encoding, sending, decoding, accounting, the ledger with its syncs, reading back, Parquet. The sides take turns. Then
//! the artifact is taken away and what is left of it is planned, as `cambist plan` and a resumed run do, and it is made
//! again from the ledger. With `CAMBIST_SPEED_URL` the mock at that address is asked instead, so that peak memory is that
//! of the client. `calls_speed.py` beside this file asks the same mock with Python's clients.

use std::{
    error::Error,
    fs,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use cambist_io::{
    mock::{MockOptions, MockServer},
    store::StoreView,
    transport::StopSignal,
};
use cambist_pipeline::{
    plan::Plan,
    progress::Silent,
    recipe::Recipe,
    run::{Capabilities, Runtime, run},
};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const N_IN_FLIGHT: usize = 1000;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).map_while(|text| text.parse().ok());
    let n_cells: usize = arguments.next().unwrap_or(50_000);
    let n_rounds: usize = arguments.next().unwrap_or(3);
    let mock = match std::env::var("CAMBIST_SPEED_URL") {
        Ok(_) => None,
        Err(_) => Some(MockServer::start(MockOptions::default())?),
    };
    let url = std::env::var("CAMBIST_SPEED_URL")
        .unwrap_or_else(|_| mock.as_ref().map(MockServer::base_url).unwrap_or_default());
    // The bare client needs a provider of TLS; an error says that there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut out = std::io::stdout();
    let mut ratios = Vec::new();
    for round in 0..n_rounds {
        let bare = bare(&url, n_cells)?;
        let (calls, whole) = generate(&url, n_cells)?;
        ratios.push(calls / bare);
        writeln!(
            out,
            "round {round}: bare {bare:.0}/s, generate {calls:.0}/s (step as a whole {whole:.0}/s), ratio {:.2}",
            calls / bare
        )?;
    }
    ratios.sort_by(f64::total_cmp);
    writeln!(
        out,
        "ratio: median {:.2}, {:.2} to {:.2}",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    )?;
    Ok(())
}

/// A prompt of about 1 KB.
fn text(at: usize) -> String {
    format!("Question {at}: {}", "why does the moon rise later every day? ".repeat(24))
}

fn bare(url: &str, n_calls: usize) -> Outcome<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().pool_max_idle_per_host(N_IN_FLIGHT).no_proxy().build()?;
        let next = Arc::new(AtomicUsize::new(0));
        let began = Instant::now();
        let mut tasks = Vec::new();
        for _ in 0..N_IN_FLIGHT {
            let (client, next, url) = (client.clone(), Arc::clone(&next), format!("{url}/v1/chat/completions"));
            tasks.push(tokio::spawn(async move {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= n_calls {
                        return Ok::<(), reqwest::Error>(());
                    }
                    let body = json!({"model": "bare", "messages": [{"role": "user", "content": text(at)}], "max_tokens": 256});
                    client.post(&url).header("content-type", "application/json").body(body.to_string()).send().await?.bytes().await?;
                }
            }));
        }
        for task in tasks {
            task.await??;
        }
        Ok(n_calls as f64 / began.elapsed().as_secs_f64())
    })
}

/// Answers a second while asking, and over the whole step.
fn generate(url: &str, n_cells: usize) -> Outcome<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let mut prompts = std::io::BufWriter::new(fs::File::create(folder.path().join("prompts.jsonl"))?);
    for at in 0..n_cells {
        writeln!(prompts, "{}", json!({"id": at.to_string(), "prompt": text(at), "language": "en"}))?;
    }
    prompts.into_inner()?;
    let recipe = format!(
        "name: speed\npool:\n- id: t\n  license: Apache-2.0\n  price: {{input: 0.1, output: 0.3}}\n  endpoint: {{base_url: \"{url}\", \
         model: timed-{}, limits: {{concurrency: {N_IN_FLIGHT}, max_concurrency: {N_IN_FLIGHT}}}}}\nsteps:\n\
         - id: prompts\n  prompts: {{file: prompts.jsonl}}\n\
         - id: answers\n  generate: {{prompts: prompts, router: all, sampling: {{temperature: 0.3, max_new_tokens: 256}}}}\n",
        std::process::id()
    );
    let recipe = Recipe::parse("speed.yaml", &recipe, &[])?;
    let plan = Plan::new(recipe, folder.path())?;
    let store = folder.path().join("store");
    go(&plan, 0, &store)?;
    let began = Instant::now();
    go(&plan, 1, &store)?;
    let whole = began.elapsed().as_secs_f64();
    // The artifact is removed and made again from the ledger: what that takes is no part of asking.
    for entry in fs::read_dir(store.join("artifacts"))? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("generate")) {
            fs::remove_dir_all(path)?;
        }
    }
    let began = Instant::now();
    let left = plan.estimates(&[1], &StoreView::open(&store)?)?;
    let planned = began.elapsed().as_secs_f64();
    let n_left: u64 = left.values().flatten().map(|estimate| estimate.calls_left).sum();
    let began = Instant::now();
    go(&plan, 1, &store)?;
    let again = began.elapsed().as_secs_f64();
    writeln!(
        std::io::stdout(),
        "  resumed: {n_cells} finished cells planned ({n_left} left) in {planned:.2} s; surveyed, read back and written \
         in {again:.2} s; peak memory {} MB",
        peak_mb()
    )?;
    Ok((n_cells as f64 / (whole - again).max(1e-9), n_cells as f64 / whole))
}

/// The most memory that this process ever held, in MB; 0 where the system does not tell.
fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) / 1000
}

fn go(plan: &Plan, job: usize, store: &Path) -> Outcome<()> {
    let stop = AtomicBool::new(false);
    let runtime = Runtime {
        threads: 2,
        progress: &Silent,
        stop: &stop,
        calls: StopSignal::new(),
        capabilities: Capabilities::default(),
        state_every: cambist_pipeline::run::STATE_EVERY,
    };
    run(plan, &[job], store, &runtime)?;
    Ok(())
}
