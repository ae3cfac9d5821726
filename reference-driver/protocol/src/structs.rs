//! `google.protobuf.Struct` to JSON and back.
//!
//! A protobuf number is a 64-bit float; a whole number within ±2^53 becomes a JSON integer, so that `3` stays `3`.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Number, Value as Json};

/// The largest whole number a 64-bit float carries exactly.
const EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// The JSON object of a protobuf struct.
pub fn to_json(structure: &Struct) -> Map<String, Json> {
    structure.fields.iter().map(|(key, value)| (key.clone(), value_to_json(value))).collect()
}

/// The JSON value of a protobuf value; a value without a kind, and a number JSON cannot carry, is null.
pub fn value_to_json(value: &Value) -> Json {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(boolean)) => Json::Bool(*boolean),
        Some(Kind::NumberValue(number)) => number_to_json(*number),
        Some(Kind::StringValue(text)) => Json::String(text.clone()),
        Some(Kind::ListValue(list)) => Json::Array(list.values.iter().map(value_to_json).collect()),
        Some(Kind::StructValue(structure)) => Json::Object(to_json(structure)),
    }
}

/// The protobuf struct of a JSON object.
pub fn from_json(object: &Map<String, Json>) -> Struct {
    Struct { fields: object.iter().map(|(key, value)| (key.clone(), value_from_json(value))).collect() }
}

/// The protobuf value of a JSON value.
pub fn value_from_json(value: &Json) -> Value {
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(boolean) => Kind::BoolValue(*boolean),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(list) => Kind::ListValue(ListValue { values: list.iter().map(value_from_json).collect() }),
        Json::Object(object) => Kind::StructValue(from_json(object)),
    };
    Value { kind: Some(kind) }
}

fn number_to_json(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() <= EXACT_INTEGER {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within the exact range, as checked above")]
        return Json::Number(Number::from(number as i64));
    }
    Number::from_f64(number).map_or(Json::Null, Json::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i32>().prop_map(|number| json!(number)),
            ".{0,12}".prop_map(Json::String),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
                prop::collection::btree_map(".{0,8}", inner, 0..6)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_survives_the_way_there_and_back(value in any_json()) {
            prop_assert_eq!(value_to_json(&value_from_json(&value)), value);
        }

        #[test]
        fn every_float_becomes_json(number in any::<f64>()) {
            let json = value_to_json(&Value { kind: Some(Kind::NumberValue(number)) });
            prop_assert!(json.is_number() || json.is_null());
        }
    }

    #[test]
    fn a_value_without_a_kind_is_null() {
        assert_eq!(value_to_json(&Value { kind: None }), Json::Null);
    }
}
