//! The daemon: builds the roles from the configuration and runs them.
//!
//! Exit status: 0 after a drain, 2 for wrong usage or configuration, 1 for everything else.

#![forbid(unsafe_code)]

mod another_life;
mod args;
mod bays;
mod capacity;
mod cluster_map;
mod control;
mod copies;
mod core;
mod daemon;
mod descriptors;
mod drives;
mod exports;
mod folder;
mod fsck;
mod headrooms;
mod memory;
mod rebuild;
mod s3_certificate;
mod s3_keys;
mod shards;
mod webhooks;
mod wires;

use args::{Arguments, Command};
use clap::Parser;
use config::Config;
use exports::ExportsError;
use std::process::ExitCode;

const USAGE: u8 = 2;

/// Keeps what large buffers were in: the system's gives them back to the kernel each time, which halves the speed of reads.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match Config::load(arguments.options.config.as_deref(), &arguments.options.overrides()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("plexusd: {error}");
            return ExitCode::from(USAGE);
        }
    };
    if let Some(Command::Config) = arguments.command {
        print!("{}", config::describe(&config));
        return ExitCode::SUCCESS;
    }
    if let Err(error) = telemetry::init() {
        eprintln!("plexusd: {error}");
        return ExitCode::from(USAGE);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("plexusd: no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(daemon::run(config, arguments.options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plexusd: {error}");
            let usage = error.downcast_ref().is_some_and(ExportsError::is_of_configuration);
            if usage { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}
