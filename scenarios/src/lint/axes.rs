//! What a scenario says its result depends on, against what its conditions read.

use crate::expression::Expression;
use crate::language::{Axis, ScenarioInstance};
use crate::nearest::or_list;
use crate::source::Document;
use crate::suite_error::SuiteError;

/// Reports axes that `variesWith` lists twice.
pub(super) fn axes(instance: &ScenarioInstance, document: &Document, errors: &mut Vec<SuiteError>) {
    for (position, axis) in instance.varies_with.iter().enumerate() {
        if instance.varies_with[..position].contains(axis) {
            errors.push(document.error(format!("`{axis}` is listed twice"), &["variesWith".into(), position.into()]));
        }
    }
}

/// The fault of a condition that reads what can differ by an axis that is not listed: a message, and what to do.
pub(super) fn left_out(condition: &Expression, listed: &[Axis]) -> Option<(String, &'static str)> {
    condition.fields().into_iter().find_map(|field| {
        let missing: Vec<Axis> = Axis::of_fact(field).iter().copied().filter(|axis| !listed.contains(axis)).collect();
        (!missing.is_empty()).then(|| {
            let axes = or_list(missing.into_iter().map(Axis::name));
            (
                format!("`{field}` can differ by {axes}, and `variesWith` says that the result does not"),
                "list it under `variesWith`, or leave that out: then the result may depend on everything",
            )
        })
    })
}
