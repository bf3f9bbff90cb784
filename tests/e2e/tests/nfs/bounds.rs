//! Many clients, many connections: everybody is served, and what there is too much of is refused.

use crate::client::*;
use nfs_wire::*;

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
