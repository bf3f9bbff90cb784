//! Broken and hostile input ends in an error or a closed connection; the next client is served.

use crate::client::*;
use nfs_wire::*;
use xdr::{Encode, Encoder, Opaque};

/// A generator that needs nothing and gives the same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as u32
    }

    /// Mostly small, as the numbers of the protocol are.
    fn word(&mut self) -> u32 {
        match self.next() % 8 {
            0 => self.next(),
            1 => u32::MAX,
            2 => self.next() % 2048,
            _ => self.next() % 12,
        }
    }
}

#[tokio::test]
async fn records_that_are_too_large_or_no_calls_close_or_are_ignored() {
    let server = serve_empty().await;
    let mut client = Client::connect(server.address).await;
    client.send(&[0xff; 4]).await;
    assert_eq!(client.receive().await, None);
    let mut client = Client::connect(server.address).await;
    for _ in 0..1000 {
        client.send(&[0, 0, 0, 0]).await;
    }
    assert_eq!(client.receive().await, None);
    // Four GiB in two fragments, the second of which would be too much.
    let mut client = Client::connect(server.address).await;
    client.send(&[0, 0x10, 0, 0]).await;
    client.send(&vec![0; 1 << 20]).await;
    client.send(&[0x7f, 0xff, 0xff, 0xff]).await;
    assert_eq!(client.receive().await, None);
    // A reply where a call is due is not answered; the connection goes on.
    let mut client = Client::connect(server.address).await;
    client.send(b"\x80\0\0\x08\0\0\0\x01\0\0\0\x01").await;
    assert!(client.exchange_id("after", 1).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn other_programs_versions_and_flavors_are_refused_by_rpc() {
    let server = serve_empty().await;
    let mut client = Client::connect(server.address).await;
    let mut ask = async |words: &[u32]| {
        let mut e = Encoder::new();
        e.words(words);
        let record = e.into_bytes();
        client.send(&(record.len() as u32 | 1 << 31).to_be_bytes()).await;
        client.send(&record).await;
        let reply = client.receive().await.unwrap();
        reply.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect::<Vec<u32>>()
    };
    assert_eq!(ask(&[1, 0, 2, 100_003, 4, 0, 0, 0, 0, 0]).await, [1, 1, 0, 0, 0, 0]);
    assert_eq!(ask(&[2, 0, 2, 100_005, 3, 0, 0, 0, 0, 0]).await, [2, 1, 0, 0, 0, 1]);
    assert_eq!(ask(&[3, 0, 2, 100_003, 3, 0, 0, 0, 0, 0]).await, [3, 1, 0, 0, 0, 2, 4, 4]);
    assert_eq!(ask(&[4, 0, 2, 100_003, 4, 2, 0, 0, 0, 0]).await, [4, 1, 0, 0, 0, 3]);
    assert_eq!(ask(&[5, 0, 2, 100_003, 4, 1, 0, 0, 0, 0]).await, [5, 1, 0, 0, 0, 4]);
    assert_eq!(ask(&[6, 0, 3, 100_003, 4, 0, 0, 0, 0, 0]).await, [6, 1, 1, 0, 2, 2]);
    assert_eq!(ask(&[7, 0, 2, 100_003, 4, 1, 6, 0, 0, 0]).await, [7, 1, 1, 1, 5]);
    server.stop().await;
}

#[tokio::test]
async fn random_compounds_do_no_harm() {
    let server = serve_empty().await;
    let mut client = Client::new(server.address, "a").await;
    let (file, open) = client.open("f", "o").await;
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut verifier = 1_u8;
    for _ in 0..20_000 {
        client.sequence += 1;
        let mut body = Encoder::new();
        let tail = 1 + numbers.next() % 4;
        CompoundArgs { tag: Opaque::default(), minor: 2, count: 2 + tail }.encode(&mut body);
        Args::Sequence(client.sequence_args()).encode(&mut body);
        let place = match numbers.next() % 3 {
            0 => Args::Putrootfh(()),
            _ => putfh(&file),
        };
        place.encode(&mut body);
        for _ in 0..tail {
            body.u32(3 + numbers.next() % 73);
            for _ in 0..numbers.next() % 24 {
                // Now and then the stateid of the open, so that state is reached.
                if numbers.next().is_multiple_of(8) {
                    open.encode(&mut body);
                } else {
                    body.u32(numbers.word());
                }
            }
        }
        let reply = client.call(body).await.expect("a compound is answered");
        if reply.remaining() == 0 {
            continue;
        }
        let status = u32::from_be_bytes(reply.into_rest()[..4].try_into().unwrap());
        if [10052, 10053, 10063].contains(&status) {
            // The session may have been destroyed by chance.
            client = Client::connect(server.address).await;
            verifier = verifier.wrapping_add(1);
            client.introduce("a", verifier).await;
        }
    }
    let mut after = Client::new(server.address, "after").await;
    let (file, open) = after.open("still-here", "o").await;
    assert!(after.on(&file, write(open, 0, b"x")).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let mut config = config(1);
    config.idle = std::time::Duration::from_millis(50);
    let server = start(&std::sync::Arc::new(model::Model::new()), config).await;
    let mut client = Client::connect(server.address).await;
    assert_eq!(client.receive().await, None);
    server.stop().await;
}
