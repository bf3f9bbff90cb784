//! nfs-ganesha with its VFS back end, over the disk's ext4.

use super::{Ground, System, mount_nfs, unmount};
use crate::BenchError;
use crate::client::Client;
use crate::network::{CLIENTS, HERE};
use crate::processes::{self, Program};
use e2e::free_port;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const READY_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Ganesha {
    _server: Program,
    port: u16,
}

impl Ganesha {
    pub(super) fn start(ground: &Ground<'_>) -> Result<Ganesha, BenchError> {
        let (folder, port) = (ground.folder, free_port(HERE)?);
        let recovery = folder.join("recovery");
        std::fs::create_dir_all(&recovery)?;
        let text = format!(
            "NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {port}; Bind_addr = {HERE}; Enable_NLM = false; \
             Enable_RQUOTA = false; }}\n\
             NFSV4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = {}; Minor_Versions = 1, 2; }}\n\
             NFS_KRB5 {{ Active_krb5 = false; }}\n\
             LOG {{ Default_Log_Level = CRIT; }}\n\
             EXPORT {{ Export_Id = 1; Path = {}; Pseudo = /default; Access_Type = RW; SecType = sys; \
             Squash = No_Root_Squash; Transports = TCP; FSAL {{ Name = VFS; }} CLIENT {{ Clients = {CLIENTS}; }} }}\n",
            recovery.display(),
            ground.disks.folder().display(),
        );
        let configuration = folder.join("ganesha.conf");
        std::fs::write(&configuration, text)?;
        let mut command = Command::new(processes::find("ganesha.nfsd"));
        command.arg("-F").arg("-f").arg(&configuration).arg("-p").arg(folder.join("ganesha.pid"));
        command.args(["-L", "STDERR"]);
        let mut server = Program::start(command, &folder.join("ganesha.log"))?;
        server.wait_until("ganesha", READY_LIMIT, || TcpStream::connect((HERE, port)).is_ok())?;
        Ok(Ganesha { _server: server, port })
    }
}

impl System for Ganesha {
    fn mount(&mut self, client: &mut Client, at: &Path) -> Result<(), BenchError> {
        mount_nfs(client, self.port, at)
    }

    fn unmount(&mut self, client: &mut Client, at: &Path) -> Result<(), BenchError> {
        unmount(client, at)
    }
}
