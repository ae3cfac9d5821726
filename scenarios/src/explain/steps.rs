//! Steps in words.

use std::collections::BTreeMap;

use super::{Sentence, checks::value, code};
use crate::language::{
    ApiServerState, AwaitStep, AwaitUntil, ChangeStep, ControllerState, DriverExpectation, DriverStep, EventGoal,
    EventsStep, ImageAccess, ImageContent, ImageStep, LifeCycleStep, Named, PullSecretsAs, RegistryKind, RemoveStep,
    RenderStep, RunStep, SandboxRequest, SandboxVersion, SchemaLack, SchemaStep, SecretHost, SecretPassword,
    SecretStep, SecretType, Step, Submission, SubmitStep, WorkspaceMode,
};

/// A step: what is done, and under which name it is observed.
pub(super) fn sentence(step: &Step) -> Sentence {
    let mut sentence = words(step);
    if !matches!(step, Step::Watch(_)) {
        sentence.text = format!("{} → {}", sentence.text, code(step.observation()));
    }
    sentence
}

fn words(step: &Step) -> Sentence {
    let text = match step {
        Step::Image(step) => image(step),
        Step::Secret(step) => secret(step),
        Step::Driver(step) => return driver(step, "install the driver"),
        Step::Upgrade(step) => return driver(step, "give the driver other settings, as an upgrade of its chart does,"),
        Step::Use(step) => format!("speak to the driver {} from here on", code(&step.driver)),
        Step::Socket(_) => "look at the Unix socket of the driver, and knock as another user".to_owned(),
        Step::Run(step) => return run(step),
        Step::ApiServer(step) => match step.state {
            ApiServerState::Silent => {
                "let the driver's API server fall silent: it takes connections and answers none".to_owned()
            }
            ApiServerState::Answering => "let the driver's API server answer again".to_owned(),
        },
        Step::Taint(step) => {
            let taint = format!("{}={}:{}", step.key, step.value, step.effect.as_str());
            format!("taint every node with {}", code(&taint))
        }
        Step::Capabilities(_) => "call GetCapabilities".to_owned(),
        Step::Validate(step) => return submit("ValidateSandboxCreate", step),
        Step::Create(step) => return submit("CreateSandbox", step),
        Step::Await(step) => wait(step),
        Step::Inspect(step) => match &step.sandbox {
            Some(sandbox) => format!("read the Sandbox, the pod and the events of {}", code(sandbox)),
            None => "count the Sandboxes and the pods of the namespace".to_owned(),
        },
        Step::Probe(step) => format!("look around inside of {} with the probe", code(&step.sandbox)),
        Step::Requests(step) => format!("read what the registry was asked for {}", code(&step.image)),
        Step::Get(step) => {
            format!("call GetSandbox for {}", target(step.sandbox.as_deref(), step.id.as_deref(), step.name.as_deref()))
        }
        Step::Delete(step) => format!(
            "call DeleteSandbox for {}",
            target(step.sandbox.as_deref(), step.id.as_deref(), step.name.as_deref())
        ),
        Step::List(_) => "call ListSandboxes".to_owned(),
        Step::Watch(_) => format!("open a watch (WatchSandboxes) as {}", code(step.observation())),
        Step::Events(step) => events(step),
        Step::Quiet(step) => format!("let {} pass", step.period.words()),
        Step::Installation(_) => "read what is installed of Agent Sandbox".to_owned(),
        Step::Change(step) => change(step),
        Step::Store(step) => format!(
            "write the Sandbox {} in {} past the driver, with the spec {}",
            code(&step.name),
            step.version.as_str(),
            value(&step.spec)
        ),
        Step::Read(step) => {
            let version = step.version.map_or("the newest version that is served", SandboxVersion::as_str);
            format!("read the Sandbox {} in {version}", code(&step.sandbox))
        }
        Step::Render(step) => return render(step),
        Step::Preload(step) => match &step.user {
            Some(user) => format!("have the runtime pull {} itself, as {}", code(&step.image), code(user)),
            None => format!("have the runtime pull {} itself, without credentials", code(&step.image)),
        },
        Step::Schema(step) => schema(step),
        Step::Volume(step) if step.claim => format!("make the volume {} on the node, with its claim", code(&step.name)),
        Step::Volume(step) => {
            format!("make the volume {} on the node, for a claim that the driver makes", code(&step.name))
        }
        Step::Rights(_) => "ask what the driver's service account may do".to_owned(),
        Step::ServiceAccount(step) => {
            format!("give the service account {} the pull secrets {}", code(&step.name), names(&step.pull_secrets))
        }
        Step::Stop(step) => life_cycle("StopSandbox", step),
        Step::Start(step) => life_cycle("StartSandbox", step),
        Step::EnsureWorkspace(step) => format!("call EnsureWorkspace for {}", code(&step.workspace)),
        Step::DeleteWorkspace(step) => format!("call DeleteWorkspace for {}", code(&step.workspace)),
        Step::Namespace(step) => {
            format!(
                "make the namespace of the workspace {} past the driver{}{}",
                code(&step.workspace),
                labels(&step.labels),
                annotations(&step.annotations)
            )
        }
        Step::LookAt(step) => format!("look at the namespace of the workspace {}", code(&step.workspace)),
        Step::Remove(step) => remove(step),
        Step::Rotate(step) => format!("give {} another password in the registry", code(&step.user)),
    };
    Sentence::new(text)
}

