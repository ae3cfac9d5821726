//! The schemas that are shipped are those of the code.

use camino::Utf8Path;

use crate::schema;

/// Set this to write the schemas instead of comparing them.
const UPDATE: &str = "SANDPROOF_UPDATE_SCHEMAS";

fn agrees(file: &str, schema: &schemars::Schema) {
    let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(file);
    let expected = schema::text(schema);
    if std::env::var_os(UPDATE).is_some() {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, &expected).unwrap();
    }
    let found = fs_err::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{path} is out of date; run the test with {UPDATE}=1 and commit the file");
}

#[test]
fn of_scenarios() {
    agrees("scenario.v1.json", &schema::scenario());
}

#[test]
fn of_subject_profiles() {
    agrees("subject-profile.v1.json", &schema::subject_profile());
}

#[test]
fn of_expectations() {
    agrees("expectations.v1.json", &schema::expectations());
}
