mod diagnostics;
mod judgements;
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
