//! OPEN of what is not a regular file: each answer is one that kernels know what to make of.

use crate::client::*;
use model::Model;
use nfs_wire::*;
use std::sync::Arc;

#[tokio::test]
async fn what_is_no_file_is_left_to_the_client() {
    let model = Arc::new(Model::new());
    let server = start(&model, config(1)).await;
    let mut client = Client::new(server.address, "a").await;
    assert!(client.at(&[], vec![mkdir("dir")]).await.is_ok());
    let device = || SpecData { major: 1, minor: 3 };
    for (name, kind) in [
        ("fifo", CreateType::Fifo(())),
        ("socket", CreateType::Sock(())),
        ("chr", CreateType::Chr(device())),
        ("blk", CreateType::Blk(device())),
        ("symlink", CreateType::Lnk(component("target"))),
    ] {
        let attrs = Attributes { mode: Some(0o644), ..Attributes::default() }.to_fattr(&Attributes::KNOWN);
        let create = Args::Create(CreateArgs { kind, name: component(name), attrs });
        assert!(client.at(&[], vec![create]).await.is_ok(), "{name}");
    }
    let open = |name| Args::Open(OpenArgs { how: OpenHow::NoCreate(()), ..open_args(name, "o", 1, 0) });
    for name in ["fifo", "socket", "chr", "blk", "symlink"] {
        // Linux makes EIO of NFS4ERR_WRONG_TYPE.
        assert_eq!(client.at(&[], vec![open(name)]).await, Err(Status::Symlink), "{name}");
    }
    assert_eq!(client.at(&[], vec![open("dir")]).await, Err(Status::IsDir));
    server.stop().await;
}
