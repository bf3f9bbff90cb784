//! Extended attributes: spaces, rights, sizes, flags.

use crate::desk::{Desk, must, name, refused};
use bytes::Bytes;
use types::limits::XATTR_VALUE_BYTES_MAX;
use types::{Cred, FileId, FsError};
use vfs::{FsResult, GetXattr, ListXattr, RemoveXattr, SetXattr, SetXattrHow, Vfs};

async fn get<V: Vfs>(desk: &Desk<'_, V>, file: FileId, text: &str) -> FsResult<Bytes> {
    desk.vfs.getxattr(&desk.ctx, GetXattr { file, name: name(text) }).await.map(|reply| reply.value)
}

async fn set<V: Vfs>(
    desk: &Desk<'_, V>,
    file: FileId,
    text: &str,
    value: &[u8],
    how: SetXattrHow,
) -> FsResult<()> {
    let value = Bytes::copy_from_slice(value);
    let before = desk.attr(file).await.change;
    let reply = desk.vfs.setxattr(&desk.ctx, SetXattr { file, name: name(text), value, how }).await?;
    assert_eq!(reply.change.before, before);
    assert!(reply.change.after > before);
    Ok(())
}

async fn list<V: Vfs>(desk: &Desk<'_, V>, file: FileId) -> Vec<String> {
    let reply = must("listxattr", desk.vfs.listxattr(&desk.ctx, ListXattr { file }).await);
    reply.names.iter().map(ToString::to_string).collect()
}

async fn remove<V: Vfs>(desk: &Desk<'_, V>, file: FileId, text: &str) -> FsResult<()> {
    desk.vfs.removexattr(&desk.ctx, RemoveXattr { file, name: name(text) }).await.map(drop)
}

pub(crate) async fn run<V: Vfs>(desk: &Desk<'_, V>) {
    use SetXattrHow::{Create, Either, Replace};
    let file = desk.file("f").await;
    refused("none yet", get(desk, file, "user.a").await, FsError::NoAttribute);
    refused("replace none", set(desk, file, "user.a", b"1", Replace).await, FsError::NoAttribute);
    must("create", set(desk, file, "user.a", b"1", Create).await);
    refused("create twice", set(desk, file, "user.a", b"2", Create).await, FsError::Exists);
    must("replace", set(desk, file, "user.a", b"2", Replace).await);
    must("empty", set(desk, file, "user.empty", b"", Either).await);
    assert_eq!(&must("get", get(desk, file, "user.a").await)[..], b"2");
    assert_eq!(must("get", get(desk, file, "user.empty").await).len(), 0);
    let largest = vec![5; XATTR_VALUE_BYTES_MAX];
    must("the largest", set(desk, file, "user.large", &largest, Either).await);
    assert!(must("get", get(desk, file, "user.large").await) == largest[..]);
    let larger = vec![5; XATTR_VALUE_BYTES_MAX + 1];
    refused("larger", set(desk, file, "user.x", &larger, Either).await, FsError::AttributeTooLarge);
    must("trusted", set(desk, file, "trusted.t", b"t", Either).await);
    assert_eq!(list(desk, file).await, ["trusted.t", "user.a", "user.empty", "user.large"]);
    must("remove", remove(desk, file, "user.a").await);
    refused("remove twice", remove(desk, file, "user.a").await, FsError::NoAttribute);
    for text in ["nospace", "system.posix_acl_access", "foo.bar"] {
        refused(text, set(desk, file, text, b"x", Either).await, FsError::NotSupported);
    }

    let user = desk.by(Cred::user(1000, 1000));
    assert_eq!(list(&user, file).await, ["user.empty", "user.large"], "trusted names do not show");
    refused("trusted", get(&user, file, "trusted.t").await, FsError::NoAttribute);
    refused("trusted", set(&user, file, "trusted.t", b"x", Either).await, FsError::NotPermitted);
    refused("another's", set(&user, file, "user.n", b"x", Either).await, FsError::AccessDenied);
    must("readable", get(&user, file, "user.empty").await);
    must("chmod", desk.chmod(file, 0o600).await);
    refused("unreadable", get(&user, file, "user.empty").await, FsError::AccessDenied);
    let link = must("symlink", desk.symlink("s", b"f").await).file;
    refused("on a symlink", set(desk, link, "user.a", b"x", Either).await, FsError::NotPermitted);
    must("trusted on a symlink", set(desk, link, "trusted.a", b"x", Either).await);
    must("on a directory", set(desk, desk.dir, "user.a", b"x", Either).await);
    must("capability", set(desk, file, "security.capability", b"x", Either).await);
    must("write", desk.write(file, 0, b"x").await);
    refused("a write takes capabilities", get(desk, file, "security.capability").await, FsError::NoAttribute);
}
