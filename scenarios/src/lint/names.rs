//! Names that steps give and use, in the order of the steps.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

use crate::language::{
    ChangeStep, DriverExpectation, DriverStep, EventsStep, ImageContent, RemoveStep, SandboxRequest, ScenarioInstance,
    Setting, Step, Submission, SubmitStep, WorkspaceMode,
};
use crate::nearest::{did_you_mean, or_list};
use crate::parameters::{image_references, volume_references};
use crate::source::{Document, Step as At};
use crate::suite_error::SuiteError;

/// A secret that is meant not to exist has a name that begins like this, so that a slip of the pen is not taken for one.
const MISSING: &str = "missing";

/// Reports names that lead nowhere; returns the steps by the names of their observations.
pub(super) fn steps<'a>(
    instance: &'a ScenarioInstance,
    document: &'a Document,
    errors: &mut Vec<SuiteError>,
) -> BTreeMap<&'a str, &'a Step> {
    let secrets = instance.steps.iter().filter_map(|step| match step {
        Step::Secret(secret) => Some(secret.name.as_str()),
        _ => None,
    });
    let mut names = Names {
        document,
        errors,
        observed: BTreeMap::new(),
        images: BTreeMap::new(),
        secrets: secrets.collect(),
        volumes: BTreeSet::new(),
        sandboxes: BTreeSet::new(),
        watches: BTreeSet::new(),
        drivers: BTreeMap::new(),
        driver: None,
        relayed: false,
        alone: instance.alone,
    };
    for (position, step) in instance.steps.iter().enumerate() {
        names.step(step, &["steps".into(), position.into(), step.verb().into()]);
    }
    names.observed
}

/// What can be done with a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DriverState {
    Called,
    Refused,
    /// It listens where the harness cannot call it.
    OnSocket,
}

struct Names<'a, 'e> {
    document: &'a Document,
    errors: &'e mut Vec<SuiteError>,
    observed: BTreeMap<&'a str, &'a Step>,
    images: BTreeMap<&'a str, ImageContent>,
    /// All secrets of the scenario: the driver may be told of one that is created later.
    secrets: BTreeSet<&'a str>,
    volumes: BTreeSet<&'a str>,
    sandboxes: BTreeSet<&'a str>,
    watches: BTreeSet<&'a str>,
    drivers: BTreeMap<&'a str, DriverState>,
    driver: Option<&'a str>,
    /// Whether some driver has its API server behind a relay.
    relayed: bool,
    alone: bool,
}

