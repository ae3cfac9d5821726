//! A cluster of the user's: found, described, and agreed to before anything is created in it.

use std::{io::IsTerminal, net::IpAddr};

use camino::Utf8PathBuf;
use sandproof_clusters::{
    existing::{self, AgentSandboxFound, Context, ExistingError, Means, Purpose, Survey},
    provider::Provider,
};

use crate::{
    cli::ExistingArguments,
    failure::Failure,
    paths::Paths,
    subject::{choice::Choice, reference::SubjectReference},
    terminal,
};

/// A cluster that may be used.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// What was found.
    pub(crate) survey: Survey,
    /// Where the registry is to listen; found out where the user does not say.
    pub(crate) registry_address: Option<IpAddr>,
}

/// What a run writes into the cluster, which depends on how the driver under test comes into it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Writes {
    /// A release of its chart for each scenario, in a namespace of its own.
    Releases,
    /// A namespace for each scenario; the driver runs on this host.
    Namespaces,
    /// Nothing but what scenarios need in this namespace; the driver runs already.
    Within(String),
}

impl Writes {
    fn of(subject: &Choice) -> Self {
        match (&subject.reference, &subject.namespace) {
            (SubjectReference::Grpc(_), Some(namespace)) => Self::Within(namespace.clone()),
            (SubjectReference::Process(_), _) => Self::Namespaces,
            _ => Self::Releases,
        }
    }
}

/// The directory in the state directory with the authority of the registries that nodes are told of once and for all.
pub(crate) const AUTHORITY: &str = "registry-authority";

/// Looks at the cluster that was asked for. Nothing is created.
pub(crate) async fn find(arguments: &ExistingArguments) -> Result<Target, Failure> {
    let context = Context::read(arguments.kubeconfig.as_deref(), arguments.context.as_deref()).map_err(failure)?;
    let survey = Survey::take(context).await.map_err(failure)?;
    Ok(Target { survey, registry_address: arguments.registry_address })
}

/// Refuses what only makes sense with an existing cluster.
pub(crate) fn refuse_stray(arguments: &ExistingArguments, provider: Provider) -> Result<(), Failure> {
    let given = [
        ("--context", arguments.context.is_some()),
        ("--kubeconfig", arguments.kubeconfig.is_some()),
        ("--registry-address", arguments.registry_address.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) if provider != Provider::Existing => Err(Failure::usage(
            format!("{flag} is for a cluster that is already there, and the provider is {provider}"),
            format!("add --provider existing, or leave {flag} out"),
        )),
        _ => Ok(()),
    }
}

impl Target {
    /// What a run in it is made of.
    pub(crate) fn means(&self, run: &str, paths: &Paths) -> Means {
        Means {
            survey: self.survey.clone(),
            prefix: existing::prefix(run),
            registry_address: self.registry_address,
            registry_authority: authority_certificate(&paths.state),
        }
    }

    /// Asks whether what a run would create may be created. Without a terminal, only `--yes` says so.
    pub(crate) async fn agree(
        &self,
        run: &str,
        scenarios: usize,
        subject: &Choice,
        arguments: &ExistingArguments,
    ) -> Result<(), Failure> {
        self.survey.refuse(&existing::prefix(run)).await.map_err(failure)?;
        terminal::progress(&self.intentions(run, scenarios, &Writes::of(subject)));
        if arguments.yes {
            return Ok(());
        }
        let context = &self.survey.context.name;
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(
                format!("nothing was created in the cluster of context {context}: nobody has agreed to it"),
                "add --yes, or set SANDPROOF_YES=true",
            ));
        }
        terminal::progress("Create this? [y/N]");
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        Err(Failure::usage(format!("nothing was created in the cluster of context {context}"), "it was not agreed to"))
    }

    /// What a run would create, and what it cannot do.
    fn intentions(&self, run: &str, scenarios: usize, writes: &Writes) -> String {
        let Survey { context, kubernetes, nodes, agent_sandbox, rights, .. } = &self.survey;
        let prefix = existing::prefix(run);
        let runtime =
            self.survey.runtime().map_or_else(|| "unknown".to_owned(), |(name, version)| format!("{name} {version}"));
        let known = match nodes.len() {
            0 => "nodes unknown".to_owned(),
            1 => "1 node".to_owned(),
            many => format!("{many} nodes"),
        };
        let mut lines = vec![
            format!("The cluster of context {} at {}:", context.name, context.server),
            format!("  Kubernetes {kubernetes}, {known}, runtime {runtime}"),
            "This run creates in it, and removes afterwards:".to_owned(),
        ];
        let namespaces = scenarios + 1;
        match writes {
            Writes::Releases => lines.extend([
                format!("  {namespaces} namespaces {prefix}-*, each with pods, secrets and a Helm release"),
                format!("  cluster roles and bindings {prefix}-*, with which the driver lists nodes"),
            ]),
            Writes::Namespaces => {
                lines.push(format!("  {namespaces} namespaces {prefix}-*, each with pods and secrets"));
            }
            Writes::Within(namespace) => lines.extend([
                format!("  a namespace {prefix}-*, in which it tries what the cluster can do"),
                format!("  sandboxes, secrets and claims in the namespace {namespace}, one scenario after the other"),
            ]),
        }
        match agent_sandbox {
            AgentSandboxFound::Absent => lines.push(
                "  Agent Sandbox, which is not there: its CRD, cluster roles, and a controller in agent-sandbox-system"
                    .to_owned(),
            ),
            AgentSandboxFound::Present { release, .. } => {
                let release = release
                    .as_ref()
                    .map_or_else(|| "of an unknown release".to_owned(), |release| format!("v{release}"));
                lines.push(format!("Agent Sandbox {release} is used as it is."));
            }
        }
        lines.push(format!("Everything carries the label {}={run}.", existing::RUN_LABEL));
        let lacking: Vec<(Purpose, String)> = rights
            .all_lacking()
            // What is there need not be installed.
            .filter(|(purpose, _)| *purpose != Purpose::AgentSandbox)
            .collect();
        if !lacking.is_empty() {
            lines.push("The account may not, and scenarios that need it are skipped:".to_owned());
            lines.extend(
                lacking.into_iter().map(|(purpose, lacking)| format!("  {} (it lacks {lacking})", purpose.text())),
            );
        }
        lines.join("\n")
    }
}

