//! `bench driver`: what a driver costs, and what of it is the API server's.
//!
//! Sandboxes are created by one driver on one cluster, so many at once, with an image that the node has (warm) and with
//! one that it has never seen (cold), for each way of side-loading. Then a crowd of Sandboxes is written past the driver
//! and watched through it.

mod costs;
mod fan_out;
mod load;

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use sandproof_clusters::host::Host;
use sandproof_protocol::v1::compute_driver_client::ComputeDriverClient;
use sandproof_reports::ExitCode;
use sandproof_scenarios::{DriverExpectation, DriverStep, Expectations};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use self::costs::Costs;
use super::{Measurements, host_json};
use crate::{
    cli::{BenchDriverArguments, GlobalArguments, Profile, SelectionArguments},
    commands::suite,
    events::{Event, Events},
    failure::Failure,
    interrupt::with_events,
    paths::Paths,
    plan::{self, Plan, PlannedCell},
    runner::{equip::Equipped, one_cell::with_cell, run::RunSettings},
    scene::{Scene, Stage},
    sinks::Progress,
    steps::driver_settings,
    subject::{Deployed, Site, Started, choice::Choice},
    terminal,
};

/// How long a round may take, with as many pods as a node can hold.
const ROUND_DEADLINE: Duration = Duration::from_mins(10);

/// A driver that runs for a measurement, in a namespace of its own.
struct Bench {
    stage: Arc<Stage>,
    namespace: String,
    client: ComputeDriverClient<Channel>,
    deployed: Deployed,
    costs: Costs,
}

/// Measures, and prints the figures as JSON.
pub(super) async fn driver(global: &GlobalArguments, arguments: &BenchDriverArguments) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let host = Host::probe_at(&paths.cache);
    let subject = Choice::make(&paths, &arguments.subject)?;
    let suite = suite::load(&paths, None)?;
    let selection =
        SelectionArguments { profile: Profile::Smoke, cell: arguments.cell.clone(), ..SelectionArguments::default() };
    let plan = Plan::make(&selection, &plan::load_pins(&paths)?, &suite)?;
    let Some(planned) = plan.cells.first() else {
        return Err(Failure::NothingSelected { message: "no cell is selected".to_owned(), hint: None });
    };
    let out = paths.state.join("runs");
    let settings = RunSettings::of_one_cell(paths, global.sources.clone(), out, subject);
    let outcome = with_events(vec![Box::new(Progress::new(global.verbose))], async |events, cancelled| {
        on_a_cluster(&settings, planned, arguments, events, cancelled).await
    })
    .await;
    let (measurements, said) = outcome?;
    terminal::json(&json!({
        "host": host_json(&host),
        "driver": said,
        "figures": measurements.figures(),
    }))?;
    Ok(ExitCode::CONFORMANT)
}

/// Measures on a cluster of its own.
async fn on_a_cluster(
    settings: &RunSettings,
    planned: &PlannedCell,
    arguments: &BenchDriverArguments,
    events: &Events,
    cancelled: &CancellationToken,
) -> Result<(Measurements, Value), Failure> {
    let name = format!("bench-{}", settings.short_id());
    // Nothing is judged here.
    with_cell(settings, planned, &name, Expectations::none(), (events, cancelled), async |_, equipped| {
        let measured = tokio::select! {
            measured = measure(equipped, arguments, events) => measured,
            () = cancelled.cancelled() => Err(Failure::Interrupted { during: "measuring".to_owned() }),
        };
        let said = json!({
            "subject": settings.subject.record(),
            "said": equipped.bench.stage.subject.said(),
            "cell": planned.id,
        });
        measured.map(|measurements| (measurements, said))
    })
    .await
}

