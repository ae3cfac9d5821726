//! One scenario from its namespace to its verdict.

use std::{sync::Arc, time::Instant};

use camino::{Utf8Path, Utf8PathBuf};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use sandproof_clusters::registry::RequestKind;
use sandproof_reports::{CaseResult, Cause, Verdict};
use sandproof_scenarios::{Expectations, Facts, Judgement, Observations, ScenarioInstance, judge, judge_beforehand};
use serde_json::{Value, json};

use super::limits::Limits;
use crate::{
    causes::{self, FailedCheck, Seen, SeenRequest},
    cli::Keep,
    events::Event,
    failure::Failure,
    scene::{Scene, Stage},
    steps::{self, StepError, driver_log},
};

/// What every scenario of a cell is judged by and where its evidence goes.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The shared part of the cell.
    pub(crate) stage: Arc<Stage>,
    /// What was probed.
    pub(crate) facts: Facts,
    /// What cannot be run on this cluster.
    pub(crate) limits: Limits,
    /// What is known to differ.
    pub(crate) expectations: Arc<Expectations>,
    /// The run's directory.
    pub(crate) out: Utf8PathBuf,
    /// Attempts for a red scenario beyond the first.
    pub(crate) retries: u8,
    /// Whether namespaces stay: those of red scenarios, or all of them.
    pub(crate) keep: Keep,
    /// How `repro` is told of this report.
    pub(crate) report: String,
}

/// What one attempt gave.
struct Attempt {
    judgement: Judgement,
    seen: Seen,
    evidence: Vec<String>,
}

impl Bench {
    /// Runs one scenario and gives its result. It never fails: what goes wrong is a verdict.
    pub(crate) async fn run(&self, scenario: &ScenarioInstance, position: usize) -> CaseResult {
        let stage = &self.stage;
        if stage.cancelled.is_cancelled() {
            return self.not_run(scenario, "the run was interrupted before it began");
        }
        stage.events.emit(Event::ScenarioStarted {
            cell: stage.cell.clone(),
            scenario: scenario.key.clone(),
            title: scenario.title.clone(),
        });
        if let Some(reason) = self.limits.forbid(scenario) {
            return self.skipped(scenario, true, reason);
        }
        if let Some(judgement) = judge_beforehand(scenario, &self.facts, &self.expectations) {
            return self.skipped(scenario, judgement.expected, judgement.summary);
        }
        let started = Instant::now();
        let mut count = 1;
        let mut last = self.attempt(scenario, position, count).await;
        while count <= u32::from(self.retries) && is_red(&last.judgement) && !stage.halt.is_cancelled() {
            count += 1;
            last = self.attempt(scenario, position, count).await;
        }
        let mut result = self.blank(scenario, last.judgement.verdict);
        result.expected = last.judgement.expected;
        result.attempts = count;
        result.seconds = started.elapsed().as_secs_f64();
        result.evidence = last.evidence;
        if last.judgement.verdict != Verdict::Pass {
            let mut cause = causes::find(&last.seen);
            if !last.judgement.summary.is_empty() && last.judgement.expected {
                cause.summary.clone_from(&last.judgement.summary);
            }
            result.cause = Some(cause);
        }
        stage.events.emit(Event::ScenarioFinished {
            cell: stage.cell.clone(),
            scenario: scenario.key.clone(),
            verdict: result.verdict,
            expected: result.expected,
            seconds: result.seconds,
            summary: result.cause.as_ref().map(|cause| cause.summary.clone()).unwrap_or_default(),
        });
        result
    }

    /// The result of a scenario that is left out here for a reason stated beforehand.
    fn skipped(&self, scenario: &ScenarioInstance, expected: bool, reason: String) -> CaseResult {
        let mut result = self.blank(scenario, Verdict::Skipped);
        result.expected = expected;
        result.cause = Some(Cause::new("skipped", &reason));
        self.stage.events.emit(Event::ScenarioFinished {
            cell: self.stage.cell.clone(),
            scenario: scenario.key.clone(),
            verdict: result.verdict,
            expected: result.expected,
            seconds: 0.0,
            summary: reason,
        });
        result
    }

