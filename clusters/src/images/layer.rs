//! One layer: a tar archive described by its pieces.
//!
//! Only headers are held in memory; a file's contents are read from its source when the layer
//! is digested and again when it is sent, so a large program costs no memory.

use std::{collections::BTreeMap, fmt::Write, io::Read, sync::Arc};

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};
use tokio::io::AsyncReadExt;

use super::{ImageError, Source};

/// A tar archive is a sequence of blocks of this many bytes.
const BLOCK: u64 = 512;

/// Bytes read from a file at once.
const CHUNK: usize = 256 * 1024;

/// The mode of directories that nobody described.
const PARENT_MODE: u32 = 0o755;

/// What a path in a layer is.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    File { source: Source, mode: u32 },
    Symlink { target: String },
    Directory { mode: u32 },
}

/// The entries of a layer to be, in the order they were added.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    entries: Vec<(String, Entry)>,
}

/// A layer of an image: an uncompressed tar archive, shared between images.
#[derive(Debug)]
pub struct Layer {
    pieces: Vec<Piece>,
    digest: String,
    size: u64,
}

/// Reads a layer's bytes in pieces.
#[derive(Debug)]
pub struct LayerReader {
    layer: Arc<Layer>,
    next: usize,
    open: Option<(tokio::fs::File, u64)>,
}

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    File { path: Utf8PathBuf, length: u64 },
}

impl Tree {
    pub(super) fn add(&mut self, path: &str, entry: Entry) {
        self.entries.push((path.to_owned(), entry));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries by path, with missing parents added; sorted, so that parents come first.
    fn sorted(self) -> Result<BTreeMap<String, Entry>, ImageError> {
        let mut sorted = BTreeMap::new();
        for (path, entry) in self.entries {
            let clean = relative(&path)?;
            if sorted.insert(clean, entry).is_some() {
                return Err(ImageError::Twice { path });
            }
        }
        let parents: Vec<String> = sorted
            .keys()
            .flat_map(|path| Utf8Path::new(path).ancestors().skip(1))
            .filter(|parent| !parent.as_str().is_empty())
            .map(ToString::to_string)
            .collect();
        for parent in parents {
            match sorted.get(&parent) {
                None => {
                    sorted.insert(parent, Entry::Directory { mode: PARENT_MODE });
                }
                Some(Entry::Directory { .. }) => {}
                Some(_) => {
                    let reason = "something lies below it, but it is no directory".to_owned();
                    return Err(ImageError::Path { path: parent, reason });
                }
            }
        }
        Ok(sorted)
    }
}

impl Layer {
    pub(super) fn new(tree: Tree) -> Result<Self, ImageError> {
        let mut pieces = Vec::new();
        for (path, entry) in tree.sorted()? {
            add_pieces(&mut pieces, &path, entry)?;
        }
        // The end of an archive: two blocks of zeros.
        pieces.push(Piece::Bytes(Bytes::from_static(&[0; 1024])));
        Self::of_pieces(pieces)
    }

    /// A layer that is a tar archive already.
    pub(super) fn of_archive(path: Utf8PathBuf) -> Result<Self, ImageError> {
        let metadata = fs_err::metadata(&path).map_err(|source| ImageError::Read { path: path.clone(), source })?;
        Self::of_pieces(vec![Piece::File { path, length: metadata.len() }])
    }

    fn of_pieces(pieces: Vec<Piece>) -> Result<Self, ImageError> {
        let mut digest = Sha256::new();
        let mut size = 0;
        for piece in &pieces {
            size += piece.feed(&mut |bytes| {
                digest.update(bytes);
                Ok(())
            })?;
        }
        Ok(Self { pieces, digest: sha256_name(digest), size })
    }

    /// The layer's digest, `sha256:…`.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The layer's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads the layer from its beginning.
    pub fn reader(self: Arc<Self>) -> LayerReader {
        LayerReader { layer: self, next: 0, open: None }
    }

