//! The log: on standard error, as text or as JSON, and without anything secret.
//!
//! What a client sends is never logged as a whole: an RPC is logged with its name, the sandbox's identifier and its outcome.

use std::io::stderr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;

use crate::arguments::LogFormat;

/// The Kubernetes client logs each failed request as an error, which this driver reports itself or tries again.
const QUIET: &str = "kube_client=off,kube_runtime=off";

/// Logs from now on; fails if the filter cannot be read.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))?;
    match format {
        LogFormat::Text => text(filter, stderr).init(),
        LogFormat::Json => json(filter, stderr).init(),
    }
    Ok(())
}

trait Init {
    fn init(self);
}

impl<S: tracing::Subscriber + Send + Sync + 'static> Init for S {
    fn init(self) {
        // A second start in one process keeps the first log, which is no fault.
        let _ = tracing::subscriber::set_global_default(self);
    }
}

fn text<W>(filter: EnvFilter, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false).finish()
}

/// One object a line, with the fields of the event at its top level, as collectors of logs expect it.
pub(crate) fn json<W>(filter: EnvFilter, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(writer).finish()
}
