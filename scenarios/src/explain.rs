//! What a scenario does, in words: the same for the page in the documentation and for the terminal.

mod checks;
mod page;
mod steps;

use std::fmt::Write as _;
use std::time::Duration;

use crate::language::{Axis, Period, Scenario, ScenarioInstance, Variation};
use crate::nearest::or_list;
use crate::time_limits::{self, TimeLimit};
pub use page::Form;

/// A scenario in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The catalogue ID.
    pub id: String,
    /// One line for tables.
    pub title: String,
    /// What a driver promises.
    pub promise: String,
    /// Where the promise comes from.
    pub source: String,
    /// Words to select it by.
    pub tags: Vec<String>,
    /// The keys of its results, where there are several.
    pub results: Vec<String>,
    /// Where it makes sense and what it needs, a sentence each.
    pub requirements: Vec<String>,
    /// What is done, in order.
    pub steps: Vec<Part>,
    /// What must be true of what was observed.
    pub checks: Vec<Part>,
    /// The refusals that must be seen where a cluster cannot do it: the condition, and what must be true then.
    pub refusals: Vec<(String, Vec<Part>)>,
    /// The reference driver's faults that turn it red.
    pub faults: Vec<String>,
    /// How long each kind of operation may take, and how often there is one.
    pub limits: Vec<(TimeLimit, usize)>,
}

/// A step or a check: one sentence, or several where the results differ in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Each sentence, with the parameters of the results that it is for; none where it is for all.
    pub sentences: Vec<(Option<String>, Sentence)>,
}

/// A sentence, with what it is about one by one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sentence {
    /// The sentence.
    pub text: String,
    /// What belongs to it, a line each.
    pub details: Vec<String>,
}

impl Explanation {
    /// Explains a scenario.
    pub fn of(scenario: &Scenario) -> Self {
        let instances = &scenario.instances;
        let several = instances.len() > 1;
        let first = instances.first();
        let refusals = first.into_iter().flat_map(|first| &first.unsupported).enumerate();
        Self {
            id: scenario.id.clone(),
            title: one_line(&scenario.title),
            promise: one_line(&scenario.promise),
            source: one_line(&scenario.source),
            tags: scenario.tags.clone(),
            results: instances.iter().filter(|_| several).map(|instance| instance.key.clone()).collect(),
            requirements: requirements(scenario),
            steps: parts(instances, |instance| instance.steps.iter().map(steps::sentence).collect()),
            checks: parts(instances, |instance| instance.expect.iter().map(checks::sentence).collect()),
            refusals: refusals
                .map(|(position, block)| {
                    let checks = parts(instances, |instance| {
                        let block = instance.unsupported.get(position);
                        block.into_iter().flat_map(|block| &block.refusal).map(checks::sentence).collect()
                    });
                    (one_line(&block.when), checks)
                })
                .collect(),
            faults: scenario.faults.clone(),
            limits: limits(instances),
        }
    }
}

impl Sentence {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), details: Vec::new() }
    }
}

/// What each of the instances says at each position; they have as many.
fn parts(instances: &[ScenarioInstance], say: impl Fn(&ScenarioInstance) -> Vec<Sentence>) -> Vec<Part> {
    let said: Vec<Vec<Sentence>> = instances.iter().map(say).collect();
    let positions = said.iter().map(Vec::len).max().unwrap_or(0);
    (0..positions)
        .map(|position| {
            let mut sentences: Vec<(Vec<&ScenarioInstance>, Sentence)> = Vec::new();
            for (instance, said) in instances.iter().zip(&said) {
                let Some(sentence) = said.get(position) else { continue };
                match sentences.iter_mut().find(|(_, known)| known == sentence) {
                    Some((of, _)) => of.push(instance),
                    None => sentences.push((vec![instance], sentence.clone())),
                }
            }
            let whole = sentences.len() == 1;
            let named = sentences.into_iter().map(|(of, sentence)| ((!whole).then(|| parameters(&of)), sentence));
            Part { sentences: named.collect() }
        })
        .collect()
}

/// The parameters of some results, as in their keys.
fn parameters(instances: &[&ScenarioInstance]) -> String {
    let inner = |instance: &&ScenarioInstance| {
        let key = instance.key.strip_prefix(&instance.id).unwrap_or(&instance.key);
        key.trim_matches(['[', ']']).to_owned()
    };
    instances.iter().map(inner).collect::<Vec<_>>().join("; ")
}

