//! One operation, one file, named as in the specification.

mod access;
mod allocate;
mod backchannel_ctl;
mod bind_conn_to_session;
mod clone;
mod close;
mod commit;
mod copy;
mod create;
mod create_session;
mod deallocate;
mod delegreturn;
mod destroy_clientid;
mod destroy_session;
mod exchange_id;
mod free_stateid;
mod getattr;
mod getfh;
mod getxattr;
mod io_advise;
mod link;
mod listxattrs;
mod lock;
mod lockt;
mod locku;
mod lookup;
mod lookupp;
mod open;
mod open_downgrade;
mod putfh;
mod putrootfh;
mod read;
mod read_plus;
mod readdir;
mod readlink;
mod reclaim_complete;
mod remove;
mod removexattr;
mod rename;
mod restorefh;
mod savefh;
mod secinfo;
mod secinfo_no_name;
mod seek;
mod setattr;
mod setxattr;
mod test_stateid;
mod verify;
mod write;

use crate::compound::Compound;
use nfs_wire::{Args, Reply, Status};
use vfs::Vfs;

/// Does one operation.
pub(crate) async fn run<V: Vfs>(c: &mut Compound<'_, V>, args: Args) -> Result<Reply, Status> {
    Ok(match args {
        Args::Access(args) => Reply::Access(access::access(c, args).await?),
        Args::Close(args) => Reply::Close(close::close(c, args).await?),
        Args::Commit(args) => Reply::Commit(commit::commit(c, args).await?),
        Args::Create(args) => Reply::Create(create::create(c, args).await?),
        Args::Delegreturn(args) => Reply::Delegreturn(delegreturn::delegreturn(c, args).await?),
        Args::Getattr(args) => Reply::Getattr(getattr::getattr(c, args).await?),
        Args::Getfh(()) => Reply::Getfh(getfh::getfh(c)?),
        Args::Link(args) => Reply::Link(link::link(c, args).await?),
        Args::Lock(args) => Reply::Lock(lock::lock(c, args).await?),
        Args::Lockt(args) => Reply::Lockt(lockt::lockt(c, args).await?),
        Args::Locku(args) => Reply::Locku(locku::locku(c, args).await?),
        Args::Lookup(args) => Reply::Lookup(lookup::lookup(c, args).await?),
        Args::Lookupp(()) => Reply::Lookupp(lookupp::lookupp(c).await?),
        Args::Nverify(args) => Reply::Nverify(verify::nverify(c, args).await?),
        Args::Open(args) => Reply::Open(open::open(c, args).await?),
        Args::OpenDowngrade(args) => Reply::OpenDowngrade(open_downgrade::open_downgrade(c, args).await?),
        Args::Putfh(args) => Reply::Putfh(putfh::putfh(c, args).await?),
        Args::Putpubfh(()) => Reply::Putpubfh(putrootfh::putrootfh(c).await?),
        Args::Putrootfh(()) => Reply::Putrootfh(putrootfh::putrootfh(c).await?),
        Args::Read(args) => Reply::Read(read::read(c, args).await?),
        Args::Readdir(args) => Reply::Readdir(readdir::readdir(c, args).await?),
        Args::Readlink(()) => Reply::Readlink(readlink::readlink(c).await?),
        Args::Remove(args) => Reply::Remove(remove::remove(c, args).await?),
        Args::Rename(args) => Reply::Rename(rename::rename(c, args).await?),
        Args::Restorefh(()) => Reply::Restorefh(restorefh::restorefh(c)?),
        Args::Savefh(()) => Reply::Savefh(savefh::savefh(c)?),
        Args::Secinfo(args) => Reply::Secinfo(secinfo::secinfo(c, args).await?),
        Args::Setattr(args) => Reply::Setattr(setattr::setattr(c, args).await?),
        Args::Verify(args) => Reply::Verify(verify::verify(c, args).await?),
        Args::Write(args) => Reply::Write(write::write(c, args).await?),
        Args::BackchannelCtl(args) => Reply::BackchannelCtl(backchannel_ctl::backchannel_ctl(c, args)?),
        Args::BindConnToSession(args) => {
            Reply::BindConnToSession(bind_conn_to_session::bind_conn_to_session(c, args)?)
        }
        Args::ExchangeId(args) => Reply::ExchangeId(exchange_id::exchange_id(c, args).await?),
        Args::CreateSession(args) => Reply::CreateSession(create_session::create_session(c, args).await?),
        Args::DestroySession(args) => Reply::DestroySession(destroy_session::destroy_session(c, args).await?),
        Args::FreeStateid(args) => Reply::FreeStateid(free_stateid::free_stateid(c, args)?),
        Args::SecinfoNoName(args) => Reply::SecinfoNoName(secinfo_no_name::secinfo_no_name(c, args).await?),
        // Only as the first operation (RFC 8881 section 18.46.3).
        Args::Sequence(_) => return Err(Status::SequencePos),
        Args::TestStateid(args) => Reply::TestStateid(test_stateid::test_stateid(c, args)?),
        Args::DestroyClientid(args) => {
            Reply::DestroyClientid(destroy_clientid::destroy_clientid(c, args).await?)
        }
        Args::ReclaimComplete(args) => {
            Reply::ReclaimComplete(reclaim_complete::reclaim_complete(c, args).await?)
        }
        Args::Allocate(args) => Reply::Allocate(allocate::allocate(c, args).await?),
        Args::Copy(args) => Reply::Copy(copy::copy(c, args).await?),
        Args::Deallocate(args) => Reply::Deallocate(deallocate::deallocate(c, args).await?),
        Args::IoAdvise(args) => Reply::IoAdvise(io_advise::io_advise(c, args)?),
        Args::ReadPlus(args) => Reply::ReadPlus(read_plus::read_plus(c, args).await?),
        Args::Seek(args) => Reply::Seek(seek::seek(c, args).await?),
        Args::Clone(args) => Reply::Clone(clone::clone(c, args).await?),
        Args::Getxattr(args) => Reply::Getxattr(getxattr::getxattr(c, args).await?),
        Args::Setxattr(args) => Reply::Setxattr(setxattr::setxattr(c, args).await?),
        Args::Listxattrs(args) => Reply::Listxattrs(listxattrs::listxattrs(c, args).await?),
        Args::Removexattr(args) => Reply::Removexattr(removexattr::removexattr(c, args).await?),
    })
}
