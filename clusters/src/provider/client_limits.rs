//! How long a client of an API server waits.

use std::time::Duration;

use kube::Config;

/// How long the API server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How long it may be silent. A watch of an idle cluster is silent too, for less than this.
const SILENCE: Duration = Duration::from_mins(5);

/// Gives a client of any cluster its limits: by itself it waits for as long as the API server does.
pub fn limit_waits(config: &mut Config) {
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
}