fn requirements(scenario: &Scenario) -> Vec<String> {
    let mut sentences = Vec::new();
    let Some(first) = scenario.instances.first() else { return sentences };
    if let Some(applies) = &first.applies {
        let reason = one_line(&applies.reason);
        sentences.push(format!("It makes sense where {}; elsewhere it is skipped: {reason}.", code(&applies.when)));
    }
    if !scenario.features.is_empty() {
        let features: Vec<String> = scenario.features.iter().map(|feature| code(feature.name())).collect();
        sentences.push(format!("The subject has to have: {}.", features.join(", ")));
    }
    if first.alone {
        sentences.push(
            "It runs after all others and nothing runs beside it, because it changes what all scenarios of a cluster share."
                .to_owned(),
        );
    }
    if sentences.is_empty() {
        sentences.push("It makes sense everywhere, and needs nothing of the subject beside the protocol.".to_owned());
    }
    sentences.extend(varies_with(&first.varies_with));
    sentences
}

/// What its result can depend on, where that is not every combination of everything.
fn varies_with(entries: &[Variation]) -> Option<String> {
    if let [Variation::Together(axes)] = entries
        && Axis::ALL.iter().all(|axis| axes.contains(axis))
    {
        return None;
    }
    if entries.is_empty() {
        return Some(
            "Its result depends on none of the matrix's axes: the profile `full` runs it in one cell.".to_owned(),
        );
    }
    let names = |axes: &[Axis]| or_list(axes.iter().map(|axis| axis.name()));
    let each: Vec<Axis> = entries
        .iter()
        .filter_map(|entry| match entry {
            Variation::Each(axis) => Some(*axis),
            Variation::Together(_) => None,
        })
        .collect();
    let mut cells: Vec<String> = Vec::new();
    if !each.is_empty() {
        cells.push(format!("each value of {}", names(&each)));
    }
    for entry in entries {
        if let Variation::Together(axes) = entry {
            cells.push(format!("each combination of {}", names(axes)));
        }
    }
    let all: Vec<Axis> = entries.iter().flat_map(Variation::axes).copied().collect();
    Some(format!(
        "Its result can depend on {}: the profile `full` runs it in one cell for {}.",
        names(&all),
        cells.join(" and for ")
    ))
}

/// The longest limit of each kind of operation, with how many of them the instance with the most has.
fn limits(instances: &[ScenarioInstance]) -> Vec<(TimeLimit, usize)> {
    let mut all: Vec<(TimeLimit, usize)> = Vec::new();
    for instance in instances {
        let mut own: Vec<(TimeLimit, usize)> = Vec::new();
        for limit in instance.steps.iter().flat_map(time_limits::of) {
            match own.iter_mut().find(|(known, _)| *known == limit) {
                Some((_, count)) => *count += 1,
                None => own.push((limit, 1)),
            }
        }
        for (limit, count) in own {
            match all.iter_mut().find(|(known, _)| *known == limit) {
                Some((_, most)) => *most = (*most).max(count),
                None => all.push((limit, count)),
            }
        }
    }
    all
}

/// A text on one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text as code; one with a backtick gets another fence.
fn code(text: &str) -> String {
    let text = one_line(text);
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// `1 min 30 s`, or `500 ms`.
fn length(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_millis() > 0 {
        return format!("{} ms", duration.as_millis());
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    if seconds >= 60 {
        let _ = write!(text, "{} min", seconds / 60);
    }
    if !seconds.is_multiple_of(60) || seconds == 0 {
        let _ = write!(text, "{}{} s", if text.is_empty() { "" } else { " " }, seconds % 60);
    }
    text
}

impl Period {
    /// As a person writes it: `1 min 30 s`, or `500 ms`.
    fn words(self) -> String {
        length(self.0)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "0 s")]
    #[case(500, "500 ms")]
    #[case(20_000, "20 s")]
    #[case(60_000, "1 min")]
    #[case(90_000, "1 min 30 s")]
    fn lengths_of_time(#[case] milliseconds: u64, #[case] text: &str) {
        assert_eq!(length(Duration::from_millis(milliseconds)), text);
    }

    #[rstest]
    #[case("a\n b", "`a b`")]
    #[case("a`b", "`` a`b ``")]
    fn code_is_on_one_line(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(code(text), expected);
    }
}