fn image(step: &ImageStep) -> String {
    let content = match step.content {
        ImageContent::Agent => "an agent image",
        ImageContent::Supervisor => "a supervisor image",
        ImageContent::Hollow => "an image without the supervisor's program",
    };
    if !step.pushed {
        return format!("name {content} that no registry has, as {}", code(&step.name));
    }
    let access = match &step.access {
        ImageAccess::Public => "that everybody may pull".to_owned(),
        ImageAccess::Users(users) => format!("that only {} may pull", names(users)),
    };
    format!("push {content} {access} to {}, as {}", registry(step.registry), code(&step.name))
}

fn registry(kind: RegistryKind) -> &'static str {
    match kind {
        RegistryKind::Plain => "the registry with plain HTTP",
        RegistryKind::Secure => "the registry with TLS",
    }
}

fn secret(step: &SecretStep) -> String {
    let kind = match step.secret_type {
        SecretType::DockerConfigJson => "",
        SecretType::DockerCfg => " of the type `kubernetes.io/dockercfg`",
        SecretType::Opaque => " of the type `Opaque`",
    };
    let password = match step.password {
        SecretPassword::Right => "the credentials",
        SecretPassword::Wrong => "a wrong password",
    };
    let host = match step.host {
        SecretHost::Right => registry(step.registry),
        SecretHost::Other => "a host that no image comes from",
    };
    format!("create the secret {}{kind} with {password} of {} for {host}", code(&step.name), code(&step.user))
}

fn driver(step: &DriverStep, verb: &str) -> Sentence {
    let mut details = Vec::new();
    if !step.pull_secrets.is_empty() {
        let form = match step.pull_secrets_as {
            PullSecretsAs::Objects => "as a list of objects",
            PullSecretsAs::Strings => "as a list of strings",
            PullSecretsAs::Environment => "by its environment",
        };
        details.push(format!("pull secrets, {form}: {}", names(&step.pull_secrets)));
    }
    match step.sideload.as_deref() {
        None => {}
        Some("") => details.push("side-load method: what the chart chooses".to_owned()),
        Some(method) => details.push(format!("side-load method: {}", code(method))),
    }
    details.extend(step.supervisor_image.iter().map(|image| format!("supervisor image: {}", code(image))));
    details.extend(step.supervisor_reference.iter().map(|image| format!("supervisor image as it is: {}", code(image))));
    details.extend(step.settings.iter().map(|(setting, given)| format!("{setting}: {}", value(given))));
    if step.socket {
        details.push("it listens on a Unix socket".to_owned());
    }
    if step.through_relay {
        details.push("its API server is behind a relay of the run".to_owned());
    }
    if step.workspaces != WorkspaceMode::Shared {
        details.push(format!("workspace mode: {}", code(step.workspaces.as_str())));
    }
    details.extend(step.allowed_label.iter().map(|label| format!("label of allowed namespaces: {}", code(label))));
    details.extend(step.allowed.iter().map(|allowed| format!("allowed workspaces: {}", names(allowed))));
    if step.skip_preflight {
        details.push("the chart does not look for the Sandbox API itself".to_owned());
    }
    let text = match step.expect {
        DriverExpectation::Running => "until it answers",
        DriverExpectation::Refused => "until it has ended, as it should",
    };
    Sentence { text: format!("{verb} and wait {text}"), details }
}

fn submit(call: &str, step: &SubmitStep) -> Sentence {
    match step.submission() {
        Submission::One(request) => {
            Sentence { text: format!("call {call} for {}", name(request)), details: request_details(request) }
        }
        Submission::Cases(cases) => {
            let details = cases
                .iter()
                .map(|(case, request)| {
                    let parts = request_details(request);
                    let asks = if parts.is_empty() { String::new() } else { format!(", {}", parts.join(", ")) };
                    format!("{}: {}{asks}", code(case), name(request))
                })
                .collect();
            Sentence { text: format!("call {call} once for each of these"), details }
        }
    }
}

