//! Progress on standard error: lines that stay, and on a terminal one live line below them.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::{OwoColorize, Style};
use sandproof_reports::Verdict;

use super::activity::Activity;
use crate::{
    events::{Event, Sink, Stamped},
    terminal,
};

/// More cells than this are counted, not named, when the run begins.
const NAMED: usize = 4;

/// Shows a run as it goes.
#[derive(Debug)]
pub(crate) struct Progress {
    live: Option<ProgressBar>,
    color: bool,
    verbose: bool,
    activity: Activity,
}

impl Progress {
    /// A sink that redraws on a terminal and writes plain lines elsewhere.
    /// `verbose` adds a line for each step of a scenario.
    pub(crate) fn new(verbose: bool) -> Self {
        let live = terminal::progress_is_live().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { live, color: terminal::stderr_color(), verbose, activity: Activity::default() }
    }

    fn line(&self, label: &str, style: Style, text: &str) {
        let label = format!("{label:>12}");
        let line = if self.color { format!("{} {text}", label.style(style)) } else { format!("{label} {text}") };
        match &self.live {
            Some(bar) => bar.suspend(|| terminal::progress(&line)),
            None => terminal::progress(&line),
        }
    }

    fn redraw(&self) {
        if let Some(bar) = &self.live {
            bar.set_message(self.activity.text());
        }
    }

    fn component(&mut self, event: &Event) {
        let Event::Component { component, version, step, elapsed, detail, done, remaining } = event else {
            return;
        };
        let left = match remaining {
            0 => String::new(),
            1 => ", 1 more to go".to_owned(),
            count => format!(", {count} more to go"),
        };
        let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
        self.activity
            .component((!done).then(|| format!("{component} {version}: {step}{detail}, {elapsed:.0} s{left}")));
        if *done {
            self.line("obtained", green(), &format!("{component} {version} {step} in {elapsed:.1} s{left}"));
        } else if self.live.is_none() {
            self.line("component", dim(), &format!("{component} {version}: {step}{detail}, {elapsed:.0} s{left}"));
        }
    }

    fn verdict(&mut self, event: &Event) {
        let Event::ScenarioFinished { cell, scenario, verdict, expected, seconds, summary, .. } = event else {
            return;
        };
        let progress = self.activity.verdict(cell, scenario);
        let style = match verdict {
            Verdict::Pass => green(),
            _ if *expected => yellow(),
            Verdict::Skipped | Verdict::NotRun => yellow(),
            _ => red(),
        };
        let why = if *verdict == Verdict::Pass { String::new() } else { format!(": {}", first_line(summary)) };
        self.line(&verdict.to_string(), style, &format!("{cell} {scenario} {seconds:.1} s [{progress}]{why}"));
    }
}

impl Sink for Progress {
    fn take(&mut self, stamped: &Stamped) {
        match &stamped.event {
            Event::RunStarted { run, profile, cells, results, seed } => {
                self.activity.expect(*results);
                let cells = if cells.len() > NAMED { format!("{} cells", cells.len()) } else { cells.join(", ") };
                let what = format!("{run}, profile {profile}, seed {seed}: {results} scenarios on {cells}");
                self.line("run", bold(), &what);
            }
            Event::CellsAtOnce { cells, at_once, reason, .. } => {
                if *cells > 1 {
                    let noun = if *at_once == 1 { "cell" } else { "cells" };
                    self.line("capacity", bold(), &format!("{at_once} {noun} at once ({reason})"));
                }
            }
            Event::HostInstalling { packages } => {
                self.line("host", bold(), &format!("installing Debian packages: {}", packages.join(" ")));
            }
            event @ Event::Component { .. } => self.component(event),
            Event::PhaseStarted { cell, phase } => {
                self.activity.begin(cell, phase);
                if self.verbose {
                    self.line("begin", dim(), &format!("{phase} {cell}"));
                }
            }
            Event::Milestone { cell, name, seconds } => {
                if self.verbose {
                    self.line("reached", dim(), &format!("{cell} {name} after {seconds:.1} s"));
                }
            }
            Event::PhaseFinished { cell, phase, seconds } => {
                self.activity.end(cell, phase);
                self.line(phase, dim(), &format!("{cell} {seconds:.1} s"));
            }
            Event::CellNote { cell, text } => self.line("note", dim(), &format!("{cell}: {text}")),
            Event::ScenarioStarted { cell, scenario, .. } => self.activity.scenario(cell, scenario),
            Event::StepStarted { cell, scenario, step } => {
                if self.verbose {
                    self.line("step", dim(), &format!("{cell} {scenario}: {step}"));
                }
            }
            event @ Event::ScenarioFinished { .. } => self.verdict(event),
            Event::LeftBehind { cell, scenario, objects } => {
                self.line("left behind", red(), &format!("{cell} {scenario}: {}", objects.join(", ")));
            }
            Event::ComponentDied { cell, component, log } => {
                self.line("died", red(), &format!("{cell}: {component}; its last lines:\n{}", log.join("\n")));
            }
            Event::Interrupted { signal } => {
                self.line("interrupted", yellow(), &format!("{signal}: writing the record and removing everything"));
            }
            Event::Warning { text } => self.line("warning", yellow(), text),
            Event::CellUsage { cell, cpu_seconds: Some(seconds), peak_memory_bytes: Some(bytes) } if self.verbose => {
                self.line("used", dim(), &format!("{cell} {seconds:.1} s of CPU, {} MB at most", bytes / 1_000_000));
            }
            Event::CellUsage { .. } | Event::RunFinished { .. } => {}
        }
        self.redraw();
    }

    fn finish(&mut self) {
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn green() -> Style {
    Style::new().green().bold()
}

fn red() -> Style {
    Style::new().red().bold()
}

fn yellow() -> Style {
    Style::new().yellow().bold()
}

fn bold() -> Style {
    Style::new().bold()
}

fn dim() -> Style {
    Style::new().dimmed()
}
