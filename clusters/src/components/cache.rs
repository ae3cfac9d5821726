//! The cache: one directory for each component, version and set of inputs, with a
//! manifest of what is in it. An entry appears whole, by a rename, or not at all.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Read},
    os::unix::fs::MetadataExt,
};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Source, pins::ComponentPin};
use crate::host::architecture;

const MANIFEST: &str = "manifest.json";
const STAMPS: &str = ".stamps.json";
const SCHEMA: &str = "sandproof.component/v1";

/// Digits of the key that a directory's name carries.
const KEY_DIGITS: usize = 16;

/// What an entry has and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema: String,
    pub(super) component: String,
    pub(super) version: String,
    pub(super) architecture: String,
    pub(super) key: String,
    pub(super) source: Source,
    pub(super) origin: String,
    /// By path in the entry.
    pub(super) files: BTreeMap<String, FileSum>,
}

/// One file of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileSum {
    pub(super) size: u64,
    pub(super) sha256: String,
}

/// How thoroughly an entry is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Files that are as they were when they were last hashed are taken as unchanged.
    Changed,
    /// Every file is hashed.
    Full,
}

/// What `stat` says of a file that was hashed; the change time cannot be set back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The key of an entry: a hash of everything that decides what is in it, except the Go release.
///
/// A newer Go on the host does not throw a cache away, since the sources are the same; the
/// manifest's origin names the Go that built it.
pub(super) fn key(pin: &ComponentPin, version: &str, module: &Utf8Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut part = |name: &str, content: &[u8]| {
        digest.update((name.len() as u64).to_le_bytes());
        digest.update(name);
        digest.update((content.len() as u64).to_le_bytes());
        digest.update(content);
    };
    part("version", version.as_bytes());
    part("architecture", architecture().as_bytes());
    // The list of versions is left out: one more version changes nothing for the others.
    part("pin", &serde_json::to_vec(&(&pin.programs, &pin.official, &pin.build))?);
    for name in ["go.mod", "go.sum", "main.go"] {
        match fs_err::read(module.join(name)) {
            Ok(content) => part(name, &content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hexadecimal(&digest.finalize()))
}

/// The name of an entry's directory.
pub(super) fn entry_name(version: &str, key: &str) -> String {
    format!("{version}-{}", &key[..KEY_DIGITS.min(key.len())])
}

impl Manifest {
    /// Hashes everything in `directory`, which becomes an entry once it is renamed into place.
    pub(super) fn seal(
        directory: &Utf8Path,
        component: &str,
        version: &str,
        key: &str,
        source: Source,
        origin: String,
    ) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        let mut known: HashMap<u64, FileSum> = HashMap::new();
        for path in walk(directory)? {
            let absolute = directory.join(&path);
            let inode = fs_err::metadata(&absolute)?.ino();
            let sum = match known.get(&inode) {
                Some(sum) => sum.clone(),
                None => hash(&absolute)?,
            };
            known.insert(inode, sum.clone());
            files.insert(path, sum);
        }
        let manifest = Self {
            schema: SCHEMA.to_owned(),
            component: component.to_owned(),
            version: version.to_owned(),
            architecture: architecture().to_owned(),
            key: key.to_owned(),
            source,
            origin,
            files,
        };
        fs_err::write(directory.join(MANIFEST), serde_json::to_vec_pretty(&manifest)?)?;
        manifest.stamp(directory);
        Ok(manifest)
    }

    /// Reads an entry's manifest; nothing when there is no whole entry of this key.
    pub(super) fn read(directory: &Utf8Path, key: &str) -> Option<Self> {
        let text = fs_err::read(directory.join(MANIFEST)).ok()?;
        let manifest: Self = serde_json::from_slice(&text).ok()?;
        (manifest.schema == SCHEMA && manifest.key == key).then_some(manifest)
    }

    /// The bytes that the entry takes; a file with several names counts once.
    pub(super) fn size(&self, directory: &Utf8Path) -> u64 {
        let mut inodes = HashMap::new();
        for path in self.files.keys() {
            if let Ok(metadata) = fs_err::metadata(directory.join(path)) {
                inodes.insert(metadata.ino(), metadata.len());
            }
        }
        inodes.values().sum()
    }

    /// What is wrong with the entry; empty when nothing is.
    pub(super) fn problems(&self, directory: &Utf8Path, depth: Depth) -> Vec<String> {
        let stamps = match depth {
            Depth::Changed => read_stamps(directory),
            Depth::Full => BTreeMap::new(),
        };
        let mut problems = Vec::new();
        let mut hashed: HashMap<u64, Option<FileSum>> = HashMap::new();
        for (path, expected) in &self.files {
            let absolute = directory.join(path);
            let stamp = match stamp_of(&absolute) {
                Ok(stamp) => stamp,
                Err(error) => {
                    problems.push(error.to_string());
                    continue;
                }
            };
            if stamp.size != expected.size {
                problems.push(format!("{absolute} has {} bytes instead of {}", stamp.size, expected.size));
            } else if stamps.get(path) != Some(&stamp) {
                let found = hashed.entry(stamp.inode).or_insert_with(|| hash(&absolute).ok());
                if found.as_ref() != Some(expected) {
                    problems
                        .push(format!("{absolute} is not what was put there (SHA-256 {} expected)", expected.sha256));
                }
            }
        }
        if problems.is_empty() && !hashed.is_empty() {
            self.stamp(directory);
        }
        problems
    }

    /// Notes how the files look now that they have been hashed. A cache that cannot be written to
    /// is hashed again each time.
    fn stamp(&self, directory: &Utf8Path) {
        let stamps: BTreeMap<&String, Stamp> =
            self.files.keys().filter_map(|path| Some((path, stamp_of(&directory.join(path)).ok()?))).collect();
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            serde_json::to_writer(&mut file, &stamps)?;
            file.persist(directory.join(STAMPS))?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::debug!(%directory, %error, "cannot note that the files were checked");
        }
    }
}

/// The SHA-256 sum as text.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Size and SHA-256 sum of a file.
fn hash(path: &Utf8Path) -> io::Result<FileSum> {
    let mut file = fs_err::File::open(path)?;
    let (mut digest, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 17]);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(FileSum { size, sha256: hexadecimal(&digest.finalize()) });
        }
        size += count as u64;
        digest.update(&buffer[..count]);
    }
}

/// Every regular file below `directory`, as paths relative to it.
fn walk(directory: &Utf8Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut pending = vec![Utf8PathBuf::new()];
    while let Some(relative) = pending.pop() {
        for entry in fs_err::read_dir(directory.join(&relative))? {
            let entry = entry?;
            let path = relative.join(entry.file_name().to_string_lossy().as_ref());
            if entry.file_type()?.is_dir() {
                pending.push(path);
            } else if entry.file_type()?.is_file() {
                found.push(path.into_string());
            }
        }
    }
    Ok(found)
}

fn read_stamps(directory: &Utf8Path) -> BTreeMap<String, Stamp> {
    fs_err::read(directory.join(STAMPS)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn stamp_of(path: &Utf8Path) -> io::Result<Stamp> {
    let metadata = fs_err::metadata(path)?;
    Ok(Stamp {
        size: metadata.len(),
        inode: metadata.ino(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
