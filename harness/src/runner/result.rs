//! One scenario from its namespace to its verdict.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::registry::RequestKind;
use sandproof_reports::{CaseResult, Cause, ChainLink, Verdict};
use sandproof_scenarios::{Expectations, Facts, Judgement, Observations, ScenarioInstance, judge, judge_beforehand};
use serde_json::{Value, json};

use super::{
    leftovers::{self, Leftover, Shared},
    limits::Limits,
    namespace,
    spent::{self, Party, Spent, waiting},
};
use crate::{
    causes::{self, FailedCheck, Seen, SeenRequest},
    cli::Keep,
    events::Event,
    failure::Failure,
    scene::{Scene, Stage},
    steps::{self, DriverLogs, StepError, driver_logs},
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
    /// What the order of the results was drawn from.
    pub(crate) seed: u32,
    /// The identities of the scenarios that have ended and whose namespaces may still be going, by their keys.
    pub(crate) going: Mutex<BTreeMap<String, Vec<String>>>,
}

/// The rule that a cause names where an expectation excused it until its last day was over.
const EXPIRED: &str = "expectation-expired";

/// What one attempt gave.
struct Attempt {
    judgement: Judgement,
    seen: Seen,
    evidence: Vec<String>,
    leftovers: Vec<Leftover>,
}

/// What all of them gave.
struct Attempts {
    /// Those that were red, or that left something behind.
    earlier: Vec<Attempt>,
    last: Attempt,
}

impl Attempt {
    /// Whether it says something of the subject.
    fn is_judged(&self) -> bool {
        !self.judgement.verdict.leaves_open()
    }
}

impl Attempts {
    fn count(&self) -> u32 {
        u32::try_from(self.earlier.len() + 1).unwrap_or(u32::MAX)
    }
}

