//! Has ceph/s3-tests judge the daemon.

use clap::Parser;
use e2e::{Known, S3Tests, S3TestsReport, repository};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs ceph/s3-tests against plexusd, and compares what fails with what is known to fail
#[derive(Parser)]
struct Arguments {
    /// A clone of ceph/s3-tests; python3 must have what its requirements.txt says
    checkout: PathBuf,
    /// Those that need server-side encryption, too
    #[arg(long)]
    encryption: bool,
    /// Where what pytest says is kept
    #[arg(long)]
    log: Option<PathBuf>,
    /// Lines of a test and the reason for its failure [default: tests/e2e/known-failures/s3]
    #[arg(long)]
    known: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(report) => {
            let S3TestsReport { ran, passed, new, mended } = &report;
            new.iter().for_each(|name| println!("{name} fails"));
            mended.iter().for_each(|name| println!("{name} is a known failure and passes"));
            println!("{ran} tests, {passed} passed, {} failures not known", new.len());
            if report.is_as_known() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("s3-tests: {error}");
            ExitCode::from(1)
        }
    }
}

fn run(arguments: Arguments) -> Result<S3TestsReport, Box<dyn std::error::Error>> {
    let Arguments { checkout, encryption, log, known } = arguments;
    let known = known.unwrap_or_else(|| repository().join("tests/e2e/known-failures/s3"));
    let text = std::fs::read_to_string(&known).map_err(|error| format!("{}: {error}", known.display()))?;
    let known = Known::parse(&text, 0)?;
    Ok(S3Tests { checkout: checkout.canonicalize()?, encryption, known, log }.run()?)
}
