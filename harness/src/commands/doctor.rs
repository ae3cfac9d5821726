//! `doctor`: what this host can run, what is missing, and the command that mends it.

use sandproof_clusters::{
    host::{Capacity, CellNeeds, CgroupLayout, Host, Limit, Purpose, Room, capacity, install_packages},
    provider::Provider,
};
use sandproof_reports::ExitCode;
use serde::Serialize;

use super::{engine, list::table};
use crate::{
    cli::{DoctorArguments, SourceArguments},
    failure::Failure,
    paths::Paths,
    provider_choice::automatic,
    provision, terminal,
};

/// What `--json` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found<'a> {
    #[serde(flatten)]
    host: &'a Host,
    /// Who makes the clusters where nobody says so, and why.
    provider: &'static str,
    provider_reason: &'a str,
    /// How many cells can run at once.
    capacity: &'a Capacity,
}

/// Looks at the host; with `--fix` installs what is missing and looks again.
pub(crate) async fn doctor(arguments: &DoctorArguments) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let mut host = Host::probe_at(&paths.cache);
    let packages = host.packages_to_install();
    if arguments.fix && !packages.is_empty() {
        terminal::progress(&format!("installing {}", packages.join(" ")));
        install_packages(&packages).await.map_err(|error| Failure::environment("install what is missing", error))?;
        host = Host::probe_at(&paths.cache);
    }
    let capacity = capacity(&Room::of(&host, &paths.state), &CellNeeds::MEASURED);
    let choice = automatic(&host);
    let store = provision::store(&paths, &SourceArguments::default()).ok();
    let kind = if arguments.json && choice.provider != Provider::Kind {
        None
    } else {
        Some(engine::describe(&host, &paths, store.as_ref()).await)
    };
    if arguments.json {
        let found = Found {
            host: &host,
            provider: choice.provider.name(),
            provider_reason: &choice.reason,
            capacity: &capacity,
        };
        terminal::json(&found)?;
    } else {
        let provider = format!("provider  {}: {}; --provider decides otherwise", choice.provider, choice.reason);
        let kind = kind.as_ref().map(|found| found.lines.join("\n")).unwrap_or_default();
        terminal::result(&format!("{}\n{kind}\n{provider}\n\n{}", describe(&host), describe_capacity(&capacity)));
    }
    let needed = [Purpose::NativeCluster, Purpose::CriO, Purpose::GuestImages];
    // Agent Sandbox has no download.
    let builds = host.tool("go").is_some()
        || store.as_ref().and_then(|store| store.list().ok()).is_some_and(|listed| {
            listed.iter().any(|listed| listed.name == "agent-sandbox" && listed.default && listed.cached)
        });
    let native = host.root && needed.into_iter().all(|purpose| host.ready_for(purpose));
    // What would be chosen here decides; the other way may lack what it likes.
    let able = builds
        && match choice.provider {
            Provider::Native | Provider::Existing => native,
            Provider::Kind => kind.is_some_and(|found| found.able) && host.ready_for(Purpose::GuestImages),
        };
    Ok(if able { ExitCode::CONFORMANT } else { ExitCode::ENVIRONMENT })
}

fn describe(host: &Host) -> String {
    let mut lines = vec![
        format!(
            "host      {}, kernel {}, {}",
            host.distribution.as_deref().unwrap_or("an unknown distribution"),
            host.kernel.release,
            host.architecture,
        ),
        format!(
            "size      {} processors, {} MiB of memory available, {} GiB of disk free",
            host.processors,
            host.memory.available / (1 << 20),
            host.disk.available / (1 << 30),
        ),
        format!("cgroups   {}", layout(host.cgroup)),
        format!("root      {}", if host.root { "yes" } else { "no: native clusters need it; run with sudo" }),
    ];
    for (name, present) in [("overlayfs", host.overlayfs), ("seccomp", host.seccomp), ("hugetlb", host.hugetlb)] {
        lines.push(format!("{name:<9} {}", if present { "yes" } else { "no" }));
    }
    // What clusters of kind lack is said with them.
    let missing: Vec<_> = host.missing.iter().filter(|missing| !missing.purpose.is_of_kind()).collect();
    if missing.is_empty() {
        lines.push(if host.root {
            "native clusters can run here".to_owned()
        } else {
            "everything else is here".to_owned()
        });
    } else {
        lines.push("missing:".to_owned());
        lines.extend(
            missing.iter().map(|missing| format!("  {}: {}\n    {}", missing.what, missing.why, missing.remedy)),
        );
        let packages = host.packages_to_install();
        if !packages.is_empty() {
            lines.push(format!("`sandproof doctor --fix` installs: {}", packages.join(" ")));
        }
    }
    lines.join("\n")
}

fn describe_capacity(capacity: &Capacity) -> String {
    let mut rows = table(["RESOURCE", "LEFT", "ONE CELL", "ENOUGH FOR"]);
    for limit in &capacity.limits {
        rows.add_row([
            limit.resource.name().to_owned(),
            amount(limit, limit.available),
            amount(limit, limit.per_cell),
            limit.allows.to_string(),
        ]);
    }
    let noun = if capacity.cells == 1 { "cell" } else { "cells" };
    let remedy = capacity.deciding.map(|resource| format!("\nfor more: {}", resource.remedy())).unwrap_or_default();
    format!("{} {noun} at once ({})\n{rows}{remedy}", capacity.cells, capacity.reason())
}

/// A number of a limit in the unit that people use for it.
fn amount(limit: &Limit, number: u64) -> String {
    match limit.unit {
        "bytes" => format!("{} MiB", number >> 20),
        "milliprocessors" => format!("{}.{}", number / 1000, number % 1000 / 100),
        _ => number.to_string(),
    }
}

fn layout(layout: CgroupLayout) -> &'static str {
    match layout {
        CgroupLayout::V1 => "v1",
        CgroupLayout::V1Hybrid => "v1, with a v2 hierarchy beside it",
        CgroupLayout::V2 => "v2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capacity_is_a_table_with_its_reason() {
        let room = Room {
            memory: Some(8 << 30),
            processors: 2,
            disk: Some(40 << 30),
            inotify_instances: Some(120),
            ..Room::default()
        };
        let needs = CellNeeds { milliprocessors: 1_200, memory: 1 << 30, disk: 1 << 29, ..CellNeeds::MEASURED };
        // Cells of the table are padded to its width.
        let text = describe_capacity(&capacity(&room, &needs));
        let text: Vec<&str> = text.lines().map(str::trim_end).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        2 cells at once (the processors decide)
         RESOURCE                  LEFT       ONE CELL  ENOUGH FOR
         the processors            2.0        1.2       2
         the host's memory         8192 MiB   1024 MiB  8
         the disk space            40960 MiB  512 MiB   80
         the instances of inotify  120        16        7
        for more: use a host with more processors; `--cells N` can be tried, but gains little
        ");
    }
}
