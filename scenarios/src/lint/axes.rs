//! What a scenario says its result depends on, against what its conditions read.

use crate::expression::Expression;
use crate::language::{Axis, ScenarioInstance, Variation};
use crate::nearest::or_list;
use crate::source::{Document, Step as At};
use crate::suite_error::SuiteError;

/// Reports axes that `variesWith` lists twice, and combinations that are none.
pub(super) fn axes(instance: &ScenarioInstance, document: &Document, errors: &mut Vec<SuiteError>) {
    let mut listed: Vec<Axis> = Vec::new();
    for (position, entry) in instance.varies_with.iter().enumerate() {
        let at: [At; 2] = ["variesWith".into(), position.into()];
        if let Variation::Together(axes) = entry
            && axes.len() < 2
        {
            let error = document.error("a combination is of two axes or more".to_owned(), &at);
            errors.push(error.with_help("write the name of an axis without a list of its own for each of its values"));
        }
        for (inner, axis) in entry.axes().iter().enumerate() {
            if listed.contains(axis) {
                let within = matches!(entry, Variation::Together(_)).then(|| At::from(inner));
                let at: Vec<At> = at.iter().cloned().chain(within).collect();
                errors.push(document.error(format!("`{axis}` is listed twice"), &at));
            }
            listed.push(*axis);
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
