//! The gate's own answers, in the registry API's form.

use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde::Serialize;
use serde_json::json;

use super::upstream::{Body, whole};

/// An error in the registry API's JSON form.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    json_answer(status, &json!({"errors": [{"code": code, "message": message}]}))
}

/// 401 with a challenge.
pub(super) fn unauthorized(challenge: &str) -> Response<Body> {
    let mut response = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
    if let Ok(value) = HeaderValue::from_str(challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    response
}

/// 403.
pub(super) fn denied() -> Response<Body> {
    error(StatusCode::FORBIDDEN, "DENIED", "requested access to the resource is denied")
}

/// A switched failure that answers `status`.
pub(super) fn failure(status: u16) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    match status {
        StatusCode::UNAUTHORIZED => error(status, "UNAUTHORIZED", "authentication required"),
        StatusCode::FORBIDDEN => denied(),
        StatusCode::NOT_FOUND => error(status, "MANIFEST_UNKNOWN", "manifest unknown"),
        StatusCode::TOO_MANY_REQUESTS => error(status, "TOOMANYREQUESTS", "too many requests"),
        StatusCode::SERVICE_UNAVAILABLE => error(status, "UNAVAILABLE", "service unavailable"),
        _ => error(status, "UNKNOWN", "unknown error"),
    }
}

/// A value as JSON.
pub(super) fn json_answer(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let mut response = Response::new(whole(serde_json::to_vec(value).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    response
}
