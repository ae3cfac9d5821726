//! The JSON schemas of scenario files and of expectations, for editors.

use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::expectations::ExpectationsFile;
use crate::language::ScenarioFile;
use crate::subject_profile::SubjectProfileFile;

/// The schema of a scenario file. A value of a closed set may also be a parameter, so its schema allows `${param.NAME}`.
pub fn scenario() -> Schema {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<ScenarioFile>();
    AllowParameters.transform(&mut schema);
    schema
}

/// The schema of an expectations file.
pub fn expectations() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<ExpectationsFile>()
}

/// The schema of a subject profile.
pub fn subject_profile() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<SubjectProfileFile>()
}

/// A schema as the repository keeps it: indented, with a newline at the end.
pub fn text(schema: &Schema) -> String {
    format!("{:#}\n", schema.as_value())
}

#[derive(Debug, Clone)]
struct AllowParameters;

impl Transform for AllowParameters {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let choices = ["enum", "oneOf"].iter().find_map(|key| schema.get(*key)).and_then(Value::as_array);
        let only_words = choices.is_some_and(|choices| {
            choices.iter().all(|choice| choice.is_string() || choice.get("const").is_some_and(Value::is_string))
        });
        if only_words {
            let inner = schema.clone();
            *schema = schemars::json_schema!({"anyOf": [inner, parameter()]});
        }
    }
}

fn parameter() -> Value {
    json!({"type": "string", "pattern": "^\\$\\{param\\.[^}]+\\}$"})
}
