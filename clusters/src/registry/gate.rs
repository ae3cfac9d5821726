//! The gate in front of the registry: authenticates, authorises, records, and fails on command.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError, RwLock},
    time::Instant,
};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    Failure, ListenerKind, RequestKind, RequestRecord,
    access::{Accounts, Decision, Presented, Question, Scheme, decide},
    answer,
    record::RequestLog,
    target::{Action, Refusal, Resource, Target},
    token::{TokenAnswer, TokenGrant, TokenRequest, Tokens},
    upstream::{Body, Upstream, arriving},
};

/// The name under which the harness's own requests are recorded; no account can have it.
pub(super) const HARNESS: &str = "sandproof (harness)";

/// The `service` of the bearer challenge.
const SERVICE: &str = "sandproof";

/// The largest form the token endpoint reads, in bytes.
const LARGEST_FORM: usize = 16 * 1024;

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// The harness, inside this process; the only one that may write.
    Harness,
    /// A client, through a listener.
    Listener { address: SocketAddr, kind: ListenerKind },
}

/// The connection must be reset instead of answered.
#[derive(Debug, thiserror::Error)]
#[error("connection reset on command")]
pub(super) struct ResetConnection;

/// The state that all listeners share.
pub(super) struct Gate {
    pub(super) accounts: RwLock<Accounts>,
    pub(super) failures: RwLock<BTreeMap<String, Failure>>,
    pub(super) log: RequestLog,
    pub(super) stop: CancellationToken,
    tokens: Mutex<Tokens>,
    upstream: Upstream,
}

