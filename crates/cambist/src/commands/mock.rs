//! `cambist mock`: a server to rehearse recipes against.

use cambist_io::mock::{MockOptions, MockServer};
use cambist_pipeline::{
    PipelineError,
    recipe::{Faults, Node},
};

use crate::{
    args::MockArgs,
    failure::{Failure, INTERRUPTED},
    screen,
};

/// Serves until it is stopped.
pub(super) fn perform(args: &MockArgs) -> Result<(), Failure> {
    let mut options = match &args.behaviour {
        Some(path) => read(path)?,
        None => MockOptions::default(),
    };
    options.port = args.port.unwrap_or(options.port);
    options.seed = args.seed.unwrap_or(options.seed);
    let port = options.port;
    let server = MockServer::start(options).map_err(|error| {
        Failure::of_the_world(format!(
            "the mock server cannot listen on 127.0.0.1:{port}: {error}\nhint: choose another --port"
        ))
    })?;
    screen::print(&server.base_url())?;
    screen::talk("answers every dialect, scores as `mock-rm`, judges as `mock-judge-fair`; Ctrl-C stops it");
    let handler = ctrlc::set_handler(|| std::process::exit(INTERRUPTED.into()));
    handler.map_err(|error| Failure::ours(format!("no handler for Ctrl-C: {error}")))?;
    server.wait();
    Ok(())
}

fn read(path: &std::path::Path) -> Result<MockOptions, Failure> {
    let text = cambist_io::disk::read_text(path)?;
    let name = path.display();
    let in_file =
        |fault| Faults { path: name.to_string(), text: text.clone(), overrides: Vec::new(), faults: vec![fault] };
    let node = Node::parse(&text).map_err(|fault| PipelineError::from(in_file(fault)))?;
    serde_json::from_value(node.to_json()).map_err(|error| {
        Failure::yours(format!("`{name}`: {error}\nhint: the guide's page on the mock lists every key"))
    })
}
