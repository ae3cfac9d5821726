//! A subject on the host: one process for each scenario, reached over a Unix socket in a private directory.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use kube::config::Kubeconfig;
use sandproof_clusters::process::{BoundChild, Process, SpawnStdio};
use sandproof_scenarios::{Feature, ProcessSettings, Told};

use super::{Deployed, SecretsForm, Settings, StartError, Started, Unappliable, chart::in_words, connection};

/// How long a process may take to end after it was asked to.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// Lines of the log that an observation holds.
const LOG_LINES: usize = 40;

/// The longest path that a Unix socket can have (`sun_path` of unix(7), with its end).
const LONGEST_SOCKET: usize = 107;

/// A driver's own binary.
#[derive(Debug, Clone)]
pub(crate) struct HostProcess {
    /// The program.
    pub(crate) program: Utf8PathBuf,
    /// What the user gives it, before what scenarios need.
    pub(crate) arguments: Vec<String>,
    /// The cluster's kubeconfig.
    pub(crate) kubeconfig: Utf8PathBuf,
    /// Where sockets and logs go.
    pub(crate) directory: Utf8PathBuf,
    /// The name of the profile, for messages.
    pub(crate) profile: String,
}

/// A driver that was started for one scenario. It dies with the harness.
#[derive(Debug)]
pub(crate) struct DriverProcess {
    child: BoundChild,
    log: Utf8PathBuf,
    /// The socket that it listens on.
    pub(super) socket: Utf8PathBuf,
}

/// What tells a process its settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Words {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl HostProcess {
    /// Starts it and waits until it answers, or until it has ended.
    pub(super) async fn start(&self, told: &ProcessSettings, settings: &Settings) -> Result<Started, StartError> {
        let directory = self.directory.join(&settings.gateway);
        let socket = directory.join("s");
        if socket.as_str().len() > LONGEST_SOCKET {
            let found = format!(
                "a Unix socket's path has at most {LONGEST_SOCKET} bytes; set SANDPROOF_STATE to a shorter one"
            );
            return Err(StartError::environment(format!("listen at {socket}"), found));
        }
        let mut words = words(told, &self.profile, &socket, settings)?;
        let allowed = directory.join("allowed");
        if let Some(names) = &settings.workspaces.allowed {
            words.tell(told.operator_file.as_ref(), allowed.as_str());
            let text = names.join("\n") + "\n";
            fs_err::create_dir_all(&directory)
                .and_then(|()| fs_err::write(&allowed, text))
                .map_err(|error| StartError::environment("write the file of allowed namespaces", error))?;
        }
        let tried = || format!("make the driver's directory {directory}");
        // The directory of the socket is nobody else's.
        let made = fs_err::create_dir_all(&directory)
            .and_then(|()| fs_err::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)))
            .and_then(|()| fs_err::File::create(directory.join("driver.log")));
        let out = made.map_err(|error| StartError::environment(tried(), error))?;
        let log = directory.join("driver.log");
        let errors = out.try_clone().map_err(|error| StartError::environment(tried(), error))?;
        let stdio =
            SpawnStdio { stdin: Stdio::null(), stdout: out.into_file().into(), stderr: errors.into_file().into() };
        let kubeconfig = match settings.relay {
            None => self.kubeconfig.clone(),
            Some(relay) => self
                .kubeconfig_through(relay, &directory)
                .map_err(|error| StartError::environment("write a kubeconfig", error))?,
        };
        let child = self
            .process(words, &kubeconfig)
            .spawn_bound(stdio)
            .await
            .map_err(|error| StartError::environment("start the driver's process", error))?;
        let mut driver = DriverProcess { child, log, socket: socket.clone() };
        let status = tokio::select! {
            connected = connection::to_socket(&socket) => match connected {
                Ok(channel) => return Ok(Started::Running { channel, deployed: Deployed::Process(driver) }),
                Err(unreachable) => {
                    let mut log = driver.last_lines();
                    log.push(unreachable.to_string());
                    return Ok(Started::Ended { exit_code: None, log, deployed: Some(Deployed::Process(driver)) });
                }
            },
            status = driver.child.wait() => {
                status.map_err(|error| StartError::environment("wait for the driver's process", error))?
            }
        };
        let mut log = driver.last_lines();
        if log.is_empty() {
            log.push(format!("it printed nothing and ended: {status}"));
        }
        let exit_code = code(status);
        Ok(Started::Ended { exit_code, log, deployed: Some(Deployed::Process(driver)) })
    }

    /// The cluster's kubeconfig with a relay in place of the API server, as a file in the driver's directory.
    fn kubeconfig_through(&self, relay: SocketAddr, directory: &Utf8Path) -> std::io::Result<Utf8PathBuf> {
        let mut kubeconfig = Kubeconfig::read_from(&self.kubeconfig).map_err(std::io::Error::other)?;
        for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
            cluster.server = Some(format!("https://{relay}"));
        }
        let file = directory.join("kubeconfig");
        fs_err::write(&file, serde_json::to_vec(&kubeconfig)?)?;
        Ok(file)
    }

    fn process(&self, words: Words, kubeconfig: &Utf8Path) -> Process {
        // The cluster is on this machine: a proxy could only be in the way.
        let inherited =
            std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().to_ascii_lowercase().ends_with("_proxy"));
        let process =
            inherited.fold(Process::new(&self.program).env_clear(), |process, (name, value)| process.env(name, value));
        let process = process.args(&self.arguments).args(words.arguments).env("KUBECONFIG", kubeconfig);
        words.environment.into_iter().fold(process, |process, (name, value)| process.env(name, value))
    }
}

