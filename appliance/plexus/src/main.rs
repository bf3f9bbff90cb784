//! The command line: asks the daemon of a data folder and prints what it says.

#![forbid(unsafe_code)]

mod arguments;
mod called_by_mount;
mod delete;
mod fsck;
mod mount;
mod mount_options;
mod run;
mod text;

use clap::Parser;
use std::process::ExitCode;

/// What mount(8) takes as "the mount failed".
const MOUNT_FAILED: u8 = 32;

/// Keeps what large buffers were in: the system's gives them back to the kernel each time, which halves the speed of reads.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|program| called_by_mount::is_helper(&program)) {
        return as_helper();
    }
    finish(run::run(arguments::Arguments::parse()), 1)
}

fn as_helper() -> ExitCode {
    match called_by_mount::arguments(arguments::HelperArguments::parse()) {
        Ok(Some(arguments)) => finish(run::run(arguments), MOUNT_FAILED),
        Ok(None) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("mount.plexus: {why}");
            ExitCode::from(1)
        }
    }
}

fn finish(ran: Result<ExitCode, run::Failure>, failure: u8) -> ExitCode {
    ran.unwrap_or_else(|error| {
        eprintln!("plexus: {error}");
        ExitCode::from(failure)
    })
}
