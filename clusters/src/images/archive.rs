//! An image as one tar archive: an OCI layout and a docker archive at once.

use std::io::{self, BufWriter, Write};

use camino::Utf8Path;
use serde_json::json;
use tar::{EntryType, Header};

use super::{Image, MANIFEST_MEDIA_TYPE};

pub(super) fn write_file(image: &Image, path: &Utf8Path, reference: &str) -> io::Result<()> {
    let mut out = BufWriter::new(fs_err::File::create(path)?);
    write(image, reference, &mut out)
}

pub(super) fn write(image: &Image, reference: &str, mut out: &mut dyn Write) -> io::Result<()> {
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": MANIFEST_MEDIA_TYPE,
            "digest": image.digest(),
            "size": image.manifest().len(),
            "annotations": {"org.opencontainers.image.ref.name": reference},
        }],
    });
    let layers: Vec<String> = image.layers().iter().map(|layer| blob_path(layer.digest())).collect();
    let docker = json!([{
        "Config": blob_path(image.config_digest()),
        "RepoTags": [reference],
        "Layers": layers,
    }]);
    file(&mut out, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    file(&mut out, "index.json", index.to_string().as_bytes())?;
    file(&mut out, "manifest.json", docker.to_string().as_bytes())?;
    file(&mut out, &blob_path(image.digest()), image.manifest())?;
    file(&mut out, &blob_path(image.config_digest()), image.config())?;
    let mut written: Vec<&str> = Vec::new();
    for layer in image.layers() {
        if written.contains(&layer.digest()) {
            continue;
        }
        written.push(layer.digest());
        head(&mut out, &blob_path(layer.digest()), layer.size())?;
        layer.feed(&mut |bytes| out.write_all(bytes)).map_err(io::Error::other)?;
        // A layer is a tar archive itself: it fills whole blocks.
    }
    out.write_all(&[0; 1024])?;
    out.flush()
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn file(out: &mut impl Write, path: &str, contents: &[u8]) -> io::Result<()> {
    head(out, path, contents.len() as u64)?;
    out.write_all(contents)?;
    out.write_all(&[0; 512][..(512 - contents.len() % 512) % 512])
}

fn head(out: &mut impl Write, path: &str, size: u64) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    out.write_all(header.as_bytes())
}
