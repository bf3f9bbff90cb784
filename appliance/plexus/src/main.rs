//! The command line: asks the daemon of a data folder and prints what it says.

#![forbid(unsafe_code)]

mod arguments;
mod mount;
mod run;
mod text;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    match run::run(arguments) {
        Ok(code) => code,
        Err(err) => {
            eprintln!("plexus: {err}");
            ExitCode::from(1)
        }
    }
}