/// The code of a process that ended by itself; one that a signal ended has none, and gets the shell's number for it.
fn code(status: ExitStatus) -> Option<i64> {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).map(i64::from)
}

/// The words for these settings. What the profile has no word for is left out unless the scenario is about it.
fn words(
    told: &ProcessSettings,
    profile: &str,
    socket: &Utf8PathBuf,
    settings: &Settings,
) -> Result<Words, Unappliable> {
    let unappliable =
        |what, feature| Unappliable { what, by: "flag or environment variable", profile: profile.to_owned(), feature };
    let mut words = Words::default();
    words.tell(Some(&told.socket), socket.as_str());
    words.tell(told.namespace.as_ref(), &settings.namespace);
    words.tell(told.gateway_id.as_ref(), &settings.gateway);
    let supervisor = words.tell(told.supervisor_image.as_ref(), &settings.supervisor.reference());
    if settings.supervisor_matters && !supervisor {
        return Err(unappliable("its supervisor's image", Feature::ConfiguredSupervisorImage));
    }
    if !settings.sideload.is_empty() {
        let sideload = words.tell(told.sideload.as_ref(), &settings.sideload);
        if settings.sideload_matters && !sideload {
            return Err(unappliable("its side-load method", Feature::ConfiguredSideload));
        }
    }
    words.tell(told.sandbox_image.as_ref(), &settings.sandbox_image);
    if !settings.pull_secrets.is_empty() {
        let secrets = settings.pull_secrets.join(",");
        let (done, feature) = match settings.form {
            SecretsForm::Objects | SecretsForm::Strings => {
                (words.tell(told.pull_secrets.as_ref(), &secrets), Feature::ConfiguredPullSecrets)
            }
            SecretsForm::Environment => {
                let variable = told.pull_secrets_variable.clone().map(Told::Environment);
                (words.tell(variable.as_ref(), &secrets), Feature::ConfiguredByEnvironment)
            }
        };
        if !done {
            return Err(unappliable("its pull secrets", feature));
        }
    }
    if let Some(feature) = settings.workspaces.feature() {
        let workspaces = &settings.workspaces;
        let mut done = words.tell(told.workspace_mode.as_ref(), workspaces.mode.as_str()) && told.gateway_id.is_some();
        if let Some(label) = &workspaces.allowed_label {
            done &= words.tell(told.operator_label.as_ref(), label);
        }
        done &= workspaces.allowed.is_none() || told.operator_file.is_some();
        if !done {
            return Err(unappliable("its workspace mode", feature));
        }
    }
    for (setting, value) in &settings.told {
        if !words.tell(told.setting(*setting).as_ref(), &in_words(value)) {
            return Err(unappliable(setting.name(), setting.feature()));
        }
    }
    Ok(words)
}

