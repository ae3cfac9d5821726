//! The gate's own answers, in the registry API's form.

use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde::Serialize;
use serde_json::json;

use super::{
    target::Action,
    upstream::{Body, whole},
};

/// An error in the registry API's JSON form.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    json_answer(status, &json!({"errors": [{"code": code, "message": message}]}))
}

/// An error with what was asked for as its detail, as the distribution project's program gives it.
/// CRI-O's client prints the message only where there is a detail.
fn refusal(status: StatusCode, code: &str, message: &str, repository: Option<&str>, action: Action) -> Response<Body> {
    let detail: Option<Vec<_>> = repository.map(|name| {
        let actions = action.scope_word().split(',');
        actions.map(|word| json!({"Type": "repository", "Class": "", "Name": name, "Action": word})).collect()
    });
    json_answer(status, &json!({"errors": [{"code": code, "message": message, "detail": detail}]}))
}

/// 401 with a challenge.
pub(super) fn unauthorized(challenge: &str, repository: Option<&str>, action: Action) -> Response<Body> {
    let message = "authentication required";
    let mut response = refusal(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message, repository, action);
    if let Ok(value) = HeaderValue::from_str(challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    response
}

/// 403.
pub(super) fn denied(repository: Option<&str>, action: Action) -> Response<Body> {
    let message = "requested access to the resource is denied";
    refusal(StatusCode::FORBIDDEN, "DENIED", message, repository, action)
}

/// A switched failure that answers `status`.
pub(super) fn failure(status: u16) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    match status {
        StatusCode::UNAUTHORIZED => error(status, "UNAUTHORIZED", "authentication required"),
        StatusCode::FORBIDDEN => error(status, "DENIED", "requested access to the resource is denied"),
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
