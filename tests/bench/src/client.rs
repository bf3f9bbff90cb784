//! Where the workload runs: on this machine, or in a guest whose kernel is the NFS client.

use crate::agent::{Done, LINE_BYTES_MAX, Order};
use crate::network::{GUEST, HERE, Wire};
use crate::processes::Program;
use crate::{BenchError, stop};
use e2e::{Guest, RunningGuest};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The name of the program that serves us there.
pub const AGENT: &str = "bench-agent";

const START_LIMIT: Duration = Duration::from_secs(60);
const GUEST_LIMIT: Duration = Duration::from_secs(4 * 3600);
const GUEST_MEMORY_MB: u32 = 2048;
/// What an error shows of what a program said.
const SHOWN_CHARS: usize = 400;
/// How long a read waits before it looks whether to stop.
const PATIENCE: Duration = Duration::from_millis(200);

/// A client that runs what it is told.
#[derive(Debug)]
pub struct Client {
    orders: TcpStream,
    answers: BufReader<TcpStream>,
    place: Place,
    /// The longest that one program may take.
    pub limit: Duration,
}

#[derive(Debug)]
enum Place {
    Here(Program),
    Guest(RunningGuest),
}

impl Client {
    /// One on this machine; `folder` is for its log.
    ///
    /// # Errors
    /// When it does not start.
    pub fn here(folder: &Path, limit: Duration) -> Result<Client, BenchError> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut command = Command::new(e2e::program(AGENT)?);
        command.arg("serve").arg(listener.local_addr()?.to_string());
        let program = Program::start(command, &folder.join("agent.log"))?;
        Client::accept(&listener, Place::Here(program), limit)
    }

    /// One in User Mode Linux behind `wire`, which sees `folder` as `/host`. It has one processor.
    ///
    /// # Errors
    /// When guests are not built, or it does not start.
    pub fn in_guest(wire: &Wire, folder: &Path, limit: Duration) -> Result<Client, BenchError> {
        let listener = TcpListener::bind((HERE, 0))?;
        std::fs::copy(e2e::program(AGENT)?, folder.join(AGENT))?;
        let script = format!(
            "#!/bin/bash\nip address add {GUEST}/30 dev eth0\nexec /host/{AGENT} serve {}\n",
            listener.local_addr()?
        );
        let guest =
            Guest::uml().tap(wire.device()).memory_mb(GUEST_MEMORY_MB).limit(GUEST_LIMIT).host(folder);
        let guest = guest.start(&script, &[])?;
        Client::accept(&listener, Place::Guest(guest), limit)
    }

    fn accept(listener: &TcpListener, place: Place, limit: Duration) -> Result<Client, BenchError> {
        listener.set_nonblocking(true)?;
        let stream = stop::wait_for("a client", START_LIMIT, || match listener.accept() {
            Ok((stream, _)) => Ok(Some(stream)),
            Err(err) if err.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(err) => Err(err.into()),
        })?;
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Client { orders: stream.try_clone()?, answers: BufReader::new(stream), place, limit })
    }

    /// The process that is the client with all below it; what they use is not the system's.
    #[must_use]
    pub fn pid(&self) -> u32 {
        match &self.place {
            Place::Here(program) => program.pid(),
            Place::Guest(guest) => guest.pid(),
        }
    }

    /// The program that serves there; it also does the work on names.
    ///
    /// # Errors
    /// When it is not built.
    pub fn agent(&self) -> Result<PathBuf, BenchError> {
        match &self.place {
            Place::Here(_) => Ok(e2e::program(AGENT)?),
            Place::Guest(_) => Ok(Path::new("/host").join(AGENT)),
        }
    }

    /// Whether it runs in a guest.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        matches!(self.place, Place::Guest(_))
    }

    /// How a file in the folder that was given to [`Client::in_guest`] is called in the guest.
    #[must_use]
    pub fn shared(name: &str) -> String {
        format!("/host/{name}")
    }

    /// Runs a program there; whatever its status.
    ///
    /// # Errors
    /// When it takes longer than the limit, or the client is gone.
    pub fn run(&mut self, words: &[&str]) -> Result<Done, BenchError> {
        let name = words.join(" ");
        let order = Order { words: words.iter().map(|&word| word.to_owned()).collect() };
        let mut line = serde_json::to_vec(&order).map_err(std::io::Error::from)?;
        line.push(b'\n');
        self.orders.write_all(&line)?;
        let (mut answer, start) = (Vec::new(), Instant::now());
        while answer.last() != Some(&b'\n') {
            stop::check()?;
            match self.answers.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut answer) {
                Ok(0) => {
                    return Err(BenchError::Program { program: name, what: "the client is gone".into() });
                }
                Ok(_) => {}
                Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if start.elapsed() > self.limit {
                        return Err(BenchError::Late { what: name, seconds: self.limit.as_secs() });
                    }
                }
                Err(err) => return Err(err.into()),
            }
        }
        serde_json::from_slice(&answer).map_err(|_| BenchError::Unreadable {
            what: "an answer of the client",
            text: String::from_utf8_lossy(&answer).into_owned(),
        })
    }

    /// Runs a program there that must succeed.
    ///
    /// # Errors
    /// As [`Client::run`], and when its status is not 0.
    pub fn must(&mut self, words: &[&str]) -> Result<Done, BenchError> {
        let done = self.run(words)?;
        if done.status == Some(0) {
            return Ok(done);
        }
        let status = done.status.map_or_else(|| "no status".to_owned(), |status| format!("status {status}"));
        // Some say on their standard output what is wrong.
        let said = if done.err.trim().is_empty() { &done.out } else { &done.err };
        let what = format!("{status}: {}", said.trim().chars().take(SHOWN_CHARS).collect::<String>());
        Err(BenchError::Program { program: words.join(" "), what })
    }
}
