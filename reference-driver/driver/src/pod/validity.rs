//! What the API server would say about the objects that this driver writes, as far as it can be said without one.
//!
//! The rules are those of `ValidatePodTemplateSpec` in Kubernetes 1.36, written anew and apart from the ones that requests are
//! refused by, so that a gap in those shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use regex::Regex;
use serde_json::Value;

/// Everything that is wrong with a pod template and the templates of its claims.
pub(crate) fn problems(template: &Value, claims: &[Value]) -> Vec<String> {
    let mut found = Problems(Vec::new());
    found.types(template);
    found.metadata(&template["metadata"]);
    found.spec(&template["spec"], claims);
    for claim in claims {
        found.name("claim", text(&claim["metadata"]["name"]));
        found.quantity("claim", &claim["spec"]["resources"]["requests"]["storage"]);
    }
    found.0
}

struct Problems(Vec<String>);

impl Problems {
    fn expect(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.0.push(problem());
        }
    }

    /// Every field is one that Kubernetes knows, with its type.
    fn types(&mut self, template: &Value) {
        match serde_json::from_value::<PodTemplateSpec>(template.clone()) {
            Err(error) => self.0.push(format!("types: {error}")),
            Ok(typed) => {
                let back = serde_json::to_value(typed).unwrap();
                self.expect(back == *template, || format!("unknown fields: {template} became {back}"));
            }
        }
    }

    fn metadata(&mut self, metadata: &Value) {
        for (key, value) in entries(&metadata["labels"]) {
            self.qualified(key);
            let value = text(value);
            self.expect(value.is_empty() || matches(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$", value), || {
                format!("label {key}={value:?}")
            });
        }
        let mut size = 0;
        for (key, value) in entries(&metadata["annotations"]) {
            self.qualified(&key.to_ascii_lowercase());
            size += key.len() + text(value).len();
        }
        self.expect(size <= 256 << 10, || format!("annotations have {size} bytes"));
    }

    fn spec(&mut self, spec: &Value, claims: &[Value]) {
        for key in ["serviceAccountName", "runtimeClassName", "priorityClassName"] {
            if let Some(name) = spec.get(key) {
                self.subdomain(key, text(name));
            }
        }
        for secret in list(&spec["imagePullSecrets"]) {
            self.subdomain("pull secret", text(&secret["name"]));
        }
        for (key, value) in entries(&spec["nodeSelector"]) {
            self.qualified(key);
            self.expect(matches(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$", text(value)), || {
                format!("node selector {key}={value}")
            });
        }
        for toleration in list(&spec["tolerations"]) {
            self.toleration(toleration);
        }
        for alias in list(&spec["hostAliases"]) {
            self.expect(text(&alias["ip"]).parse::<std::net::IpAddr>().is_ok(), || format!("host alias {alias}"));
        }
        let mut volumes: BTreeSet<&str> = BTreeSet::new();
        for volume in list(&spec["volumes"]) {
            let name = text(&volume["name"]);
            self.name("volume", name);
            self.expect(volumes.insert(name), || format!("volume {name} twice"));
            self.expect(volume.as_object().unwrap().len() == 2, || format!("volume {volume} has not one source"));
            if let Some(claim) = volume.pointer("/persistentVolumeClaim/claimName") {
                self.subdomain("claim", text(claim));
            }
        }
        // The controller adds these.
        volumes.extend(claims.iter().map(|claim| text(&claim["metadata"]["name"])));
        let mut names = BTreeSet::new();
        for container in list(&spec["initContainers"]).iter().chain(list(&spec["containers"])) {
            let name = text(&container["name"]);
            self.name("container", name);
            self.expect(names.insert(name), || format!("container {name} twice"));
            self.container(container, &volumes);
        }
        self.expect(!list(&spec["containers"]).is_empty(), || "no container".to_owned());
    }

    fn container(&mut self, container: &Value, volumes: &BTreeSet<&str>) {
        let name = text(&container["name"]);
        let image = text(&container["image"]);
        self.expect(!image.is_empty() && image.trim() == image, || format!("{name}: image {image:?}"));
        for variable in list(&container["env"]) {
            let variable_name = text(&variable["name"]);
            let is_good = matches(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$", variable_name)
                && variable_name != "."
                && !variable_name.starts_with("..");
            self.expect(is_good, || format!("{name}: variable {variable_name:?}"));
            // Linux' rule, not Kubernetes': the process could not be started.
            let string = variable_name.len() + text(&variable["value"]).len() + 2;
            self.expect(string <= 128 << 10, || format!("{name}: variable {variable_name} has {string} bytes"));
            self.expect(!text(&variable["value"]).contains('\0'), || format!("{name}: NUL in {variable_name}"));
        }
        let mut targets = BTreeSet::new();
        for mount in list(&container["volumeMounts"]) {
            let path = text(&mount["mountPath"]);
            self.expect(volumes.contains(text(&mount["name"])), || format!("{name}: {mount} has no volume"));
            self.expect(targets.insert(path), || format!("{name}: two mounts at {path}"));
            self.expect(!path.is_empty() && !path.contains(':'), || format!("{name}: mount at {path:?}"));
            if let Some(sub_path) = mount.get("subPath") {
                let sub_path = text(sub_path);
                let is_good = !sub_path.starts_with('/') && sub_path.split('/').all(|part| part != "..");
                self.expect(is_good, || format!("{name}: sub path {sub_path:?}"));
            }
        }
        if let Some(policy) = container.get("imagePullPolicy") {
            self.expect(["Always", "IfNotPresent", "Never"].contains(&text(policy)), || format!("{name}: {policy}"));
        }
        let security = &container["securityContext"];
        let root_is_refused = security["runAsNonRoot"] == true && security["runAsUser"] == 0;
        self.expect(!root_is_refused, || format!("{name}: root that must not be root"));
        self.resources(name, &container["resources"]);
    }

    fn resources(&mut self, container: &str, resources: &Value) {
        let amount = |kind: &str, name: &str| text(&resources[kind][name]).parse::<crate::quantity::Quantity>().ok();
        for kind in ["requests", "limits"] {
            for (name, quantity) in entries(&resources[kind]) {
                self.quantity(container, quantity);
                let is_standard =
                    ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str()) || name.starts_with("hugepages-");
                self.expect(is_standard || name.contains('/'), || format!("{container}: resource {name:?}"));
                if name.contains('/') {
                    self.qualified(name);
                    let is_native = name.contains("kubernetes.io/");
                    let limit = amount("limits", name);
                    self.expect(is_native || limit.is_some(), || format!("{container}: {name} without a limit"));
                    let equal = resources["requests"].get(name).is_none() || amount("requests", name) == limit;
                    self.expect(is_native || equal, || format!("{container}: {name} differs"));
                }
            }
        }
        for (name, _) in entries(&resources["requests"]) {
            if let (Some(request), Some(limit)) = (amount("requests", name), amount("limits", name)) {
                self.expect(request <= limit, || format!("{container}: more {name} asked for than allowed"));
            }
        }
    }

    fn toleration(&mut self, toleration: &Value) {
        let field = |name: &str| toleration.get(name).map(text).unwrap_or_default();
        let (key, operator, value, effect) = (field("key"), field("operator"), field("value"), field("effect"));
        if !key.is_empty() {
            self.qualified(key);
        }
        let holds = (!key.is_empty() || operator == "Exists")
            && ["", "Equal", "Exists"].contains(&operator)
            && (operator != "Exists" || value.is_empty())
            && matches(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$", value)
            && ["", "NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect)
            && (toleration.get("tolerationSeconds").is_none() || effect == "NoExecute");
        self.expect(holds, || format!("toleration {toleration}"));
    }

    fn name(&mut self, what: &str, name: &str) {
        self.expect(matches(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", name), || format!("{what} {name:?}"));
    }

    fn subdomain(&mut self, what: &str, name: &str) {
        let holds =
            name.len() <= 253 && matches(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", name);
        self.expect(holds, || format!("{what} {name:?}"));
    }

    fn qualified(&mut self, key: &str) {
        let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
        if let Some(prefix) = prefix {
            self.subdomain("prefix", prefix);
        }
        self.expect(matches(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$", name), || format!("key {key:?}"));
    }

    fn quantity(&mut self, what: &str, quantity: &Value) {
        let pattern = r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";
        self.expect(matches(pattern, text(quantity)), || format!("{what}: quantity {quantity}"));
    }
}

fn matches(pattern: &'static str, subject: &str) -> bool {
    static COMPILED: Mutex<BTreeMap<&str, Regex>> = Mutex::new(BTreeMap::new());
    COMPILED.lock().unwrap().entry(pattern).or_insert_with(|| Regex::new(pattern).unwrap()).is_match(subject)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
