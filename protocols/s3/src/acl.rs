//! Access control lists: who is granted what on a bucket or an object.

use crate::account::{Account, Accounts};
use crate::records::{BucketRecord, Ownership};
use s3s::dto::{AccessControlPolicy, Grant as GrantDto, Grantee, Owner, Type};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
const LOG_DELIVERY: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";
/// Grants of one list (AWS: 100).
const GRANTS_MAX: usize = 100;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Who {
    Everybody,
    Authenticated,
    LogDelivery,
    /// A canonical id and how it is shown.
    Account(String, String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Permission {
    FullControl,
    Read,
    Write,
    ReadAcp,
    WriteAcp,
}

impl Permission {
    const ALL: [(&'static str, Permission); 5] = [
        ("FULL_CONTROL", Permission::FullControl),
        ("READ", Permission::Read),
        ("WRITE", Permission::Write),
        ("READ_ACP", Permission::ReadAcp),
        ("WRITE_ACP", Permission::WriteAcp),
    ];

    fn of(text: &str) -> Option<Permission> {
        Permission::ALL.iter().find(|(name, _)| *name == text).map(|(_, permission)| *permission)
    }

    fn name(self) -> &'static str {
        Permission::ALL.iter().find(|(_, permission)| *permission == self).map_or("", |(name, _)| name)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) who: Who,
    pub(crate) permission: Permission,
}

/// A list, with who owns what it is of.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Acl {
    pub(crate) grants: Vec<Grant>,
}

/// The owner of what a list is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Of<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
}

impl Acl {
    /// All for the owner and nothing for anybody else.
    pub(crate) fn private(owner: Of<'_>) -> Acl {
        let who = Who::Account(owner.id.to_owned(), owner.name.to_owned());
        Acl { grants: vec![Grant { who, permission: Permission::FullControl }] }
    }

    /// One of the lists that have a name.
    ///
    /// # Errors
    /// `InvalidArgument` for other names.
    pub(crate) fn canned(name: &str, owner: Of<'_>, bucket: Of<'_>) -> S3Result<Acl> {
        use Permission::{FullControl, Read, ReadAcp, Write};
        let mut acl = Acl::default();
        let mut grant = |who: Who, permission| acl.grants.push(Grant { who, permission });
        let bucket_owner = || Who::Account(bucket.id.to_owned(), bucket.name.to_owned());
        match name {
            "private" => {}
            "public-read" => grant(Who::Everybody, Read),
            "public-read-write" => {
                grant(Who::Everybody, Read);
                grant(Who::Everybody, Write);
            }
            "authenticated-read" => grant(Who::Authenticated, Read),
            "log-delivery-write" => {
                grant(Who::LogDelivery, Write);
                grant(Who::LogDelivery, ReadAcp);
            }
            "bucket-owner-read" if bucket.id != owner.id => grant(bucket_owner(), Read),
            "bucket-owner-full-control" if bucket.id != owner.id => grant(bucket_owner(), FullControl),
            "bucket-owner-read" | "bucket-owner-full-control" => {}
            _ => return Err(s3_error!(InvalidArgument, "Invalid canned ACL")),
        }
        Ok(Acl { grants: [Acl::private(owner).grants, acl.grants].concat() })
    }

    /// The list of an XML document.
    ///
    /// # Errors
    /// `MalformedACLError`, `UnresolvableGrantByEmailAddress`, `InvalidArgument`.
    pub(crate) fn from_xml(policy: &AccessControlPolicy, accounts: &Accounts) -> S3Result<Acl> {
        let malformed = || s3_error!(MalformedACLError);
        let mut grants = Vec::new();
        for grant in policy.grants.as_ref().ok_or_else(malformed)? {
            let permission = grant.permission.as_ref().and_then(|text| Permission::of(text.as_str()));
            let permission = permission.ok_or_else(malformed)?;
            let grantee = grant.grantee.as_ref().ok_or_else(malformed)?;
            let who = if let Some(uri) = &grantee.uri {
                group(uri)?
            } else if let Some(email) = &grantee.email_address {
                by_email(email, accounts)?
            } else if let Some(id) = &grantee.id {
                by_id(id, accounts)?
            } else {
                return Err(malformed());
            };
            grants.push(Grant { who, permission });
        }
        if grants.len() > GRANTS_MAX {
            return Err(malformed());
        }
        Ok(Acl { grants })
    }

