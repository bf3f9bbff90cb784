//! `corpus unpack TARGET FOLDER` makes files of a target's seeds and kept inputs, `corpus pack TARGET FOLDER` keeps
//! the files instead, `corpus targets` prints the names.

use fuzz::{TARGETS, corpus};
use std::io;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["targets"] => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            Ok(())
        }
        ["unpack", target, folder] => unpack(target, Path::new(folder)),
        ["pack", target, folder] => corpus::pack(Path::new(folder), &corpus::path(target)),
        _ => Err(io::Error::other("use: corpus targets | unpack TARGET FOLDER | pack TARGET FOLDER")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corpus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn unpack(name: &str, folder: &Path) -> io::Result<()> {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.ok_or_else(|| io::Error::other(format!("there is no target '{name}'")))?;
    corpus::unpack(&corpus::path(name), folder)?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}
