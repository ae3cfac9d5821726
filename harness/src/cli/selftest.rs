//! The arguments of `selftest`.

use clap::{Args, Subcommand, builder::TypedValueParser};
use sandproof_clusters::provider::Provider;

use super::run::one_of;

/// `selftest`.
#[derive(Debug, Subcommand)]
pub(crate) enum SelftestCommand {
    /// Switch on each fault of the reference driver and see which scenarios notice
    Mutations {
        /// Only these faults
        #[arg(long = "fault", env = "SANDPROOF_FAULT", value_name = "NAME", value_delimiter = ',')]
        faults: Vec<String>,
        /// The cell; the first of those that match [default: the default cell]
        #[arg(long, env = "SANDPROOF_CELL", value_name = "EXPR")]
        cell: Option<String>,
        /// Run only the scenarios that claim a fault, and not all others beside them
        #[arg(long, env = "SANDPROOF_CLAIMED", conflicts_with = "quick")]
        claimed: bool,
        /// Run only one of the scenarios that claim a fault
        #[arg(long, env = "SANDPROOF_QUICK")]
        quick: bool,
        /// Print JSON
        #[arg(long, env = "SANDPROOF_JSON")]
        json: bool,
    },
    /// Kill the harness in each phase and see what is left
    Kills {
        /// Who makes the clusters: native or kind
        #[arg(long, env = "SANDPROOF_PROVIDER", default_value = "native", value_parser = makers())]
        provider: Provider,
        /// Fewer cases
        #[arg(long, env = "SANDPROOF_QUICK")]
        quick: bool,
        /// Print JSON
        #[arg(long, env = "SANDPROOF_JSON")]
        json: bool,
    },
    /// Run the unmutated driver again and again on one cluster until something is red
    Soak(SoakArguments),
}

/// `selftest soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakArguments {
    /// How often everything has to be green
    #[arg(long, default_value_t = 20, env = "SANDPROOF_SOAK_RUNS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,
    /// The cell; the default one when not given
    #[arg(long, env = "SANDPROOF_CELL", value_name = "EXPR")]
    pub(crate) cell: Option<String>,
    /// Only scenarios that match; the smoke scenarios when not given
    #[arg(long, env = "SANDPROOF_SCENARIO", value_name = "EXPR")]
    pub(crate) scenario: Option<String>,
    /// The seed of the first run, each later one has the next number; drawn when not given
    #[arg(long, env = "SANDPROOF_SEED", value_name = "N")]
    pub(crate) seed: Option<u32>,
    /// Print JSON
    #[arg(long, env = "SANDPROOF_JSON")]
    pub(crate) json: bool,
}

/// The providers that make clusters; an existing one is nobody's to be killed.
fn makers() -> impl TypedValueParser<Value = Provider> {
    one_of(Provider::ALL.iter().filter(|provider| **provider != Provider::Existing))
}
