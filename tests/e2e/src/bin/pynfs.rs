//! Has pynfs judge the daemon.

use clap::Parser;
use e2e::{Known, Pynfs, PynfsReport, repository};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs pynfs against plexusd, and compares what fails with what is known to fail
#[derive(Parser)]
struct Arguments {
    /// A checkout of pynfs in which `python3 setup.py build` was run
    checkout: PathBuf,
    /// The minor version of NFS 4
    #[arg(long, default_value_t = 1)]
    minor: u32,
    /// Seconds of a lease; 60 for the tests of restarts, more than 10 for others
    #[arg(long, default_value_t = 15)]
    lease: u32,
    /// What to run: flags and codes of pynfs
    #[arg(default_value = "all")]
    tests: Vec<String>,
    /// Lines of a code (CODE/2 of one minor version alone) and the reason for its failure [default: tests/e2e/known-failures/pynfs]
    #[arg(long)]
    known: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(report) => {
            let PynfsReport { ran, passed, new, mended } = &report;
            new.iter().for_each(|(code, said)| println!("{code} fails: {said}"));
            mended.iter().for_each(|code| println!("{code} is a known failure and passes"));
            println!("{ran} tests, {passed} passed, {} failures not known", new.len());
            if report.is_as_known() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("pynfs: {error}");
            ExitCode::from(1)
        }
    }
}

fn run(arguments: Arguments) -> Result<PynfsReport, Box<dyn std::error::Error>> {
    let Arguments { checkout, minor, lease, tests, known } = arguments;
    let known = known.unwrap_or_else(|| repository().join("tests/e2e/known-failures/pynfs"));
    let text = std::fs::read_to_string(&known).map_err(|error| format!("{}: {error}", known.display()))?;
    let known = Known::parse(&text, minor)?;
    Ok(Pynfs { checkout: checkout.canonicalize()?, minor, lease, tests, known }.run()?)
}