    /// The result of a scenario that was not run.
    pub(crate) fn not_run(&self, scenario: &ScenarioInstance, why: &str) -> CaseResult {
        let mut result = self.blank(scenario, Verdict::NotRun);
        result.cause = Some(Cause::new("not-run", why));
        result
    }

    fn blank(&self, scenario: &ScenarioInstance, verdict: Verdict) -> CaseResult {
        blank(&self.report, &self.stage.cell, scenario, verdict)
    }

    async fn attempt(&self, scenario: &ScenarioInstance, position: usize, count: u32) -> Attempt {
        let suffix = if count == 1 { String::new() } else { format!("-{count}") };
        let name = format!("{}-{position}{suffix}", scenario.id.to_ascii_lowercase());
        let namespace = self.stage.place.namespace(&name);
        let mut scene = Scene::new(Arc::clone(&self.stage), &scenario.key, namespace);
        let mut verb = "";
        let error = match open(&scene).await {
            Ok(()) => steps::carry_out(&mut scene, &scenario.steps, &mut verb).await.err(),
            Err(failure) => Some(StepError::Environment {
                tried: "open the scenario's namespace".to_owned(),
                found: failure.to_string(),
            }),
        };
        // Any verdict on a broken or interrupted cluster would be about the cluster.
        let broken = self.stage.broken().or_else(|| unread_secret(&scene));
        let mut observations = Observations { steps: scene.observations.clone(), ..Observations::default() };
        match (&error, broken) {
            (_, Some(reason)) => observations.environment_error = Some(reason),
            (Some(StepError::Environment { .. }), None) => {
                observations.environment_error = error.as_ref().map(ToString::to_string);
            }
            (Some(StepError::Subject(text)), None) => {
                observations.step_error =
                    Some(sandproof_scenarios::StepError { step: verb.to_owned(), message: text.clone() });
            }
            (Some(StepError::Interrupted) | None, None) => {}
        }
        let mut judgement = judge(scenario, &observations, &self.facts, &self.expectations, count);
        if matches!(error, Some(StepError::Interrupted)) {
            judgement.verdict = Verdict::NotRun;
            judgement.expected = false;
            "the run was interrupted while it ran".clone_into(&mut judgement.summary);
        }
        let driver_log = driver_log(&scene).await;
        let seen = seen(&scene, &judgement, error.as_ref(), driver_log.as_deref());
        let evidence = self.collect(&scene, scenario, &judgement, driver_log.as_deref(), count);
        // What comes next on this cluster must find it as it was; where nothing does, it goes with the cluster.
        if !self.stage.halt.is_cancelled()
            && let Err(error) = steps::restore(&mut scene).await
        {
            self.stage.declare_broken(error.to_string());
        }
        let stays = match self.keep {
            Keep::Never => false,
            Keep::OnFailure => is_red(&judgement),
            Keep::Always => true,
        };
        let others = std::mem::take(&mut scene.parked).into_values().filter_map(|other| other.deployed);
        for deployed in scene.deployed.take().into_iter().chain(others) {
            deployed.end().await;
        }
        if !stays {
            close(&mut scene).await;
        }
        Attempt { judgement, seen, evidence }
    }

