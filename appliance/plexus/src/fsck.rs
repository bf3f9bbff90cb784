//! A check of everything, during which people see how far it is.

use admin::{Client, ClientError, FsckReport};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(500);

/// Has everything checked, and waits for the report.
pub(crate) async fn run(client: &Client) -> Result<FsckReport, ClientError> {
    if !io::stderr().is_terminal() {
        return client.fsck().await;
    }
    let report = tokio::select! {
        report = client.fsck() => report,
        never = show(client) => match never {},
    };
    // Whatever was shown goes.
    eprint!("\r\x1b[K");
    report
}

async fn show(client: &Client) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(PERIOD).await;
        if let Ok(status) = client.status().await
            && let Some(read) = status.checking
        {
            eprint!("\r{read} records read");
        }
    }
}
