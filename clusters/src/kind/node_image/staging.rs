//! The files of a node above its root file system.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde_json::{Value, json};

use super::{super::KindError, CGROUPFS_CONFIGURATION, NodeParts, control_plane::PAUSE, objects, programs};
use crate::process::Process;

/// The files of the kind project's base image, in its module.
const BASE_FILES: &str = "images/base/files";

/// How kind's configuration has control groups made.
const SYSTEMD_DRIVER: &str = "SystemdCgroup = true";

/// How they are made under cgroup v1: by way of systemd, runc freezes a container to change its devices, and gives up
/// on a busy host (`unable to freeze`, seen with runc 1.4).
const CGROUPFS_DRIVER: &str = "SystemdCgroup = false";

/// How long packing may take.
const PACKING: Duration = Duration::from_mins(2);

/// Where each program of the node goes.
const PLACES: &[(&str, &str)] = &[
    ("kubelet", "usr/bin"),
    ("kubeadm", "usr/bin"),
    ("kubectl", "usr/bin"),
    ("containerd", "usr/local/bin"),
    ("containerd-shim-runc-v2", "usr/local/bin"),
    ("ctr", "usr/local/bin"),
    ("runc", "usr/local/sbin"),
    ("bridge", "opt/cni/bin"),
    ("host-local", "opt/cni/bin"),
    ("loopback", "opt/cni/bin"),
    ("portmap", "opt/cni/bin"),
];

/// A directory that becomes the upper layer of the image.
#[derive(Debug)]
pub(super) struct Staging {
    path: Utf8PathBuf,
}

impl Staging {
    /// Makes it inside of `directory`.
    pub(super) fn make(directory: &Utf8Path) -> Result<Self, KindError> {
        let path = directory.join("staging");
        fs::create_dir_all(&path).map_err(KindError::io("create", &path))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Puts everything in place but the images.
    pub(super) async fn fill(&self, parts: &NodeParts, sources: &Utf8Path) -> Result<(), KindError> {
        self.copy(&sources.join(BASE_FILES), Utf8Path::new(""))?;
        self.programs(parts)?;
        self.containerd(parts).await?;
        self.write("kind/version", format!("v{}", parts.kubernetes.version))?;
        self.write("kind/manifests/default-storage.yaml", objects::manifest(parts))?;
        self.write("etc/cni/net.d/10-sandproof.conflist", objects::pod_network().to_string())?;
        self.directory("etc/kubernetes/manifests")?;
        for unit in ["kubelet", "containerd", "undo-mount-hacks"] {
            let link = format!("etc/systemd/system/multi-user.target.wants/{unit}.service");
            self.link(&link, &format!("/etc/systemd/system/{unit}.service"))?;
        }
        Ok(())
    }

    /// Packs everything into one archive, and removes the directory.
    pub(super) async fn pack(self, archive: &Utf8Path) -> Result<(), KindError> {
        Process::new("tar")
            .args(["--create", "--file", archive.as_str(), "--directory", self.path.as_str()])
            .args(["--sort=name", "--mtime=@0", "--numeric-owner", "--format=gnu", "."])
            .deadline(PACKING)
            .run()
            .await
            .map_err(|error| KindError::assembly("pack the node's files", error))?;
        fs::remove_dir_all(&self.path).map_err(KindError::io("remove", &self.path))
    }

    /// Programs that are one file under several names stay one file.
    fn programs(&self, parts: &NodeParts) -> Result<(), KindError> {
        use std::os::unix::fs::MetadataExt;
        let sources = programs(parts)?;
        let mut placed: Vec<(u64, Utf8PathBuf)> = Vec::new();
        for (program, directory) in PLACES {
            let Some(source) = sources.get(program) else { continue };
            let target = self.directory(directory)?.join(program);
            let inode = fs::metadata(source).map_err(KindError::io("read", *source))?.ino();
            if let Some((_, first)) = placed.iter().find(|(known, _)| *known == inode) {
                fs::hard_link(first, &target).map_err(KindError::io("link", &target))?;
            } else {
                fs::copy(source, &target).map_err(KindError::io("copy", &target))?;
                placed.push((inode, target.clone()));
            }
            fs::set_permissions(&target, Permissions::from_mode(0o755)).map_err(KindError::io("change", &target))?;
        }
        Ok(())
    }

    /// containerd's configuration is kind's own, with the pause image and the runtime's full path.
    async fn containerd(&self, parts: &NodeParts) -> Result<(), KindError> {
        let path = self.path.join("etc/containerd/config.toml");
        let text = fs::read_to_string(&path).map_err(KindError::io("read", &path))?;
        let text = configuration(&text)?;
        self.write("etc/containerd/config.toml", &text)?;
        self.write(CGROUPFS_CONFIGURATION.trim_start_matches('/'), text.replace(SYSTEMD_DRIVER, CGROUPFS_DRIVER))?;
        let ctr = parts.containerd.file("ctr")?;
        let spec = Process::new(ctr)
            .args(["oci", "spec"])
            .run()
            .await
            .map_err(|error| KindError::assembly("ask ctr for a container's specification", error))?
            .stdout;
        let spec: Value = serde_json::from_str(&spec)
            .map_err(|error| KindError::assembly("read the specification that ctr printed", error))?;
        self.write("etc/containerd/cri-base.json", base_specification(spec).to_string())
    }

    /// Copies a directory of the module cache, whose files have lost their permissions.
    fn copy(&self, from: &Utf8Path, to: &Utf8Path) -> Result<(), KindError> {
        self.directory(to.as_str())?;
        for entry in from.read_dir_utf8().map_err(KindError::io("read", from))? {
            let entry = entry.map_err(KindError::io("read", from))?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            if source.is_dir() {
                self.copy(source, &target)?;
                continue;
            }
            let bytes = fs::read(source).map_err(KindError::io("read", source))?;
            let mode = if bytes.starts_with(b"#!") { 0o755 } else { 0o644 };
            let target = self.path.join(target);
            fs::write(&target, bytes).map_err(KindError::io("write", &target))?;
            fs::set_permissions(&target, Permissions::from_mode(mode)).map_err(KindError::io("change", &target))?;
        }
        Ok(())
    }

    fn directory(&self, path: &str) -> Result<Utf8PathBuf, KindError> {
        let directory = self.path.join(path);
        fs::create_dir_all(&directory).map_err(KindError::io("create", &directory))?;
        Ok(directory)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) -> Result<(), KindError> {
        let file = self.path.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(KindError::io("create", parent))?;
        }
        fs::write(&file, text).map_err(KindError::io("write", &file))
    }

