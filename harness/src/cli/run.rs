//! The arguments of `run`, and the selection that it shares with `plan`.

use std::net::IpAddr;

use camino::Utf8PathBuf;
use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use sandproof_clusters::provider::Provider;

use crate::subject::reference::SubjectReference;

/// A named selection of cells and scenarios.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// The default cell, the smoke scenarios
    #[default]
    Smoke,
    /// The oldest cell, the newest one, and one with image volumes switched off; every scenario
    Pr,
    /// Every cell; a scenario runs once for each value of what its result can depend on
    Full,
    /// Every cell, every scenario; a flaky pass is red and expired exceptions count
    Release,
}

/// What happens to a cluster after its scenarios.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keep {
    /// It is removed
    #[default]
    Never,
    /// It is kept when a scenario on it is red
    OnFailure,
    /// It is kept
    Always,
}

/// Which cells and scenarios.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectionArguments {
    /// A named selection of cells and scenarios
    #[arg(long, value_enum, default_value_t, env = "SANDPROOF_PROFILE")]
    pub(crate) profile: Profile,
    /// Only cells that match, for example 'kubernetes>=1.35 && runtime==cri-o'
    #[arg(long, env = "SANDPROOF_CELL", value_name = "EXPR")]
    pub(crate) cell: Option<String>,
    /// A cell of one's own, beside those of the pins: 'kubernetes=1.34 runtime=containerd@2.2 gates.ImageVolume=on'
    ///
    /// Keys are kubernetes, runtime, agentSandbox, gates.NAME and kubeletGates.NAME; what is not given is the default.
    /// Only pinned releases can be had; a minor or a series stands for its newest one.
    #[arg(long = "custom-cell", env = "SANDPROOF_CUSTOM_CELL", value_name = "SETTINGS")]
    pub(crate) custom_cells: Vec<String>,
    /// Allow a custom cell whose versions are outside of what their projects support together; reports mark it
    #[arg(long, env = "SANDPROOF_ALLOW_SKEW")]
    pub(crate) allow_skew: bool,
    /// Only scenarios that match, for example PS-07 or 'id ~ "^PS-"'
    #[arg(long, env = "SANDPROOF_SCENARIO", value_name = "EXPR")]
    pub(crate) scenario: Option<String>,
    /// Who makes the clusters; chosen by what this host can do when not given, see `doctor`
    #[arg(long, env = "SANDPROOF_PROVIDER", value_parser = one_of(Provider::ALL))]
    pub(crate) provider: Option<Provider>,
    /// Who makes them where nobody says so.
    #[arg(skip)]
    pub(crate) usual_provider: Provider,
    /// A cluster that is already there.
    #[command(flatten)]
    pub(crate) existing: ExistingArguments,
    /// Part I of N of the results, counted from 1
    #[arg(long, env = "SANDPROOF_SHARD", value_name = "I/N", value_parser = shard)]
    pub(crate) shard: Option<(usize, usize)>,
    /// The suite directory
    #[arg(long, env = "SANDPROOF_SUITE", value_name = "DIR")]
    pub(crate) suite: Option<Utf8PathBuf>,
}

/// Which cluster that is already there, and what may be done in it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "A cluster that is already there (--provider existing)")]
pub(crate) struct ExistingArguments {
    /// The context of the kubeconfig; the current one when not given
    #[arg(long, env = "SANDPROOF_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig, which is read and never written [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, env = "SANDPROOF_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<Utf8PathBuf>,
    /// The address of this host that nodes pull from; found out when not given
    #[arg(long, env = "SANDPROOF_REGISTRY_ADDRESS", value_name = "IP")]
    pub(crate) registry_address: Option<IpAddr>,
    /// Create what is listed without being asked
    #[arg(long, env = "SANDPROOF_YES")]
    pub(crate) yes: bool,
}

/// Which driver, and what is known of it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Subject")]
pub(crate) struct SubjectArguments {
    /// The driver under test: reference, chart:PATH, chart:oci://REGISTRY/CHART[:VERSION], process:PATH, grpc:unix:PATH or grpc:http://HOST:PORT [default: the profile's, else reference]
    #[arg(long, env = "SANDPROOF_SUBJECT", value_name = "REF", value_parser = SubjectReference::parse)]
    pub(crate) subject: Option<SubjectReference>,
    /// What is known of the driver beforehand: a YAML file, or a profile of the project's own such as upstream-like
    #[arg(long, env = "SANDPROOF_SUBJECT_PROFILE", value_name = "NAME|FILE")]
    pub(crate) subject_profile: Option<String>,
    /// A file of values for the chart, below those that scenarios need; may be given several times, a later one wins
    #[arg(long, env = "SANDPROOF_VALUES", value_name = "FILE")]
    pub(crate) values: Vec<Utf8PathBuf>,
    /// Arguments for the process, before those that scenarios need; everything after --args is one
    #[arg(long = "args", env = "SANDPROOF_ARGS", value_name = "ARG", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
    /// The namespace of the sandboxes of a driver that runs already (grpc:ADDRESS)
    #[arg(long, env = "SANDPROOF_SUBJECT_NAMESPACE", value_name = "NAME")]
    pub(crate) subject_namespace: Option<String>,
    /// Deploy the reference driver with this fault switched on; may be given several times
    #[arg(long = "fault", env = "SANDPROOF_FAULT", value_name = "NAME", value_delimiter = ',')]
    pub(crate) faults: Vec<String>,
}

/// `run`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
    #[command(flatten)]
    pub(crate) subject: SubjectArguments,
    /// Cells that run at once; chosen by the host's size when not given, see `doctor`
    #[arg(long, env = "SANDPROOF_CELLS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) cells: Option<u16>,
    /// Scenarios of each cell that run side by side; chosen by the host's cores when not given
    #[arg(long, short, env = "SANDPROOF_JOBS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// Further attempts for a red scenario; a pass at one of them is flaky, never a plain pass
    #[arg(long, default_value_t = 0, env = "SANDPROOF_RETRIES", value_name = "N", value_parser = clap::value_parser!(u8).range(0..=5))]
    pub(crate) retries: u8,
    /// Decides the order in which scenarios that run side by side begin; drawn when not given
    #[arg(long, env = "SANDPROOF_SEED", value_name = "N")]
    pub(crate) seed: Option<u32>,
    /// What happens to the clusters afterwards
    #[arg(long, value_enum, default_value_t, env = "SANDPROOF_KEEP", value_name = "WHEN")]
    pub(crate) keep: Keep,
    /// Where the report goes [default: sandproof-out/RUN]
    #[arg(long, env = "SANDPROOF_OUT", value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
    /// Compare with this report afterwards
    #[arg(long, env = "SANDPROOF_BASELINE", value_name = "REPORT")]
    pub(crate) baseline: Option<Utf8PathBuf>,
    /// Do not install missing Debian packages: say what is missing and stop
    #[arg(long, env = "SANDPROOF_NO_INSTALL")]
    pub(crate) no_install: bool,
}

/// One of these providers, by its name.
pub(super) fn one_of(
    providers: impl IntoIterator<Item = &'static Provider>,
) -> impl TypedValueParser<Value = Provider> {
    let names = providers.into_iter().map(|provider| provider.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Provider>())
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parsed =
        text.split_once('/').and_then(|(part, of)| Some((part.parse::<usize>().ok()?, of.parse::<usize>().ok()?)));
    match parsed {
        Some((part, of)) if part >= 1 && part <= of => Ok((part, of)),
        _ => Err("a shard is I/N with 1 ≤ I ≤ N, for example 2/5".to_owned()),
    }
}
