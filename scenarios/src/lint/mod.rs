//! Faults that can be found without a cluster: names that lead nowhere, and what can never hold.

mod axes;
mod checks;
mod limits;
mod names;

use crate::language::ScenarioInstance;
use crate::source::Document;
use crate::suite_error::SuiteError;

/// The faults of one instance; `document` is the file it was read from.
pub(crate) fn instance(instance: &ScenarioInstance, document: &Document) -> Vec<SuiteError> {
    let mut errors = Vec::new();
    if instance.steps.is_empty() {
        errors.push(document.error("a scenario without steps observes nothing", &["steps".into()]));
    }
    if instance.expect.is_empty() {
        let error = document.error("a scenario that expects nothing proves nothing", &["expect".into()]);
        errors.push(error.with_help("write at least one check"));
    }
    let observed = names::steps(instance, document, &mut errors);
    checks::expect(instance, &observed, document, &mut errors);
    axes::axes(instance, document, &mut errors);
    limits::limits(instance, &observed, document, &mut errors);
    errors
}