fn name(request: &SandboxRequest) -> String {
    match request {
        SandboxRequest { omit: true, .. } => "no sandbox at all".to_owned(),
        SandboxRequest { name, .. } if name.is_empty() => "a sandbox without a name".to_owned(),
        SandboxRequest { name, .. } => code(name),
    }
}

/// What a request asks for beside its name.
fn request_details(request: &SandboxRequest) -> Vec<String> {
    let mut details = Vec::new();
    let mut say = |what: &str, text: String| details.push(format!("{what} {text}"));
    if let Some(id) = &request.id {
        say("ID", code(if id.is_empty() { "\"\"" } else { id }));
    }
    if let Some(workspace) = &request.workspace {
        say("workspace", code(if workspace.is_empty() { "\"\"" } else { workspace }));
    }
    if let Some(image) = &request.image {
        say("image", code(image));
    }
    if let Some(reference) = &request.image_reference {
        say("image reference", code(reference));
    }
    if !request.command.is_empty() {
        say("command", code(&request.command.join(" ")));
    }
    if !request.environment.is_empty() {
        say("environment", pairs(&request.environment));
    }
    if !request.labels.is_empty() {
        say("labels", pairs(&request.labels));
    }
    if let Some(resources) = &request.resources {
        say("resources", value(&serde_json::to_value(resources).unwrap_or_default()));
    }
    if let Some(gpus) = request.gpus {
        say("GPUs", gpus.to_string());
    }
    if let Some(config) = &request.platform_config {
        say("platform_config", value(config));
    }
    if let Some(config) = &request.driver_config {
        say("driver_config", value(config));
    }
    details
}

fn wait(step: &AwaitStep) -> String {
    let sandbox = code(&step.sandbox);
    let container = step.container.as_deref().map(code);
    let what = match (container, step.until) {
        (Some(container), AwaitUntil::Running) => format!("the container {container} of {sandbox} runs"),
        (None, AwaitUntil::Running) => format!("the agent of {sandbox} runs"),
        (Some(container), AwaitUntil::PullRefused) => {
            format!("the pull of the image of {container} in {sandbox} is refused")
        }
        (None, AwaitUntil::PullRefused) => format!("a pull for {sandbox} is refused"),
        (_, AwaitUntil::Failed) => format!("the pod of {sandbox} has failed"),
        (Some(container), AwaitUntil::CannotStart) => format!("the container {container} of {sandbox} cannot start"),
        (None, AwaitUntil::CannotStart) => format!("a container or a volume of {sandbox} cannot start"),
        (_, AwaitUntil::Gone) => format!("neither {sandbox} nor its pod is there any more"),
    };
    format!("wait until {what}, at most {}", step.within.words())
}

fn events(step: &EventsStep) -> String {
    let watch = code(&step.watch);
    let Some(goal) = &step.until else { return format!("read what {watch} has told so far") };
    let matching = |matches: &Option<String>| {
        matches.as_ref().map(|pattern| format!(" that matches {}", code(pattern))).unwrap_or_default()
    };
    let naming = |named: &Named| {
        let image = named.image.as_ref().map(|image| format!("the image {}", code(image)));
        let named: Vec<String> = named.pod.then(|| "its pod".to_owned()).into_iter().chain(image).collect();
        if named.is_empty() { String::new() } else { format!(" and names {}", named.join(" and ")) }
    };
    let what = match goal {
        EventGoal::Deleted(sandbox) => format!("that {} is deleted", code(sandbox)),
        EventGoal::Ready(sandbox) => format!("that {} is ready", code(sandbox)),
        EventGoal::Sandbox { sandbox, matches, named } => {
            format!("a state of {}{}{}", code(sandbox), matching(matches), naming(named))
        }
        EventGoal::Platform { sandbox, matches, named } => {
            format!("a platform event of {}{}{}", code(sandbox), matching(matches), naming(named))
        }
    };
    format!("wait until {watch} tells {what}, at most {}", step.within.words())
}

fn change(step: &ChangeStep) -> String {
    let versions = |versions: &[SandboxVersion]| {
        let names: Vec<&str> = versions.iter().map(|version| version.as_str()).collect();
        if names.is_empty() { "no version".to_owned() } else { names.join(" and ") }
    };
    let mut parts = Vec::new();
    match step.controller {
        Some(ControllerState::Running) => parts.push("start the controller of Agent Sandbox".to_owned()),
        Some(ControllerState::Stopped) => parts.push("stop the controller of Agent Sandbox".to_owned()),
        None => {}
    }
    parts.extend(step.served.as_deref().map(|served| format!("have the Sandbox API serve {}", versions(served))));
    let release = step.release.as_deref();
    parts.extend(
        release.map(|served| format!("upgrade to the release of Agent Sandbox that serves {}", versions(served))),
    );
    parts.join(", and ")
}

