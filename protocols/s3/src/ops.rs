//! Operations, by what they are about.

pub(crate) mod acl;
pub(crate) mod bucket;
pub(crate) mod copy_object;
pub(crate) mod cors;
pub(crate) mod delete_object;
pub(crate) mod get_object;
pub(crate) mod lifecycle;
pub(crate) mod list_objects;
pub(crate) mod list_versions;
pub(crate) mod notification;
pub(crate) mod object_lock;
pub(crate) mod policy;
pub(crate) mod post_object;
pub(crate) mod put_object;
pub(crate) mod tagging;
pub(crate) mod upload;
pub(crate) mod upload_complete;
pub(crate) mod upload_list;
pub(crate) mod versioning;

use s3s::S3Request;

/// A request without its input, which may be taken apart beside.
macro_rules! parts {
    ($request:ident) => {{
        let s3s::S3Request { input, headers, extensions, credentials, trailing_headers, .. } = $request;
        ($crate::ops::Parts { headers, extensions, credentials, trailing_headers }, input)
    }};
}
pub(crate) use parts;

/// What of a request does not depend on its operation.
pub(crate) struct Parts {
    pub(crate) headers: http::HeaderMap,
    pub(crate) extensions: http::Extensions,
    pub(crate) credentials: Option<s3s::auth::Credentials>,
    pub(crate) trailing_headers: Option<s3s::TrailingHeaders>,
}

impl Parts {
    pub(crate) fn facts<'a>(&'a self, tags: &'a [(String, String)]) -> crate::permit::Facts<'a> {
        crate::permit::Facts { headers: &self.headers, extensions: &self.extensions, tags, prefix: None }
    }
}

/// A reply without anything special.
pub(crate) fn reply<T>(output: T) -> s3s::S3Result<s3s::S3Response<T>> {
    Ok(s3s::S3Response::new(output))
}

/// Only the type of requests is of use to the macro above.
pub(crate) type Request<T> = S3Request<T>;
