//! The root file system of a node: Debian with systemd.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::super::KindError;
use crate::{
    components::{ProgressSender, Recipe, Step, Store},
    process::Process,
};

/// The Debian release. Its systemd (252) starts under cgroup v1 and v2; the next release's (257) refuses v1.
const RELEASE: &str = "bookworm";

/// What a node needs: the packages of the kind project's base image, but for other people's storage.
pub const DEBIAN_PACKAGES: &[&str] = &[
    "bash",
    "ca-certificates",
    "conntrack",
    "curl",
    "dbus",
    "ethtool",
    "iproute2",
    "iptables",
    "jq",
    "kmod",
    "libseccomp2",
    "mount",
    "nftables",
    "procps",
    "systemd",
    "systemd-sysv",
    "util-linux",
];

/// The file system's file in its cache entry.
pub(super) const ARCHIVE: &str = "root.tar";

/// How long Debian's packages may take to arrive and unpack; 50 s were measured.
const DEADLINE: Duration = Duration::from_mins(10);

/// What is put right in the new root, which the shell sees as `$1`: services that a container has no use for or that
/// would reach into the host are not started, and what only people read is left out.
const FINISH: &str = r#"set -e
rm -f "$1"/usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
rm -f "$1"/usr/lib/systemd/system/multi-user.target.wants/* "$1"/usr/lib/systemd/system/local-fs.target.wants/*
rm -f "$1"/usr/lib/systemd/system/basic.target.wants/* "$1"/etc/systemd/system/*.wants/*
rm -f "$1"/usr/lib/systemd/system/sockets.target.wants/*udev* "$1"/usr/lib/systemd/system/sockets.target.wants/*initctl*
for unit in systemd-binfmt systemd-udevd systemd-udev-trigger systemd-logind systemd-timesyncd; do
  ln -sf /dev/null "$1/etc/systemd/system/$unit.service"
done
ln -sf /usr/lib/systemd/system/multi-user.target "$1"/etc/systemd/system/default.target
echo ReadKMsg=no >> "$1"/etc/systemd/journald.conf
rm -rf "$1"/var/lib/apt/lists "$1"/var/cache/apt "$1"/usr/share/doc "$1"/usr/share/man "$1"/usr/share/locale
: > "$1"/etc/machine-id
"#;

/// Finds the file system in the cache, or makes it with `mmdebstrap`.
pub(super) async fn obtain(store: &Store, progress: &ProgressSender) -> Result<Utf8PathBuf, KindError> {
    let mut inputs = vec![FINISH.to_owned(), RELEASE.to_owned()];
    inputs.extend(DEBIAN_PACKAGES.iter().map(ToString::to_string));
    let recipe = Recipe { name: "node-root", version: RELEASE, inputs };
    store
        .derive(&recipe, progress, async |directory, telling| {
            telling.say(Step::Download, format!("Debian {RELEASE} with {} packages", DEBIAN_PACKAGES.len()));
            make(&directory.join(ARCHIVE)).await?;
            Ok(format!("Debian {RELEASE}"))
        })
        .await
}

async fn make(archive: &Utf8Path) -> Result<(), KindError> {
    if which::which("mmdebstrap").is_err() {
        return Err(KindError::assembly(
            "make the root file system of a node",
            "mmdebstrap is not installed; apt-get install --no-install-recommends mmdebstrap",
        ));
    }
    Process::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase"])
        .arg(format!("--include={}", DEBIAN_PACKAGES.join(",")))
        .arg(format!("--customize-hook={FINISH}"))
        .args([RELEASE, archive.as_str()])
        // The same packages give the same file, whenever it is made.
        .env("SOURCE_DATE_EPOCH", "0")
        .deadline(DEADLINE)
        .run()
        .await
        .map(drop)
        .map_err(|error| KindError::assembly("make the root file system of a node", error))
}
