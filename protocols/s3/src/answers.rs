//! What is common to all answers, and what the wire leaves to be said of them.

use crate::object::seconds;
use crate::server::XML_BYTES_MAX;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::{Body, S3Error, s3_error};

/// Bytes of an error.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the attributes of an object, with a page of parts.
const ATTRIBUTES_BYTES: usize = 4 * 1024 * 1024;
/// How the type of a form begins.
const FORM: &[u8] = b"multipart/form-data";
/// What is asked with a document.
const DOCUMENTS: [&str; 13] = [
    "acl",
    "cors",
    "delete",
    "legal-hold",
    "lifecycle",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "retention",
    "tagging",
    "versioning",
];
/// How headers of encryption begin.
const ENCRYPTION: [&str; 2] = ["x-amz-server-side-encryption", "x-amz-copy-source-server-side-encryption"];
/// Seconds that the clock of a client may be off.
const SKEW_MAX: i64 = 900;
/// Seconds that a presigned request may be good for: a week.
const EXPIRES_MAX: i64 = 604_800;

/// Whether a presigned request is good for a time that it can be.
pub(crate) fn may_last(uri: &Uri) -> bool {
    let mut pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let asked = pairs.find(|(key, _)| *key == "X-Amz-Expires");
    asked
        .is_none_or(|(_, value)| value.parse().is_ok_and(|seconds: i64| (0..=EXPIRES_MAX).contains(&seconds)))
}

/// The answer where it cannot.
pub(crate) fn lasts_too_long() -> Response<Body> {
    said(s3_error!(AccessDenied, "X-Amz-Expires must be between 0 and 604800 seconds"))
}

/// An error as an answer.
pub(crate) fn said(error: S3Error) -> Response<Body> {
    error.to_http_response().unwrap_or_else(|_| Response::new(Body::empty()))
}

/// What is wrong with a request before anybody looks at what it asks for: a path that is no text, encryption, a document
/// that is too long, or a signature of the second version that is not of now.
pub(crate) fn refused(request: &Request<Incoming>, by_host: bool, now: i64) -> Option<S3Error> {
    if !is_text(request.uri().path()) {
        return Some(s3_error!(InvalidURI, "Couldn't parse the specified URI."));
    }
    if asks_for_encryption(request) {
        return Some(no_encryption());
    }
    if let Some(error) = of_document(request, by_host) {
        return Some(error);
    }
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if text("authorization").is_none_or(|own| !own.starts_with("AWS ")) {
        return None;
    }
    let date = text("x-amz-date").or_else(|| text("date")).unwrap_or_default();
    match Timestamp::parse(TimestampFormat::HttpDate, date).map(|date| seconds(&date)) {
        Ok(date) if date > 0 && (date - now).abs() <= SKEW_MAX => None,
        Ok(date) if date > 0 => Some(s3_error!(
            RequestTimeTooSkewed,
            "The difference between the request time and the server's time is too large."
        )),
        _ => Some(s3_error!(AccessDenied, "AWS authentication requires a valid Date or x-amz-date header")),
    }
}

/// Whether data at rest are to be encrypted, or are said to be, by a header or, of a presigned request, by a parameter.
fn asks_for_encryption(request: &Request<Incoming>) -> bool {
    let is_encryption = |name: &str| ENCRYPTION.iter().any(|prefix| name.starts_with(prefix));
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let mut names = pairs.map(|pair| pair.split('=').next().unwrap_or_default().to_ascii_lowercase());
    request.headers().keys().any(|name| is_encryption(name.as_str()))
        || names.any(|name| is_encryption(&name))
}

/// What is asked for and not there is refused, not left out.
pub(crate) fn no_encryption() -> S3Error {
    s3_error!(
        NotImplemented,
        "A header you provided implies functionality that is not implemented: server-side encryption"
    )
}

/// What is wrong with a body that is a document, which is read as a whole: it does not say how long it is, or is longer than
/// is read.
fn of_document(request: &Request<Incoming>, by_host: bool) -> Option<S3Error> {
    if request.body().is_end_stream() || !is_document(request, by_host) {
        return None;
    }
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        None => Some(s3_error!(MissingContentLength, "You must provide the Content-Length HTTP header.")),
        Some(length) if length > XML_BYTES_MAX as u64 => {
            Some(s3_error!(MaxMessageLengthExceeded, "Your request was too big."))
        }
        Some(_) => None,
    }
}

