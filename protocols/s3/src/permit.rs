//! Whether a request is allowed: by the bucket's policy, by who owns what, by ACLs, and by what is kept from the
//! public. What is allowed then still meets the access decision of the file system, as whoever acts in the bucket.

use crate::account::{Account, Accounts};
use crate::acl::{self, Of, Permission};
use crate::bucket::Bucket;
use crate::error::access_denied;
use crate::head::{Caller, Origin};
use crate::object::Object;
use crate::policy::{Asked, Decision, Policy};
use crate::public_access::PublicAccess;
use crate::records::of_bucket;
use http::{Extensions, HeaderMap};
use s3s::S3Result;

/// What a request says beside its action.
pub(crate) struct Facts<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
    /// Tags that the object is to have.
    pub(crate) tags: &'a [(String, String)],
    /// What is listed, where the request does not say so itself.
    pub(crate) prefix: Option<&'a str>,
}

/// An action and what it is done to.
pub(crate) struct Act<'a> {
    /// As policies name it.
    pub(crate) action: &'static str,
    /// The key; `None` for what is done to the bucket.
    pub(crate) key: Option<&'a str>,
    /// The object that stands there.
    pub(crate) object: Option<&'a Object>,
    /// The permission of an ACL that allows it: of the object's where `of_object`, else of the bucket's.
    pub(crate) permission: Option<Permission>,
    pub(crate) of_object: bool,
}

impl Act<'_> {
    /// Something that is done to the bucket.
    pub(crate) fn bucket(action: &'static str, permission: Option<Permission>) -> Act<'static> {
        Act { action, key: None, object: None, permission, of_object: false }
    }
}

impl Bucket {
    /// Lets the request pass, or not.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(crate) fn permit(&self, caller: &Caller, facts: &Facts<'_>, act: &Act<'_>) -> S3Result<()> {
        let caller = caller.as_deref();
        let expected = facts.headers.get("x-amz-expected-bucket-owner");
        if expected.is_some_and(|expected| expected.as_bytes() != self.record.owner.as_bytes()) {
            return Err(access_denied());
        }
        let owner = self.is_owned_by(caller);
        let public = PublicAccess::of(self);
        match self.policy_says(caller, facts, act) {
            // Else nobody could ever put it right.
            Decision::Deny if owner && is_of_policy(act.action) => {}
            Decision::Deny => return Err(access_denied()),
            Decision::Allow => return Ok(()),
            Decision::Silent => {}
        }
        if let Some(permission) = act.permission
            && acl::counts(&self.record)
        {
            let allowed = if act.of_object {
                self.object_grants(caller, act.object, permission, !public.ignore_acls)
            } else {
                self.acl().grants(caller, permission, !public.ignore_acls)
            };
            if allowed {
                return Ok(());
            }
            // The owner of the bucket does not own what others put into it.
            let strangers =
                act.of_object && act.object.is_some_and(|object| object.owner_id(self) != self.record.owner);
            return if owner && !strangers { Ok(()) } else { Err(access_denied()) };
        }
        if owner { Ok(()) } else { Err(access_denied()) }
    }

    fn object_grants(
        &self,
        caller: Option<&Account>,
        object: Option<&Object>,
        permission: Permission,
        public: bool,
    ) -> bool {
        let Some(object) = object else {
            // Who may list hears that it is not there.
            return true;
        };
        let owner = object.owner_id(self);
        if caller.is_some_and(|caller| caller.canonical_id == owner) {
            return true;
        }
        object.acl(Of { id: owner, name: "" }).grants(caller, permission, public)
    }

    fn policy_says(&self, caller: Option<&Account>, facts: &Facts<'_>, act: &Act<'_>) -> Decision {
        let Some(text) = self.text(of_bucket::POLICY) else { return Decision::Silent };
        let Ok(policy) = Policy::parse(text, &self.name) else {
            tracing::error!(bucket = self.name, "the policy of a bucket cannot be read; nobody is let in");
            return Decision::Deny;
        };
        let resource = match act.key {
            Some(key) => format!("arn:aws:s3:::{}/{key}", self.name),
            None => format!("arn:aws:s3:::{}", self.name),
        };
        let named = |principal: &str| caller.is_some_and(|caller| Accounts::is_named(caller, principal));
        let fact = |key: &str| fact(key, caller, facts, act.object);
        let decision =
            policy.decide(&Asked { action: act.action, resource: &resource, named: &named, fact: &fact });
        let shut = PublicAccess::of(self).restrict && policy.is_public() && !self.is_owned_by(caller);
        if shut && decision == Decision::Allow { Decision::Silent } else { decision }
    }
}

fn is_of_policy(action: &str) -> bool {
    matches!(action, "s3:GetBucketPolicy" | "s3:PutBucketPolicy" | "s3:DeleteBucketPolicy")
}

/// The values of a condition key.
fn fact(key: &str, caller: Option<&Account>, facts: &Facts<'_>, object: Option<&Object>) -> Vec<String> {
    let tag = |tags: &[(String, String)], name: &str| {
        let same = tags.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.clone()).collect()
    };
    if let Some(name) = key.strip_prefix("s3:existingobjecttag/") {
        return object.map_or_else(Vec::new, |object| tag(&object.tags(), name));
    }
    if let Some(name) = key.strip_prefix("s3:requestobjecttag/") {
        return tag(facts.tags, name);
    }
    let header = |name: &str| {
        let values = facts.headers.get_all(name).iter();
        values.filter_map(|value| value.to_str().ok().map(str::to_owned)).collect::<Vec<_>>()
    };
    let origin = facts.extensions.get::<Origin>();
    let query = |name: &str| origin.map_or_else(Vec::new, |origin| query_values(&origin.uri, name));
    match key {
        "s3:requestobjecttagkeys" => facts.tags.iter().map(|(key, _)| key.clone()).collect(),
        "s3:prefix" if facts.prefix.is_some() => {
            facts.prefix.iter().map(|prefix| (*prefix).to_owned()).collect()
        }
        "s3:prefix" | "s3:delimiter" | "s3:max-keys" => query(key.trim_start_matches("s3:")),
        "s3:versionid" => query("versionId"),
        "s3:signatureversion" => vec!["AWS4-HMAC-SHA256".to_owned()],
        "s3:authtype" if facts.headers.contains_key("authorization") => vec!["REST-HEADER".to_owned()],
        "s3:authtype" => vec!["REST-QUERY-STRING".to_owned()],
        "s3:object-lock-mode" | "s3:object-lock-retain-until-date" | "s3:object-lock-legal-hold" => {
            header(&format!("x-amz-{}", key.trim_start_matches("s3:")))
        }
        "aws:sourceip" => {
            origin.map(|origin| origin.address.ip().to_canonical().to_string()).into_iter().collect()
        }
        "aws:securetransport" => vec![origin.is_some_and(|origin| origin.secure).to_string()],
        "aws:useragent" => header("user-agent"),
        "aws:referer" => header("referer"),
        "aws:username" => caller.map(|caller| caller.name.clone()).into_iter().collect(),
        "aws:userid" | "aws:principalaccount" => {
            caller.map(|caller| caller.canonical_id.clone()).into_iter().collect()
        }
        _ => match key.strip_prefix("s3:x-amz-") {
            Some(rest) => header(&format!("x-amz-{rest}")),
            None => Vec::new(),
        },
    }
}

fn query_values(uri: &http::Uri, name: &str) -> Vec<String> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| crate::text::unescape(value))
        .collect()
}
