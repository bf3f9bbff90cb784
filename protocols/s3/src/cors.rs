//! Requests of pages from other origins.

use crate::error::custom;
use crate::head::Head;
use crate::ops::cors::rules;
use crate::policy::matches;
use crate::server::bucket_in;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use s3s::dto::CORSRule;
use s3s::{Body, s3_error};
use vfs::Vfs;

/// What such a request says.
pub(crate) struct Asked {
    origin: String,
    host: String,
    path: String,
    /// That it is asked for, where it is not that of the request.
    method: Option<String>,
}

impl Asked {
    /// `None` for a request that comes from no page.
    pub(crate) fn of<B>(request: &Request<B>) -> Option<Asked> {
        let text =
            |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let origin = text(ORIGIN).or_else(|| (request.method() == Method::OPTIONS).then(String::new))?;
        Some(Asked {
            origin,
            host: text(HOST).unwrap_or_default(),
            path: request.uri().path().to_owned(),
            method: text(ACCESS_CONTROL_REQUEST_METHOD),
        })
    }

    async fn rules<V: Vfs>(&self, head: &Head<V>) -> Option<Vec<CORSRule>> {
        let in_path = || self.path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let name = bucket_in(&head.0.config.domains, &self.host).unwrap_or_else(in_path);
        rules(&head.bucket(name).await.ok()?)
    }
}

/// The rule for an origin and a method, and headers.
fn rule_for<'a>(
    rules: &'a [CORSRule],
    origin: &str,
    method: &str,
    headers: &[String],
) -> Option<&'a CORSRule> {
    rules.iter().find(|rule| {
        let allows = |header: &String| {
            let mut allowed = rule.allowed_headers.iter().flatten();
            allowed.any(|pattern| matches(&pattern.to_ascii_lowercase(), &header.to_ascii_lowercase()))
        };
        rule.allowed_origins.iter().any(|pattern| matches(pattern, origin))
            && rule.allowed_methods.iter().any(|own| own == method)
            && headers.iter().all(allows)
    })
}

fn add(response: &mut Response<Body>, rule: &CORSRule, origin: &str) {
    let everybody = rule.allowed_origins.iter().any(|origin| origin == "*");
    let headers = response.headers_mut();
    let shown = if everybody { "*" } else { origin };
    if let Ok(origin) = HeaderValue::from_str(shown) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    if let Ok(methods) = HeaderValue::from_str(&rule.allowed_methods.join(", ")) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    let exposed = rule.expose_headers.as_ref().map(|own| own.join(", ")).filter(|own| !own.is_empty());
    if let Some(Ok(exposed)) = exposed.map(|own| HeaderValue::from_str(&own)) {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    if let Some(age) = rule.max_age_seconds {
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(age));
    }
    let vary = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
    headers.insert(VARY, HeaderValue::from_static(vary));
}

/// Adds what a page may see of a response.
pub(crate) async fn decorate<V: Vfs>(
    head: &Head<V>,
    asked: &Asked,
    method: &Method,
    response: &mut Response<Body>,
) {
    let Some(rules) = asked.rules(head).await else { return };
    let method = asked.method.as_deref().unwrap_or(method.as_str());
    if let Some(rule) = rule_for(&rules, &asked.origin, method, &[]) {
        add(response, rule, &asked.origin);
    }
}

/// Answers whether a request may be made.
pub(crate) async fn preflight<V: Vfs, B>(
    head: &Head<V>,
    asked: &Asked,
    request: &Request<B>,
) -> Response<Body> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let method = text(ACCESS_CONTROL_REQUEST_METHOD);
    let refused =
        |error: s3s::S3Error| error.to_http_response().unwrap_or_else(|_| Response::new(Body::empty()));
    if asked.origin.is_empty() {
        return refused(custom(
            "BadRequest",
            StatusCode::BAD_REQUEST,
            "Insufficient information. Origin request header needed.",
        ));
    }
    if method.is_empty() {
        return refused(custom(
            "BadRequest",
            StatusCode::BAD_REQUEST,
            "Invalid Access-Control-Request-Method: null",
        ));
    }
    let headers: Vec<String> = text(ACCESS_CONTROL_REQUEST_HEADERS)
        .split(',')
        .map(|header| header.trim().to_owned())
        .filter(|header| !header.is_empty())
        .collect();
    let rules = asked.rules(head).await.unwrap_or_default();
    let Some(rule) = rule_for(&rules, &asked.origin, method, &headers) else {
        return refused(s3_error!(AccessDenied, "CORSResponse: This CORS request is not allowed."));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::OK;
    add(&mut response, rule, &asked.origin);
    if let Ok(headers) = HeaderValue::from_str(&headers.join(", "))
        && !headers.is_empty()
    {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
    }
    response
}