/// Whether the body is a document: no object, no part and no form. `by_host`: the host names the bucket.
fn is_document(request: &Request<Incoming>, by_host: bool) -> bool {
    let is_form = request.headers().get(CONTENT_TYPE).is_some_and(|form| form.as_bytes().starts_with(FORM));
    let path = request.uri().path().trim_matches('/');
    let of_bucket = if by_host { path.is_empty() } else { !path.contains('/') };
    let query = request.uri().query().unwrap_or_default().split('&');
    let asks = query
        .filter_map(|pair| pair.split('=').next())
        .any(|key| DOCUMENTS.contains(&key) || request.method() == Method::POST && key == "uploadId");
    asks || of_bucket && !is_form
}

/// Whether a path is UTF-8 once its escapes are read.
fn is_text(path: &str) -> bool {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if byte == b'%' => {
                bytes.push(value);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// Completes an answer: errors name the request, and forms are refused with the codes that browsers know.
pub(crate) async fn complete(response: &mut Response<Body>, method: &Method, id: &str, is_form: bool) {
    if is_form {
        quote_etag(response);
    }
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || method == Method::HEAD {
        return;
    }
    let body = std::mem::replace(response.body_mut(), Body::empty());
    let Ok(whole) = Limited::new(body, ERROR_BYTES_MAX).collect().await else { return };
    let mut text = String::from_utf8_lossy(&whole.to_bytes()).into_owned();
    if is_form
        && text.contains("<Code>InvalidPolicyDocument</Code>")
        && ["Policy condition", "does not match", "not covered"].iter().any(|why| text.contains(why))
    {
        // The policy is one; the form is not what it allows.
        text = text.replace("<Code>InvalidPolicyDocument</Code>", "<Code>AccessDenied</Code>");
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    if !text.contains("<RequestId>") {
        text = text.replace("</Error>", &format!("<RequestId>{id}</RequestId><HostId>{id}</HostId></Error>"));
    }
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = Body::from(Bytes::from(text));
}

/// The ETag among the attributes of an object has no quotes, unlike everywhere else.
pub(crate) async fn bare_etag(response: &mut Response<Body>) {
    let body = std::mem::replace(response.body_mut(), Body::empty());
    let Ok(whole) = Limited::new(body, ATTRIBUTES_BYTES).collect().await else { return };
    let text = String::from_utf8_lossy(&whole.to_bytes()).into_owned();
    let text = match (text.find("<ETag>"), text.find("</ETag>")) {
        (Some(begin), Some(end)) if begin < end => {
            let etag = text[begin..end].replace("&quot;", "").replace('"', "");
            format!("{}{etag}{}", &text[..begin], &text[end..])
        }
        _ => text,
    };
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = Body::from(Bytes::from(text));
}

/// The ETag that a form's page is told is in quotes.
fn quote_etag(response: &mut Response<Body>) {
    let Some(location) = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()) else {
        return;
    };
    let Some((before, etag)) = location.rsplit_once("etag=") else { return };
    if etag.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        && let Ok(quoted) = HeaderValue::from_str(&format!("{before}etag=%22{etag}%22"))
    {
        response.headers_mut().insert(LOCATION, quoted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presigned_requests_are_good_for_a_week_at_most() {
        for (query, may) in [
            ("/b/k", true),
            ("/b/k?X-Amz-Expires=604800&a=b", true),
            ("/b/k?X-Amz-Expires=604801", false),
            ("/b/k?a=b&X-Amz-Expires=-5", false),
            ("/b/k?X-Amz-Expires=soon", false),
        ] {
            assert_eq!(may_last(&query.parse().unwrap()), may, "{query}");
        }
    }

    #[test]
    fn paths_are_text() {
        assert!(is_text("/b/%C3%A4%2") && is_text("/b/100%"));
        assert!(!is_text("/b/%AE%8A-"));
    }

    #[tokio::test]
    async fn errors_name_their_request() {
        let mut response = lasts_too_long();
        complete(&mut response, &Method::GET, "ID", false).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            text.contains("<Code>AccessDenied</Code>") && text.contains("<RequestId>ID</RequestId>"),
            "{text}"
        );
    }
}
