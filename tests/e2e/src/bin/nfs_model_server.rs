//! Serves the in-memory reference over NFS, for tests of the head with real clients.
//!
//! `nfs_model_server ADDRESS [GRACE-SECONDS [LEASE-SECONDS]]`; prints the address when it listens, ends on
//! SIGTERM. SIGHUP is a crash and a new start: connections break, sessions, opens, locks and unstable
//! writes are gone, and the grace period begins.

#![forbid(unsafe_code)]

use model::Model;
use nfs::{ExportTable, NfsConfig, Server};
use serve::Export;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How a run of the server ended.
enum End {
    Terminate,
    Crash,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let seconds = |text: Option<String>, default: u64| -> Result<Duration, Box<dyn Error>> {
        Ok(Duration::from_secs(text.map_or(Ok(default), |text| text.parse())?))
    };
    let grace = seconds(arguments.next(), 0)?;
    let lease = seconds(arguments.next(), 45)?;
    let exports = ExportTable::new(vec![Export::default_filesystem()])?;
    let model = Arc::new(Model::of_today().losing_unstable_writes());

    let listener = TcpListener::bind(&address).await?;
    let address = listener.local_addr()?;
    println!("{address}");
    let mut listener = Some(listener);
    loop {
        let listener = match listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(address).await?,
        };
        let instance = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        let mut config = NfsConfig::new(exports.clone(), instance);
        config.lease = lease;
        match run(Server::open(Arc::clone(&model), config).await?, listener, &model, grace).await? {
            End::Terminate => return Ok(()),
            End::Crash => model.restart(),
        }
    }
}

async fn run(
    server: Server<Model>,
    listener: TcpListener,
    model: &Model,
    grace: Duration,
) -> Result<End, Box<dyn Error>> {
    let (trigger, shutdown) = serve::shutdown();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut crash = signal(SignalKind::hangup())?;
    let serving = server.serve(listener, shutdown);
    tokio::pin!(serving);
    let grace_ends = tokio::time::sleep(grace);
    tokio::pin!(grace_ends);
    let mut in_grace = true;
    loop {
        tokio::select! {
            () = &mut serving => return Ok(End::Terminate),
            () = &mut grace_ends, if in_grace => {
                in_grace = false;
                model.end_grace();
            }
            _ = terminate.recv() => trigger.fire(),
            _ = tokio::signal::ctrl_c() => trigger.fire(),
            // Dropping the server cuts its connections off where they are.
            _ = crash.recv() => return Ok(End::Crash),
        }
    }
}
