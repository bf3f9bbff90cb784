//! Runs programs for the run's master, on this machine or in a guest: one JSON object a line, over TCP.

use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A line from the master: what to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The program and its arguments.
    pub words: Vec<String>,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Done {
    /// The exit status; none when a signal ended it, or when it did not start.
    pub status: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it complained of.
    pub err: String,
    /// From its start to its end.
    pub seconds: f64,
}

/// The longest line that either side takes.
pub const LINE_BYTES_MAX: u64 = 16 << 20;

/// Serves the master at `address` until it hangs up.
///
/// # Errors
/// When it cannot be reached, or says what is no order.
pub fn serve(address: &str) -> io::Result<()> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut orders = BufReader::new(stream.try_clone()?);
    let mut answers = stream;
    loop {
        let mut line = String::new();
        if orders.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let order: Order = serde_json::from_str(&line)?;
        let mut answer = serde_json::to_vec(&carry_out(&order))?;
        answer.push(b'\n');
        answers.write_all(&answer)?;
    }
}

fn carry_out(order: &Order) -> Done {
    let [program, arguments @ ..] = order.words.as_slice() else {
        return Done { status: None, out: String::new(), err: "nothing to run".into(), seconds: 0.0 };
    };
    let mut command = Command::new(crate::processes::find(program));
    command.args(arguments).stdin(Stdio::null());
    let start = Instant::now();
    let done = command.output();
    let seconds = start.elapsed().as_secs_f64();
    match done {
        Ok(output) => Done {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            seconds,
        },
        Err(err) => Done { status: None, out: String::new(), err: err.to_string(), seconds },
    }
}
