//! Who may come, and as whom.

use crate::client::*;
use model::Model;
use nfs::ExportTable;
use nfs_wire::*;
use serve::{Anonymous, ClientPorts, ExportAccess, Squash};
use std::sync::Arc;

#[tokio::test]
async fn a_read_only_export_refuses_every_change() {
    let model = Arc::new(Model::new());
    let open = start(&model, config(1)).await;
    let (file, _) = Client::new(open.address, "a").await.open("f", "o").await;
    open.stop().await;
    let mut read_only = config(2);
    let mut rules = export("/default");
    rules.access = ExportAccess::ReadOnly;
    read_only.exports = ExportTable::new(vec![rules]).unwrap();
    let server = start(&model, read_only).await;
    let mut client = Client::new(server.address, "a").await;
    let set = Attributes { mode: Some(0), ..Attributes::default() }.to_fattr(&Attributes::KNOWN);
    for change in [
        write(Stateid::ANONYMOUS, 0, b"x"),
        Args::Setattr(SetattrArgs { stateid: Stateid::ANONYMOUS, attrs: set }),
        Args::Deallocate(AllocateArgs { stateid: Stateid::ANONYMOUS, offset: 0, length: 1 }),
        Args::Removexattr(RemovexattrArgs { name: component("x") }),
    ] {
        assert_eq!(client.on(&file, change).await, Err(Status::Rofs));
    }
    for change in [
        mkdir("d"),
        Args::Open(open_args("g", "o", 1, 0)),
        Args::Remove(RemoveArgs { target: component("f") }),
    ] {
        assert_eq!(client.at(&[], vec![change]).await, Err(Status::Rofs));
    }
    assert!(client.on(&file, read(Stateid::ANONYMOUS, 0, 1)).await.is_ok());
    let Ok(Reply::Access(rights)) = client.on(&file, Args::Access(AccessArgs { access: 0x1f })).await else {
        panic!()
    };
    assert_eq!(rights.access & 0x1c, 0);
    server.stop().await;
}

#[tokio::test]
async fn strangers_see_nothing_and_cannot_use_a_handle() {
    let model = Arc::new(Model::new());
    let open = start(&model, config(1)).await;
    let (file, _) = Client::new(open.address, "a").await.open("f", "o").await;
    open.stop().await;
    for change in [0, 1] {
        let mut closed = config(2 + change);
        let mut rules = export("/default");
        match change {
            0 => rules.clients = vec!["10.0.0.0/8".parse().unwrap()],
            _ => rules.ports = ClientPorts::Privileged,
        }
        closed.exports = ExportTable::new(vec![rules]).unwrap();
        let server = start(&model, closed).await;
        let mut client = Client::new(server.address, "a").await;
        assert!(matches!(client.at(&[], vec![]).await, Err(Status::NoEnt | Status::Access)));
        assert_eq!(client.run(vec![putfh(&file)]).await, [Err(Status::Access)]);
        server.stop().await;
    }
}

#[tokio::test]
async fn the_squashed_are_somebody_else() {
    let mut squashing = config(1);
    let mut rules = export("/default");
    (rules.squash, rules.anonymous) = (Squash::Root, Anonymous { uid: 7, gid: 8 });
    squashing.exports = ExportTable::new(vec![rules, {
        let mut all = export("/all");
        (all.squash, all.anonymous) = (Squash::All, Anonymous { uid: 0, gid: 0 });
        all
    }])
    .unwrap();
    let server = start(&Arc::new(Model::new()), squashing).await;
    let mut client = Client::new(server.address, "a").await;
    client.uid = 1000;
    let all = |op| vec![Args::Putrootfh(()), lookup("all"), op, getattr(&[attr::OWNER, attr::OWNER_GROUP])];
    let made = attributes(client.run(all(mkdir("by-all"))).await.pop().unwrap());
    assert_eq!(&made.owner.unwrap()[..], b"0");
    let mode = Attributes { mode: Some(0o777), ..Attributes::default() }.to_fattr(&Attributes::KNOWN);
    let mode = Args::Setattr(SetattrArgs { stateid: Stateid::ANONYMOUS, attrs: mode });
    assert!(client.run(vec![Args::Putrootfh(()), lookup("all"), mode]).await.iter().all(Result::is_ok));
    client.uid = 0;
    let made =
        attributes(client.at(&[], vec![mkdir("by-root"), getattr(&[attr::OWNER, attr::OWNER_GROUP])]).await);
    assert_eq!((&made.owner.unwrap()[..], &made.owner_group.unwrap()[..]), (&b"7"[..], &b"8"[..]));
    server.stop().await;
}

#[tokio::test]
async fn groups_of_users_are_those_of_the_server_where_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (passwd, group) = (folder.path().join("passwd"), folder.path().join("group"));
    let groups: String = (100..140).map(|gid| format!("g{gid}:x:{gid}:ann\n")).collect();
    std::fs::write(&passwd, "ann:x:1000:1000::/:\n").unwrap();
    std::fs::write(&group, groups).unwrap();
    let model = Arc::new(Model::new());
    let private = |gid: &str| {
        let (mode, owner_group) =
            (Some(0o070), Some(xdr::Opaque(bytes::Bytes::copy_from_slice(gid.as_bytes()))));
        let attrs = Attributes { mode, owner_group, ..Attributes::default() }.to_fattr(&Attributes::KNOWN);
        Args::Setattr(SetattrArgs { stateid: Stateid::ANONYMOUS, attrs })
    };
    for by_server in [false, true] {
        let mut asked = config(1 + u64::from(by_server));
        asked.groups = by_server.then(|| Arc::new(identity::LocalFiles::at(&passwd, &group)));
        let server = start(&model, asked).await;
        let mut client = Client::new(server.address, "a").await;
        if !by_server {
            assert!(client.at(&[], vec![mkdir("d"), private("139")]).await.is_ok());
            assert!(client.at(&[], vec![mkdir("e"), private("500")]).await.is_ok());
        }
        let mut list = async |uid, gids: &[u32], name| {
            (client.uid, client.gids) = (uid, gids.to_vec());
            client.at(&[name, "none"], vec![]).await.err()
        };
        let (may, may_not) = (Some(Status::NoEnt), Some(Status::Access));
        assert_eq!(list(1000, &[], "d").await, if by_server { may } else { may_not });
        assert_eq!(list(1000, &[139], "d").await, may);
        assert_eq!(
            list(1000, &[500], "e").await,
            if by_server { may_not } else { may },
            "only the server says"
        );
        assert_eq!(list(1001, &[139], "d").await, may, "a user that the server does not know");
        server.stop().await;
    }
}
