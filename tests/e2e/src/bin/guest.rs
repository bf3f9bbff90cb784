//! Runs a script in a guest by hand: `cargo run -q -p e2e --bin guest -- --uml SCRIPT [ARG...]`.

use clap::Parser;
use e2e::Guest;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Boots a throw-away Linux, runs SCRIPT in it as root, prints what it prints and exits with its status
#[derive(Parser)]
struct Arguments {
    /// User Mode Linux 6.1 in place of QEMU with 6.12: far faster, one processor
    #[arg(long)]
    uml: bool,
    /// Seconds it may take
    #[arg(long, default_value_t = 300)]
    limit: u64,
    /// MiB of memory
    #[arg(long, default_value_t = 1024)]
    memory: u32,
    /// A folder to be seen at /host
    #[arg(long, value_name = "DIR")]
    host: Option<PathBuf>,
    script: PathBuf,
    #[arg(trailing_var_arg = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let guest = if arguments.uml { Guest::uml() } else { Guest::qemu() };
    let mut guest = guest.limit(Duration::from_secs(arguments.limit)).memory_mb(arguments.memory);
    if let Some(host) = &arguments.host {
        guest = guest.host(host);
    }
    let given: Vec<&str> = arguments.arguments.iter().map(String::as_str).collect();
    let done = std::fs::read_to_string(&arguments.script)
        .map_err(Into::into)
        .and_then(|script| guest.run(&script, &given));
    match done {
        Ok(done) => {
            print!("{}", done.output);
            ExitCode::from(u8::try_from(done.status).unwrap_or(125))
        }
        Err(err) => {
            eprintln!("guest: {err}");
            ExitCode::from(125)
        }
    }
}
