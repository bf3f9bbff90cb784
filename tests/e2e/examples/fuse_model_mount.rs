//! Mounts the reference, for foreign test suites: `fuse_model_mount DIR [remote]`.
//!
//! With `remote` the mount goes through a Unix socket, as one to a daemon does. Runs until unmounted.

use fuse::{Mount, MountOptions};
use model::Model;
use remote::{Address, RemoteOptions, RemoteVfs, ServeOptions};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::runtime::Handle;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("where to mount?")?.clone();
    let model = Arc::new(Model::of_today());
    let root = model.root();
    let options = MountOptions::default();
    let runtime = Handle::current();
    let session = if arguments.get(1).is_some_and(|how| how == "remote") {
        let socket = std::env::temp_dir().join(format!("fuse_model_mount.{}", std::process::id()));
        let listener = UnixListener::bind(&socket)?;
        let serve = ServeOptions { instance: 1, client_lease: Duration::from_secs(60) };
        let shared = Arc::new(remote::Coherent::new(model, std::time::Instant::now()));
        tokio::spawn(remote::serve_unix(shared, listener, serve, std::future::pending()));
        let vfs =
            RemoteVfs::connect(Address::At(fabric::Address::Unix(socket.clone())), RemoteOptions::new(1))
                .await?;
        std::fs::remove_file(socket)?;
        let mount = Mount::new(Arc::new(vfs), root, options, runtime);
        tokio::task::spawn_blocking(move || mount.mount(Path::new(&path))).await??
    } else {
        let mount = Mount::new(model, root, options, runtime);
        tokio::task::spawn_blocking(move || mount.mount(Path::new(&path))).await??
    };
    println!("mounted");
    session.wait().await?;
    Ok(())
}
