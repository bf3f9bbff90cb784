//! One life of the daemon: start, serve, reload on SIGHUP, drain on SIGTERM.

use crate::another_life;
use crate::args::Options;
use crate::control::{Daemon, Doors};
use crate::core::Core;
use crate::descriptors;
use crate::exports::{Exports, Loaded};
use crate::folder::Folder;
use crate::s3_certificate::S3Certificate;
use crate::s3_keys::S3Keys;
use crate::webhooks::webhooks;
use crate::wires::Wires;
use admin::AdminDoors;
use config::{Config, GroupSource};
use env::{Random, SystemClock, SystemRandom};
use identity::LocalFiles;
use nfs::{NfsConfig, Server};
use remote::{Coherent, DelegatedFile, Former, ServeOptions, TcpDoor};
use s3::S3Config;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

/// There while mounts may trust what they have heard, for the next life to know.
const TRUSTED_FILE: &str = "trusted";
/// What is delegated to clients.
const DELEGATED_FILE: &str = "delegated";
/// Where the kernel names its start; what is written to files without being synced is lost with it.
const BOOT_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// Runs until told to stop.
pub(crate) async fn run(config: Config, options: Options) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let shape = (config.drives, config.protection.data, config.protection.parity);
    let mut folder = Folder::open(&config.data, shape, &*random)?;
    // The port first: that it is taken should not cost a recovery.
    let listener = listen(config.nfs_listen).await?;
    let s3_listener = match config.s3_listen {
        Some(address) => Some(listen_s3(address).await?),
        None => None,
    };
    let s3_tls = match config.s3_tls_listen {
        Some(address) => Some((listen_s3(address).await?, S3Certificate::read(&config)?)),
        None => None,
    };
    let certificate = s3_tls.as_ref().map(|(_, certificate)| certificate.clone());
    let webhooks = webhooks(&config)?;
    let keys = Arc::new(S3Keys::read(&config.data, folder.cluster(), random.clone())?);
    let exports = Loaded::read(&config.data, config.exports.clone())?;
    let wires = Wires::new(config.fabric_transport, &*random);
    let core = Core::open(&mut folder, &config, &wires, random.clone()).await?;

    let mut nfs = NfsConfig::new(exports.table(), random.next());
    nfs.connections = descriptors::connections(nfs.connections, descriptors::raise());
    nfs.lease = config.nfs_lease;
    nfs.courtesy = config.nfs_lease;
    nfs.groups = (config.nfs_groups == GroupSource::Server).then(|| Arc::new(LocalFiles::system()));
    nfs.scope = format!("plexus-{}", drive::directory::hex(&folder.cluster()));
    // What everybody changes goes through here, so that mounts may trust what they have heard.
    let former = Former::open(config.data.join(TRUSTED_FILE))?;
    let delegated = DelegatedFile::open(config.data.join(DELEGATED_FILE), &this_boot())?;
    let shared = Coherent::new(core.files.clone(), begun).after(former).with_delegations(delegated)?;
    let shared = Arc::new(shared);
    let outliving = tokio::spawn({
        let shared = shared.clone();
        async move { shared.outlive().await }
    });
    let server = Server::open(shared.clone(), nfs).await?;
    let address = listener.local_addr()?;
    let (trigger, shutdown) = serve::shutdown();
    let serving = server.serve(listener, shutdown);
    tokio::pin!(serving);

    let paths = exports.paths();
    let exports = Arc::new(exports.served(server.clone(), shared.clone()));
    let s3_tls_address = s3_tls.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?;
    let s3_address = s3_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let s3_server = s3_server(&config, webhooks, shared.clone(), &keys, random.clone());
    let doors_of = Doors {
        exports: exports.clone(),
        shared: shared.clone(),
        keys: keys.clone(),
        nfs: address.to_string(),
        s3: s3_address.map(|address| address.to_string()),
        s3_server: s3_server.clone(),
    };
    let control = Arc::new(Daemon::new(&core, doors_of, random.clone()));
    let doors = AdminDoors::open(&config.data, config.admin_listen).await?;
    let (stop_admin, mut admin_stopped) = serve::shutdown();
    let admin = tokio::spawn(doors.serve(control.clone(), async move { admin_stopped.fired().await }));

    let options_of_mounts = ServeOptions { instance: random.next(), client_lease: config.nfs_lease };
    let (stop_mounts, mounts_stopped) = serve::shutdown();
    let mounts =
        serve_mounts(&config.data, &wires, shared.clone(), options_of_mounts, mounts_stopped).await?;

    let (stop_s3, s3_stopped) = serve::shutdown();
    let s3 = tokio::spawn(serve_s3((s3_listener, s3_tls), s3_server, s3_stopped));

    announce(&config, &paths, address, (s3_address, s3_tls_address));
    let needed = another_life::needed(core.drives.clone());
    tokio::pin!(needed);
    loop {
        tokio::select! {
            () = &mut serving => return Err("the NFS listener ended".into()),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = &mut needed => {
                tracing::error!("a map of names has failed, and can be opened again: the daemon starts again");
                return Err(format!("it cannot start again by itself: {}", another_life::begin()).into());
            }
            _ = hangup.recv() => {
                keys.look_again();
                certificate.iter().for_each(|certificate| certificate.look_again(options.config.as_deref(), &options.overrides()));
                reload(&options, &exports).await;
            }
        }
    }
    println!("plexus is stopping");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    trigger.fire();
    // Mounts trust nothing while nobody could tell them of a change; so the next start need not wait for them.
    outliving.abort();
    shared.close().await;
    stop_admin.fire();
    stop_mounts.fire();
    stop_s3.fire();
    serving.await;
    admin.await??;
    mounts.await?;
    s3.await?;
    shared.end().await;
    core.close().await
}

