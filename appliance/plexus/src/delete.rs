//! Removing a filesystem: asked for twice, and waited for.

use crate::run::Failure;
use admin::{Client, Removal};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(200);
/// Characters of a bar.
const WIDTH: usize = 30;

/// Whether who is asked says yes.
pub(crate) fn confirmed(name: &str) -> io::Result<bool> {
    let mut out = io::stderr();
    write!(out, "Remove the filesystem {name} with everything in it? It cannot be had back. [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    if io::stdin().read_line(&mut answer)? == 0 {
        writeln!(out)?;
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Waits until nothing is left of it; people see how far it is.
pub(crate) async fn wait(client: &Client, begun: &Removal) -> Result<(), Failure> {
    let seen = io::stderr().is_terminal();
    let mut most = begun.clone();
    loop {
        let status = client.status().await?;
        let left = status.removing.iter().find(|removal| removal.id == begun.id);
        if let Some(left) = left {
            most.inodes = most.inodes.max(left.inodes);
            most.left = most.left.max(left.left);
        }
        if seen {
            eprint!("\r{}", bar(&most, left));
        }
        if left.is_none() {
            if seen {
                eprintln!();
            }
            return Ok(());
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// How much of `most` is gone.
fn bar(most: &Removal, left: Option<&Removal>) -> String {
    let part = |left: u64, most: u64| if most == 0 { 0.0 } else { left as f64 / most as f64 };
    let left = left.map_or(0.0, |now| (part(now.inodes, most.inodes) + part(now.left, most.left)) / 2.0);
    let done = 1.0 - left.clamp(0.0, 1.0);
    // Between 0 and WIDTH.
    let full = (done * WIDTH as f64) as usize;
    format!("[{}{}] {:3.0} %", "#".repeat(full), "-".repeat(WIDTH - full), done * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_and_never_overflows() {
        let of = |inodes, left| Removal { id: 1, name: "f".to_owned(), inodes, left };
        let most = of(10, 100);
        assert_eq!(bar(&most, Some(&most)), format!("[{}]   0 %", "-".repeat(30)));
        assert_eq!(bar(&most, Some(&of(0, 100))), format!("[{}{}]  50 %", "#".repeat(15), "-".repeat(15)));
        assert_eq!(bar(&most, None), format!("[{}] 100 %", "#".repeat(30)));
        assert!(bar(&most, Some(&of(1000, 1000))).contains("  0 %"));
        assert!(bar(&of(0, 0), Some(&of(0, 0))).contains("100 %"));
    }
}