    /// Writes the evidence; the paths it returns are relative to the run's directory.
    fn collect(
        &self,
        scene: &Scene,
        scenario: &ScenarioInstance,
        judgement: &Judgement,
        driver_log: Option<&str>,
        count: u32,
    ) -> Vec<String> {
        let attempt = if count == 1 { String::new() } else { format!("/attempt-{count}") };
        let directory = format!("evidence/{}/{}{attempt}", self.stage.cell, file_name(&scenario.key));
        let state = &scene.stage.state;
        let mut files: Vec<(&str, String)> = vec![("observations.json", pretty(&json!(scene.observations)))];
        if is_red(judgement) || judgement.verdict == Verdict::NotRun {
            let failed: Vec<String> = judgement.failed.iter().map(sentence).collect();
            files.push(("failed-checks.txt", failed.join("\n") + "\n"));
        }
        files.push((
            "objects.json",
            pretty(&json!({
                "pods": scene.pods(state),
                "sandboxes": scene.sandbox_objects(state),
            })),
        ));
        files.push(("events.json", pretty(&json!(scene.events(state)))));
        let requests: Vec<Value> = scene
            .images
            .values()
            .flat_map(|image| scene.stage.registry.requests(&image.repository))
            .map(|record| json!(record))
            .collect();
        files.push(("registry.json", pretty(&json!(requests))));
        if let Some(driver) = &scene.driver {
            files.push(("calls.json", pretty(&json!(driver.calls()))));
        }
        if let Some(log) = driver_log {
            files.push(("driver.log", log.to_owned()));
        }
        write(&self.out, &directory, files)
    }
}

/// The results of scenarios that could not be run, because of `failure`.
pub(crate) fn unjudged(report: &str, cell: &str, scenarios: &[ScenarioInstance], failure: &Failure) -> Vec<CaseResult> {
    let interrupted = matches!(failure, Failure::Interrupted { .. });
    let verdict = if interrupted { Verdict::NotRun } else { Verdict::Error };
    scenarios
        .iter()
        .map(|scenario| {
            let mut result = blank(report, cell, scenario, verdict);
            result.cause = Some(Cause::new("environment", failure.to_string()));
            result
        })
        .collect()
}

/// A result with nothing but the scenario and the way to run it again.
fn blank(report: &str, cell: &str, scenario: &ScenarioInstance, verdict: Verdict) -> CaseResult {
    let mut result = CaseResult::new(&scenario.id, &scenario.title, verdict);
    result.params = scenario.parameters.clone().into_iter().collect();
    result.repro = format!("./sandproof repro '{report}#{cell}/{}'", scenario.key);
    result
}

/// A failed check as a sentence, with the reason why it matters.
fn sentence(check: &sandproof_scenarios::FailedCheck) -> String {
    match &check.because {
        Some(because) => format!("{check} ({because})"),
        None => check.to_string(),
    }
}

fn is_red(judgement: &Judgement) -> bool {
    judgement.verdict != Verdict::Pass && !judgement.expected
}