impl Bench {
    /// The same on a stage that differs, with evidence of its own; its cluster is the same, and nothing is tried twice.
    pub(crate) fn on(&self, stage: Stage, out: Utf8PathBuf) -> Self {
        Self {
            stage: Arc::new(stage),
            facts: self.facts.clone(),
            limits: self.limits.clone(),
            expectations: Arc::clone(&self.expectations),
            out,
            retries: 0,
            keep: Keep::Never,
            report: self.report.clone(),
            seed: self.seed,
            going: Mutex::default(),
        }
    }

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
        let (attempts, spent) = spent::measured(Box::pin(self.attempts(scenario, position))).await;
        let Attempts { earlier, last } = &attempts;
        let mut result = self.blank(scenario, last.judgement.verdict);
        result.expected = last.judgement.expected;
        result.attempts = attempts.count();
        result.seconds = started.elapsed().as_secs_f64();
        if last.judgement.verdict != Verdict::Pass {
            result.cause = Some(cause(last, earlier.iter().rev().find(|attempt| attempt.is_judged())));
        }
        // What a later attempt shows explains nothing of an earlier one.
        result.evidence = earlier.iter().chain([last]).flat_map(|attempt| attempt.evidence.iter().cloned()).collect();
        leftovers::redden(&mut result, &last.leftovers);
        self.finished(scenario, &result, spent);
        result
    }

    /// Tries a scenario as often as retries allow, until it is not red.
    async fn attempts(&self, scenario: &ScenarioInstance, position: usize) -> Attempts {
        let last = Box::pin(self.attempt(scenario, position, 1, 1)).await;
        let mut attempts = Attempts { earlier: Vec::new(), last };
        let again = |last: &Attempt| is_red(&last.judgement) || !last.leftovers.is_empty();
        while attempts.count() <= u32::from(self.retries) && again(&attempts.last) && !self.stage.halt.is_cancelled() {
            // What the environment spoilt was no attempt of the subject's.
            let judged = attempts.earlier.iter().chain([&attempts.last]).filter(|attempt| attempt.is_judged()).count();
            let judged = u32::try_from(judged).unwrap_or(u32::MAX);
            let next = Box::pin(self.attempt(scenario, position, attempts.count() + 1, judged + 1)).await;
            attempts.earlier.push(std::mem::replace(&mut attempts.last, next));
        }
        attempts
    }

    /// Waits until the namespaces of the results are gone, and turns those results red that leave theirs behind.
    pub(crate) async fn settle(&self, results: &mut [CaseResult]) {
        let going = std::mem::take(&mut *self.going.lock().unwrap_or_else(PoisonError::into_inner));
        if !self.stage.halt.is_cancelled() {
            let stage = &self.stage;
            leftovers::settle(&stage.client, &stage.events, &stage.cell, &going, results).await;
        }
    }

    /// What all scenarios share, where it can be read and this is the only run on the cluster.
    pub(crate) async fn shared(&self) -> Option<Shared> {
        if self.stage.place.is_guest() {
            return None;
        }
        match Shared::read(&self.stage.client).await {
            Ok(shared) => Some(shared),
            Err(error) => {
                let text = format!(
                    "what all scenarios share could not be read, so what is changed of it is not found: {error}"
                );
                self.stage.events.emit(Event::Warning { text });
                None
            }
        }
    }

    fn finished(&self, scenario: &ScenarioInstance, result: &CaseResult, spent: Spent) {
        self.stage.events.emit(Event::ScenarioFinished {
            cell: self.stage.cell.clone(),
            scenario: scenario.key.clone(),
            verdict: result.verdict,
            expected: result.expected,
            seconds: result.seconds,
            spent,
            summary: result.cause.as_ref().map(|cause| cause.summary.clone()).unwrap_or_default(),
        });
    }

    /// The result of a scenario that is left out here for a reason stated beforehand.
    fn skipped(&self, scenario: &ScenarioInstance, expected: bool, reason: String) -> CaseResult {
        let mut result = self.blank(scenario, Verdict::Skipped);
        result.expected = expected;
        result.cause = Some(Cause::new("skipped", reason));
        self.finished(scenario, &result, Spent::new());
        result
    }

    /// The result of a scenario that was not run.
    pub(crate) fn not_run(&self, scenario: &ScenarioInstance, why: &str) -> CaseResult {
        let mut result = self.blank(scenario, Verdict::NotRun);
        result.cause = Some(Cause::new("not-run", why));
        result
    }

    fn blank(&self, scenario: &ScenarioInstance, verdict: Verdict) -> CaseResult {
        blank(&self.report, &self.stage.cell, scenario, verdict, self.seed)
    }

    /// One attempt: the `count`th, and among those that say something of the subject the `judged`th.
    async fn attempt(&self, scenario: &ScenarioInstance, position: usize, count: u32, judged: u32) -> Attempt {
        let suffix = if count == 1 { String::new() } else { format!("-{count}") };
        let name = format!("{}-{position}{suffix}", scenario.id.to_ascii_lowercase());
        let identity = self.stage.place.namespace(&name);
        // Nothing runs beside it, so whatever changes is its doing.
        let before = if scenario.alone { waiting(Party::Cluster, self.shared()).await } else { None };
        let mut scene = Scene::new(Arc::clone(&self.stage), &scenario.key, identity);
        let mut verb = "";
        let opened = tokio::select! {
            opened = waiting(Party::Cluster, namespace::open(&scene)) => Some(opened),
            () = self.stage.halt.cancelled() => None,
        };
        let error = match opened {
            None => Some(StepError::Interrupted),
            Some(Ok(())) => steps::carry_out(&mut scene, &scenario.steps, &mut verb).await.err(),
            Some(Err(failure)) => Some(StepError::Environment {
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
        let mut judgement = judge(scenario, &observations, &self.facts, &self.expectations, judged);
        if matches!(error, Some(StepError::Interrupted)) && observations.environment_error.is_none() {
            judgement.verdict = Verdict::NotRun;
            judgement.expected = false;
            "the run was interrupted while it ran".clone_into(&mut judgement.summary);
        }
        if judgement.verdict != Verdict::NotRun
            && is_red(&judgement)
            && observations.environment_error.is_none()
            && let Some(reason) = self.stage.lost().await
        {
            observations.environment_error = Some(reason);
            judgement = judge(scenario, &observations, &self.facts, &self.expectations, judged);
        }
        let logs = driver_logs(&mut scene).await;
        let seen = seen(&scene, &judgement, error.as_ref(), logs.current());
        let evidence = self.collect(&scene, scenario, &judgement, logs, count);
        // What comes next on this cluster must find it as it was; where nothing does, it goes with the cluster.
        if !self.stage.halt.is_cancelled()
            && let Err(error) = waiting(Party::Cluster, Box::pin(steps::restore(&mut scene))).await
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
        let leftovers =
            if stays { Vec::new() } else { waiting(Party::Cluster, Box::pin(self.clean_up(&mut scene, before))).await };
        Attempt { judgement, seen, evidence, leftovers }
    }

    /// Removes what the scenario made, and looks for what is left of it nevertheless.
    async fn clean_up(&self, scene: &mut Scene, before: Option<Shared>) -> Vec<Leftover> {
        let namespace::Closed { mut left, seen } = namespace::close(scene).await;
        // Of a cluster that is broken or about to go nothing can be said.
        if !self.stage.halt.is_cancelled() {
            left.extend(leftovers::after(scene, seen, before.as_ref()).await);
            let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
            going.entry(scene.key.clone()).or_default().push(scene.identity.clone());
        }
        left
    }

    /// Writes the evidence; the paths it returns are relative to the run's directory.
    fn collect(
        &self,
        scene: &Scene,
        scenario: &ScenarioInstance,
        judgement: &Judgement,
        logs: DriverLogs,
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
        let calls = scene.calls();
        if !calls.is_empty() {
            files.push(("calls.json", pretty(&json!(calls))));
        }
        let mut files: Vec<(String, String)> = files.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        files.extend(logs.files);
        write(&self.out, &directory, files)
    }
}

/// The results of scenarios that could not be run, because of `failure`.
pub(crate) fn unjudged(
    report: &str,
    cell: &str,
    scenarios: &[ScenarioInstance],
    failure: &Failure,
    seed: u32,
) -> Vec<CaseResult> {
    let interrupted = matches!(failure, Failure::Interrupted { .. });
    let verdict = if interrupted { Verdict::NotRun } else { Verdict::Error };
    scenarios
        .iter()
        .map(|scenario| {
            let mut result = blank(report, cell, scenario, verdict, seed);
            result.cause = Some(Cause::new("environment", failure.to_string()));
            result
        })
        .collect()
}

/// A result with nothing but the scenario and the way to run it again.
fn blank(report: &str, cell: &str, scenario: &ScenarioInstance, verdict: Verdict, seed: u32) -> CaseResult {
    let mut result = CaseResult::new(&scenario.id, &scenario.title, verdict);
    result.params = scenario.parameters.clone().into_iter().collect();
    result.repro = format!("./sandproof repro '{report}#{cell}/{}' --seed {seed}", scenario.key);
    result
}

/// Why an attempt is no pass. `before` is the one that was not passed before one that was.
fn cause(attempt: &Attempt, before: Option<&Attempt>) -> Cause {
    let Attempt { judgement, seen, .. } = attempt;
    // What was seen explains a promise that was not kept; why a verdict is another one the judge says.
    let of_judge = |rule: &str| Cause::new(rule, &judgement.summary);
    match judgement.verdict {
        Verdict::Error => return Cause { chain: causes::find(seen).chain, ..of_judge("environment") },
        Verdict::NotRun => return of_judge("not-run"),
        Verdict::UnexpectedPass => return of_judge("unexpected-pass"),
        Verdict::Flaky => {
            let found = before.map(|before| causes::find(&before.seen));
            let found = found.unwrap_or_else(|| of_judge("flaky"));
            let summary = format!("{}; before that: {}", judgement.summary, found.summary);
            return Cause { rule: "flaky".to_owned(), summary, chain: found.chain };
        }
        _ => {}
    }
    let mut cause = causes::find(seen);
    if !judgement.summary.is_empty() && judgement.expected {
        cause.summary.clone_from(&judgement.summary);
    }
    let row = judgement.expectation.as_ref().filter(|row| row.expired && !judgement.expected);
    if let Some(row) = row {
        EXPIRED.clone_into(&mut cause.rule);
        cause.summary.clone_from(&judgement.summary);
        let until = row.expires.as_deref().unwrap_or("a day that is over");
        cause.chain.insert(0, ChainLink::new("expectation", format!("until {until}: {}", row.reason)));
    }
    cause
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
            .map(|check| FailedCheck {
                at: check.at.clone(),
                found: check.found.clone(),
                text: sentence(check),
                is_of_watch: is_of_watch(scene, &check.at),
            })
            .collect(),
        pods: scene.pods(state).iter().map(|pod| (**pod).clone()).collect(),
        sandboxes: scene.sandbox_objects(state).iter().map(|sandbox| (**sandbox).clone()).collect(),
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

/// Whether a check looks at whether the driver's watch told something; being ready is more than the watch's affair.
fn is_of_watch(scene: &Scene, at: &str) -> bool {
    let Some((name, "reached")) = at.split_once('.') else { return false };
    let until = scene.observations.get(name).and_then(|observation| observation["until"].as_str());
    matches!(until, Some("deleted" | "sandbox" | "platform"))
}

fn write(out: &Utf8Path, directory: &str, files: Vec<(String, String)>) -> Vec<String> {
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
pub(super) fn file_name(key: &str) -> String {
    let mut name: String = key
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() || "-_.".contains(character) { character } else { '-' })
        .collect();
    while name.ends_with('-') {
        name.pop();
    }
    name
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