impl<'a> Names<'a, '_> {
    fn step(&mut self, step: &'a Step, at: &[At]) {
        match step {
            Step::Image(image) => {
                self.images.insert(&image.name, image.content);
            }
            Step::Secret(_)
            | Step::Quiet(_)
            | Step::Installation(_)
            | Step::Namespace(_)
            | Step::LookAt(_)
            | Step::Rotate(_) => {}
            Step::Run(run) => {
                self.image(&run.image, None, &field(at, "image"));
                if run.cases.is_empty() {
                    self.error("nothing is run", at, "write at least one case");
                }
            }
            Step::ApiServer(_) => {
                if !self.relayed {
                    let help = "write `throughRelay: true` in the `driver` step";
                    self.error("no driver has its API server behind a relay here", at, help);
                }
            }
            Step::Taint(_) => self.needs_to_be_alone(at),
            Step::Socket(_) => {
                if self.state() != Some(DriverState::OnSocket) {
                    self.error("no driver listens on a socket here", at, "write `socket: true` in the `driver` step");
                }
            }
            Step::Use(step) => {
                if self.drivers.contains_key(step.driver.as_str()) {
                    self.driver = Some(&step.driver);
                } else {
                    let help = format!("the drivers above are {}", or_list(self.drivers.keys().copied()));
                    self.error(format!("unknown driver `{}`", step.driver), &field(at, "driver"), help);
                }
            }
            Step::Change(change) => self.change(change, at),
            Step::Store(store) => {
                self.sandboxes.insert(&store.name);
            }
            Step::Read(read) => self.sandbox(&read.sandbox, &field(at, "sandbox")),
            Step::Render(render) => {
                if render.cases.is_empty() {
                    self.error("nothing is rendered", at, "write at least one case");
                }
            }
            Step::Preload(step) => self.image(&step.image, None, &field(at, "image")),
            Step::Schema(schema) => {
                self.needs_to_be_alone(at);
                if schema.without.is_some() != schema.with.is_empty() {
                    self.error("exactly one of `without` and `with` is needed", at, "write a step for each change");
                }
            }
            Step::Volume(volume) => {
                self.volumes.insert(&volume.name);
            }
            Step::ServiceAccount(account) => {
                for (position, name) in account.pull_secrets.iter().enumerate() {
                    let mut at = field(at, "pullSecrets");
                    at.push(position.into());
                    self.secret(name, &at);
                }
            }
            Step::Driver(driver) => self.driver(driver, step.observation(), at),
            Step::Upgrade(driver) => {
                self.needs_driver(at);
                self.told(driver, at);
            }
            Step::Validate(submit) | Step::Create(submit) => {
                self.needs_driver(at);
                self.submit(submit, at);
            }
            Step::Await(step) => self.sandbox(&step.sandbox, &field(at, "sandbox")),
            Step::Probe(step) => self.sandbox(&step.sandbox, &field(at, "sandbox")),
            Step::Inspect(step) => {
                if let Some(sandbox) = &step.sandbox {
                    self.sandbox(sandbox, &field(at, "sandbox"));
                }
            }
            Step::Requests(step) => self.image(&step.image, None, &field(at, "image")),
            Step::Get(step) => self.one_sandbox(step.sandbox.as_deref(), step.id.is_some(), step.name.is_some(), at),
            Step::Delete(step) => self.one_sandbox(step.sandbox.as_deref(), step.id.is_some(), step.name.is_some(), at),
            Step::Capabilities(_)
            | Step::List(_)
            | Step::Rights(_)
            | Step::EnsureWorkspace(_)
            | Step::DeleteWorkspace(_) => {
                self.needs_driver(at);
            }
            Step::Stop(step) | Step::Start(step) => {
                self.one_sandbox(step.sandbox.as_deref(), step.id.is_some(), step.name.is_some(), at);
            }
            Step::Remove(remove) => self.remove(remove, at),
            Step::Watch(_) => {
                self.needs_driver(at);
                self.watches.insert(step.observation());
            }
            Step::Events(events) => self.events(events, at),
        }
        self.observation(step, at);
    }

    fn error(&mut self, message: impl Into<String>, at: &[At], help: impl Into<String>) {
        self.errors.push(self.document.error(message, at).with_help(help));
    }

    fn observation(&mut self, step: &'a Step, at: &[At]) {
        let name = step.observation();
        let plain = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !name.chars().all(plain) {
            self.error(format!("`{name}` is not a name"), at, "use letters, digits, `-` and `_`, a letter first");
        } else if self.observed.insert(name, step).is_some() {
            let message = format!("a step above is named `{name}` already");
            self.error(message, at, "name the observation of one of them with `as:`");
        }
    }

    fn driver(&mut self, driver: &'a DriverStep, name: &'a str, at: &[At]) {
        // The gateway of a managed workspace has the scenario's name, and there is one of that.
        if !self.drivers.is_empty() && driver.workspaces == WorkspaceMode::Managed {
            self.error("a second driver has mode `shared` or `operator`", at, "write a second scenario for it");
        }
        let state = match driver.expect {
            DriverExpectation::Refused => DriverState::Refused,
            DriverExpectation::Running if driver.socket => DriverState::OnSocket,
            DriverExpectation::Running => DriverState::Called,
        };
        self.drivers.insert(name, state);
        self.driver = Some(name);
        self.told(driver, at);
    }

    fn state(&self) -> Option<DriverState> {
        self.drivers.get(self.driver?).copied()
    }

    fn told(&mut self, driver: &'a DriverStep, at: &[At]) {
        self.relayed |= driver.through_relay;
        for (position, name) in driver.pull_secrets.iter().enumerate() {
            let mut at = field(at, "pullSecrets");
            at.push(position.into());
            // Blanks are what a scenario about blanks is about.
            let name = name.trim();
            if !name.is_empty() {
                self.secret(name, &at);
            }
        }
        for (setting, value) in &driver.settings {
            let at = field(&field(at, "settings"), setting.name());
            for volume in volume_references(value) {
                if !self.volumes.contains(volume.as_str()) {
                    let help = format!("the volumes above are {}", or_list(self.volumes.iter().copied()));
                    self.error(format!("unknown volume `{volume}`"), &at, help);
                }
            }
            if *setting == Setting::OwnPullSecrets && !value.is_array() {
                self.error("this is a list of names", &at, "write `[name]`");
            }
        }
        if driver.supervisor_image.is_some() && driver.supervisor_reference.is_some() {
            self.error("either `supervisorImage` or `supervisorReference`", at, "remove one of them");
        }
        let is_operator = driver.workspaces == WorkspaceMode::Operator;
        if !is_operator && (driver.allowed.is_some() || driver.allowed_label.is_some()) {
            let help = "add `workspaces: operator`, or remove them";
            self.error("`allowed` and `allowedLabel` are for mode `operator`", at, help);
        }
        if let Some(image) = &driver.supervisor_image {
            self.image(image, Some(ImageContent::Supervisor), &field(at, "supervisorImage"));
        }
    }

    fn needs_to_be_alone(&mut self, at: &[At]) {
        if !self.alone {
            self.error("this changes the cluster for every scenario", at, "add `alone: true` to the scenario");
        }
    }

    fn change(&mut self, change: &ChangeStep, at: &[At]) {
        self.needs_to_be_alone(at);
        let given = [change.controller.is_some(), change.served.is_some(), change.release.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            let help = "write a step for each change";
            self.error("exactly one of `controller`, `served` and `release` is needed", at, help);
        }
    }

    fn remove(&mut self, remove: &RemoveStep, at: &[At]) {
        match (&remove.sandbox, &remove.pod, remove.driver, remove.process) {
            (Some(sandbox), None, false, false) => self.sandbox(sandbox, &field(at, "sandbox")),
            (None, Some(sandbox), false, false) => self.sandbox(sandbox, &field(at, "pod")),
            (None, None, false, true) if self.state() == Some(DriverState::OnSocket) => {}
            (None, None, true, false) | (None, None, false, true) => self.needs_driver(at),
            _ => {
                let help = "write a step for each";
                self.error("exactly one of `sandbox`, `pod`, `driver` and `process` is needed", at, help);
            }
        }
    }

    fn needs_driver(&mut self, at: &[At]) {
        match self.state() {
            Some(DriverState::Called) => {}
            Some(DriverState::Refused) => {
                self.error("no driver runs here: it is expected to refuse", at, "remove the step");
            }
            Some(DriverState::OnSocket) => {
                self.error("the driver here listens on a socket that nobody else may use", at, "remove the step");
            }
            None => self.error("no driver runs here", at, "write a `driver` step above"),
        }
    }

    fn submit(&mut self, submit: &'a SubmitStep, at: &[At]) {
        if submit.sandbox.is_some() != submit.cases.is_empty() {
            self.error("exactly one of `sandbox` and `cases` is needed", at, "write one sandbox, or cases by name");
        }
        match submit.submission() {
            Submission::One(request) => self.request(request, &field(at, "sandbox")),
            Submission::Cases(cases) => {
                for (case, request) in cases {
                    self.request(request, &field(&field(at, "cases"), case));
                }
            }
        }
    }

    fn request(&mut self, request: &'a SandboxRequest, at: &[At]) {
        if request.omit {
            if *request != (SandboxRequest { omit: true, ..SandboxRequest::default() }) {
                self.error("nothing of this is sent with `omit`", at, "remove everything but `omit: true`");
            }
            return;
        }
        if request.image.is_some() && request.image_reference.is_some() {
            self.error("either `image` or `imageReference`", at, "remove one of them");
        }
        if let Some(image) = &request.image {
            self.image(image, None, &field(at, "image"));
        }
        for (name, config) in [("platformConfig", &request.platform_config), ("driverConfig", &request.driver_config)] {
            let Some(config) = config else { continue };
            for image in image_references(config) {
                self.image(&image, None, &field(at, name));
            }
            let at = field(at, name);
            self.override_secrets(config.get("image_pull_secrets"), &field(&at, "image_pull_secrets"));
            let pod = config.get("pod").and_then(|pod| pod.get("image_pull_secrets"));
            self.override_secrets(pod, &field(&field(&at, "pod"), "image_pull_secrets"));
        }
        self.sandboxes.insert(&request.name);
    }

    /// Well-formed entries must name a secret; malformed ones are what some scenarios are about.
    fn override_secrets(&mut self, secrets: Option<&'a Value>, at: &[At]) {
        let Some(Value::Array(entries)) = secrets else { return };
        for (position, entry) in entries.iter().enumerate() {
            let name = entry.get("name").unwrap_or(entry).as_str().unwrap_or_default();
            let dns =
                |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
            if !name.is_empty() && name.chars().all(dns) {
                let mut at = at.to_vec();
                at.push(position.into());
                self.secret(name, &at);
            }
        }
    }

    fn secret(&mut self, name: &str, at: &[At]) {
        if !self.secrets.contains(name) && !name.starts_with(MISSING) {
            let help = did_you_mean(name, self.secrets.iter().copied()).unwrap_or_else(|| {
                format!("write a `secret` step, or begin the name with `{MISSING}` if it must not exist")
            });
            self.error(format!("unknown secret `{name}`"), at, help);
        }
    }

    fn image(&mut self, name: &str, content: Option<ImageContent>, at: &[At]) {
        match (self.images.get(name), content) {
            (None, _) => {
                let help = did_you_mean(name, self.images.keys().copied())
                    .unwrap_or_else(|| format!("the images above are {}", or_list(self.images.keys().copied())));
                self.error(format!("unknown image `{name}`"), at, help);
            }
            // What lacks the program that is needed is there to be used in its place.
            (Some(found), Some(wanted)) if *found != wanted && *found != ImageContent::Hollow => {
                self.error(
                    format!("`{name}` has other content than is needed here"),
                    at,
                    "give it content `supervisor`",
                );
            }
            _ => {}
        }
    }

    fn sandbox(&mut self, name: &str, at: &[At]) {
        if !self.sandboxes.contains(name) {
            let known = || self.sandboxes.iter().copied();
            let help = did_you_mean(name, known())
                .unwrap_or_else(|| format!("the sandboxes asked for above are {}", or_list(known())));
            self.error(format!("unknown sandbox `{name}`"), at, help);
        }
    }

    fn one_sandbox(&mut self, sandbox: Option<&str>, id: bool, name: bool, at: &[At]) {
        self.needs_driver(at);
        match (sandbox, id, name) {
            (Some(sandbox), false, false) => self.sandbox(sandbox, &field(at, "sandbox")),
            (None, true, _) => {}
            _ => self.error(
                "either `sandbox`, or `id` with or without `name`",
                at,
                "`id` and `name` are sent as they are",
            ),
        }
    }

    fn events(&mut self, events: &EventsStep, at: &[At]) {
        if !self.watches.contains(events.watch.as_str()) {
            let help = format!("the watches above are {}", or_list(self.watches.iter().copied()));
            self.error(format!("unknown watch `{}`", events.watch), &field(at, "watch"), help);
        }
        let Some(goal) = &events.until else { return };
        let at = field(at, "until");
        self.sandbox(goal.sandbox(), &at);
        let Some((matches, named)) = goal.wanted() else { return };
        if let Some(Err(error)) = matches.map(Regex::new) {
            self.errors.push(super::checks::pattern_error(self.document, &error, &field(&at, "matches")));
        }
        if let Some(image) = &named.image {
            self.image(image, None, &field(&at, "namesImage"));
        }
    }
}

fn field(at: &[At], name: &str) -> Vec<At> {
    let mut at = at.to_vec();
    at.push(name.into());
    at
}
