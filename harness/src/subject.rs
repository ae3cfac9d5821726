//! The subject: the driver under test, and the ways in which one comes to be there and is reached.
//!
//! The `driver` step knows one interface: [`Subject::start`] with the scenario's [`Settings`] gives a connection and a
//! [`Deployed`], which has the log and the end of it. How a subject is told a setting (by a value of its chart, by a
//! flag, by its environment) is in its profile; one that it cannot be told is a [`StartError::Unappliable`].

pub(crate) mod chart;
pub(crate) mod choice;
pub(crate) mod faulty;
pub(crate) mod reference;

mod connection;
mod identity;
mod installation;
mod process;
mod running;
mod settings;

use std::sync::Arc;

use camino::Utf8Path;
use sandproof_reports::ObservedSubject;
use sandproof_scenarios::{DriverExpectation, Feature, SubjectProfile};
use thiserror::Error;
use tokio::sync::OnceCell;
use tonic::transport::Channel;

pub(crate) use installation::Site;
pub(crate) use process::HostProcess;
pub(crate) use running::Attached;
pub(crate) use settings::{SecretsForm, Settings, Unappliable, Workspaces};

use self::{chart::Chart, installation::DriverPod, process::DriverProcess};

/// The subject of one cell.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// What is known of it beforehand.
    pub(crate) profile: Arc<SubjectProfile>,
    /// The faults of the reference driver that are on.
    pub(crate) faults: Vec<String>,
    /// How it comes to be there.
    pub(crate) way: Way,
    /// What it said of itself when it answered first.
    said: Arc<OnceCell<ObservedSubject>>,
}

/// How a subject comes to be there.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// It is installed in the cluster, with its chart.
    Chart(Chart),
    /// It is a process on the host.
    Process(HostProcess),
    /// It runs already.
    Attached(Attached),
}

/// What became of a subject that was started.
#[derive(Debug)]
pub(crate) enum Started {
    /// It answers.
    Running {
        /// The way to it.
        channel: Channel,
        /// What there is of it.
        deployed: Deployed,
    },
    /// It runs although it was expected to refuse; nobody asked whether it answers.
    NotRefused,
    /// It runs, and listens where the harness does not call it.
    OnSocket {
        /// What there is of it.
        deployed: Deployed,
    },
    /// It does not run, or does not answer.
    Ended {
        /// The code it ended with; none where it did not end, or was ended.
        exit_code: Option<i64>,
        /// Its last lines.
        log: Vec<String>,
        /// What there is of it.
        deployed: Option<Deployed>,
    },
}

/// A subject that was started for one scenario.
#[derive(Debug)]
pub(crate) enum Deployed {
    /// In the cluster.
    Pod(DriverPod),
    /// On the host.
    Process(DriverProcess),
    /// Somewhere: it was there before.
    Elsewhere,
}

/// Why a subject was not started.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    /// It cannot be told what the scenario needs.
    #[error(transparent)]
    Unappliable(#[from] Unappliable),
    /// The environment did not do its part.
    #[error("cannot {tried}: {found}")]
    Environment {
        /// What was tried.
        tried: String,
        /// What was found.
        found: String,
    },
}

impl Subject {
    /// A subject that has not said anything yet.
    pub(crate) fn new(profile: Arc<SubjectProfile>, faults: Vec<String>, way: Way) -> Self {
        Self { profile, faults, way, said: Arc::default() }
    }

    /// Starts it with these settings and waits until it answers, or until it has ended.
    pub(crate) async fn start(
        &self,
        site: &Site,
        settings: &Settings,
        expect: DriverExpectation,
    ) -> Result<Started, StartError> {
        let started = match &self.way {
            Way::Chart(chart) => installation::install(chart, &self.profile.chart, site, settings, expect).await?,
            Way::Process(process) => process.start(&self.profile.process, settings).await?,
            Way::Attached(attached) => attached.connect(settings).await?,
        };
        if let Started::Running { channel, .. } = &started {
            self.said.get_or_init(|| identity::said(channel.clone())).await;
        }
        Ok(started)
    }

    /// Starts it once more, after its pod was deleted or its process ended.
    pub(crate) async fn restart(
        &self,
        site: &Site,
        settings: &Settings,
        deployed: Deployed,
    ) -> Result<Started, StartError> {
        match (&self.way, deployed) {
            (Way::Chart(_), Deployed::Pod(pod)) => {
                installation::restart(&pod, &self.profile.chart, site, settings).await
            }
            (Way::Process(process), Deployed::Process(running)) => {
                running.end().await;
                process.start(&self.profile.process, settings).await
            }
            _ => Err(self.not_startable()),
        }
    }

