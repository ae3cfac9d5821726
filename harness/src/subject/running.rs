//! A subject that runs already: it is reached, and cannot be told anything.

use sandproof_scenarios::Feature;

use super::{Deployed, Settings, StartError, Started, Unappliable, connection, reference::Address, settings::RELAY};

/// A driver that runs already.
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    /// Where it listens.
    pub(crate) address: Address,
    /// The namespace of its sandboxes.
    pub(crate) namespace: String,
    /// The name of the profile, for messages.
    pub(crate) profile: String,
}

impl Attached {
    /// Connects to it, unless the scenario wants it to be told something.
    pub(super) async fn connect(&self, settings: &Settings) -> Result<Started, StartError> {
        if let Some((what, feature)) = wanted(settings) {
            return Err(Unappliable { what, by: "way", profile: self.profile.clone(), feature }.into());
        }
        match connection::to_address(&self.address).await {
            Ok(channel) => Ok(Started::Running { channel, deployed: Deployed::Elsewhere }),
            Err(unreachable) => {
                Ok(Started::Ended { exit_code: None, log: vec![unreachable.to_string()], deployed: None })
            }
        }
    }
}

/// The first thing that the scenario is about and that a driver which runs already cannot be told.
fn wanted(settings: &Settings) -> Option<(&'static str, Feature)> {
    let wishes = [
        (!settings.pull_secrets.is_empty(), "its pull secrets", Feature::ConfiguredPullSecrets),
        (settings.sideload_matters, "its side-load method", Feature::ConfiguredSideload),
        (settings.supervisor_matters, "its supervisor's image", Feature::ConfiguredSupervisorImage),
    ];
    let told = settings.told.keys().map(|setting| (true, setting.name(), setting.feature()));
    let workspaces = settings.workspaces.feature().map(|feature| (true, "its workspace mode", feature));
    let socket = settings.socket.then_some((true, "to listen on a socket", Feature::UnixSocket));
    let relay = settings.relay.map(|_| (true, RELAY, Feature::ApiServerAddress));
    let mut wishes = wishes.into_iter().chain(workspaces).chain(socket).chain(relay).chain(told);
    wishes.find_map(|(wanted, what, feature)| wanted.then_some((what, feature)))
}