/// Creates the scenario's namespace.
async fn open(scene: &Scene) -> Result<(), Failure> {
    if scene.stage.subject.namespace().is_some() {
        return Ok(());
    }
    let tried = format!("create the namespace {}", scene.namespace);
    let mut namespace = json!({
        "metadata": { "name": scene.namespace, "labels": { "sandproof.dev/scenario": label(&scene.key) } },
    });
    scene.stage.place.label(&mut namespace);
    let namespace: Namespace =
        serde_json::from_value(namespace).map_err(|error| Failure::environment(&tried, error))?;
    Api::all(scene.stage.client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .map(drop)
        .map_err(|error| Failure::environment(&tried, error))
}

/// A secret that existed and that the kubelet nevertheless could not read: what follows from it says nothing about the subject.
fn unread_secret(scene: &Scene) -> Option<String> {
    // Secrets are in this namespace only.
    scene.stage.state.events(&scene.namespace).into_iter().find_map(|event| {
        if event.reason != "FailedToRetrieveImagePullSecret" {
            return None;
        }
        let seen: jiff::Timestamp = event.at.parse().ok()?;
        // Names stand in parentheses, and the time of an event has whole seconds.
        let names = event.message.split_once('(')?.1.split_once(')')?.0.to_owned();
        let unread = names.split(", ").find(|name| {
            let created = scene.secrets.get(*name);
            created.is_some_and(|created| seen.as_second() > created.as_second() + 1)
        })?;
        Some(format!("the kubelet could not read the secret {unread}, which exists: {}", event.message))
    })
}

/// Asks for the namespace's end; the cell's deletion is what clean-up relies on.
async fn close(scene: &mut Scene) {
    if scene.stage.subject.namespace().is_some() {
        steps::clear(scene).await;
        return;
    }
    let api: Api<Namespace> = Api::all(scene.stage.client.clone());
    for namespace in scene.namespaces() {
        match api.delete(&namespace, &DeleteParams::background()).await {
            Ok(_) => {}
            // A workspace need not have had a namespace, and the driver may have deleted it.
            Err(kube::Error::Api(status)) if status.code == 404 && namespace != scene.namespace => {}
            Err(error) => {
                scene
                    .stage
                    .events
                    .emit(Event::Warning { text: format!("cannot delete the namespace {namespace}: {error}") });
            }
        }
    }
}

fn seen(scene: &Scene, judgement: &Judgement, error: Option<&StepError>, driver_log: Option<&str>) -> Seen {
    let state = &scene.stage.state;
    let requests = scene.images.values().flat_map(|image| {
        scene.stage.registry.requests(&image.repository).into_iter().filter(|record| !record.by_harness()).map(
            |record| {
                let who = record.user.as_ref().or(record.credentials_presented.as_ref());
                SeenRequest {
                    at: record.at,
                    what: format!(
                        "{} {} {}",
                        record.method,
                        request_kind(record.kind),
                        record.reference.as_deref().unwrap_or_default()
                    )
                    .trim_end()
                    .to_owned(),
                    who: who.map_or_else(|| "anonymous".to_owned(), |login| scene.step_name_of(login)),
                    status: record.status.unwrap_or_default(),
                }
            },
        )
    });
    let driver = scene.driver_name.as_ref().and_then(|name| scene.observations.get(name));
    let serves = driver.is_some_and(|driver| driver["running"] == true);
    Seen {
        failed: judgement
            .failed
            .iter()
            .map(|check| FailedCheck { at: check.at.clone(), text: sentence(check) })
            .collect(),
        pods: scene.pods(state).iter().map(|pod| (**pod).clone()).collect(),
        events: scene.events(state),
        calls: scene.driver.as_ref().map(|driver| driver.calls().to_vec()).unwrap_or_default(),
        requests: requests.collect(),
        // What a driver that serves has logged explains nothing.
        driver_log: driver_log
            .filter(|_| !serves)
            .map(|log| log.lines().map(str::to_owned).collect())
            .unwrap_or_default(),
        step_error: error.map(ToString::to_string),
    }
}

fn write(out: &Utf8Path, directory: &str, files: Vec<(&str, String)>) -> Vec<String> {
    let target = out.join(directory);
    if fs_err::create_dir_all(&target).is_err() {
        return Vec::new();
    }
    files
        .into_iter()
        .filter(|(name, content)| fs_err::write(target.join(name), content).is_ok())
        .map(|(name, _)| format!("{directory}/{name}"))
        .collect()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// A key as a file name: `PS-02[registry=plain]` as `PS-02-registry-plain`.
fn file_name(key: &str) -> String {
    let mut name: String = key
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() || "-_.".contains(character) { character } else { '-' })
        .collect();
    while name.ends_with('-') {
        name.pop();
    }
    name
}

/// A key as a label value: at most 63 characters.
fn label(key: &str) -> String {
    let mut value: String = file_name(key).chars().take(63).collect();
    while value.ends_with(['-', '.', '_']) {
        value.pop();
    }
    value
}

fn request_kind(kind: RequestKind) -> &'static str {
    match kind {
        RequestKind::Manifest => "manifest",
        RequestKind::Blob => "blob",
        RequestKind::Token => "token",
        RequestKind::Ping => "ping",
        RequestKind::Other => "request",
    }
}
