//! `cambist view`: a page on this machine to read candidates side by side.

use std::{
    process::{Command, Stdio},
    sync::Arc,
};

use cambist_io::{
    serve::{Site, SiteReply, SiteRequest},
    store::StoreView,
};
use cambist_pipeline::{
    inspect,
    view::{TEXT_LIMIT_BYTES, View, ViewReply},
};
use serde_json::json;

use crate::{
    args::ViewArgs,
    failure::{Failure, INTERRUPTED},
    screen,
};

/// Serves the page until it is stopped.
pub(super) fn perform(args: &ViewArgs) -> Result<(), Failure> {
    let store = StoreView::open(&args.store.store)?;
    let artifact = args.name.as_ref().map_or_else(|| View::latest(&store), |name| inspect::find(&store, name))?;
    let (id, step) = (artifact.manifest().id.to_string(), artifact.manifest().step.clone());
    screen::talk(&format!("reading {id} (step `{step}`) ..."));
    let view = View::open(&store, artifact, TEXT_LIMIT_BYTES)?;
    let (n_prompts, place) = (view.n_prompts(), if view.is_on_disk() { "a temporary file" } else { "memory" });
    let site = Site::start(args.port, Arc::new(move |asked| reply(&view, asked))).map_err(|error| {
        let port = args.port;
        Failure::of_the_world(format!("cannot listen on 127.0.0.1:{port}: {error}\nhint: choose another --port"))
    })?;
    let url = site.url();
    let told = json!({ "url": url, "artifact": id, "step": step, "n_prompts": n_prompts }).to_string();
    screen::print(if args.store.json { &told } else { &url })?;
    screen::talk(&format!("{n_prompts} prompts, texts in {place}; nobody else can reach the page; Ctrl-C stops it"));
    let stopping = ctrlc::set_handler(|| std::process::exit(INTERRUPTED.into()));
    stopping.map_err(|error| Failure::ours(format!("no handler for Ctrl-C: {error}")))?;
    if !args.no_open && !open(&url) {
        screen::talk("no browser could be started: open the address above by hand");
    }
    site.wait();
    Ok(())
}

fn reply(view: &View, asked: &SiteRequest) -> SiteReply {
    let json = |status, body: serde_json::Value| SiteReply {
        status,
        content_type: "application/json; charset=utf-8",
        body: body.to_string().into_bytes(),
    };
    match view.answer(&asked.path, &asked.query) {
        Ok(ViewReply::Page(html)) => {
            SiteReply { status: 200, content_type: "text/html; charset=utf-8", body: html.into_bytes() }
        }
        Ok(ViewReply::Json(body)) => json(200, body),
        Ok(ViewReply::Refused(why)) => json(400, json!({ "error": why })),
        Ok(ViewReply::Nowhere) => json(404, json!({ "error": format!("there is nothing at `{}`", asked.path) })),
        Err(error) => json(500, json!({ "error": error.to_string() })),
    }
}

/// Hands the address to whatever this system opens addresses with; false when there is no such program.
fn open(url: &str) -> bool {
    let mut command = match std::env::consts::OS {
        "macos" => Command::new("open"),
        "windows" => {
            let mut command = Command::new("cmd");
            command.args(["/C", "start", ""]);
            command
        }
        _ => Command::new("xdg-open"),
    };
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok()
}