/// This start of the machine; where it has no name, each is another one.
fn this_boot() -> String {
    std::fs::read_to_string(BOOT_FILE).map_or_else(|_| "-".to_owned(), |boot| boot.trim().to_owned())
}

async fn listen_s3(address: std::net::SocketAddr) -> Result<TcpListener, Box<dyn Error>> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("s3.listen = {address}: {error}; another program may have the port").into())
}

fn s3_server<V: vfs::Vfs>(
    config: &Config,
    webhooks: Vec<s3::Webhook>,
    files: Arc<V>,
    keys: &S3Keys,
    random: Arc<dyn Random>,
) -> s3::Server<V> {
    let mut s3 = S3Config {
        root: config.s3_root.clone(),
        region: config.s3_region.clone(),
        domains: config.s3_domains.clone(),
        connections: usize::try_from(config.s3_connections).unwrap_or(usize::MAX),
        patience: config.s3_patience,
        webhooks,
        lifecycle_period: config.s3_lifecycle_period,
        lifecycle_day: i64::try_from(config.s3_lifecycle_day.as_secs()).unwrap_or(86_400),
        ..S3Config::default()
    };
    s3.connections = descriptors::connections(s3.connections, descriptors::raise());
    s3::Server::new(files, s3, keys.accounts(), Arc::new(SystemClock::new()), random)
}

/// Serves S3, if there is a door for it, until told to stop.
async fn serve_s3<V: vfs::Vfs>(
    (listener, tls): (Option<TcpListener>, Option<(TcpListener, S3Certificate)>),
    server: s3::Server<V>,
    stopped: serve::Shutdown,
) {
    let mut doors = tokio::task::JoinSet::new();
    if listener.is_some() || tls.is_some() {
        doors.spawn(server.clone().keep_house(stopped.clone()));
        doors.spawn(server.clone().send_events(stopped.clone()));
    }
    if let Some((listener, certificate)) = tls {
        doors.spawn(server.clone().serve_tls(listener, certificate.in_force, stopped.clone()));
    }
    if let Some(listener) = listener {
        doors.spawn(server.serve(listener, stopped));
    }
    while doors.join_next().await.is_some() {}
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, Box<dyn Error>> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("nfs.listen = {address}: {error}; another program may have the port").into())
}

/// Serves mounts of this machine: through a Unix socket, or through TCP where all roles use it. What a former life has
/// left of either is removed.
async fn serve_mounts<V: vfs::Vfs>(
    data: &Path,
    wires: &Wires,
    files: Arc<Coherent<V>>,
    options: ServeOptions,
    mut stopped: serve::Shutdown,
) -> Result<JoinHandle<()>, Box<dyn Error>> {
    TcpDoor::none(data)?;
    let path = data.join(remote::SOCKET);
    let socket = |error| format!("{}: {error}", path.display());
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(socket(error).into()),
        _ => {}
    }
    let Some((listener, token)) = wires.listen().await? else {
        let listener = UnixListener::bind(&path).map_err(socket)?;
        let shutdown = async move { stopped.fired().await };
        return Ok(tokio::spawn(remote::serve_unix(files, listener, options, shutdown)));
    };
    let door = TcpDoor::open(data, listener.local_addr()?, &token)?;
    Ok(tokio::spawn(async move {
        remote::serve_tcp(files, listener, token, options, stopped.fired()).await;
        drop(door);
    }))
}

/// Says how each door is entered.
fn announce(
    config: &Config,
    paths: &[String],
    address: std::net::SocketAddr,
    (s3, s3_tls): (Option<std::net::SocketAddr>, Option<std::net::SocketAddr>),
) {
    println!("plexus is ready");
    for path in paths {
        let (ip, port) = (address.ip(), address.port());
        println!("  NFS   mount -t nfs4 -o vers=4.2,port={port} {ip}:{path} /mnt");
    }
    println!(
        "  FUSE  plexus --data {} mount {} /mnt",
        config.data.display(),
        crate::core::DEFAULT_FILESYSTEM
    );
    let urls = s3.map(|address| format!("http://{address}"));
    for url in urls.into_iter().chain(s3_tls.map(|address| format!("https://{address}"))) {
        println!("  S3    {url}, with a key of: plexus --data {} s3 key create NAME", config.data.display());
    }
    // Without a service manager there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

/// Takes over what may change while running: the exports.
async fn reload<V: vfs::Vfs>(options: &Options, exports: &Exports<V>) {
    let config = match Config::load(options.config.as_deref(), &options.overrides()) {
        Ok(config) => config,
        Err(error) => return tracing::error!(%error, "configuration not reloaded"),
    };
    match exports.reload(config.exports).await {
        Ok(()) => tracing::info!("exports reloaded"),
        Err(error) => tracing::error!(%error, "exports not reloaded"),
    }
}
