//! A stage on which the reference driver has faults.

use camino::Utf8Path;
use sandproof_clusters::registry::Access;

use crate::{
    failure::Failure,
    paths::Paths,
    runner::guests::Guests,
    scene::Stage,
    subject::{Way, chart::ImageValue, faulty::FaultyParts},
};

/// The tag of the image, as of every other one that all scenarios may use.
const TAG: &str = "v1";

/// The same stage with these faults: the driver is told of its own, the supervisor's image has those of the supervisor, and
/// the chart is a copy beneath `scratch` with those of the chart.
pub(crate) async fn with_faults(
    stage: &Stage,
    faults: Vec<String>,
    paths: &Paths,
    scratch: &Utf8Path,
) -> Result<Stage, Failure> {
    let parts = FaultyParts::of(&faults);
    let mut stage = stage.clone();
    if let Way::Chart(chart) = &mut stage.subject.way {
        chart.directory = parts.chart(&chart.directory, &scratch.join("chart"))?;
    }
    if !parts.supervisor.is_empty() {
        let image = Guests::faulty_supervisor(paths, &parts.supervisor)?;
        let repository = format!("supervisor-{}", parts.supervisor.join("-"));
        stage.registry.grant(&repository, Access::Public);
        let pushing = stage.registry.push(&image, &repository, TAG).await;
        pushing.map_err(|error| Failure::environment(format!("push the image {repository}"), error))?;
        stage.supervisor_image =
            ImageValue { repository: format!("{}/{repository}", stage.plain), tag: TAG.to_owned() };
        stage.guests.supervisor = image;
    }
    stage.subject.faults = faults;
    Ok(stage)
}