    /// Gives all bytes to `take`, in order.
    pub(super) fn feed(&self, take: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> Result<(), ImageError> {
        self.pieces.iter().try_for_each(|piece| piece.feed(take).map(drop))
    }
}

impl LayerReader {
    /// The next bytes, `None` at the end.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, ImageError> {
        loop {
            if let Some((file, left)) = &mut self.open {
                if *left == 0 {
                    self.open = None;
                    continue;
                }
                let want = usize::try_from(*left).unwrap_or(CHUNK).min(CHUNK);
                let mut bytes = vec![0; want];
                let read = file.read_exact(&mut bytes).await;
                if let (Err(source), Some(Piece::File { path, .. })) = (read, self.layer.pieces.get(self.next - 1)) {
                    return Err(ImageError::Read { path: path.clone(), source });
                }
                *left -= want as u64;
                return Ok(Some(bytes.into()));
            }
            let Some(piece) = self.layer.pieces.get(self.next) else {
                return Ok(None);
            };
            self.next += 1;
            match piece {
                Piece::Bytes(bytes) => return Ok(Some(bytes.clone())),
                Piece::File { path, length } => {
                    let file = fs_err::tokio::File::open(path)
                        .await
                        .map_err(|source| ImageError::Read { path: path.clone(), source })?;
                    self.open = Some((file.into_parts().0, *length));
                }
            }
        }
    }
}

impl Piece {
    /// Gives all bytes to `take`; returns how many.
    fn feed(&self, take: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> Result<u64, ImageError> {
        match self {
            Self::Bytes(bytes) => {
                take(bytes).map_err(|source| ImageError::Read { path: "memory".into(), source })?;
                Ok(bytes.len() as u64)
            }
            Self::File { path, length } => {
                let failed = |source| ImageError::Read { path: path.clone(), source };
                let mut file = fs_err::File::open(path).map_err(failed)?.take(*length);
                let mut buffer = vec![0; CHUNK];
                let mut total = 0;
                loop {
                    let read = file.read(&mut buffer).map_err(failed)?;
                    if read == 0 {
                        break;
                    }
                    total += read as u64;
                    take(&buffer[..read]).map_err(failed)?;
                }
                if total == *length {
                    return Ok(total);
                }
                Err(failed(std::io::Error::other("it became shorter while it was read")))
            }
        }
    }
}

/// `sha256:` and the hexadecimal digits.
pub(super) fn sha256_name(digest: Sha256) -> String {
    digest.finalize().iter().fold("sha256:".to_owned(), |mut name, byte| {
        // Writing into a string cannot fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

fn add_pieces(pieces: &mut Vec<Piece>, path: &str, entry: Entry) -> Result<(), ImageError> {
    match entry {
        Entry::Directory { mode } => {
            pieces.push(header(&format!("{path}/"), EntryType::Directory, mode, 0, None)?);
        }
        Entry::Symlink { target } => {
            pieces.push(header(path, EntryType::Symlink, 0o777, 0, Some(&target))?);
        }
        Entry::File { source, mode } => {
            let (length, contents) = match source {
                Source::Bytes(bytes) => (bytes.len() as u64, Piece::Bytes(bytes)),
                Source::Path(file) => {
                    let metadata =
                        fs_err::metadata(&file).map_err(|source| ImageError::Read { path: file.clone(), source })?;
                    let length = metadata.len();
                    (length, Piece::File { path: file, length })
                }
            };
            pieces.push(header(path, EntryType::Regular, mode, length, None)?);
            pieces.push(contents);
            let padding = usize::try_from(length.next_multiple_of(BLOCK) - length).unwrap_or(0);
            if padding > 0 {
                pieces.push(Piece::Bytes(Bytes::from_static(&[0; 512]).slice(..padding)));
            }
        }
    }
    Ok(())
}

fn header(path: &str, kind: EntryType, mode: u32, size: u64, target: Option<&str>) -> Result<Piece, ImageError> {
    let failed = |error: std::io::Error| ImageError::Path { path: path.to_owned(), reason: error.to_string() };
    let mut header = Header::new_ustar();
    header.set_path(path).map_err(failed)?;
    if let Some(target) = target {
        header.set_link_name_literal(target).map_err(failed)?;
    }
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Ok(Piece::Bytes(Bytes::copy_from_slice(header.as_bytes())))
}

/// The path without its leading slash; it must name something below the root, and plainly.
fn relative(path: &str) -> Result<String, ImageError> {
    let clean = path.trim_start_matches('/').trim_end_matches('/');
    let plain = !clean.is_empty() && clean.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if plain {
        return Ok(clean.to_owned());
    }
    let reason = "it must name something below / without empty parts, `.` or `..`".to_owned();
    Err(ImageError::Path { path: path.to_owned(), reason })
}
