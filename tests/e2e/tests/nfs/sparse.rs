//! Holes, copies and extended attributes of NFSv4.2.

use crate::client::*;
use nfs_wire::*;
use xdr::{List, Opaque};

#[tokio::test]
async fn holes_are_found_and_read_as_holes() {
    let server = serve_empty().await;
    let mut client = Client::new(server.address, "a").await;
    let (file, open) = client.open("f", "o").await;
    assert!(client.on(&file, write(open, 0, &[1; 8192])).await.is_ok());
    assert!(client.on(&file, write(open, 1 << 20, &[2; 10])).await.is_ok());
    let size = (1 << 20) + 10;
    let seek = |offset, what| Args::Seek(SeekArgs { stateid: open, offset, what });
    let found = |eof, offset| Ok(Reply::Seek(SeekOk { eof, offset }));
    assert_eq!(client.on(&file, seek(0, DataContent::Hole)).await, found(false, 8192));
    assert_eq!(client.on(&file, seek(8192, DataContent::Data)).await, found(false, 1 << 20));
    assert_eq!(client.on(&file, seek(1 << 20, DataContent::Hole)).await, found(true, size));
    assert_eq!(client.on(&file, seek(size, DataContent::Data)).await, Err(Status::NxIo));

    let plus = |offset, count| Args::ReadPlus(ReadPlusArgs { stateid: open, offset, count });
    let Ok(Reply::ReadPlus(hole)) = client.on(&file, plus(8192, 65536)).await else { panic!() };
    assert_eq!(hole.contents[..], [ReadPlusContent::Hole(Hole { offset: 8192, length: 65536 })]);
    let Ok(Reply::ReadPlus(data)) = client.on(&file, plus(1 << 20, 65536)).await else { panic!() };
    let [ReadPlusContent::Data(run)] = &data.contents[..] else { panic!() };
    assert!(data.eof && run.data[..] == [2; 10]);

    let punch = Args::Deallocate(AllocateArgs { stateid: open, offset: 0, length: 4096 });
    assert!(client.on(&file, punch).await.is_ok());
    assert_eq!(client.on(&file, seek(0, DataContent::Data)).await, found(false, 4096));
    let reserve = Args::Allocate(AllocateArgs { stateid: open, offset: 0, length: 1 << 21 });
    assert!(client.on(&file, reserve).await.is_ok());
    let attributes = attributes(client.on(&file, getattr(&[attr::SIZE])).await);
    assert_eq!(attributes.size, Some(1 << 21));
    server.stop().await;
}

#[tokio::test]
async fn copies_and_clones_have_the_bytes() {
    let server = serve_empty().await;
    let mut client = Client::new(server.address, "a").await;
    let (from, from_open) = client.open("from", "o").await;
    let (to, to_open) = client.open("to", "o").await;
    let data: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
    assert!(client.on(&from, write(from_open, 0, &data)).await.is_ok());
    let copy = |count| {
        Args::Copy(CopyArgs {
            src_stateid: from_open,
            dst_stateid: to_open,
            src_offset: 1,
            dst_offset: 3,
            count,
            consecutive: true,
            synchronous: true,
            source_server: List::default(),
        })
    };
    let ends = |op| vec![putfh(&from), Args::Savefh(()), putfh(&to), op];
    let outcome = client.run(ends(copy(5000))).await.pop().unwrap();
    let Ok(Reply::Copy(copied)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(copied.response.count, 5000);
    let Ok(Reply::Read(back)) = client.on(&to, read(to_open, 3, 9000)).await else { panic!() };
    assert_eq!(back.data[..], data[1..5001]);
    assert_eq!(client.run(ends(copy(10_000))).await.pop(), Some(Err(Status::Inval)));

    let clone = Args::Clone(CloneArgs {
        src_stateid: from_open,
        dst_stateid: to_open,
        src_offset: 0,
        dst_offset: 0,
        count: 0,
    });
    assert_eq!(client.run(ends(clone)).await.pop(), Some(Ok(Reply::Clone(()))));
    let Ok(Reply::Read(back)) = client.on(&to, read(to_open, 0, 20_000)).await else { panic!() };
    assert_eq!(back.data[..], data[..]);
    server.stop().await;
}

#[tokio::test]
async fn extended_attributes_are_those_of_users() {
    let server = serve_empty().await;
    let mut client = Client::new(server.address, "a").await;
    let (file, _) = client.open("f", "o").await;
    let set = |name, option, value: &[u8]| {
        let value = Opaque(bytes::Bytes::copy_from_slice(value));
        Args::Setxattr(SetxattrArgs { option, name: component(name), value })
    };
    let get = |name| Args::Getxattr(GetxattrArgs { name: component(name) });
    assert!(client.on(&file, set("b", SetXattrOption::Create, b"1")).await.is_ok());
    assert_eq!(client.on(&file, set("b", SetXattrOption::Create, b"2")).await, Err(Status::Exist));
    assert_eq!(client.on(&file, set("a", SetXattrOption::Replace, b"2")).await, Err(Status::NoXattr));
    assert!(client.on(&file, set("a", SetXattrOption::Either, &[7; 65536])).await.is_ok());
    assert_eq!(client.on(&file, set("c", SetXattrOption::Either, &[7; 65537])).await, Err(Status::Xattr2Big));
    let Ok(Reply::Getxattr(value)) = client.on(&file, get("a")).await else { panic!() };
    assert_eq!(value.value.len(), 65536);
    let list = |cookie, maxcount| Args::Listxattrs(ListxattrsArgs { cookie, maxcount });
    let Ok(Reply::Listxattrs(page)) = client.on(&file, list(0, 24)).await else { panic!() };
    assert_eq!((page.names.len(), page.eof), (1, false));
    let Ok(Reply::Listxattrs(page)) = client.on(&file, list(page.cookie, 4096)).await else { panic!() };
    assert_eq!((&page.names[0][..], page.eof), (&b"b"[..], true));
    assert_eq!(client.on(&file, list(0, 20)).await, Err(Status::TooSmall));
    let remove = Args::Removexattr(RemovexattrArgs { name: component("a") });
    assert!(client.on(&file, remove).await.is_ok());
    assert_eq!(client.on(&file, get("a")).await, Err(Status::NoXattr));
    server.stop().await;
}
