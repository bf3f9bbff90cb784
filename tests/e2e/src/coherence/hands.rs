//! Workers as processes, here or in a guest, and who hires, stops and kills them.

use super::history::{Behind, now};
use crate::programs::program;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// An answer that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(120);
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What is done to a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Push {
    Stop,
    Continue,
    Kill,
}

/// What hands are told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// What is your clock?
    Clock,
    /// A worker of this number, with these arguments.
    Hire(u32, Vec<String>),
    Push(u32, Push),
    /// Say who has ended by himself, and how.
    Watch,
    /// Wait for all, and go.
    Leave,
}

/// What they say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Done,
    Clock(u64),
    Ended(Vec<(u32, String)>),
    Failed(String),
}

/// Workers of this kernel; killed when dropped.
#[derive(Default)]
pub(super) struct Hands(BTreeMap<u32, Child>);

impl Hands {
    pub(super) fn obey(&mut self, order: &Order) -> Reply {
        self.try_to(order).unwrap_or_else(|error| Reply::Failed(error.to_string()))
    }

    fn try_to(&mut self, order: &Order) -> io::Result<Reply> {
        match order {
            Order::Clock => return Ok(Reply::Clock(now())),
            Order::Hire(number, arguments) => {
                let hand = program("coherence-hand")?;
                let child = Command::new(hand).arg("work").args(arguments).stdin(Stdio::null()).spawn()?;
                self.0.insert(*number, child);
            }
            Order::Push(number, Push::Kill) => {
                if let Some(mut child) = self.0.remove(number) {
                    child.kill()?;
                    child.wait()?;
                }
            }
            Order::Push(number, push) => {
                let signal = if *push == Push::Stop { Signal::STOP } else { Signal::CONT };
                if let Some(child) = self.0.get(number) {
                    kill_process(Pid::from_child(child), signal)?;
                }
            }
            Order::Watch => return Ok(Reply::Ended(self.ended()?)),
            Order::Leave => {
                let mut ended = Vec::new();
                for (number, mut child) in std::mem::take(&mut self.0) {
                    let status = child.wait()?;
                    ended.extend((!status.success()).then(|| (number, status.to_string())));
                }
                return Ok(Reply::Ended(ended));
            }
        }
        Ok(Reply::Done)
    }

    fn ended(&mut self) -> io::Result<Vec<(u32, String)>> {
        let mut ended = Vec::new();
        for (number, child) in &mut self.0 {
            ended.extend(child.try_wait()?.map(|status| (*number, status.to_string())));
        }
        Ok(ended)
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        for child in self.0.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Hires, stops and kills workers in this kernel as the master at `address` says, until he has had enough.
///
/// # Errors
/// When the master cannot be reached, or says what is no order.
pub fn lead_hands(address: &str) -> io::Result<()> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut orders = BufReader::new(stream.try_clone()?);
    let mut replies = stream;
    let mut hands = Hands::default();
    loop {
        let mut line = String::new();
        if orders.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let reply = hands.obey(&serde_json::from_str(&line)?);
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        replies.write_all(&line)?;
    }
}

/// Hands in another kernel, and its clock.
pub(super) struct Far {
    orders: TcpStream,
    replies: BufReader<TcpStream>,
    pub(super) behind: Behind,
}

impl Far {
    pub(super) fn new(stream: TcpStream) -> io::Result<Far> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let behind = Behind { least: i64::MIN, most: i64::MAX };
        Ok(Far { orders: stream.try_clone()?, replies: BufReader::new(stream), behind })
    }

    pub(super) fn tell(&mut self, order: &Order) -> io::Result<Reply> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders.write_all(&line)?;
        let mut line = String::new();
        if self.replies.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
            return Err(io::Error::other("the hands in the guest are gone"));
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// Asks for the clock over there. It was read between question and answer, by which what it is behind is known.
    pub(super) fn compare_clocks(&mut self) -> io::Result<()> {
        let asked = now();
        let Reply::Clock(there) = self.tell(&Order::Clock)? else { return Err(io::Error::other("no clock")) };
        let answered = now();
        let ahead = |here: u64| here.wrapping_sub(there) as i64;
        self.behind.least = self.behind.least.max(ahead(asked));
        self.behind.most = self.behind.most.min(ahead(answered));
        if self.behind.least > self.behind.most {
            return Err(io::Error::other(format!("the guest's clock does not keep time: {:?}", self.behind)));
        }
        Ok(())
    }
}