impl Gate {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self {
            accounts: RwLock::default(),
            failures: RwLock::default(),
            log: RequestLog::new(),
            stop: CancellationToken::new(),
            tokens: Mutex::default(),
            upstream,
        }
    }

    /// Answers one request.
    pub(super) async fn answer(
        &self,
        origin: Origin,
        request: Request<Body>,
    ) -> Result<Response<Body>, ResetConnection> {
        let mut record = RequestRecord {
            at: Timestamp::now(),
            method: request.method().to_string(),
            repository: None,
            kind: RequestKind::Other,
            reference: None,
            user: None,
            credentials_presented: None,
            status: None,
            reason: None,
            listener: match origin {
                Origin::Harness => None,
                Origin::Listener { address, .. } => Some(address),
            },
        };
        let target = match Target::parse(request.uri().path()) {
            Ok(target) => target,
            Err(refusal) => return Ok(self.refuse(record, refusal)),
        };
        describe(&mut record, &target);
        match (origin, target) {
            (Origin::Listener { kind, .. }, Target::Token) => Ok(if kind.scheme() == Scheme::Bearer {
                self.give_token(record, request).await
            } else {
                self.refuse(record, Refusal::Unknown)
            }),
            (Origin::Harness, target) => {
                record.user = Some(HARNESS.to_owned());
                Ok(self.pass(record, &target, request, None).await)
            }
            (Origin::Listener { address, kind }, target) => self.judge(record, (address, kind), &target, request).await,
        }
    }

    /// Decides about a client's request and carries the decision out.
    async fn judge(
        &self,
        mut record: RequestRecord,
        (address, kind): (SocketAddr, ListenerKind),
        target: &Target,
        request: Request<Body>,
    ) -> Result<Response<Body>, ResetConnection> {
        let repository = record.repository.clone();
        let action = target.action(request.method());
        let decision = {
            let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
            let presented = self.presented(&accounts, request.headers());
            record.credentials_presented = presented.user_name();
            record.user = presented.authenticated();
            decide(&Question {
                scheme: kind.scheme(),
                action,
                repository: repository.as_deref(),
                access: repository.as_deref().and_then(|name| accounts.access(name)),
                presented: &presented,
            })
        };
        let failure = self.failure(repository.as_deref());
        match failure {
            Some(Failure::Status(status)) => {
                return Ok(self.finish(record, answer::failure(status), "failure switched on"));
            }
            Some(Failure::Hang) => {
                record.reason = Some("failure switched on: no answer".to_owned());
                self.log.write(record);
                self.stop.cancelled().await;
                return Err(ResetConnection);
            }
            Some(Failure::Reset) => {
                record.reason = Some("failure switched on: connection reset".to_owned());
                self.log.write(record);
                return Err(ResetConnection);
            }
            Some(Failure::WrongDigest) | None => {}
        }
        Ok(match decision {
            Decision::Allow => self.pass(record, target, request, failure).await,
            Decision::Challenge { error, reason } => {
                let challenge = match kind.scheme() {
                    Scheme::Basic => format!("Basic realm=\"{SERVICE}\""),
                    Scheme::Bearer => bearer_challenge(&kind.url(address), repository.as_deref(), action, error),
                };
                self.finish(record, answer::unauthorized(&challenge, repository.as_deref(), action), &reason)
            }
            Decision::Deny { reason } => self.finish(record, answer::denied(repository.as_deref(), action), &reason),
        })
    }

    /// Hands the request to the registry behind the gate and its answer back.
    async fn pass(
        &self,
        mut record: RequestRecord,
        target: &Target,
        request: Request<Body>,
        failure: Option<Failure>,
    ) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        strip_connection_headers(&mut head.headers);
        head.headers.remove(AUTHORIZATION);
        head.headers.insert(HOST, HeaderValue::from_static("registry"));
        head.version = Version::HTTP_11;
        // Only the path and query: a client may have sent an absolute address.
        head.uri = head.uri.path_and_query().map_or_else(Uri::default, |path| Uri::from(path.clone()));
        match self.upstream.send(Request::from_parts(head, body)).await {
            Ok(response) => {
                let (mut head, body) = response.into_parts();
                strip_connection_headers(&mut head.headers);
                record.status = Some(head.status.as_u16());
                let is_blob = matches!(target, Target::Repository { resource: Resource::Blob(_), .. });
                let body = if failure == Some(Failure::WrongDigest) && is_blob {
                    record.reason = Some("failure switched on: corrupted content".to_owned());
                    corrupted(arriving(body))
                } else {
                    arriving(body)
                };
                self.log.write(record);
                Response::from_parts(head, body)
            }
            Err(error) => {
                let answer =
                    answer::error(StatusCode::BAD_GATEWAY, "UNAVAILABLE", "the registry behind the gate failed");
                self.finish(record, answer, &error.to_string())
            }
        }
    }

    /// Answers at the token endpoint.
    async fn give_token(&self, mut record: RequestRecord, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let wanted = match head.method {
            Method::GET => TokenRequest::parse(head.uri.query().unwrap_or_default()),
            Method::POST => match Limited::new(body, LARGEST_FORM).collect().await {
                Ok(form) => TokenRequest::parse(&String::from_utf8_lossy(&form.to_bytes())),
                Err(error) => {
                    let answer = answer::error(StatusCode::BAD_REQUEST, "UNSUPPORTED", "the form cannot be read");
                    return self.finish(record, answer, &error.to_string());
                }
            },
            _ => {
                let answer = answer::error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "use GET or POST");
                return self.finish(record, answer, "method not allowed");
            }
        };
        record.repository = wanted.scopes.first().map(|scope| scope.repository.clone());
        let (presented, entitled) = {
            let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
            let presented = match (wanted.grant_type.as_deref(), &wanted.username, &wanted.password) {
                (None, ..) => self.presented(&accounts, &head.headers),
                (Some("password"), Some(name), Some(password)) => accounts.check(name, password),
                (Some(_), ..) => Presented::Malformed,
            };
            let entitled = accounts.entitled(presented.authenticated().as_deref(), &wanted.scopes);
            (presented, entitled)
        };
        record.credentials_presented = presented.user_name();
        let (answer, reason) = match presented {
            Presented::Nothing | Presented::User(_) => {
                record.user = record.credentials_presented.clone();
                let grant = TokenGrant { user: record.user.clone(), scopes: entitled.clone() };
                let token = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).issue(grant, Instant::now());
                let reason = (entitled.len() < wanted.scopes.len()).then(|| "not every scope was granted".to_owned());
                (answer::json_answer(StatusCode::OK, &TokenAnswer::new(token, &entitled)), reason)
            }
            Presented::Wrong(name) => (
                answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "incorrect user name or password"),
                Some(format!("wrong user name or password for \"{name}\"")),
            ),
            Presented::Token(_) | Presented::StaleToken | Presented::Malformed => (
                answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "use a user name and password"),
                Some("neither Basic credentials nor a password grant".to_owned()),
            ),
        };
        record.status = Some(answer.status().as_u16());
        record.reason = reason;
        // One record for each repository that was asked for, so that each repository's log is whole.
        for scope in wanted.scopes.iter().skip(1) {
            self.log.write(RequestRecord { repository: Some(scope.repository.clone()), ..record.clone() });
        }
        self.log.write(record);
        answer
    }

    fn presented(&self, accounts: &Accounts, headers: &HeaderMap) -> Presented {
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Presented::Nothing;
        };
        match value.to_str().ok().and_then(|value| value.split_once(' ')) {
            Some((scheme, value)) if scheme.eq_ignore_ascii_case("basic") => accounts.check_basic(value),
            Some((scheme, value)) if scheme.eq_ignore_ascii_case("bearer") => {
                let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                tokens.find(value.trim(), Instant::now()).map_or(Presented::StaleToken, Presented::Token)
            }
            _ => Presented::Malformed,
        }
    }

    fn failure(&self, repository: Option<&str>) -> Option<Failure> {
        let failures = self.failures.read().unwrap_or_else(PoisonError::into_inner);
        repository.and_then(|name| failures.get(name)).copied()
    }

    fn refuse(&self, record: RequestRecord, refusal: Refusal) -> Response<Body> {
        let (status, code, message) = match refusal {
            Refusal::Unknown => (StatusCode::NOT_FOUND, "UNSUPPORTED", "not a path of this registry"),
            Refusal::Name => (StatusCode::BAD_REQUEST, "NAME_INVALID", "invalid repository name"),
            Refusal::Reference => (StatusCode::BAD_REQUEST, "TAG_INVALID", "invalid tag, digest or upload"),
        };
        self.finish(record, answer::error(status, code, message), message)
    }

    fn finish(&self, mut record: RequestRecord, answer: Response<Body>, reason: &str) -> Response<Body> {
        record.status = Some(answer.status().as_u16());
        record.reason = Some(reason.to_owned());
        self.log.write(record);
        answer
    }
}

