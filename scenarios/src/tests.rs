mod catalogue;
mod diagnostics;
mod judgements;
mod proposals;
mod rows;
mod schemas;
mod suite;

/// A diagnostic as a terminal without colours shows it.
pub(crate) fn rendered(diagnostic: &dyn miette::Diagnostic) -> String {
    let mut text = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
        .with_width(110)
        .render_report(&mut text, diagnostic)
        .unwrap();
    text
}

/// A suite of scenarios with these IDs, each with a result for every value of the parameter `registry`.
pub(crate) fn suite_of(scenarios: &[(&str, &[&str])]) -> crate::Suite {
    let text = |id: &str, registries: &[&str]| {
        let sets: Vec<String> = registries.iter().map(|registry| format!("  - {{registry: {registry}}}\n")).collect();
        let (parameters, use_of_them) = match registries {
            [] => (String::new(), "t".to_owned()),
            _ => (format!("parameters:\n{}", sets.concat()), "'${param.registry}'".to_owned()),
        };
        format!(
            "id: {id}\ntitle: {use_of_them}\npromise: p\nsource: s\n{parameters}steps:\n  - quiet: {{for: 1s}}\nexpect:\n  - {{at: quiet.seconds, atLeast: 0}}\n"
        )
    };
    let texts: Vec<_> =
        scenarios.iter().map(|(id, registries)| (format!("suite/{id}-it.yaml").into(), text(id, registries))).collect();
    match crate::Suite::from_texts(&texts, &[]) {
        Ok(suite) => suite,
        Err(errors) => panic!("{}", rendered(&errors)),
    }
}
