//! An API server in memory, for unit tests: objects by path, and the semantics that this driver relies on.
//!
//! What it claims of Kubernetes is held against real ones by the suite.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// A fake; clones share what is in it.
#[derive(Clone, Default)]
pub(crate) struct FakeApiServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    requests: Vec<String>,
    serial: u64,
    away: bool,
}

const SANDBOXES: &str = "/apis/agents.x-k8s.io/v1beta1";

impl FakeApiServer {
    /// With these namespaces and the Sandbox API.
    pub(crate) fn with_namespaces(names: &[&str]) -> Self {
        let fake = Self::default();
        for name in names {
            fake.put(&format!("/api/v1/namespaces/{name}"), json!({ "metadata": { "name": name } }));
        }
        fake
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let fake = self.clone();
        Client::new(
            tower::service_fn(move |request: Request<Body>| {
                let fake = fake.clone();
                async move { Ok::<_, Infallible>(fake.answer(request).await) }
            }),
            "default",
        )
    }

    /// Puts an object there, as somebody else.
    pub(crate) fn put(&self, path: &str, object: Value) {
        let mut state = self.0.lock().unwrap();
        let object = stamped(&mut state, object);
        state.objects.insert(path.to_owned(), object);
    }

    /// The object at a path.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    /// Takes an object away, as somebody else.
    pub(crate) fn remove(&self, path: &str) {
        self.0.lock().unwrap().objects.remove(path);
    }

    /// The path of a Sandbox.
    pub(crate) fn sandbox(namespace: &str, name: &str) -> String {
        format!("{SANDBOXES}/namespaces/{namespace}/sandboxes/{name}")
    }

    /// From now on every answer is an error of the server.
    pub(crate) fn go_away(&self, away: bool) {
        self.0.lock().unwrap().away = away;
    }

    /// What was asked since the last call of this, as `METHOD path`.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().requests)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let mut state = self.0.lock().unwrap();
        state.requests.push(format!("{} {}", parts.method, parts.uri.path()));
        if state.away {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "away", "");
        }
        respond(&mut state, &parts.method, parts.uri.path(), &query, body)
    }
}

fn respond(state: &mut State, method: &Method, path: &str, query: &str, body: Value) -> Response<Full<Bytes>> {
    if path == SANDBOXES {
        let resource =
            json!({ "name": "sandboxes", "namespaced": true, "kind": "Sandbox", "verbs": [], "singularName": "" });
        return found(
            &json!({ "kind": "APIResourceList", "groupVersion": "agents.x-k8s.io/v1beta1", "resources": [resource] }),
        );
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    match *method {
        Method::GET => match state.objects.get(path) {
            Some(object) => found(object),
            None if is_collection(path) => found(&json!({ "metadata": {}, "items": list(state, path, query) })),
            None => refused(StatusCode::NOT_FOUND, "not found", name),
        },
        Method::POST => {
            if let Some(namespace) = namespace_of(path)
                && !state.objects.contains_key(&format!("/api/v1/namespaces/{namespace}"))
            {
                return refused(StatusCode::NOT_FOUND, "namespace not found", namespace);
            }
            let created = stamped(state, body);
            if query.contains("dryRun=All") {
                return found(&created);
            }
            let place = format!("{path}/{}", created["metadata"]["name"].as_str().unwrap());
            if state.objects.contains_key(&place) {
                return refused(StatusCode::CONFLICT, "already exists", name);
            }
            state.objects.insert(place, created.clone());
            found(&created)
        }
        Method::PATCH => patch(state, path, query, body),
        Method::DELETE => {
            let Some(object) = state.objects.get(path) else {
                return refused(StatusCode::NOT_FOUND, "not found", name);
            };
            let wanted = body.pointer("/preconditions/uid").filter(|uid| !uid.is_null());
            if wanted.is_some_and(|uid| *uid != object["metadata"]["uid"]) {
                return refused(StatusCode::CONFLICT, "Precondition failed: UID in precondition", name);
            }
            let gone = state.objects.remove(path).unwrap();
            found(&gone)
        }
        _ => refused(StatusCode::METHOD_NOT_ALLOWED, "not allowed", name),
    }
}

fn patch(state: &mut State, path: &str, query: &str, change: Value) -> Response<Full<Bytes>> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let applies = query.contains("fieldManager=");
    if applies
        && let Some(namespace) = namespace_of(path)
        && !state.objects.contains_key(&format!("/api/v1/namespaces/{namespace}"))
    {
        return refused(StatusCode::NOT_FOUND, "namespace not found", namespace);
    }
    let Some(object) = state.objects.get(path) else {
        if !applies {
            return refused(StatusCode::NOT_FOUND, "not found", name);
        }
        let mut created = stamped(state, change);
        created["managedBy"] = json!("openshell");
        state.objects.insert(path.to_owned(), created.clone());
        return found(&created);
    };
    let uid = change.pointer("/metadata/uid");
    if uid.is_some_and(|uid| *uid != object["metadata"]["uid"]) {
        return refused(StatusCode::CONFLICT, "Precondition failed: UID in precondition", name);
    }
    if applies && object["managedBy"] != "openshell" && object["data"] != change["data"] {
        return refused(StatusCode::CONFLICT, "Apply failed with 1 conflict", name);
    }
    let mut object = object.clone();
    merge(&mut object, &change);
    state.objects.insert(path.to_owned(), object.clone());
    found(&object)
}

