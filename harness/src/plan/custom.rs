//! A cell that the user puts together: `--custom-cell 'kubernetes=1.36 runtime=cri-o@1.34 gates.ImageVolume=on'`.

use sandproof_clusters::{
    components::{Axes, Pins, nearest, runtime_component, series},
    provider::Provider,
};

use super::cells::{PlannedCell, Point, planned, title};
use crate::failure::Failure;

/// What may stand before the `=`.
const KEYS: &str = "kubernetes, runtime, provider, agentSandbox, gates.NAME and kubeletGates.NAME";

/// The cell of a text. Whatever cannot be had is refused with what comes nearest; nothing is replaced in silence.
pub(crate) fn cell(text: &str, pins: &Pins, allow_skew: bool) -> Result<PlannedCell, Failure> {
    let axes = &pins.axes;
    let mut point = Point {
        kubernetes: axes.defaults.kubernetes.clone(),
        runtime: axes.defaults.runtime.clone(),
        agent_sandbox: axes.defaults.agent_sandbox.clone(),
        why: "asked for on the command line".to_owned(),
        ..Point::default()
    };
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        let Some((key, value)) = word.split_once('=') else {
            return Err(usage(format!("`{word}` in --custom-cell is not KEY=VALUE"), format!("the keys are {KEYS}")));
        };
        match key.split_once('.') {
            None if key == "kubernetes" => value.clone_into(&mut point.kubernetes),
            None if key == "provider" => point.provider = provider(value)?,
            None if key == "agentSandbox" => value.clone_into(&mut point.agent_sandbox),
            None if key == "runtime" => {
                let (name, version) = value.split_once('@').unwrap_or((value, ""));
                name.clone_into(&mut point.runtime);
                version.clone_into(&mut point.runtime_version);
            }
            Some(("gates", gate)) => {
                point.gates.insert(gate.to_owned(), switch(word, value)?);
            }
            Some(("kubeletGates", gate)) => {
                point.kubelet_gates.insert(gate.to_owned(), switch(word, value)?);
            }
            _ => return Err(usage(format!("`{key}` in --custom-cell is no axis"), format!("the keys are {KEYS}"))),
        }
    }
    in_a_node_of_kind(&mut point, text)?;
    resolve(&mut point, pins)?;
    for (gate, on) in point.gates.iter().chain(&point.kubelet_gates) {
        axes.check_gate(gate, *on, &point.minor).map_err(|error| usage(error.to_string(), gate_hint(axes, gate)))?;
    }
    let cell = planned(axes, point);
    match &cell.skew {
        Some(skew) if !allow_skew => Err(usage(
            format!("{} is outside of what its projects support: {skew}", cell.name.trim_end_matches(" · skew")),
            "add --allow-skew to run it all the same; reports mark it".to_owned(),
        )),
        _ => Ok(cell),
    }
}

/// Who may make a cell that the user puts together.
fn provider(name: &str) -> Result<Provider, Failure> {
    [Provider::Native, Provider::Kind].into_iter().find(|provider| provider.name() == name).ok_or_else(|| {
        usage(format!("`{name}` in --custom-cell makes no clusters"), "the providers are native and kind".to_owned())
    })
}

/// A node of kind has containerd 2: kind waits for its socket, loads images through it, and tells kubeadm of it.
fn in_a_node_of_kind(point: &mut Point, text: &str) -> Result<(), Failure> {
    if point.provider != Provider::Kind {
        return Ok(());
    }
    if !text.contains("runtime=") {
        "containerd".clone_into(&mut point.runtime);
    }
    if point.runtime != "containerd" || point.runtime_version.starts_with("1.") {
        return Err(usage(
            format!("a node of kind cannot have {} {}", title(&point.runtime), point.runtime_version),
            "its runtime is containerd 2; provider=native takes the others".to_owned(),
        ));
    }
    Ok(())
}

/// Turns what was asked for into pinned releases.
fn resolve(point: &mut Point, pins: &Pins) -> Result<(), Failure> {
    let axes = &pins.axes;
    let kubernetes = versions(pins, "kubernetes");
    point.kubernetes = release("kubernetes", "Kubernetes", &point.kubernetes, &kubernetes)?;
    point.minor = series(&point.kubernetes);
    let releases = versions(pins, "agent-sandbox");
    point.agent_sandbox = release("agentSandbox", "Agent Sandbox", &point.agent_sandbox, &releases)?;
    let known: Vec<&str> = match point.runtime.as_str() {
        "cri-o" => versions(pins, "cri-o"),
        "containerd" => [versions(pins, "containerd-1"), versions(pins, "containerd")].concat(),
        other => {
            return Err(usage(
                format!("`{other}` in --custom-cell is no container runtime"),
                "the runtimes are cri-o and containerd".to_owned(),
            ));
        }
    };
    let own = axes.minor(&point.minor).and_then(|axis| axis.runtime(&point.runtime));
    point.runtime_version = match (point.runtime_version.is_empty(), own) {
        (true, Some(own)) => own.to_owned(),
        (true, None) => {
            let name = title(&point.runtime);
            return Err(usage(
                format!("no {name} is pinned for Kubernetes {}", point.minor),
                format!("name one: runtime={}@VERSION, of {}", point.runtime, known.join(", ")),
            ));
        }
        (false, _) => {
            let key = format!("runtime={}@", point.runtime);
            release(&key, title(&point.runtime), &point.runtime_version, &known)?
        }
    };
    debug_assert!(pins.component(runtime_component(&point.runtime, &point.runtime_version)).is_some());
    Ok(())
}

