//! The images that a control plane runs from, each made of one program.

use std::{collections::BTreeSet, time::Duration};

use camino::Utf8Path;
use fs_err as fs;

use super::{super::KindError, NodeParts};
use crate::{
    images::{Image, ImageBuilder},
    process::Process,
};

/// The infrastructure container of a pod.
pub(super) const PAUSE: &str = "localhost/sandproof/pause:1";

/// Where programs lie in their images.
const PROGRAMS: &str = "/usr/local/bin";

/// The Service proxy's own calls.
const PROXY_CALLS: &[&str] = &["/usr/sbin/nft", "/usr/sbin/conntrack"];

/// How long the root file system may take to unpack.
const UNPACKING: Duration = Duration::from_mins(2);

/// An image with its name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) reference: String,
    pub(super) image: Image,
}

/// CoreDNS's image, for the objects that run it.
pub(super) fn coredns_reference(parts: &NodeParts) -> String {
    format!("registry.k8s.io/coredns/coredns:v{}", parts.coredns.version)
}

/// Builds them all. The root file system in `root` is unpacked beneath `scratch` for what the Service proxy calls.
pub(super) async fn build(parts: &NodeParts, root: &Utf8Path, scratch: &Utf8Path) -> Result<Vec<Named>, KindError> {
    let kubernetes = format!("v{}", parts.kubernetes.version);
    let mut images = Vec::new();
    for program in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        let reference = format!("registry.k8s.io/{program}:{kubernetes}");
        let image = self::program(parts.kubernetes.file(program)?, program);
        images.push(named(reference, image)?);
    }
    let unpacked = scratch.join("root");
    unpack(root, &unpacked).await?;
    let mut proxy = program(parts.kubernetes.file("kube-proxy")?, "kube-proxy");
    for file in closure(&unpacked, PROXY_CALLS).await? {
        proxy = proxy.file(&file, unpacked.join(file.trim_start_matches('/')), 0o755);
    }
    let proxy = proxy.directory("/tmp", 0o1777).directory("/run", 0o755);
    images.push(named(format!("registry.k8s.io/kube-proxy:{kubernetes}"), proxy)?);
    let assembled = parts.assembled();
    let etcd = program(parts.etcd.file("etcd")?, "etcd");
    images.push(named(format!("registry.k8s.io/etcd:{}", assembled.etcd_tag()), etcd)?);
    let coredns = program(parts.coredns.file("coredns")?, "coredns").entrypoint(["/usr/local/bin/coredns"]);
    images.push(named(coredns_reference(parts), coredns)?);
    let pause = ImageBuilder::new().file("/pause", &parts.pause, 0o755).entrypoint(["/pause", "idle"]);
    images.push(named(PAUSE.to_owned(), pause)?);
    Ok(images)
}

/// An image of one program. A program that is one file under several names is one layer in all their images.
fn program(path: &Utf8Path, name: &str) -> ImageBuilder {
    use std::os::unix::fs::MetadataExt;
    let several = fs::metadata(path).is_ok_and(|metadata| metadata.nlink() > 1);
    let search_path = format!("{PROGRAMS}:/usr/sbin:/usr/bin");
    let builder = if several {
        ImageBuilder::new()
            .file(&format!("{PROGRAMS}/kubernetes"), path, 0o755)
            .layer()
            .symlink(&format!("{PROGRAMS}/{name}"), "kubernetes")
    } else {
        ImageBuilder::new().file(&format!("{PROGRAMS}/{name}"), path, 0o755)
    };
    builder.env("PATH", &search_path)
}

fn named(reference: String, builder: ImageBuilder) -> Result<Named, KindError> {
    let image = builder.build().map_err(|error| KindError::assembly(format!("build the image {reference}"), error))?;
    Ok(Named { reference, image })
}

async fn unpack(archive: &Utf8Path, directory: &Utf8Path) -> Result<(), KindError> {
    fs::create_dir_all(directory).map_err(KindError::io("create", directory))?;
    Process::new("tar")
        .args(["--extract", "--file", archive.as_str(), "--directory", directory.as_str(), "--exclude=./dev/*"])
        .deadline(UNPACKING)
        .run()
        .await
        .map(drop)
        .map_err(|error| KindError::assembly("unpack the root file system of a node", error))
}

/// Programs with every library that they load, as paths in the root file system.
async fn closure(root: &Utf8Path, programs: &[&str]) -> Result<BTreeSet<String>, KindError> {
    let answer = Process::new("chroot")
        .arg(root)
        .arg("ldd")
        .args(programs)
        .run()
        .await
        .map_err(|error| KindError::assembly("find the libraries of the Service proxy's programs", error))?
        .stdout;
    let mut files: BTreeSet<String> = programs.iter().map(ToString::to_string).collect();
    files.extend(libraries(&answer));
    Ok(files)
}

/// The paths in what `ldd` prints.
fn libraries(answer: &str) -> impl Iterator<Item = String> + '_ {
    answer.lines().filter_map(|line| {
        let words = line.split_once("=>").map_or(line, |(_, path)| path).trim();
        let path = words.split_whitespace().next()?;
        // A line that names the program itself ends with a colon.
        (path.starts_with('/') && !path.ends_with(':')).then(|| path.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let answer = "/usr/sbin/nft:\n\tlinux-vdso.so.1 (0x7ffe)\n\tlibnftables.so.1 => /lib/x86_64-linux-gnu/libnftables.so.1 (0x7f)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        let found: Vec<String> = libraries(answer).collect();
        assert_eq!(found, ["/lib/x86_64-linux-gnu/libnftables.so.1", "/lib64/ld-linux-x86-64.so.2"]);
    }
}