    /// The list of `x-amz-grant-` headers; `None` when there are none. Each names who gets a permission:
    /// `id="..", uri="..", emailAddress=".."`.
    ///
    /// # Errors
    /// As [`Acl::from_xml`].
    pub(crate) fn from_headers(
        headers: [(Permission, Option<&String>); 5],
        accounts: &Accounts,
    ) -> S3Result<Option<Acl>> {
        if headers.iter().all(|(_, header)| header.is_none()) {
            return Ok(None);
        }
        let mut grants = Vec::new();
        for (permission, header) in headers {
            for grantee in header.map(String::as_str).unwrap_or_default().split(',') {
                if grantee.trim().is_empty() {
                    continue;
                }
                let (kind, value) = grantee.split_once('=').ok_or_else(|| s3_error!(InvalidArgument))?;
                let value = value.trim().trim_matches('"');
                let who = match kind.trim() {
                    "id" => by_id(value, accounts)?,
                    "uri" => group(value)?,
                    "emailAddress" => by_email(value, accounts)?,
                    _ => return Err(s3_error!(InvalidArgument, "Invalid grantee")),
                };
                grants.push(Grant { who, permission });
            }
        }
        if grants.len() > GRANTS_MAX {
            return Err(s3_error!(InvalidArgument, "Too many grants"));
        }
        Ok(Some(Acl { grants }))
    }

    /// Whether the list grants `permission` to this caller.
    pub(crate) fn grants(&self, caller: Option<&Account>, permission: Permission, public: bool) -> bool {
        self.grants.iter().any(|grant| {
            let fits = match &grant.who {
                Who::Everybody => public,
                Who::Authenticated => public && caller.is_some(),
                Who::LogDelivery => false,
                Who::Account(id, _) => caller.is_some_and(|caller| caller.canonical_id == *id),
            };
            fits && (grant.permission == permission || grant.permission == Permission::FullControl)
        })
    }

    /// Whether it grants anything to people without a key, or to all who have one.
    pub(crate) fn is_public(&self) -> bool {
        self.grants.iter().any(|grant| matches!(grant.who, Who::Everybody | Who::Authenticated))
    }

    pub(crate) fn dto(&self) -> Vec<GrantDto> {
        let (people, groups): (Vec<_>, Vec<_>) =
            self.grants.iter().partition(|grant| matches!(grant.who, Who::Account(..)));
        // Groups before people, as clients are used to see them.
        groups
            .into_iter()
            .chain(people)
            .map(|grant| {
                let group = |uri: &str| Grantee {
                    display_name: None,
                    email_address: None,
                    id: None,
                    type_: Type::from_static(Type::GROUP),
                    uri: Some(uri.to_owned()),
                };
                let grantee = match &grant.who {
                    Who::Everybody => group(ALL_USERS),
                    Who::Authenticated => group(AUTHENTICATED),
                    Who::LogDelivery => group(LOG_DELIVERY),
                    Who::Account(id, name) => Grantee {
                        display_name: Some(name.clone()),
                        email_address: None,
                        id: Some(id.clone()),
                        type_: Type::from_static(Type::CANONICAL_USER),
                        uri: None,
                    },
                };
                GrantDto {
                    grantee: Some(grantee),
                    permission: Some(grant.permission.name().to_owned().into()),
                }
            })
            .collect()
    }
}

fn group(uri: &str) -> S3Result<Who> {
    match uri {
        ALL_USERS => Ok(Who::Everybody),
        AUTHENTICATED => Ok(Who::Authenticated),
        LOG_DELIVERY => Ok(Who::LogDelivery),
        _ => Err(s3_error!(InvalidArgument, "Invalid group uri")),
    }
}

fn by_id(id: &str, accounts: &Accounts) -> S3Result<Who> {
    match accounts.account(id) {
        Some(account) => Ok(Who::Account(account.canonical_id.clone(), account.display_name.clone())),
        None => Err(s3_error!(InvalidArgument, "Invalid id")),
    }
}

fn by_email(email: &str, accounts: &Accounts) -> S3Result<Who> {
    match accounts.by_email(email) {
        Some(account) => Ok(Who::Account(account.canonical_id.clone(), account.display_name.clone())),
        None => Err(s3_error!(UnresolvableGrantByEmailAddress)),
    }
}

/// How S3 shows an owner.
pub(crate) fn owner(of: Of<'_>) -> Owner {
    Owner { id: Some(of.id.to_owned()), display_name: Some(of.name.to_owned()) }
}

/// Whether ACLs can be set in the bucket, and count.
pub(crate) fn counts(bucket: &BucketRecord) -> bool {
    bucket.ownership != Ownership::BucketOwnerEnforced
}
