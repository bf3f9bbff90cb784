//! Runs programs that people run, on the daemon, through each client.

use clap::Parser;
use e2e::{Everyday, Guest, Through};
use std::process::ExitCode;

/// Runs git, tar, sqlite3, fio, rsync and make on plexusd through FUSE and through NFS 4.1 and 4.2 of Linux 6.1 and
/// 6.12, and prints the seconds that each took
#[derive(Parser)]
struct Arguments {
    /// Multiplies files and bytes
    #[arg(long, default_value_t = 1)]
    size: u32,
    /// Only the clients whose name holds this: fuse, 6.1-4.1, 6.1-4.2, 6.12-4.1, 6.12-4.2
    #[arg(long, default_value = "")]
    only: String,
    /// Some of the parts
    #[arg(long, default_value = "")]
    parts: String,
    /// Flags of plexusd
    #[arg(long, default_value = "--drive-size 2G", allow_hyphen_values = true)]
    flags: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let clients = [
        ("fuse", Through::Fuse),
        ("6.1-4.1", Through::Nfs(Guest::uml(), 1)),
        ("6.1-4.2", Through::Nfs(Guest::uml(), 2)),
        ("6.12-4.1", Through::Nfs(Guest::qemu(), 1)),
        ("6.12-4.2", Through::Nfs(Guest::qemu(), 2)),
    ];
    let mut code = ExitCode::SUCCESS;
    for (name, through) in clients.into_iter().filter(|(name, _)| name.contains(&arguments.only)) {
        let mut everyday = Everyday::plexus(through, arguments.size);
        everyday.parts.clone_from(&arguments.parts);
        everyday.options.flags = arguments.flags.split_whitespace().map(str::to_owned).collect();
        match everyday.run() {
            Ok(lines) => println!("{name:10} {}", lines.join(", ")),
            Err(error) => {
                eprintln!("everyday: {name}: {error}");
                code = ExitCode::from(1);
            }
        }
    }
    code
}