    /// Gives it other settings, as an upgrade of its chart does; a process is started anew with them.
    pub(crate) async fn upgrade(
        &self,
        site: &Site,
        settings: &Settings,
        deployed: Deployed,
        expect: DriverExpectation,
    ) -> Result<Started, StartError> {
        match (&self.way, deployed) {
            (Way::Chart(chart), Deployed::Pod(pod)) => {
                installation::upgrade(chart, &pod, &self.profile.chart, site, settings, expect).await
            }
            (Way::Process(process), Deployed::Process(running)) => {
                running.end().await;
                process.start(&self.profile.process, settings).await
            }
            _ => Err(self.not_startable()),
        }
    }

    /// Kills its process and waits until it runs again in the same place; whether it does, and what there is of it then.
    pub(crate) async fn kill(
        &self,
        site: &Site,
        settings: &Settings,
        deployed: Deployed,
    ) -> Result<(bool, Option<Deployed>), StartError> {
        match (&self.way, deployed) {
            (_, Deployed::Pod(pod)) => Ok((pod.kill(site).await?, Some(Deployed::Pod(pod)))),
            (Way::Process(process), Deployed::Process(running)) => {
                running.kill().await;
                match process.start(&self.profile.process, settings).await? {
                    Started::Running { deployed, .. } | Started::OnSocket { deployed } => Ok((true, Some(deployed))),
                    Started::Ended { deployed, .. } => Ok((false, deployed)),
                    Started::NotRefused => Ok((true, None)),
                }
            }
            _ => Err(self.not_startable()),
        }
    }

    fn not_startable(&self) -> StartError {
        let profile = self.profile.name.clone();
        Unappliable { what: "to start anew", by: "way", profile, feature: Feature::Start }.into()
    }

    /// What it said of itself when it answered first; none where it never did.
    pub(crate) fn said(&self) -> Option<ObservedSubject> {
        self.said.get().cloned()
    }

    /// Its chart, where it has one.
    pub(crate) fn chart(&self) -> Option<&Chart> {
        match &self.way {
            Way::Chart(chart) => Some(chart),
            Way::Process(_) | Way::Attached(_) => None,
        }
    }

    /// The namespace of all its sandboxes, where scenarios cannot have namespaces of their own.
    pub(crate) fn namespace(&self) -> Option<&str> {
        match &self.way {
            Way::Chart(_) | Way::Process(_) => None,
            Way::Attached(attached) => Some(&attached.namespace),
        }
    }
}

impl Deployed {
    /// The name of its pod, where it has one.
    pub(crate) fn pod(&self) -> Option<&str> {
        match self {
            Self::Pod(pod) => Some(&pod.name),
            Self::Process(_) | Self::Elsewhere => None,
        }
    }

    /// The UID of its pod, where it has one.
    pub(crate) fn pod_uid(&self) -> Option<&str> {
        match self {
            Self::Pod(pod) => Some(&pod.uid),
            Self::Process(_) | Self::Elsewhere => None,
        }
    }

    /// The socket that its process listens on, where that is a process of the harness.
    pub(crate) fn socket(&self) -> Option<&Utf8Path> {
        match self {
            Self::Process(process) => Some(&process.socket),
            Self::Pod(_) | Self::Elsewhere => None,
        }
    }

    /// The identifier of its process, where that is a process of the harness.
    pub(crate) fn process(&self) -> Option<u32> {
        match self {
            Self::Pod(_) | Self::Elsewhere => None,
            Self::Process(process) => process.id(),
        }
    }

    /// All of its log, where it can be had.
    pub(crate) async fn log(&self) -> Option<String> {
        match self {
            Self::Pod(pod) => pod.log().await,
            Self::Process(process) => process.log(),
            Self::Elsewhere => None,
        }
    }

    /// Ends it. What is in the cluster goes with its namespace.
    pub(crate) async fn end(self) {
        match self {
            Self::Pod(_) | Self::Elsewhere => {}
            Self::Process(process) => process.end().await,
        }
    }
}

impl StartError {
    fn environment(tried: impl Into<String>, found: impl std::fmt::Display) -> Self {
        Self::Environment { tried: tried.into(), found: found.to_string() }
    }
}
