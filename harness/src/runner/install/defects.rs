//! An installation of Agent Sandbox with a defect, so that the scenarios about it can be shown to notice.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition,
};
use kube::Client;
use sandproof_protocol::faults::Defect;

use super::definition::{Definition, NEWEST_FIRST, also_serve, changed};
use crate::failure::Failure;

/// Gives the installed definition these defects, and waits until the API server goes by them.
pub(crate) async fn spoil(client: &Client, defects: &[Defect]) -> Result<(), Failure> {
    if defects.is_empty() {
        return Ok(());
    }
    let spoil =
        |definition: &mut CustomResourceDefinition| defects.iter().try_for_each(|defect| spoilt(definition, *defect));
    changed(client, "change the definition of the Sandbox", spoil).await.map(drop)
}

/// Whether a definition can have these defects: what converts nothing cannot stop doing so.
pub(crate) fn can_have(definition: &Definition, defects: &[Defect]) -> bool {
    let mut definition = definition.0.clone();
    defects.iter().all(|defect| spoilt(&mut definition, *defect).is_ok())
}

/// The definition with the defect, or why it cannot have it.
fn spoilt(definition: &mut CustomResourceDefinition, defect: Defect) -> Result<(), &'static str> {
    match defect {
        Defect::ServesAnotherVersion => {
            let is_new = |name: &&&str| definition.spec.versions.iter().all(|version| version.name != **name);
            let another = NEWEST_FIRST.iter().rfind(is_new).ok_or("it serves every version that there is")?;
            also_serve(definition, another)?;
        }
        Defect::ConvertsNothing => {
            let conversion = &mut definition.spec.conversion;
            if conversion.as_ref().is_none_or(|conversion| conversion.strategy != "Webhook") {
                return Err("it has no converter");
            }
            *conversion = Some(CustomResourceConversion { strategy: "None".to_owned(), webhook: None });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn definition(versions: &[&str], strategy: &str) -> CustomResourceDefinition {
        let last = versions.len() - 1;
        let versions: Vec<Value> = versions
            .iter()
            .enumerate()
            .map(|(position, name)| json!({ "name": name, "served": true, "storage": position == last }))
            .collect();
        let names = json!({ "kind": "Sandbox", "plural": "sandboxes" });
        serde_json::from_value(json!({
            "spec": {
                "group": "agents.x-k8s.io", "names": names, "scope": "Namespaced", "versions": versions,
                "conversion": { "strategy": strategy },
            },
        }))
        .unwrap()
    }

    #[rstest]
    #[case::a_removed_one(&["v1beta1"], Ok("v1alpha1"))]
    #[case::a_later_one(&["v1alpha1"], Ok("v1beta1"))]
    #[case::none_left(&["v1alpha1", "v1beta1"], Err("it serves every version that there is"))]
    fn a_version_that_the_release_does_not_serve(#[case] versions: &[&str], #[case] added: Result<&str, &'static str>) {
        let mut changed = definition(versions, "None");
        let outcome = spoilt(&mut changed, Defect::ServesAnotherVersion);
        assert_eq!(outcome, added.map(drop));
        if let Ok(added) = added {
            let all = &changed.spec.versions;
            assert_eq!(json!(all[all.len() - 1]), json!({ "name": added, "served": true, "storage": false }));
        }
    }

    #[rstest]
    #[case("Webhook", Ok(()))]
    #[case("None", Err("it has no converter"))]
    fn nothing_converts(#[case] strategy: &str, #[case] expected: Result<(), &'static str>) {
        let mut changed = definition(&["v1alpha1", "v1beta1"], strategy);
        assert_eq!(spoilt(&mut changed, Defect::ConvertsNothing), expected);
        assert_eq!(changed.spec.conversion.unwrap().strategy, "None");
    }
}