fn describe(record: &mut RequestRecord, target: &Target) {
    let (kind, reference) = match target {
        Target::Ping => (RequestKind::Ping, None),
        Target::Token => (RequestKind::Token, None),
        Target::Repository { resource, .. } => match resource {
            Resource::Manifest(reference) => (RequestKind::Manifest, Some(reference.clone())),
            Resource::Blob(digest) => (RequestKind::Blob, Some(digest.clone())),
            Resource::Upload(session) => (RequestKind::Blob, session.clone()),
            Resource::Tags => (RequestKind::Other, None),
            Resource::Referrers(digest) => (RequestKind::Other, Some(digest.clone())),
        },
    };
    record.kind = kind;
    record.reference = reference;
    if let Target::Repository { repository, .. } = target {
        record.repository = Some(repository.clone());
    }
}

fn bearer_challenge(url: &str, repository: Option<&str>, action: Action, error: Option<&str>) -> String {
    let scope = repository.map(|name| format!(",scope=\"repository:{name}:{}\"", action.scope_word()));
    let error = error.map(|error| format!(",error=\"{error}\""));
    let (scope, error) = (scope.unwrap_or_default(), error.unwrap_or_default());
    format!("Bearer realm=\"{url}/token\",service=\"{SERVICE}\"{scope}{error}")
}

/// Removes what belongs to one connection; hyper frames each side's bodies itself.
fn strip_connection_headers(headers: &mut HeaderMap) {
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-authorization", "proxy-connection"] {
        headers.remove(name);
    }
}

/// The same number of bytes, the first of them wrong.
fn corrupted(body: Body) -> Body {
    let mut done = false;
    body.map_frame(move |frame| {
        frame.map_data(|data: Bytes| {
            if done || data.is_empty() {
                return data;
            }
            done = true;
            let mut bytes = data.to_vec();
            bytes[0] ^= 0xff;
            Bytes::from(bytes)
        })
    })
    .boxed_unsync()
}