async fn measure(
    equipped: &Equipped,
    arguments: &BenchDriverArguments,
    events: &Events,
) -> Result<Measurements, Failure> {
    let stage = &equipped.bench.stage;
    let mut measurements = Measurements::default();
    let works = equipped.bench.facts.tree()["capabilities"]["imageVolume"] == "works";
    for method in ["image-volume", "init-container"] {
        if method == "image-volume" && !works {
            note(
                stage,
                events,
                "image volumes do not work on this cluster: only init-container is measured".to_owned(),
            );
            continue;
        }
        let bench = Bench::start(equipped, &format!("bench-{method}"), method).await?;
        for at_once in &arguments.at_once {
            for run in 1..=arguments.runs {
                note(stage, events, format!("{method}, {at_once} at once, run {run} of {}", arguments.runs));
                load::round(&bench, method, usize::from(*at_once), run, &mut measurements).await?;
            }
        }
        bench.end(&mut measurements, method).await;
    }
    if arguments.watched > 0 {
        note(stage, events, format!("{} Sandboxes, {} watchers", arguments.watched, arguments.watchers));
        let bench = Bench::start(equipped, "bench-watch", "init-container").await?;
        fan_out::measure(&bench, usize::from(arguments.watched), usize::from(arguments.watchers), &mut measurements)
            .await?;
        bench.end(&mut measurements, "watch").await;
    }
    Ok(measurements)
}

fn note(stage: &Stage, events: &Events, text: String) {
    events.emit(Event::CellNote { cell: stage.cell.clone(), text });
}

impl Bench {
    /// Starts the subject with a side-load method in a new namespace.
    async fn start(equipped: &Equipped, namespace: &str, method: &str) -> Result<Self, Failure> {
        let stage = Arc::clone(&equipped.bench.stage);
        let tried = format!("start the driver in {namespace}");
        let failed = |found: String| Failure::environment(&tried, found);
        let object: Namespace = serde_json::from_value(json!({ "metadata": { "name": namespace } }))
            .map_err(|error| failed(error.to_string()))?;
        Api::all(stage.client.clone())
            .create(&PostParams::default(), &object)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let scene = Scene::new(Arc::clone(&stage), namespace, namespace.to_owned());
        let step = DriverStep { sideload: Some(method.to_owned()), ..DriverStep::default() };
        let settings = driver_settings(&scene, &step).map_err(|error| failed(error.to_string()))?;
        let site = Site::of(&stage);
        let started = stage.subject.start(&site, &settings, DriverExpectation::Running).await;
        match started.map_err(|error| failed(error.to_string()))? {
            Started::Running { channel, deployed } => {
                let costs = Costs::find(&equipped.cluster.groups(), &stage, namespace, &deployed);
                let client = ComputeDriverClient::new(channel);
                Ok(Self { stage, namespace: namespace.to_owned(), client, deployed, costs })
            }
            Started::NotRefused | Started::OnSocket { .. } => Err(failed("it does not answer".to_owned())),
            Started::Ended { log, .. } => Err(failed(log.join("\n"))),
        }
    }

    /// Says what the driver took, and ends it.
    async fn end(self, measurements: &mut Measurements, what: &str) {
        if let Some(peak) = self.costs.driver_peak_bytes() {
            measurements.add(&format!("driver, peak memory, {what}"), "MB", super::megabytes(peak));
        }
        self.deployed.end().await;
        let api: Api<Namespace> = Api::all(self.stage.client.clone());
        let _ = api.delete(&self.namespace, &DeleteParams::background()).await;
    }

    fn failed(&self, tried: &str, found: impl std::fmt::Display) -> Failure {
        Failure::environment(format!("{tried} in {}", self.namespace), found)
    }
}

/// The value below which this share of the values is (nearest rank); zero of no values.
fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few thousand values"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}

/// Adds the middle and the tail of some values.
fn spread(measurements: &mut Measurements, name: &str, unit: &'static str, values: &[f64]) {
    measurements.add(&format!("{name}, p50"), unit, percentile(values, 0.5));
    measurements.add(&format!("{name}, p95"), unit, percentile(values, 0.95));
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[1.0], 0.5, 1.0)]
    #[case(&[1.0], 0.95, 1.0)]
    #[case(&[4.0, 1.0, 3.0, 2.0], 0.5, 2.0)]
    #[case(&[4.0, 1.0, 3.0, 2.0], 0.95, 4.0)]
    #[case(&[], 0.5, 0.0)]
    fn a_percentile_is_one_of_the_values(#[case] values: &[f64], #[case] share: f64, #[case] expected: f64) {
        assert!((percentile(values, share) - expected).abs() < f64::EPSILON);
    }
}
