//! An installation of Agent Sandbox with a defect, so that the scenarios about it can be shown to notice.

use kube::Client;
use sandproof_protocol::faults::Defect;
use serde_json::{Value, json};

use super::definition::{Definition, NEWEST_FIRST, replaced};
use crate::failure::Failure;

/// The definition as it was before it got its defects.
#[derive(Debug)]
pub(crate) struct Spoilt(Definition);

/// Gives the installed definition these defects, and waits until the API server goes by them; none if there are none.
pub(crate) async fn spoil(client: &Client, defects: &[Defect]) -> Result<Option<Spoilt>, Failure> {
    if defects.is_empty() {
        return Ok(None);
    }
    let before = Definition::read(client).await?;
    replaced(client, |definition| {
        for defect in defects {
            spoilt(definition, *defect)?;
        }
        Ok(())
    })
    .await?;
    Ok(Some(Spoilt(before)))
}

/// Whether the installed definition can have these defects: what converts nothing cannot stop doing so.
pub(crate) async fn can_have(client: &Client, defects: &[Defect]) -> Result<bool, Failure> {
    if defects.is_empty() {
        return Ok(true);
    }
    let mut definition = json!({ "spec": Definition::read(client).await?.spec()? });
    Ok(defects.iter().all(|defect| spoilt(&mut definition, *defect).is_ok()))
}

impl Spoilt {
    /// Puts the definition back.
    pub(crate) async fn mend(self, client: &Client) -> Result<(), Failure> {
        let before = self.0.spec()?;
        replaced(client, |definition| {
            definition["spec"] = before.clone();
            Ok(())
        })
        .await
        .map(drop)
    }
}

/// The definition with the defect, or why it cannot have it.
fn spoilt(definition: &mut Value, defect: Defect) -> Result<(), &'static str> {
    match defect {
        Defect::ServesAnotherVersion => {
            let versions = definition["spec"]["versions"].as_array_mut().ok_or("it has no versions")?;
            let name = |version: &Value| version["name"].as_str().unwrap_or_default().to_owned();
            let known: Vec<String> = versions.iter().map(name).collect();
            let another = NEWEST_FIRST.iter().rfind(|version| known.iter().all(|known| known != **version));
            let another = another.ok_or("it serves every version that there is")?;
            let mut copy =
                versions.iter().find(|version| version["storage"] == true).cloned().ok_or("it stores none")?;
            (copy["name"], copy["storage"], copy["served"]) = (json!(another), json!(false), json!(true));
            versions.push(copy);
        }
        Defect::ConvertsNothing => {
            if definition["spec"]["conversion"]["strategy"] != "Webhook" {
                return Err("it has no converter");
            }
            definition["spec"]["conversion"] = json!({ "strategy": "None" });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn definition(versions: &[&str], strategy: &str) -> Value {
        let last = versions.len() - 1;
        let versions: Vec<Value> = versions
            .iter()
            .enumerate()
            .map(|(position, name)| json!({ "name": name, "served": true, "storage": position == last }))
            .collect();
        json!({ "spec": { "versions": versions, "conversion": { "strategy": strategy } } })
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
            let all = changed["spec"]["versions"].as_array().unwrap();
            assert_eq!(all[all.len() - 1], json!({ "name": added, "served": true, "storage": false }));
        }
    }

    #[rstest]
    #[case("Webhook", Ok(()))]
    #[case("None", Err("it has no converter"))]
    fn nothing_converts(#[case] strategy: &str, #[case] expected: Result<(), &'static str>) {
        let mut changed = definition(&["v1alpha1", "v1beta1"], strategy);
        assert_eq!(spoilt(&mut changed, Defect::ConvertsNothing), expected);
        assert_eq!(changed["spec"]["conversion"]["strategy"], "None");
    }
}
