//! The JSON schema of the record, committed as `schema/report.v1.json`.

use schemars::Schema;

use crate::Record;

/// The JSON schema of [`Record`], made from the types themselves.
pub fn schema() -> Schema {
    let mut schema = schemars::schema_for!(Record);
    schema.insert("title".to_owned(), "sandproof report".into());
    if let Some(field) = schema.pointer_mut("/properties/schema").and_then(serde_json::Value::as_object_mut) {
        field.insert("const".to_owned(), crate::SCHEMA.into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    #[test]
    fn the_committed_schema_is_the_one_of_the_types() {
        let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/report.v1.json");
        let made = format!("{}\n", serde_json::to_string_pretty(&super::schema()).unwrap());
        if std::env::var_os("SANDPROOF_BLESS").is_some_and(|value| value == "1") {
            fs_err::write(&path, &made).unwrap();
        }
        let committed = fs_err::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == made,
            "{path} differs from the types: run SANDPROOF_BLESS=1 cargo test -p sandproof-reports, and read the difference: \
             a change that an existing reader cannot take needs a new schema string",
        );
    }
}
