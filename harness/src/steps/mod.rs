//! Carries out the steps of a scenario. Steps observe; the judge decides.

pub(crate) mod agent_sandbox;
pub(crate) mod pods;
pub(crate) mod rpc;
pub(crate) mod watching;

mod awaiting;
mod clear;
mod deploy;
mod logs;
mod preload;
mod provide;
mod read;
mod render;
mod rights;
mod run;
mod schema;
mod socket;
mod submit;
mod taint;
mod volumes;
mod workspace;

pub(crate) use clear::clear;
pub(crate) use deploy::settings as driver_settings;
pub(crate) use logs::{DriverLogs, driver_logs};

use sandproof_scenarios::Step;
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    events::Event,
    runner::spent::{Party, waiting},
    scene::Scene,
};

/// A step that could not be carried out: the environment's fault, never the subject's.
#[derive(Debug, Error)]
pub(crate) enum StepError {
    /// The cluster or the registry did not do its part.
    #[error("cannot {tried}: {found}")]
    Environment {
        /// What was tried.
        tried: String,
        /// What was found.
        found: String,
    },
    /// The subject is not in a state in which the step makes sense, for example it never started.
    #[error("{0}")]
    Subject(String),
    /// The run is to end.
    #[error("interrupted")]
    Interrupted,
}

impl StepError {
    fn environment(tried: impl Into<String>, found: impl std::fmt::Display) -> Self {
        Self::Environment { tried: tried.into(), found: found.to_string() }
    }
}

/// Carries out `steps` in order; observations go into the scene.
/// `verb` is the step that is under way, for the report of a failure.
pub(crate) async fn carry_out(scene: &mut Scene, steps: &[Step], verb: &mut &'static str) -> Result<(), StepError> {
    for step in steps {
        *verb = step.verb();
        let events = scene.stage.events.clone();
        events.emit(Event::StepStarted {
            cell: scene.stage.cell.clone(),
            scenario: scene.key.clone(),
            step: step.verb().to_owned(),
        });
        let halt = scene.stage.halt.clone();
        let observed = tokio::select! {
            // In a box: it is as large as the largest step, and a worker has a small stack.
            observed = waiting(party(step), Box::pin(one(scene, step))) => observed?,
            () = halt.cancelled() => {
                return Err(match scene.stage.broken() {
                    Some(reason) => StepError::environment("go on", reason),
                    None => StepError::Interrupted,
                });
            }
        };
        if let Some(value) = observed {
            scene.observations.insert(step.observation().to_owned(), value);
        }
    }
    Ok(())
}

/// Puts back what a scenario's steps changed of the cluster.
pub(crate) async fn restore(scene: &mut Scene) -> Result<(), StepError> {
    taint::restore(scene).await?;
    volumes::restore(scene).await?;
    schema::restore(scene).await?;
    agent_sandbox::restore(scene).await
}

/// Who is waited for while a step is carried out, but for what is told apart within it.
fn party(step: &Step) -> Party {
    match step {
        Step::Image(_) | Step::Requests(_) | Step::Rotate(_) => Party::Registry,
        Step::Render(_) => Party::Helm,
        Step::Quiet(_) => Party::Stated,
        Step::Capabilities(_)
        | Step::Validate(_)
        | Step::Create(_)
        | Step::Get(_)
        | Step::List(_)
        | Step::Delete(_)
        | Step::Watch(_)
        | Step::Events(_)
        | Step::Stop(_)
        | Step::Start(_)
        | Step::EnsureWorkspace(_)
        | Step::DeleteWorkspace(_) => Party::Driver,
        // The driver's pod has to be started before the driver can be waited for.
        Step::Driver(_)
        | Step::Upgrade(_)
        | Step::Use(_)
        | Step::Socket(_)
        | Step::Run(_)
        | Step::ApiServer(_)
        | Step::Taint(_)
        | Step::Secret(_)
        | Step::Await(_)
        | Step::Inspect(_)
        | Step::Probe(_)
        | Step::Installation(_)
        | Step::Change(_)
        | Step::Store(_)
        | Step::Read(_)
        | Step::Preload(_)
        | Step::Schema(_)
        | Step::Volume(_)
        | Step::Rights(_)
        | Step::ServiceAccount(_)
        | Step::Namespace(_)
        | Step::LookAt(_)
        | Step::Remove(_) => Party::Cluster,
    }
}

async fn one(scene: &mut Scene, step: &Step) -> Result<Option<Value>, StepError> {
    let observed = match step {
        Step::Image(step) => provide::image(scene, step).await?,
        Step::Secret(step) => provide::secret(scene, step).await?,
        Step::Driver(driver) => deploy::driver(scene, driver, step.observation()).await?,
        Step::Upgrade(step) => deploy::upgrade(scene, step).await?,
        Step::Use(step) => deploy::switch(scene, step)?,
        Step::Socket(_) => socket::look(scene).await?,
        Step::Capabilities(_) => submit::driver(scene)?.capabilities().await,
        Step::Validate(step) => submit::validate(scene, step).await?,
        Step::Create(step) => submit::create(scene, step).await?,
        Step::Await(step) => awaiting::sandbox(scene, step).await,
        Step::Inspect(step) => read::inspect(scene, step).await,
        Step::Probe(step) => read::probe(scene, step).await?,
        Step::Requests(step) => read::requests(scene, step)?,
        Step::Get(step) => submit::get(scene, step).await?,
        Step::List(_) => submit::driver(scene)?.list().await,
        Step::Delete(step) => submit::delete(scene, step).await?,
        Step::Watch(_) => {
            submit::watch(scene, step.observation()).await?;
            return Ok(None);
        }
        Step::Events(step) => awaiting::events(scene, step).await?,
        Step::Quiet(step) => {
            // A stated quiet time is the one wait that has no condition: it is what is observed.
            tokio::time::sleep(step.period.0).await;
            json!({ "seconds": step.period.0.as_secs_f64() })
        }
        Step::Installation(_) => agent_sandbox::installation(scene).await?,
        Step::Change(step) => agent_sandbox::change(scene, step).await?,
        Step::Store(step) => agent_sandbox::store(scene, step).await?,
        Step::Read(step) => agent_sandbox::read(scene, step).await?,
        Step::Render(step) => render::cases(scene, step).await?,
        Step::Preload(step) => preload::image(scene, step).await?,
        Step::Schema(step) => schema::change(scene, step).await?,
        Step::Volume(step) => volumes::volume(scene, step).await?,
        Step::Rights(step) => rights::rights(scene, step).await?,
        Step::ServiceAccount(step) => rights::service_account(scene, step).await?,
        Step::Stop(step) => workspace::set_running(scene, step, false).await?,
        Step::Start(step) => workspace::set_running(scene, step, true).await?,
        Step::EnsureWorkspace(step) => workspace::ensure(scene, step).await?,
        Step::DeleteWorkspace(step) => workspace::delete(scene, step).await?,
        Step::Namespace(step) => workspace::namespace(scene, step).await?,
        Step::LookAt(step) => workspace::look_at(scene, step).await?,
        Step::Remove(step) => workspace::remove(scene, step).await?,
        Step::Rotate(step) => workspace::rotate(scene, step),
        Step::Run(step) => run::cases(scene, step).await?,
        Step::ApiServer(step) => deploy::api_server(scene, step)?,
        Step::Taint(step) => taint::taint(scene, step).await?,
    };
    Ok(Some(observed))
}