fn render(step: &RenderStep) -> Sentence {
    let details = step.cases.iter().map(|(case, rendering)| {
        let method = rendering.sideload.as_deref().filter(|method| !method.is_empty());
        let told = method.map(|method| format!(", told {}", code(method))).unwrap_or_default();
        format!("{}: Kubernetes {}{told}", code(case), code(&rendering.kube_version))
    });
    Sentence {
        text: "render the chart with Helm for API servers of these versions".to_owned(),
        details: details.collect(),
    }
}

fn life_cycle(call: &str, step: &LifeCycleStep) -> String {
    format!("call {call} for {}", target(step.sandbox.as_deref(), step.id.as_deref(), step.name.as_deref()))
}

fn target(sandbox: Option<&str>, id: Option<&str>, name: Option<&str>) -> String {
    match (sandbox, id, name) {
        (Some(sandbox), _, _) => code(sandbox),
        (None, id, name) => {
            let shown = |text: Option<&str>| code(text.filter(|text| !text.is_empty()).unwrap_or("\"\""));
            format!("the ID {} and the name {}", shown(id), shown(name))
        }
    }
}

fn remove(step: &RemoveStep) -> String {
    match (&step.sandbox, &step.pod) {
        (Some(sandbox), _) => format!("delete the Sandbox of {} past the driver", code(sandbox)),
        (None, Some(sandbox)) => format!("delete the pod of {} past the driver", code(sandbox)),
        (None, None) if step.process => "kill the driver's process, which starts again in its place".to_owned(),
        (None, None) => "end the driver, and wait until it answers again".to_owned(),
    }
}

fn schema(step: &SchemaStep) -> String {
    match step.without {
        Some(SchemaLack::ImageVolumes) => "take image volumes out of the schema of the Sandbox".to_owned(),
        None => {
            let versions: Vec<_> = step.with.iter().map(|version| version.as_str().to_owned()).collect();
            format!("have the API server serve the Sandbox in {}", names(&versions))
        }
    }
}

fn run(step: &RunStep) -> Sentence {
    let details = step.cases.iter().map(|(name, case)| {
        let arguments = if case.arguments.is_empty() {
            "without arguments".to_owned()
        } else {
            format!("with {}", code(&case.arguments.join(" ")))
        };
        let looks = case.look_at.as_ref().map(|file| format!(", then look at {}", code(file))).unwrap_or_default();
        format!("{}: {arguments}{looks}", code(name))
    });
    Sentence {
        text: format!("run the program of {} in pods past the driver", code(&step.image)),
        details: details.collect(),
    }
}

fn annotations(annotations: &BTreeMap<String, String>) -> String {
    if annotations.is_empty() { String::new() } else { format!(", with the annotations {}", pairs(annotations)) }
}

fn names(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| code(if name.trim().is_empty() { "\"\"" } else { name })).collect::<Vec<_>>().join(", ")
}

fn pairs(pairs: &BTreeMap<String, String>) -> String {
    pairs.iter().map(|(name, value)| code(&format!("{name}={value}"))).collect::<Vec<_>>().join(", ")
}

fn labels(labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() { String::new() } else { format!(", with the labels {}", pairs(labels)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_are_told_in_words() {
        let steps: Vec<Step> = serde_json::from_value(json!([
            {"image": {"name": "private", "content": "agent", "access": ["reader", "writer"], "registry": "secure"}},
            {"secret": {"name": "own", "user": "reader", "password": "wrong", "host": "other", "type": "opaque"}},
            {"driver": {"pullSecrets": ["own"], "sideload": "", "workspaces": "operator", "allowed": ["a"], "expect": "refused"}},
            {"watch": {"as": "told"}},
            {"create": {"sandbox": {"name": "one", "image": "private", "driverConfig": {"pod": {"a": 1}}}}},
            {"validate": {"as": "many", "cases": {"empty": {}, "none": {"omit": true}, "named": {"name": "n", "workspace": ""}}}},
            {"await": {"sandbox": "one", "until": "pull-refused", "container": "agent", "within": "90s"}},
            {"events": {"watch": "told", "until": {"platform": "one", "matches": "Err.*"}}},
            {"events": {"as": "all", "watch": "told"}},
            {"get": {"as": "raw", "id": "", "name": "x"}},
            {"quiet": {"for": "500ms"}},
            {"change": {"served": []}},
            {"render": {"cases": {"new": {"kubeVersion": "v1.35.0", "sideload": "image-volume"}}}},
            {"remove": {"driver": true}},
        ]))
        .unwrap();
        let told: Vec<String> = steps
            .iter()
            .map(|step| {
                let Sentence { text, details } = sentence(step);
                [vec![text], details].concat().join("\n  - ")
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
