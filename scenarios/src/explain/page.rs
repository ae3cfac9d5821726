//! An explanation as a page: Markdown for the documentation, plain text for a terminal.

use std::fmt::Write as _;

use super::{Explanation, Part, length};

/// The form of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Markdown, with a heading for each section.
    Markdown,
    /// Plain text within so many columns.
    Terminal {
        /// The columns.
        width: usize,
    },
}

impl Explanation {
    /// The page. `fault` says what the reference driver does with a fault switched on.
    pub fn page(&self, form: Form, fault: &dyn Fn(&str) -> Option<String>) -> String {
        let mut page = Page { form, text: String::new(), below_heading: false };
        page.title(&format!("{}: {}", self.id, self.title));
        page.paragraph(&format!("The promise: {}.", self.promise.trim_end_matches('.')));
        page.paragraph(&format!("Where it comes from: {}.", self.source.trim_end_matches('.')));
        if !self.tags.is_empty() {
            page.paragraph(&format!("Tags: {}.", self.tags.join(", ")));
        }
        if !self.results.is_empty() {
            page.heading("Results");
            page.items(self.results.iter().map(|key| format!("`{key}`")));
        }
        page.heading("Where it applies");
        page.items(self.requirements.iter().cloned());
        page.heading("Steps");
        page.parts(&self.steps, true);
        page.heading("Checks");
        page.parts(&self.checks, false);
        for (when, checks) in &self.refusals {
            page.heading("Where a cluster cannot");
            page.paragraph(&format!("Where `{when}`, these hold instead, and the verdict is `unsupported`:"));
            page.parts(checks, false);
        }
        page.heading("Faults that it catches");
        if self.faults.is_empty() {
            page.paragraph("No fault of the reference driver turns it red.");
        } else {
            page.items(self.faults.iter().map(|name| match fault(name) {
                Some(what) => format!("`{name}`: {what}"),
                None => format!("`{name}`"),
            }));
        }
        page.heading("Time limits");
        if self.limits.is_empty() {
            page.paragraph("Nothing is waited for.");
        } else {
            page.items(self.limits.iter().map(|(limit, count)| {
                let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
                format!("{}: at most {}{times}", limit.operation, length(limit.limit))
            }));
        }
        page.text
    }
}

struct Page {
    form: Form,
    text: String,
    /// Whether a section has begun.
    below_heading: bool,
}

impl Page {
    fn title(&mut self, title: &str) {
        let title = self.escaped(title);
        match self.form {
            Form::Markdown => self.line(&format!("# {title}")),
            Form::Terminal { .. } => self.wrapped("", "", &title),
        }
    }

    fn heading(&mut self, heading: &str) {
        self.text.push('\n');
        self.below_heading = true;
        match self.form {
            Form::Markdown => self.line(&format!("## {heading}")),
            Form::Terminal { .. } => self.line(&format!("{heading}:")),
        }
        if self.form == Form::Markdown {
            self.text.push('\n');
        }
    }

    fn paragraph(&mut self, text: &str) {
        let text = self.escaped(text);
        // Below a heading there is an empty line already.
        if self.form == Form::Markdown && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
        let indent = if self.below_heading && self.form != Form::Markdown { "  " } else { "" };
        self.wrapped(indent, indent, &text);
    }

    fn items(&mut self, items: impl Iterator<Item = String>) {
        for item in items {
            let item = self.escaped(&item);
            self.wrapped(self.indent("- "), self.indent("  "), &item);
        }
    }

    fn parts(&mut self, parts: &[Part], numbered: bool) {
        if self.form == Form::Markdown && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
        for (position, part) in parts.iter().enumerate() {
            let mark = if numbered { format!("{}. ", position + 1) } else { "- ".to_owned() };
            let behind = " ".repeat(mark.len());
            let (first, rest) = (self.indent(&mark).to_owned(), self.indent(&behind).to_owned());
            for (index, (parameters, sentence)) in part.sentences.iter().enumerate() {
                let text = match parameters {
                    Some(parameters) => format!("with `{parameters}`: {}", sentence.text),
                    None => sentence.text.clone(),
                };
                let text = self.escaped(&text);
                // Sentences of the results stand below one number.
                let (lead, hanging) = match (index, part.sentences.len()) {
                    (_, 1) => (first.clone(), rest.clone()),
                    (0, _) => (format!("{first}- "), format!("{rest}  ")),
                    _ => (format!("{rest}- "), format!("{rest}  ")),
                };
                self.wrapped(&lead, &hanging, &text);
                for detail in &sentence.details {
                    let detail = self.escaped(detail);
                    self.wrapped(&format!("{hanging}- "), &format!("{hanging}  "), &detail);
                }
            }
        }
    }

    /// Plain text is indented below its headings.
    fn indent<'m>(&self, mark: &'m str) -> &'m str {
        match (self.form, mark) {
            (Form::Terminal { .. }, "- ") => "  - ",
            (Form::Terminal { .. }, "  ") => "    ",
            _ => mark,
        }
    }

    /// Markdown would read an angle bracket outside of code as HTML.
    fn escaped(&self, text: &str) -> String {
        if self.form != Form::Markdown {
            return text.to_owned();
        }
        let mut escaped = String::with_capacity(text.len());
        for (position, piece) in text.split('`').enumerate() {
            if position > 0 {
                escaped.push('`');
            }
            let outside = position % 2 == 0;
            escaped.push_str(&if outside { piece.replace('<', "&lt;") } else { piece.to_owned() });
        }
        escaped
    }

    fn wrapped(&mut self, lead: &str, hanging: &str, text: &str) {
        let Form::Terminal { width } = self.form else {
            self.line(&format!("{lead}{text}"));
            return;
        };
        let mut line = lead.to_owned();
        let mut empty = true;
        for word in text.split(' ') {
            if !empty && line.chars().count() + 1 + word.chars().count() > width {
                self.line(&line);
                hanging.clone_into(&mut line);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.line(&line);
    }

    fn line(&mut self, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{}", text.trim_end());
    }
}
