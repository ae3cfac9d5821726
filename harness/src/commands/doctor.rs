//! `doctor`: what this host can run, what is missing, and the command that mends it.

use sandproof_clusters::host::{CgroupLayout, Host, Purpose, install_packages};
use sandproof_reports::ExitCode;

use crate::{cli::DoctorArguments, failure::Failure, paths::Paths, terminal};

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
    if arguments.json {
        terminal::json(&host)?;
    } else {
        terminal::result(&describe(&host));
    }
    let able = host.root && host.ready_for(Purpose::NativeCluster) && host.ready_for(Purpose::GuestImages);
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
    if host.missing.is_empty() {
        lines.push(if host.root {
            "native clusters can run here".to_owned()
        } else {
            "everything else is here".to_owned()
        });
    } else {
        lines.push("missing:".to_owned());
        lines.extend(
            host.missing.iter().map(|missing| format!("  {}: {}\n    {}", missing.what, missing.why, missing.remedy)),
        );
        let packages = host.packages_to_install();
        if !packages.is_empty() {
            lines.push(format!("`sandproof doctor --fix` installs: {}", packages.join(" ")));
        }
    }
    lines.join("\n")
}

fn layout(layout: CgroupLayout) -> &'static str {
    match layout {
        CgroupLayout::V1 => "v1",
        CgroupLayout::V1Hybrid => "v1, with a v2 hierarchy beside it",
        CgroupLayout::V2 => "v2",
    }
}
