//! Clients that take their time, by the thousand: bounded memory, and everybody else goes on being served.

use crate::Scene;
use e2e::s3_request::{S3Request, answer, now};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long the others may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn serves_others(scene: &Scene) {
    let begin = Instant::now();
    scene.put("/bucket/quick", vec![b'x'; 200_000]);
    assert_eq!(scene.get("/bucket/quick").body.len(), 200_000);
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
}

/// Whether a server on this machine holds its end of a connection (proc_pid_net(5): the state 1).
fn is_connected(server: SocketAddr, client: SocketAddr) -> bool {
    let hex = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let row = format!("{} {} 01", hex(server), hex(client));
    std::fs::read_to_string("/proc/self/net/tcp").unwrap().contains(&row)
}

#[test]
fn more_slow_clients_than_are_held_hold_up_nobody() {
    hold_up_nobody(Scene::with("s3.connections = 500"), 1000);
}

#[test]
#[ignore = "takes a minute, run by the twelfth part of test-full"]
fn ten_thousand_slow_clients_are_bounded_and_hold_up_nobody() {
    hold_up_nobody(Scene::new(), 10_000);
}

fn hold_up_nobody(scene: Scene, clients: usize) {
    e2e::raise_descriptors().unwrap();
    let host = scene.daemon.s3();
    scene.put("/bucket", "");
    scene.put("/bucket/large", vec![7; 16 << 20]);
    let before = scene.daemon.resident().unwrap();
    let put = |number: usize| {
        let put = S3Request::new("PUT", &format!("/bucket/slow-{number}")).payload("UNSIGNED-PAYLOAD");
        put.header("content-length", "5000000").signed(host, &scene.key, &now())
    };
    let get = || S3Request::new("GET", "/bucket/large").signed(host, &scene.key, &now());
    let slow: Vec<TcpStream> = (0..clients)
        .map(|number| {
            let mut stream = TcpStream::connect(host).unwrap();
            let bytes = match number % 25 {
                // Takes some of an answer, and no more.
                0 => get(),
                // Gives some of a body, and no more.
                1 => [put(number), vec![1; 900_000]].concat(),
                // Trickles a body, or the head of a request, or says nothing.
                2..10 => put(number),
                10..20 => put(number)[..100].to_vec(),
                _ => Vec::new(),
            };
            // Whoever has to go for another finds that nobody reads on.
            let _ = stream.write_all(&bytes);
            if number % 500 == 499 {
                serves_others(&scene);
            }
            stream
        })
        .collect();
    let more = scene.daemon.resident().unwrap().saturating_sub(before) / 1024;
    println!("{more} MiB more for {clients} clients");
    // Large steps of 256 bodies, small ones of the others, and what a connection takes.
    assert!(more < 640, "{more} MiB more");
    serves_others(&scene);
    drop(slow);
    let listed = scene.must(S3Request::new("GET", "/bucket?list-type=2&prefix=slow"));
    assert!(!String::from_utf8_lossy(&listed.body).contains("<Key>"));
}

#[test]
fn who_takes_too_long_is_told_so_or_cut_off() {
    let scene = Scene::with("s3.patience = 1");
    let host = scene.daemon.s3();
    scene.put("/bucket", "");
    scene.put("/bucket/large", vec![7; 32 << 20]);
    let mut body = TcpStream::connect(host).unwrap();
    let put = S3Request::new("PUT", "/bucket/slow").payload("UNSIGNED-PAYLOAD");
    let put = put.header("content-length", "5000000").signed(host, &scene.key, &now());
    body.write_all(&put).unwrap();
    let said = answer(&mut body).unwrap();
    assert_eq!((said.status, said.code().as_str()), (400, "RequestTimeout"));

    let mut head = TcpStream::connect(host).unwrap();
    head.set_read_timeout(Some(PATIENCE)).unwrap();
    head.write_all(&put[..100]).unwrap();
    let _ = head.read_to_end(&mut Vec::new());

    // What it then finds of the answer is what the kernels hold of it.
    let mut reader = TcpStream::connect(host).unwrap();
    reader.set_read_timeout(Some(PATIENCE)).unwrap();
    reader.write_all(&S3Request::new("GET", "/bucket/large").signed(host, &scene.key, &now())).unwrap();
    let begin = Instant::now();
    while is_connected(host, reader.local_addr().unwrap()) {
        assert!(begin.elapsed() < PATIENCE, "it is still waited for");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut taken = Vec::new();
    let _ = reader.read_to_end(&mut taken);
    assert!(taken.len() < 32 << 20, "all {} bytes came", taken.len());
    assert_eq!(scene.get("/bucket/large").body.len(), 32 << 20);
}
