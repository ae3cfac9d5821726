//! The order in which a cluster comes up.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use camino::Utf8Path;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{
    api::{Api, Connection},
    first_process::reached,
    log_tail,
    processes::{Ended, Reaper},
    report,
};
use crate::native::plan::{ComponentDeath, Event, INSIDE, Milestone, StartCondition, StartPlan, log_path};

/// First pause between two attempts to reach the API server; TCP offers nothing to watch.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(80);

/// Runs the components of `plan` for the rest of the cluster's life.
pub(super) async fn run(plan: StartPlan, began: Instant) {
    let (ended, mut endings) = mpsc::unbounded_channel();
    let (announce, point) = watch::channel(StartCondition::AtOnce);
    let mut running = HashMap::new();
    let reaper = Reaper::default();
    start(&plan, StartCondition::AtOnce, &reaper, &mut running);
    reaper.run(ended);
    report::send(&reached(Milestone::ComponentsStarted, began));
    let mut point = point;
    let coming_up = come_up(&plan, began, announce);
    tokio::pin!(coming_up);
    let mut up = false;
    loop {
        tokio::select! {
            // Start conditions first: a component is known before its end is.
            biased;
            changed = point.changed(), if !up => {
                if changed.is_ok() {
                    let condition = *point.borrow_and_update();
                    start(&plan, condition, &reaper, &mut running);
                }
            }
            result = &mut coming_up, if !up => {
                up = true;
                if let Err(reason) = result {
                    report::send(&Event::Failed { reason });
                }
            }
            Some(ended) = endings.recv() => mourn(ended, &mut running),
        }
    }
}

fn start(plan: &StartPlan, condition: StartCondition, reaper: &Reaper, running: &mut HashMap<i32, String>) {
    for component in plan.components.iter().filter(|component| component.start == condition) {
        match reaper.start(component, Utf8Path::new(INSIDE)) {
            Ok(pid) => {
                running.insert(pid, component.name.clone());
            }
            Err(reason) => report::send(&Event::Failed { reason }),
        }
    }
}

fn mourn(ended: Ended, running: &mut HashMap<i32, String>) {
    let Some(component) = running.remove(&ended.pid) else {
        return;
    };
    let (fatal, log_tail) = log_tail::read(&log_path(Utf8Path::new(INSIDE), &component));
    report::send(&Event::Died(ComponentDeath { component, status: ended.status, fatal, log_tail }));
}

/// Waits for the API server and creates the objects; follows the node meanwhile, which may be ready
/// before all of the API server is.
async fn come_up(plan: &StartPlan, began: Instant, announce: watch::Sender<StartCondition>) -> Result<(), String> {
    let api = Api::new(&plan.api)?;
    let serving = watch::Sender::new(false);
    let last = watch::Sender::new(String::new());
    let ready = async {
        let mut connection = connected(&api, &last).await;
        report::send(&reached(Milestone::ApiServing, began));
        let _ = announce.send(StartCondition::ApiServing);
        serving.send_replace(true);
        ready(&api, &mut connection, &last).await;
        report::send(&reached(Milestone::ApiReady, began));
        let _ = announce.send(StartCondition::ApiReady);
        connection
    };
    let create = async {
        let Ok(mut connection) = tokio::time::timeout(Duration::from_secs(plan.deadline_seconds), ready).await else {
            let seconds = plan.deadline_seconds;
            let last = last.borrow().clone();
            return Err(format!("the API server was not ready within {seconds} s; its last answer: {last}"));
        };
        for object in &plan.objects {
            connection.create(object).await?;
        }
        let _ = announce.send(StartCondition::ObjectsCreated);
        Ok(())
    };
    let follow = async {
        let _ = serving.subscribe().wait_for(|serving| *serving).await;
        follow_node(&api, &plan.node_name, began).await;
        Ok(())
    };
    tokio::try_join!(create, follow).map(|((), ())| ())
}

async fn connected(api: &Api, last: &watch::Sender<String>) -> Connection {
    let mut pause = FIRST_PAUSE;
    loop {
        match api.connect().await {
            Ok(connection) => return connection,
            Err(reason) => {
                last.send_replace(reason);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn ready(api: &Api, connection: &mut Connection, last: &watch::Sender<String>) {
    loop {
        match connection.get("/readyz").await {
            Ok((status, _)) if status.is_success() => return,
            Ok((status, body)) => {
                last.send_replace(format!("{status}: {}", unready(&body)));
            }
            Err(reason) => {
                last.send_replace(reason);
                *connection = connected(api, last).await;
            }
        }
        tokio::time::sleep(LONGEST_PAUSE).await;
    }
}

/// The checks that have not passed, from the lines of `/readyz`.
fn unready(body: &str) -> String {
    let failed: Vec<&str> = body.lines().filter(|line| line.starts_with("[-]")).collect();
    if failed.is_empty() { body.trim().to_owned() } else { failed.join("; ") }
}

/// Watches the node until it can take pods; a watch that ends is opened again.
async fn follow_node(api: &Api, node: &str, began: Instant) {
    let path = format!("/api/v1/nodes?watch=true&resourceVersion=0&fieldSelector=metadata.name%3D{node}");
    let mut seen = Vec::new();
    loop {
        let mut connection = connected(api, &watch::Sender::default()).await;
        if let Ok(mut watch) = connection.watch(&path).await {
            while let Ok(Some(event)) = watch.next().await {
                for milestone in node_milestones(&event["object"]) {
                    if !seen.contains(&milestone) {
                        seen.push(milestone);
                        report::send(&reached(milestone, began));
                    }
                }
                if seen.contains(&Milestone::Schedulable) {
                    return;
                }
            }
        }
        tokio::time::sleep(LONGEST_PAUSE).await;
    }
}

fn node_milestones(node: &Value) -> Vec<Milestone> {
    if node["kind"] != "Node" {
        return Vec::new();
    }
    let mut reached = vec![Milestone::NodeRegistered];
    let elements = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let ready = elements(&node["status"]["conditions"])
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    if ready {
        reached.push(Milestone::NodeReady);
        if elements(&node["spec"]["taints"]).is_empty() {
            reached.push(Milestone::Schedulable);
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_schedulable_when_ready_and_without_taints() {
        let node = |ready: &str, taints: Value| {
            json!({"kind": "Node", "spec": {"taints": taints},
                   "status": {"conditions": [{"type": "Ready", "status": ready}]}})
        };
        let taint = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]);
        assert_eq!(node_milestones(&node("False", taint.clone())), [Milestone::NodeRegistered]);
        assert_eq!(node_milestones(&node("True", taint)), [Milestone::NodeRegistered, Milestone::NodeReady]);
        assert_eq!(
            node_milestones(&node("True", Value::Null)),
            [Milestone::NodeRegistered, Milestone::NodeReady, Milestone::Schedulable]
        );
        assert!(node_milestones(&json!({"kind": "Status"})).is_empty());
    }

    #[test]
    fn the_checks_that_failed_are_named() {
        let body = "[+]ping ok\n[-]poststarthook/rbac failed: reason withheld\nreadyz check failed";
        assert_eq!(unready(body), "[-]poststarthook/rbac failed: reason withheld");
    }
}
