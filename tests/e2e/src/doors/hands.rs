//! The four hands, as their master sees them.

use super::step::{Answer, LINE_BYTES_MAX, Step};
use crate::guest::RunningGuest;
use crate::programs::program;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A step that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(10);

/// All four hands, by name.
pub(super) fn meet(listener: &TcpListener, guest: &mut RunningGuest) -> io::Result<BTreeMap<String, Hand>> {
    listener.set_nonblocking(true)?;
    let (mut hands, start) = (BTreeMap::new(), Instant::now());
    while hands.len() < 4 {
        match listener.accept() {
            Ok((stream, _)) => {
                let (name, hand) = Hand::new(stream)?;
                hands.insert(name, hand);
            }
            Err(err) if err.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK),
            Err(err) => return Err(err),
        }
        if guest.has_ended()? {
            return Err(io::Error::other("the guest has ended"));
        }
        if start.elapsed() > PATIENCE {
            let known: Vec<&String> = hands.keys().collect();
            return Err(io::Error::other(format!("only {known:?} have come")));
        }
    }
    Ok(hands)
}

/// A hand somewhere.
pub(super) struct Hand {
    steps: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Hand {
    fn new(stream: TcpStream) -> io::Result<(String, Hand)> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut hand = Hand { steps: stream.try_clone()?, answers: BufReader::new(stream) };
        let name = hand.line()?;
        Ok((name.trim_end().to_owned(), hand))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.answers.by_ref().take(LINE_BYTES_MAX).read_line(&mut line) {
            Ok(0) => Err(io::Error::other("it is gone")),
            Ok(_) => Ok(line),
            Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(io::Error::other(format!("no answer in {} s", PATIENCE.as_secs())))
            }
            Err(err) => Err(err),
        }
    }

    pub(super) fn tell(&mut self, step: &Step) -> io::Result<()> {
        let mut line = serde_json::to_vec(step)?;
        line.push(b'\n');
        self.steps.write_all(&line)
    }

    pub(super) fn hear(&mut self) -> io::Result<Answer> {
        Ok(serde_json::from_str(&self.line()?)?)
    }
}

/// A hand of this machine; killed when dropped.
pub(super) struct Worker(Child);

impl Worker {
    pub(super) fn new(address: &str, name: &str, root: &Path) -> io::Result<Worker> {
        let child =
            Command::new(program("hand")?).args([address, name]).arg(root).stdin(Stdio::null()).spawn()?;
        Ok(Worker(child))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
