//! Exports as the NFS head wants them.

use config::{Export, ExportAccess, Squash};
use nfs::{ExportError, ExportTable, Network};

/// Users and groups that are squashed become these (nobody, nogroup).
const NOBODY: (u32, u32) = (65_534, 65_534);

pub(crate) fn table(exports: &[Export]) -> Result<ExportTable, ExportError> {
    exports.iter().map(convert).collect::<Result<Vec<_>, _>>().and_then(ExportTable::new)
}

fn convert(export: &Export) -> Result<nfs::Export, ExportError> {
    let mut clients = Vec::new();
    for rule in &export.clients {
        match rule.to_string().as_str() {
            "*" => clients.extend([Network::parse("0.0.0.0/0")?, Network::parse("::/0")?]),
            rule => clients.push(Network::parse(rule)?),
        }
    }
    Ok(nfs::Export {
        path: export.path.clone(),
        filesystem: export.filesystem.clone(),
        clients,
        squash: match export.squash {
            Squash::None => nfs::Squash::None,
            Squash::Root => nfs::Squash::Root,
            Squash::All => nfs::Squash::All,
        },
        anonymous: NOBODY,
        read_only: export.access == ExportAccess::ReadOnly,
        privileged_port: false,
    })
}