impl Words {
    /// Tells a value; whether there is a word for it.
    fn tell(&mut self, told: Option<&Told>, value: &str) -> bool {
        match told {
            None => return false,
            Some(Told::Flag(flag)) => self.arguments.extend([flag.clone(), value.to_owned()]),
            Some(Told::Environment(name)) => self.environment.push((name.clone(), value.to_owned())),
        }
        true
    }
}

impl DriverProcess {
    /// All of its log so far.
    pub(super) fn log(&self) -> Option<String> {
        fs_err::read(&self.log).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Its identifier, while it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it at once, so that it cannot clean up.
    pub(super) async fn kill(mut self) {
        // One that has ended already is as good as killed.
        let _ = self.child.kill().await;
    }

    /// Asks it to end, and ends it where it does not.
    pub(super) async fn end(mut self) {
        self.child.end(END_DEADLINE).await;
    }

    fn last_lines(&self) -> Vec<String> {
        let text = self.log().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].iter().map(|line| (*line).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn told(settings: &Settings, told: &ProcessSettings) -> Result<Words, Unappliable> {
        words(told, "process", &"/run/s".into(), settings)
    }

    #[test]
    fn a_process_is_told_by_the_flags_of_upstreams_binary() {
        let sideload = "init-container".to_owned();
        let words = told(&Settings { sideload, ..Settings::example() }, &ProcessSettings::default()).unwrap();
        insta::assert_snapshot!(words.arguments.join(" "), @"--bind-socket /run/s --sandbox-namespace ps-02-0 --gateway-id ps-02-0 --supervisor-image registry/supervisor:v1 --supervisor-sideload-method init-container --sandbox-image registry/agent:v1 --sandbox-image-pull-secrets a,b");
        assert_eq!(words.environment, []);
    }

    #[test]
    fn what_the_profile_says_is_told_by_the_environment() {
        let profile = ProcessSettings { socket: Told::Environment("SOCKET".to_owned()), ..ProcessSettings::default() };
        let words = told(&Settings { form: SecretsForm::Environment, ..Settings::example() }, &profile).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(words.environment, [pair("SOCKET", "/run/s"), pair("OPENSHELL_SANDBOX_IMAGE_PULL_SECRETS", "a,b")]);
    }

    #[rstest]
    #[case(Settings::example(), Some(Feature::ConfiguredPullSecrets))]
    #[case(Settings { pull_secrets: Vec::new(), ..Settings::example() }, None)]
    #[case(
        Settings { pull_secrets: Vec::new(), sideload: "image-volume".to_owned(), sideload_matters: true, ..Settings::example() },
        Some(Feature::ConfiguredSideload)
    )]
    #[case(
        Settings { pull_secrets: Vec::new(), supervisor_matters: true, ..Settings::example() },
        Some(Feature::ConfiguredSupervisorImage)
    )]
    fn what_a_scenario_is_about_and_a_process_has_no_word_for_is_an_error(
        #[case] settings: Settings,
        #[case] feature: Option<Feature>,
    ) {
        let profile = ProcessSettings {
            pull_secrets: None,
            sideload: None,
            supervisor_image: None,
            ..ProcessSettings::default()
        };
        assert_eq!(told(&settings, &profile).err().map(|error| error.feature), feature);
    }
}
