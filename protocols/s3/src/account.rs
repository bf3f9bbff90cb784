//! Accounts and their access keys.

use crate::sums::hex;
use parking_lot::RwLock;
use s3s::crypto::{Checksum as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::Cred;

/// The canonical id of an account of a cluster, the same for ever.
#[must_use]
pub fn canonical_id(cluster: &[u8; 16], name: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(b"plexus s3 account");
    digest.update(cluster);
    digest.update(name.as_bytes());
    hex(digest.finalize().as_ref())
}

/// Who owns buckets and objects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its name, which administrators know it by.
    pub name: String,
    /// 64 hexadecimal digits that stand for it in ACLs.
    pub canonical_id: String,
    /// How clients show it.
    pub display_name: String,
    /// By which grants may name it, too.
    pub email: Option<String>,
    /// As whom it uses files; `None` when its user does not exist: then it may nothing.
    pub cred: Option<Cred>,
}

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// What requests name it by.
    pub id: String,
    /// What they are signed with.
    pub secret: String,
    /// Whose it is.
    pub account: Arc<Account>,
}

/// All keys that are in force; shared, and replaced as a whole.
#[derive(Clone, Default)]
pub struct Accounts(Arc<RwLock<Arc<Table>>>);

#[derive(Default)]
struct Table {
    keys: BTreeMap<String, AccessKey>,
    accounts: BTreeMap<String, Arc<Account>>,
}

impl Accounts {
    /// Puts other keys into force.
    pub fn replace(&self, keys: Vec<AccessKey>) {
        let accounts =
            keys.iter().map(|key| (key.account.canonical_id.clone(), key.account.clone())).collect();
        let keys = keys.into_iter().map(|key| (key.id.clone(), key)).collect();
        *self.0.write() = Arc::new(Table { keys, accounts });
    }

    fn table(&self) -> Arc<Table> {
        self.0.read().clone()
    }

    /// The key of this name.
    pub(crate) fn key(&self, id: &str) -> Option<AccessKey> {
        self.table().keys.get(id).cloned()
    }

    /// The account of a canonical id.
    pub(crate) fn account(&self, canonical_id: &str) -> Option<Arc<Account>> {
        self.table().accounts.get(canonical_id).cloned()
    }

    /// The account of an e-mail address.
    pub(crate) fn by_email(&self, email: &str) -> Option<Arc<Account>> {
        let table = self.table();
        let mut all = table.accounts.values();
        all.find(|account| account.email.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(email)))
            .cloned()
    }

    /// Accounts that policies name by name: `arn:aws:iam::ID:user/NAME`, `arn:aws:iam::ID:root` or the id itself.
    pub(crate) fn is_named(account: &Account, principal: &str) -> bool {
        if principal == account.canonical_id || principal == account.name {
            return true;
        }
        let Some(rest) = principal.strip_prefix("arn:aws:iam::") else { return false };
        let Some((id, user)) = rest.split_once(':') else { return false };
        match user.strip_prefix("user/") {
            Some(user) => user == account.name || user == account.canonical_id,
            None => user == "root" && (id == account.name || id == account.canonical_id),
        }
    }
}
