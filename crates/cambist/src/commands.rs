//! One file for each thing that may be typed.

mod batch;
mod fit;
mod gc;
mod handover;
mod import;
mod init;
mod merge_adapter;
mod mock;
mod plan;
mod pool;
mod probe;
mod prompts;
mod push;
mod route;
mod run;
mod samples;
mod serve;
mod show;
mod tokens;
mod view;
mod why;

use crate::{
    args::{Args, Command, PoolCommand},
    failure::Failure,
};

/// Does what was typed.
pub(crate) fn perform(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Run(args) => run::whole(args),
        Command::Plan(args) => plan::perform(args),
        Command::Probe(args) => probe::perform(args),
        Command::Show(args) => show::perform(args),
        Command::View(args) => view::perform(args),
        Command::Why(args) => why::perform(args),
        Command::Gc(args) => gc::perform(args),
        Command::Init(args) => init::perform(args),
        Command::Pool(PoolCommand::Advise(args)) => pool::advise(args),
        Command::Mock(args) => mock::perform(args),
        Command::Serve(args) => serve::perform(args),
        Command::Prompts(args) => prompts::perform(args),
        Command::ExportRequests(args) => batch::export(args),
        Command::ImportResults(args) => batch::import(args),
        Command::MergeAdapter(args) => merge_adapter::perform(args),
        Command::Push(args) => push::perform(args),
        Command::ExportTraining(args) => handover::export(args),
        Command::ImportCheckpoint(args) => handover::import(args),
        Command::Import(args) => import::perform(args),
        Command::Tokens(args) => tokens::perform(args),
        Command::ImportSamples(args) => samples::perform(args),
        Command::Translate(args) => run::verb("translate", args),
        Command::Generate(args) => run::verb("generate", args),
        Command::Fuse(args) => run::verb("fuse", args),
        Command::Score(args) => run::verb("score", args),
        Command::Fit(args) => fit::perform(args),
        Command::Route(args) => route::perform(args),
        Command::Select(args) => run::verb("select", args),
        Command::Frontier(args) => run::verb("frontier", args),
        Command::Train(args) => run::verb("train", args),
        Command::Evaluate(args) => run::verb("evaluate", args),
        Command::Report(args) => run::verb("report", args),
    }
}
