//! `run`.

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::provider::Provider;
use sandproof_reports::{ExitCode, Record, terminal as matrix};
use sandproof_scenarios::Expiry;

use super::{list, review, suite};
use crate::{
    cli::{GlobalArguments, Profile, RunArguments},
    events::Event,
    existing,
    failure::Failure,
    interrupt::with_events,
    paths::Paths,
    plan::{self, Plan},
    provider_choice,
    runner::{
        order::drawn_seed,
        run::{RunSettings, new_run_id, run as run_plan},
    },
    sinks,
    subject::choice::Choice,
    terminal,
};

/// Where runs leave their reports unless told otherwise.
pub(crate) const OUT: &str = "sandproof-out";

/// Plans, runs, writes the report and shows the matrix.
pub(crate) async fn run(global: &GlobalArguments, arguments: RunArguments) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let subject = Choice::make(&paths, &arguments.subject)?;
    let suite = suite::load(&paths, arguments.selection.suite.as_deref())?;
    let expiry = if arguments.selection.profile == Profile::Release { Expiry::Counts } else { Expiry::Warns };
    let expectations = suite::expectations(&paths, &suite, arguments.selection.suite.as_deref())?
        .behind(&subject.profile.expectations, &suite, &subject.profile.name)
        .map_err(Failure::source)?
        .with_expiry(expiry);
    let pins = plan::load_pins(&paths)?;
    subject.reach().await?;
    let baseline = arguments.baseline.as_deref().map(super::report::read).transpose()?;
    let run_id = new_run_id();
    let mut selection = arguments.selection;
    let choice = provider_choice::settle(&mut selection, &paths)?;
    if subject.is_attached() && choice.provider != Provider::Existing {
        return Err(Failure::usage(
            format!("{} runs already, and so does its cluster", subject.reference),
            "say which cluster that is: --provider existing --context NAME",
        ));
    }
    let (plan, existing) = if choice.provider == Provider::Existing {
        let target = existing::find(&selection.existing).await?;
        let plan = Plan::for_existing(&selection, &pins, &suite, &target.survey)?;
        target.agree(&run_id, plan.results(), &subject, &selection.existing).await?;
        (plan, Some(target))
    } else {
        (Plan::make(&selection, &pins, &suite)?, None)
    };
    let plan = plan.calling_agent(&subject.profile.agent_container);
    let out = output_directory(arguments.out.as_deref(), &run_id)?;
    let settings = RunSettings {
        run_id,
        paths,
        sources: global.sources.clone(),
        out: out.clone(),
        keep: arguments.keep,
        cells: arguments.cells.map(usize::from),
        jobs: arguments.jobs.map(usize::from),
        retries: arguments.retries,
        seed: arguments.seed.unwrap_or_else(drawn_seed),
        subject,
        install: !arguments.no_install,
        existing,
    };
    let started = Instant::now();
    let record = with_events(sinks::of_a_run(&out, global.verbose)?, async |events, cancelled| {
        let record = run_plan(&settings, &plan, expectations.clone(), events, cancelled).await?;
        let written = write(&record, &out);
        for text in review::warnings(&record, &plan, &suite, &expectations, &pins) {
            events.emit(Event::Warning { text });
        }
        events.emit(Event::RunFinished {
            exit_code: record.exit_code.code(),
            seconds: started.elapsed().as_secs_f64(),
            cpu_seconds: own_cpu_seconds(),
            peak_memory_bytes: own_peak_memory(),
            out: out.to_string(),
        });
        written.map(|()| record)
    })
    .await?;
    show(&record, &out);
    if let Some(note) = list::elsewhere(&plan) {
        terminal::result(&note);
    }
    if let Some(baseline) = baseline {
        terminal::result(&super::report::difference(&baseline, &record));
    }
    Ok(record.exit_code)
}

/// Writes everything that is rendered from the record.
fn write(record: &Record, out: &Utf8Path) -> Result<(), Failure> {
    record.write_all(out).map(drop).map_err(|error| Failure::environment(format!("write the report to {out}"), error))
}

fn show(record: &Record, out: &Utf8Path) {
    let options = super::report::options();
    terminal::result(&matrix::render(record, options));
    terminal::result(&format!("report: {}", out.join("report.json")));
    terminal::result(&format!("page:   {}", out.join("matrix.html")));
}

/// Makes the directory, and points `latest` at it where it has the default place.
fn output_directory(named: Option<&Utf8Path>, run_id: &str) -> Result<Utf8PathBuf, Failure> {
    let out = named.map_or_else(|| Utf8PathBuf::from(OUT).join(run_id), Utf8Path::to_owned);
    let tried = || format!("make the report's directory {out}");
    fs_err::create_dir_all(&out).map_err(|error| Failure::environment(tried(), error))?;
    if named.is_none() {
        let latest = Utf8PathBuf::from(OUT).join("latest");
        let fresh = Utf8PathBuf::from(OUT).join(format!(".latest-{run_id}"));
        // A rename replaces the link in one step, whoever reads it meanwhile.
        let linked = fs_err::os::unix::fs::symlink(run_id, &fresh).and_then(|()| fs_err::rename(&fresh, &latest));
        linked.map_err(|error| Failure::environment("point sandproof-out/latest at the report", error))?;
    }
    Ok(out)
}

/// The processor time that this process used itself, without its children, in seconds.
fn own_cpu_seconds() -> f64 {
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name, which may hold anything but ends with the last `)`.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    // utime and stime are fields 14 and 15 of proc(5).
    #[expect(clippy::cast_precision_loss, reason = "the tick rate is 100")]
    let rate = rustix::param::clock_ticks_per_second() as f64;
    (ticks(11) + ticks(12)) / rate
}

/// The most memory that this process held, in bytes (`VmHWM`).
fn own_peak_memory() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or_default();
    kibibytes * 1024
}