/// The pinned release that is meant: the very one, or the newest of a series.
fn release(key: &str, name: &str, wanted: &str, known: &[&str]) -> Result<String, Failure> {
    let wanted = wanted.trim_start_matches('v');
    let of_series = known.iter().rev().find(|version| series(version) == wanted);
    if let Some(found) = known.iter().find(|version| **version == wanted).or(of_series) {
        return Ok((*found).to_owned());
    }
    let key = if key.ends_with('@') { key.to_owned() } else { format!("{key}=") };
    let hint = match nearest(wanted, known.iter().copied()) {
        Some(nearest) => format!("the nearest that is: {key}{nearest}; all of them: {}", known.join(", ")),
        None => "no release of it is pinned".to_owned(),
    };
    Err(usage(format!("{name} {wanted} is not pinned in clusters/pins.yaml"), hint))
}

fn versions<'a>(pins: &'a Pins, component: &str) -> Vec<&'a str> {
    pins.component(component).map(|pin| pin.versions.iter().map(String::as_str).collect()).unwrap_or_default()
}

fn switch(word: &str, value: &str) -> Result<bool, Failure> {
    match value {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(usage(format!("`{word}` in --custom-cell is neither on nor off"), "write =on or =off".to_owned())),
    }
}

/// Where a gate can be switched.
fn gate_hint(axes: &Axes, gate: &str) -> String {
    let free: Vec<&str> = axes
        .kubernetes
        .iter()
        .map(|axis| axis.minor.as_str())
        .filter(|minor| axes.gate(gate, minor).is_some_and(|stage| !stage.locked))
        .collect();
    if free.is_empty() {
        return format!("the gates are {}", axes.gates.keys().cloned().collect::<Vec<_>>().join(", "));
    }
    format!("it can be switched in {}", free.join(", "))
}

fn usage(message: String, hint: String) -> Failure {
    Failure::usage(message, hint)
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use rstest::rstest;

    use super::*;

    fn pins() -> Pins {
        Pins::load(Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../clusters/pins.yaml")).unwrap()
    }

    #[rstest]
    #[case("", "k1.36-crio1.36-native")]
    #[case("kubernetes=1.34 gates.ImageVolume=on", "k1.34-crio1.34-native-imagevolume-on")]
    #[case("kubernetes=1.35.8,runtime=containerd@1.7", "k1.35-containerd1.7-native")]
    #[case("kubernetes=v1.36 agentSandbox=0.5", "k1.36-crio1.36-native-as0.5")]
    #[case("provider=kind", "k1.36-containerd2.3-kind")]
    #[case(
        "provider=kind kubernetes=1.34 gates.ImageVolume=on runtime=containerd@2.2",
        "k1.34-containerd2.2-kind-imagevolume-on"
    )]
    #[case(
        "kubernetes=1.34 gates.ImageVolume=true kubeletGates.ImageVolume=false",
        "k1.34-crio1.34-native-imagevolume-apiserver-only"
    )]
    fn a_cell_is_put_together(#[case] text: &str, #[case] id: &str) {
        assert_eq!(cell(text, &pins(), false).unwrap().id, id);
    }

    #[rstest]
    #[case("kubernetes=1.36.9", "Kubernetes 1.36.9 is not pinned", "kubernetes=1.36.4")]
    #[case("kubernetes=1.30", "Kubernetes 1.30 is not pinned", "kubernetes=1.31.1")]
    #[case("kubernetes=1.36 gates.ImageVolume=off", "locked to true in Kubernetes 1.36", "1.34, 1.35")]
    #[case("gates.ImageVolum=on", "nothing is known of the feature gate `ImageVolum`", "ImageVolume")]
    #[case("runtime=cri-o@1.34", "CRI-O 1.34 is released for Kubernetes 1.34", "--allow-skew")]
    #[case("runtime=docker", "`docker` in --custom-cell is no container runtime", "containerd")]
    #[case("kubernetes=1.31", "no CRI-O is pinned for Kubernetes 1.31", "runtime=cri-o@VERSION")]
    #[case("kubernets=1.36", "`kubernets` in --custom-cell is no axis", "kubernetes, runtime")]
    #[case("provider=kind runtime=cri-o", "a node of kind cannot have CRI-O", "containerd 2")]
    #[case("provider=k3d", "`k3d` in --custom-cell makes no clusters", "native and kind")]
    #[case("kubernetes", "`kubernetes` in --custom-cell is not KEY=VALUE", "KEY")]
    #[case("gates.ImageVolume=perhaps", "neither on nor off", "=on or =off")]
    fn what_cannot_be_had_is_refused(#[case] text: &str, #[case] message: &str, #[case] hint: &str) {
        let failure = cell(text, &pins(), false).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        let shown = format!("{failure:?}");
        assert!(shown.contains(message), "{shown}");
        assert!(hint == "KEY" || shown.contains(hint), "{shown}");
    }

    #[test]
    fn a_skew_that_is_asked_for_is_marked() {
        let cell = cell("runtime=cri-o@1.34", &pins(), true).unwrap();
        assert!(cell.name.ends_with(" · skew"), "{}", cell.name);
        assert!(cell.skew.is_some());
    }
}
