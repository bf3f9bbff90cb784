//! Many clients, many connections: everybody is served, and what there is too much of is refused.

use crate::client::*;
use nfs_wire::*;
use std::time::Duration;

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(20);
/// As many as a large site has.
const CLIENTS: usize = 10_000;

#[tokio::test]
async fn ten_thousand_clients_have_a_session_each_and_an_open_file() {
    let server = serve_empty().await;
    let mut client = Client::connect(server.address).await;
    let mut sessions = Vec::new();
    for number in 0..CLIENTS {
        // A connection is not bound to a client: they share this one.
        client.introduce(format!("client {number}"), 1).await;
        let mut begin = vec![Args::ReclaimComplete(ReclaimCompleteArgs { one_fs: false })];
        begin.extend(walk(&[]));
        begin.push(Args::Open(open_args("f", "o", 3, 0)));
        assert!(matches!(client.run(begin).await[..], [.., Ok(Reply::Open(_))]), "client {number}");
        sessions.push((client.session, client.sequence));
    }
    for (session, sequence) in sessions {
        (client.session, client.sequence) = (session, sequence);
        assert_eq!(client.run(vec![Args::Putrootfh(())]).await, [Ok(Reply::Putrootfh(()))]);
    }
    server.stop().await;
}

#[tokio::test]
async fn who_announces_records_and_sends_none_keeps_nobody_waiting() {
    let server = serve_empty().await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        let mut client = Client::connect(server.address).await;
        // The last fragment, of 1 MiB; its first bytes.
        client.send(&[0x80, 0x10, 0, 0, 0, 0, 0, 1]).await;
        silent.push(client);
    }
    let served = async { Client::new(server.address, "a").await.at(&[], vec![mkdir("d")]).await };
    let made = tokio::time::timeout(PATIENCE, served).await;
    assert!(made.expect("an answer, though others dawdle").is_ok());
    drop(silent);
    server.stop().await;
}
