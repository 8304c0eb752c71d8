//! `cambist serve`: a local model in OpenAI's dialect, or a reward model in vLLM's.

use std::{net::SocketAddr, num::NonZeroUsize};

use cambist_pipeline::serve::{ModelServer, ServeOptions, read_model, serves_rewards};
use serde_json::json;

use crate::{
    args::ServeArgs,
    failure::{Failure, INTERRUPTED},
    screen,
};

/// Serves until it is stopped.
pub(super) fn perform(args: &ServeArgs) -> Result<(), Failure> {
    let name = args.name.clone().unwrap_or_else(|| folder_name(args));
    screen::talk(&format!("reading {} ...", args.model.display()));
    let model = read_model(&args.model, args.dtype.map(Into::into))?;
    let (n_parameters, max_positions) = (model.n_parameters(), model.max_positions());
    let is_reward_model = serves_rewards(&model);
    let options = ServeOptions {
        address: SocketAddr::new(args.host, args.port),
        name: name.clone(),
        batch_size: args.batch_size.get(),
        threads: args.threads.map(NonZeroUsize::get),
    };
    let server = ModelServer::start(model, &options).map_err(|error| {
        let address = options.address;
        Failure::of_the_world(format!("cannot listen on {address}: {error}\nhint: choose another --port"))
    })?;
    // Clients of OpenAI take the address with `/v1`; those of vLLM's `/classify` take it as it is.
    let url = if is_reward_model { server.base_url() } else { format!("{}/v1", server.base_url()) };
    let told =
        json!({ "url": url, "model": name, "n_parameters": n_parameters, "max_model_len": max_positions }).to_string();
    screen::print(if args.json { &told } else { &url })?;
    let whose = if args.host.is_loopback() { "nobody else can reach it" } else { "everybody who reaches it may ask" };
    screen::talk(&format!(
        "`{name}`: {n_parameters} parameters, {max_positions} positions, {}; {whose}; Ctrl-C stops it",
        match is_reward_model {
            true => "a reward model: rewards at `/classify`".to_owned(),
            false => format!("{} answers together", args.batch_size),
        }
    ));
    let handler = ctrlc::set_handler(|| std::process::exit(INTERRUPTED.into()));
    handler.map_err(|error| Failure::ours(format!("no handler for Ctrl-C: {error}")))?;
    server.wait();
    Ok(())
}

/// The last part of the folder's path, wherever it is named from.
fn folder_name(args: &ServeArgs) -> String {
    let whole = args.model.canonicalize().unwrap_or_else(|_| args.model.clone());
    whole.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}
