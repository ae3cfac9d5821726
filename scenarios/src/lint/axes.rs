//! What a scenario says its result depends on, against what its conditions read.

use crate::expectations::when_expression;
use crate::language::{Axis, Check, ScenarioInstance};
use crate::nearest::or_list;
use crate::source::{Document, Step as At};
use crate::suite_error::SuiteError;

/// Reports conditions that read what can differ by an axis that `variesWith` does not list, and axes that it lists twice.
pub(super) fn axes(instance: &ScenarioInstance, document: &Document, errors: &mut Vec<SuiteError>) {
    for (position, axis) in instance.varies_with.iter().enumerate() {
        if instance.varies_with[..position].contains(axis) {
            errors.push(document.error(format!("`{axis}` is listed twice"), &["variesWith".into(), position.into()]));
        }
    }
    if let Some(applies) = &instance.applies {
        errors.extend(condition(instance, &applies.when, document, &["applies".into(), "when".into()]));
    }
    errors.extend(checks(instance, &instance.expect, document, &["expect".into()]));
    for (position, block) in instance.unsupported.iter().enumerate() {
        let at = |name: &str| vec!["unsupported".into(), position.into(), name.into()];
        errors.extend(condition(instance, &block.when, document, &at("when")));
        errors.extend(checks(instance, &block.refusal, document, &at("refusal")));
    }
}

fn checks(instance: &ScenarioInstance, checks: &[Check], document: &Document, at: &[At]) -> Vec<SuiteError> {
    let conditions = checks.iter().enumerate().filter_map(|(position, check)| Some((position, check.when.as_ref()?)));
    conditions
        .filter_map(|(position, when)| {
            condition(instance, when, document, &[at, &[position.into(), "when".into()]].concat())
        })
        .collect()
}

fn condition(instance: &ScenarioInstance, when: &str, document: &Document, at: &[At]) -> Option<SuiteError> {
    // What is wrong with the expression itself is found elsewhere.
    let expression = when_expression(when, Some(&instance.parameters)).ok()?;
    let left_out = |field: &str| -> Vec<&'static str> {
        let axes = Axis::of_fact(field).iter().filter(|axis| !instance.varies_with.contains(axis));
        axes.map(|axis| axis.name()).collect()
    };
    expression.fields().into_iter().find_map(|field| {
        let axes = left_out(field);
        (!axes.is_empty()).then(|| {
            let axes = or_list(axes);
            let message = format!("`{field}` can differ by {axes}, and `variesWith` says that the result does not");
            document
                .error(message, at)
                .with_help("list it under `variesWith`, or leave that out: then the result may depend on everything")
        })
    })
}