/// An existing cluster that cannot be used, as the caller's mistake or as the environment's.
pub(crate) fn failure(error: ExistingError) -> Failure {
    if error.is_usage() {
        let hint = match &error {
            ExistingError::Rights { .. } => {
                "nothing was created; use an account that may do this, docs/providers.md has the list"
            }
            ExistingError::NameTaken { .. } => "nothing was created",
            _ => "--context and --kubeconfig say which cluster is meant",
        };
        return Failure::usage(error.to_string(), hint);
    }
    Failure::environment("use the existing cluster", error)
}

/// The certificate of the authority that nodes are told of once and for all.
pub(crate) fn authority_certificate(state: &camino::Utf8Path) -> Utf8PathBuf {
    state.join(AUTHORITY).join("ca.crt")
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use rstest::rstest;
    use sandproof_clusters::{
        components::Pins,
        existing::{NodeFound, Rights},
    };

    use super::*;
    use crate::plan;

    fn target(agent_sandbox: AgentSandboxFound, runtimes: &[(&str, &str)]) -> Target {
        let directory = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(directory.path()).unwrap().join("config");
        let text = "
current-context: kubernetes-admin@staging
clusters: [{name: c, cluster: {server: 'https://192.0.2.1:6443'}}]
users: [{name: u, user: {token: secret}}]
contexts: [{name: kubernetes-admin@staging, context: {cluster: c, user: u}}]
";
        fs_err::write(&file, text).unwrap();
        let nodes = runtimes.iter().enumerate().map(|(number, (name, version))| NodeFound {
            name: format!("node-{number}"),
            address: None,
            kubelet: "1.36.4".to_owned(),
            runtime: ((*name).to_owned(), (*version).to_owned()),
            closed: None,
        });
        let survey = Survey {
            context: Context::read(Some(&file), None).unwrap(),
            kubernetes: "1.36.4".to_owned(),
            nodes: nodes.collect(),
            hosts: Vec::new(),
            agent_sandbox,
            rights: Rights::default(),
        };
        Target { survey, registry_address: None }
    }

    #[test]
    fn what_would_be_created_is_listed() {
        let found = target(AgentSandboxFound::Absent, &[("containerd", "2.3.5")]);
        insta::assert_snapshot!(found.intentions("20260101-000000-1a2b", 20, &Writes::Releases), @r"
        The cluster of context kubernetes-admin@staging at https://192.0.2.1:6443:
          Kubernetes 1.36.4, 1 node, runtime containerd 2.3.5
        This run creates in it, and removes afterwards:
          21 namespaces sandproof-1a2b-*, each with pods, secrets and a Helm release
          cluster roles and bindings sandproof-1a2b-*, with which the driver lists nodes
          Agent Sandbox, which is not there: its CRD, cluster roles, and a controller in agent-sandbox-system
        Everything carries the label sandproof.dev/run=20260101-000000-1a2b.
        ");
    }

    #[rstest]
    #[case(Writes::Namespaces, "namespaces")]
    #[case(Writes::Within("sandboxes".to_owned()), "within")]
    fn what_would_be_created_depends_on_the_subject(#[case] writes: Writes, #[case] name: &str) {
        let present = AgentSandboxFound::Present { release: Some("1.0.3".to_owned()), controller: true };
        let found = target(present, &[("cri-o", "1.36.3")]);
        insta::assert_snapshot!(name, found.intentions("20260101-000000-1a2b", 20, &writes));
    }

    #[rstest]
    #[case(AgentSandboxFound::Absent, &[("cri-o", "1.36.3")], "cri-o 1.36.3", "")]
    #[case(AgentSandboxFound::Present { release: None, controller: true }, &[], "unknown", "unknown")]
    #[case(
        AgentSandboxFound::Present { release: Some("0.5.6".to_owned()), controller: true },
        &[("cri-o", "1.36.3"), ("containerd", "2.3.5")],
        "unknown",
        "v0.5.6"
    )]
    fn the_cell_is_what_was_found(
        #[case] agent_sandbox: AgentSandboxFound,
        #[case] runtimes: &[(&str, &str)],
        #[case] runtime: &str,
        #[case] release: &str,
    ) {
        let pins = Pins::load(Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../clusters/pins.yaml")).unwrap();
        let cell = plan::found(&pins.axes, &target(agent_sandbox, runtimes).survey);
        assert_eq!(cell.id, "existing-kubernetes-admin-staging");
        assert_eq!(cell.provider, Provider::Existing);
        let axes = cell.axes();
        let default = format!("v{}", pins.axes.defaults.agent_sandbox);
        let release = if release.is_empty() { default.as_str() } else { release };
        assert_eq!((axes.runtime.as_str(), axes.agent_sandbox.as_str()), (runtime, release));
    }

    #[test]
    fn a_context_without_the_provider_is_a_mistake() {
        let arguments = ExistingArguments { context: Some("staging".to_owned()), ..ExistingArguments::default() };
        let failure = refuse_stray(&arguments, Provider::Native).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("--context"), "{failure}");
        assert!(refuse_stray(&arguments, Provider::Existing).is_ok());
    }
}
