//! What the drivers of a scenario have logged, for the evidence.

use std::time::Duration;

use tokio::time::timeout;

use crate::{scene::Scene, subject::Deployed};

/// How long a log may take to be read: an API server that is gone is not waited for.
const DEADLINE: Duration = Duration::from_secs(10);

/// The logs of a scenario's drivers.
#[derive(Debug, Default)]
pub(crate) struct DriverLogs {
    /// Texts by the names of their files: that of the driver that steps spoke to last is `driver.log`.
    pub(crate) files: Vec<(String, String)>,
}

/// The file of the driver that steps spoke to last.
const CURRENT: &str = "driver.log";

impl DriverLogs {
    /// The log of the driver that steps spoke to last.
    pub(crate) fn current(&self) -> Option<&str> {
        self.files.iter().find(|(name, _)| name == CURRENT).map(|(_, text)| text.as_str())
    }
}

/// The logs of all drivers: the current one, those beside it, and those whose place they took.
pub(crate) async fn driver_logs(scene: &mut Scene) -> DriverLogs {
    let mut files = Vec::new();
    if let Some(text) = read(scene.deployed.as_ref()).await {
        files.push((CURRENT.to_owned(), text));
    }
    for (name, driver) in &scene.parked {
        if let Some(text) = read(driver.deployed.as_ref()).await {
            files.push((format!("driver-{name}.log"), text));
        }
    }
    let past = std::mem::take(&mut scene.past_logs).into_iter().enumerate();
    files.extend(past.map(|(position, text)| (format!("driver-before-{}.log", position + 1), text)));
    DriverLogs { files }
}

/// Keeps the log of a driver that is about to go.
pub(super) async fn keep_log(scene: &mut Scene, deployed: &Deployed) {
    scene.past_logs.extend(read(Some(deployed)).await);
}

async fn read(deployed: Option<&Deployed>) -> Option<String> {
    timeout(DEADLINE, deployed?.log()).await.ok().flatten()
}