fn merge(into: &mut Value, change: &Value) {
    match (into.as_object_mut(), change.as_object()) {
        (Some(into), Some(change)) => {
            for (key, value) in change {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        _ => *into = change.clone(),
    }
}

fn list(state: &State, path: &str, query: &str) -> Vec<Value> {
    let selector = query.split('&').find_map(|pair| pair.strip_prefix("labelSelector=")).unwrap_or_default();
    let selector = selector.replace("%2F", "/").replace("%3D", "=").replace("%2C", ",");
    let wanted: Vec<(&str, &str)> = selector.split(',').filter_map(|pair| pair.split_once('=')).collect();
    let kind = format!("/{}/", path.rsplit('/').next().unwrap_or_default());
    let group = path.split("/namespaces/").next().unwrap_or_default().trim_end_matches(kind.trim_end_matches('/'));
    let is_inside = |place: &str| {
        place.starts_with(path.strip_suffix(kind.trim_matches('/')).unwrap_or(path))
            || (!path.contains("/namespaces/") && place.starts_with(group))
    };
    let fits = |object: &Value| {
        wanted.iter().all(|(key, value)| object["metadata"]["labels"].get(key).and_then(Value::as_str) == Some(value))
    };
    let inside =
        state.objects.iter().filter(|(place, object)| place.contains(&kind) && is_inside(place) && fits(object));
    inside.map(|(_, object)| object.clone()).collect()
}

fn is_collection(path: &str) -> bool {
    ["/sandboxes", "/nodes"].iter().any(|kind| path.ends_with(kind))
}

/// The namespace in the path of an object or a collection that is in one.
fn namespace_of(path: &str) -> Option<&str> {
    path.split_once("/namespaces/")?.1.split_once('/').map(|(namespace, _)| namespace)
}

fn stamped(state: &mut State, mut object: Value) -> Value {
    state.serial += 1;
    object["metadata"]["uid"] = json!(format!("uid-{}", state.serial));
    object["metadata"]["resourceVersion"] = json!(state.serial.to_string());
    object
}

fn found(object: &Value) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from(object.to_string())))
}

fn refused(code: StatusCode, message: &str, name: &str) -> Response<Full<Bytes>> {
    let reason = if code == StatusCode::NOT_FOUND { "NotFound" } else { "Conflict" };
    let status = json!({
        "kind": "Status", "status": "Failure", "message": message, "code": code.as_u16(), "reason": reason,
        "details": { "name": name },
    });
    let mut response = found(&status);
    *response.status_mut() = code;
    response
}
