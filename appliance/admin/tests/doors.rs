//! Client and server over real sockets: what is implemented answers, all else says "not yet".

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use admin::{
    AdminDoors, Background, Capacity, ChunkPlaces, Client, ClientError, Control, ControlError,
    CreateFilesystem, DeleteFilesystem, ErrorKind, FailuresLeft, FilesystemReport, Health, Integrity,
    Removal, SetExport, Status,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

#[derive(Default)]
struct Small {
    asked: Mutex<Vec<String>>,
}

impl Control for Small {
    async fn status(&self) -> Result<Status, ControlError> {
        Ok(Status {
            health: Health::Healthy,
            failures_left: FailuresLeft { data: 2, metadata: 2 },
            capacity: Capacity { total: 10, used: 3, live: Some(3), ..Capacity::default() },
            integrity: Integrity::default(),
            background: Background::default(),
            data_cache: admin::DataCache::default(),
            removing: Vec::new(),
            checking: None,
            version: "test".to_owned(),
            nfs: None,
            s3: None,
            webhooks: Vec::new(),
            uptime_seconds: 1,
        })
    }

    async fn placement(&self, path: String) -> Result<ChunkPlaces, ControlError> {
        self.asked.lock().unwrap().push(path);
        Ok(ChunkPlaces { chunks: Vec::new() })
    }

    async fn filesystem_create(&self, request: CreateFilesystem) -> Result<FilesystemReport, ControlError> {
        Err(ControlError::new(ErrorKind::Conflict, format!("{} is there already", request.name)))
    }

    async fn filesystem_delete(&self, request: DeleteFilesystem) -> Result<Removal, ControlError> {
        let DeleteFilesystem { name, force, retained } = request;
        self.asked.lock().unwrap().push(format!("{name} {force} {retained}"));
        Ok(Removal { id: 1, name, inodes: 0, left: 0 })
    }
}

/// Runs `test` against a daemon on `data`, then stops it and waits for its end.
async fn with_doors<F: Future<Output = ()>>(
    data: &Path,
    test: impl FnOnce(Client, SocketAddr, Arc<Small>) -> F,
) {
    let doors = AdminDoors::open(data, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let address = doors.address().unwrap();
    let control = Arc::new(Small::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = doors.serve(Arc::clone(&control), async {
        let _ = stopped.await;
    });
    let running = async {
        test(Client::new(data), address, control).await;
        stop.send(()).unwrap();
    };
    let (served, ()) = tokio::join!(serving, running);
    served.unwrap();
}

#[tokio::test]
async fn what_is_there_answers_and_the_rest_says_not_yet() {
    let data = tempfile::tempdir().unwrap();
    with_doors(data.path(), async |client, _, control| {
        let status = client.status().await.unwrap();
        assert_eq!((status.health, status.capacity.total), (Health::Healthy, 10));
        client.placement("default/a b/ü?&#%/c").await.unwrap();
        for force in [false, true] {
            let request = DeleteFilesystem { name: "a b".to_owned(), force, retained: !force };
            client.filesystem_delete(&request).await.unwrap();
        }
        let asked = ["default/a b/ü?&#%/c", "a b false true", "a b true false"];
        assert_eq!(*control.asked.lock().unwrap(), asked);
        let refused = client.filesystem_create(&CreateFilesystem { name: "x".to_owned() }).await;
        let Err(ClientError::Refused(err)) = refused else { panic!("{refused:?}") };
        assert_eq!((err.kind, err.message.as_str()), (ErrorKind::Conflict, "x is there already"));
        let export = SetExport { path: "/x".to_owned(), ..SetExport::default() };
        for refused in [
            client.drive_fail(1).await,
            client.drive_replace(1).await,
            client.export_set(&export).await,
            client.export_remove("/x").await,
            client.drives().await.map(|_| ()),
            client.fsck().await.map(|_| ()),
            client.filesystems().await.map(|_| ()),
            client.exports().await.map(|_| ()),
        ] {
            let Err(ClientError::Refused(err)) = refused else { panic!("{refused:?}") };
            assert_eq!(err.kind, ErrorKind::NotYet);
            assert!(err.message.contains("does not do that yet"), "{err}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_daemon_is_said_with_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let err = Client::new(data.path()).status().await.unwrap_err().to_string();
    assert!(err.contains("no daemon answers at") && err.contains("--data"), "{err}");
}

#[tokio::test]
async fn a_data_folder_of_any_length_has_its_socket() {
    let data = tempfile::tempdir().unwrap();
    let deep = data.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    with_doors(&deep, async |client, _, _| assert!(client.status().await.is_ok())).await;
    // A socket that a killed daemon left does not stop the next one.
    with_doors(&deep, async |client, _, _| assert!(client.status().await.is_ok())).await;
}

#[tokio::test]
async fn the_address_wants_the_token_and_the_folder_keeps_it() {
    let data = tempfile::tempdir().unwrap();
    with_doors(data.path(), async |_, address, _| {
        let mode =
            |name: &str| std::fs::metadata(data.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("admin.token"), mode("admin.sock")), (0o600, 0o600));
        let token = std::fs::read_to_string(data.path().join("admin.token")).unwrap();
        let wrong = token.replace(|c: char| c.is_ascii_digit(), "x");
        let get = async |header: String| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET /v1/status HTTP/1.1\r\nhost: x\r\n{header}connection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.unwrap();
            reply
        };
        assert!(get(String::new()).await.starts_with("HTTP/1.1 403"));
        assert!(get(format!("authorization: Bearer {wrong}\r\n")).await.starts_with("HTTP/1.1 403"));
        assert!(get(format!("authorization: Bearer {}\r\n", &token[1..])).await.starts_with("HTTP/1.1 403"));
        assert!(get(format!("authorization: Bearer {token}\r\n")).await.starts_with("HTTP/1.1 200"));
    })
    .await;
}

#[tokio::test]
async fn a_busy_port_is_said() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let err = AdminDoors::open(data.path(), address).await.err().unwrap().to_string();
    assert!(err.contains(&address.to_string()) && err.contains("another program"), "{err}");
}

#[tokio::test]
async fn nonsense_on_the_socket_is_refused_and_the_door_stays_open() {
    let data = tempfile::tempdir().unwrap();
    with_doors(data.path(), async |client, _, _| {
        for text in [
            "\0\0\0\0\r\n\r\n",
            "GET /v1/nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "POST /v1/filesystems HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
            "POST /v1/filesystems HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 99999999\r\n\r\n",
            "POST /v1/drives/x/fail HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        ] {
            let mut stream = tokio::net::UnixStream::connect(admin::socket_path(data.path())).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut reply = Vec::new();
            stream.read_to_end(&mut reply).await.unwrap();
            let reply = String::from_utf8_lossy(&reply).into_owned();
            assert!(reply.starts_with("HTTP/1.1 4"), "{text:?} was answered {reply:?}");
        }
        assert!(client.status().await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_request_without_an_end_does_not_keep_the_daemon() {
    let data = tempfile::tempdir().unwrap();
    let mut streams = Vec::new();
    with_doors(data.path(), async |client, _, _| {
        let mut stream = tokio::net::UnixStream::connect(admin::socket_path(data.path())).await.unwrap();
        stream.write_all(b"GET /v1/sta").await.unwrap();
        streams.push(stream);
        assert!(client.status().await.is_ok());
    })
    .await;
}
