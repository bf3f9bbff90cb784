//! A client of the test of two doors: does single steps as it is told.

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// Does what the master at ADDRESS says below FOLDER, known to it as NAME
#[derive(Parser)]
struct Arguments {
    address: String,
    name: String,
    folder: PathBuf,
    /// Forget what an NFS client does not ask its server for
    #[arg(long)]
    nfs: bool,
}

fn main() -> ExitCode {
    let Arguments { address, name, folder, nfs } = Arguments::parse();
    match e2e::serve(&address, &name, &folder, nfs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hand: {name}: {error}");
            ExitCode::from(1)
        }
    }
}
