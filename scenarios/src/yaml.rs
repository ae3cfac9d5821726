//! YAML as Kubernetes reads it.

use camino::Utf8Path;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::source::Document;
use crate::suite_error::SuiteErrors;

/// Reads one document. `0400` is octal, `yes` and `on` are true, as they are to Kubernetes;
/// merge keys (`<<`) are refused, because what a file says should stand where it applies.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
    };
    serde_saphyr::from_str_with_options(text, options)
}

/// Reads a file of any content; what is no YAML is shown with its line and a caret.
pub fn load(file: &Utf8Path) -> Result<Value, SuiteErrors> {
    let text = fs_err::read_to_string(file).map_err(|error| SuiteErrors::unreadable(file, &error))?;
    let document = Document::parse(file, &text).map_err(|error| SuiteErrors::from(vec![error]))?;
    Ok(document.value().clone())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case("0400", json!(256))]
    #[case("0o400", json!(256))]
    #[case("'0400'", json!("0400"))]
    #[case("yes", json!(true))]
    #[case("2024-01-01", json!("2024-01-01"))]
    #[case("1.35", json!(1.35))]
    #[case("v1.35", json!("v1.35"))]
    #[case("~", Value::Null)]
    fn scalars_are_what_kubernetes_takes_them_for(#[case] text: &str, #[case] expected: Value) {
        assert_eq!(from_str::<Value>(text).unwrap(), expected);
    }
}