    fn link(&self, path: &str, target: &str) -> Result<(), KindError> {
        let link = self.path.join(path);
        if let Some(parent) = link.parent() {
            fs::create_dir_all(parent).map_err(KindError::io("create", parent))?;
        }
        fs::os::unix::fs::symlink(target, &link).map_err(KindError::io("link", &link))
    }
}

/// kind's configuration of containerd with our pause image, and with runc named by its path: what is mounted over it
/// on a limited host reads its own configuration beside that path.
fn configuration(kinds: &str) -> Result<String, KindError> {
    let mut pause = false;
    let mut lines = Vec::new();
    for line in kinds.lines() {
        let indentation = &line[..line.len() - line.trim_start().len()];
        match line.trim() {
            trimmed if trimmed.starts_with("sandbox_image") => {
                pause = true;
                lines.push(format!("{indentation}sandbox_image = \"{PAUSE}\""));
            }
            SYSTEMD_DRIVER => {
                lines.push(line.to_owned());
                lines.push(format!("{indentation}BinaryName = \"/usr/local/sbin/runc\""));
            }
            _ => lines.push(line.to_owned()),
        }
    }
    if !pause {
        let found = "it names no sandbox_image; is this another version of kind than the one that was pinned?";
        return Err(KindError::assembly("adjust kind's configuration of containerd", found));
    }
    lines.push("[plugins.\"io.containerd.grpc.v1.cri\".registry]".to_owned());
    lines.push("  config_path = \"/etc/containerd/certs.d\"\n".to_owned());
    Ok(lines.join("\n"))
}

/// What every container starts from: as kind's base image has it, with its hook and without resource limits.
fn base_specification(mut spec: Value) -> Value {
    if let Some(process) = spec.get_mut("process").and_then(Value::as_object_mut) {
        process.remove("rlimits");
    }
    spec["hooks"] = json!({"createContainer": [{"path": "/kind/bin/mount-product-files.sh"}]});
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_gets_the_pause_image_and_the_path_of_runc() {
        let kinds =
            "version = 2\n[x.options]\n    SystemdCgroup = true\n[cri]\n  sandbox_image = \"registry/pause:0\"\n";
        insta::assert_snapshot!(configuration(kinds).unwrap());
    }

    #[test]
    fn a_configuration_without_a_pause_image_is_not_guessed_at() {
        assert!(configuration("version = 3\n").is_err());
    }

    #[test]
    fn a_container_has_the_hook_and_no_limits() {
        let spec = base_specification(json!({"process": {"rlimits": [1], "cwd": "/"}}));
        assert_eq!(
            spec,
            json!({"process": {"cwd": "/"}, "hooks": {"createContainer": [{"path": "/kind/bin/mount-product-files.sh"}]}})
        );
    }
}
