//! Serves the in-memory reference over NFS, for tests of the head with real clients.
//!
//! `nfs_model_server ADDRESS [GRACE-SECONDS [LEASE-SECONDS]]`; prints the address when it listens, ends on SIGTERM.

#![forbid(unsafe_code)]

use model::Model;
use nfs::{Export, ExportTable, Network, NfsConfig, Server, Squash};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let grace = arguments.next().map_or(Ok(0), |seconds| seconds.parse())?;
    let lease = arguments.next().map_or(Ok(45), |seconds| seconds.parse())?;
    let exports = ExportTable::new(vec![Export {
        path: "/default".to_owned(),
        filesystem: "default".to_owned(),
        clients: vec![Network::parse("127.0.0.0/8")?],
        squash: Squash::None,
        anonymous: (65534, 65534),
        read_only: false,
        privileged_port: false,
    }])?;
    let instance = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let mut config = NfsConfig::new(exports, instance);
    config.grace = Duration::from_secs(grace);
    config.lease = Duration::from_secs(lease);
    let server = Server::new(Arc::new(Model::of_today()), config);

    let listener = TcpListener::bind(&address).await?;
    println!("{}", listener.local_addr()?);
    let (trigger, shutdown) = serve::shutdown();
    let mut terminate = signal(SignalKind::terminate())?;
    let serving = server.serve(listener, shutdown);
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => return Ok(()),
        _ = terminate.recv() => trigger.fire(),
        _ = tokio::signal::ctrl_c() => trigger.fire(),
    }
    serving.await;
    Ok(())
}
