use std::io::Read;

use rstest::rstest;

use super::*;

fn sample() -> ImageBuilder {
    ImageBuilder::static_binary("/bin/agent", b"program".to_vec())
        .symlink("/bin/sh", "agent")
        .directory("/tmp", 0o1777)
        .env("A", "1")
        .user("1000")
        .working_directory("/sandbox")
}

fn entries(image: &Image) -> Vec<String> {
    let mut bytes = Vec::new();
    for layer in image.layers() {
        layer
            .feed(&mut |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })
            .unwrap();
    }
    let mut archive = tar::Archive::new(bytes.as_slice());
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let header = entry.header().clone();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
            let path = entry.path().unwrap().display().to_string();
            let target = entry.link_name().unwrap().map(|target| format!(" -> {}", target.display()));
            let mut contents = String::new();
            entry.read_to_string(&mut contents).unwrap();
            let mode = header.mode().unwrap();
            format!("{mode:04o} {path}{} {contents:?}", target.unwrap_or_default())
        })
        .collect()
}

#[test]
fn a_layer_is_a_sorted_tar_with_its_parents() {
    insta::assert_snapshot!(entries(&sample().build().unwrap()).join("\n"), @r#"
    0755 bin/ ""
    0755 bin/agent "program"
    0777 bin/sh -> agent ""
    1777 tmp/ ""
    "#);
}

#[test]
fn documents_have_a_fixed_form() {
    let image = sample().label("b", "2").label("a", "1").build().unwrap();
    let config = String::from_utf8(image.config().to_vec()).unwrap().replace(architecture(), "ARCH");
    insta::assert_snapshot!(config);
    insta::assert_snapshot!(
        String::from_utf8(image.manifest().to_vec()).unwrap().replace(image.config_digest(), "CONFIG")
    );
}

#[test]
fn the_order_of_additions_does_not_matter() {
    let one = ImageBuilder::new().file("/a", b"1".to_vec(), 0o644).file("/b", b"2".to_vec(), 0o644);
    let other = ImageBuilder::new().file("b", b"2".to_vec(), 0o644).file("a", b"1".to_vec(), 0o644);
    assert_eq!(one.build().unwrap().digest(), other.build().unwrap().digest());
}

#[test]
fn a_file_and_its_bytes_give_the_same_layer() {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(directory.path().join("program")).unwrap();
    let contents = vec![7; 700_001];
    fs_err::write(&path, &contents).unwrap();
    let from_file = ImageBuilder::static_binary("/p", &path).build().unwrap();
    let from_bytes = ImageBuilder::static_binary("/p", contents).build().unwrap();
    assert_eq!(from_file.digest(), from_bytes.digest());
    assert_eq!(from_file.size(), from_bytes.size());
    assert_eq!(from_file.size() % 512, 0);
}

#[tokio::test]
async fn a_reader_gives_the_digested_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(directory.path().join("program")).unwrap();
    fs_err::write(&path, vec![7; 700_001]).unwrap();
    let image = ImageBuilder::static_binary("/p", &path).file("/q", b"".to_vec(), 0o600).build().unwrap();
    let layer = Arc::clone(&image.layers()[0]);
    let mut reader = Arc::clone(&layer).reader();
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.next_chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    assert_eq!(bytes.len() as u64, layer.size());
    assert_eq!(digest_of(&bytes), layer.digest());

    fs_err::write(&path, b"short").unwrap();
    let mut reader = layer.reader();
    let error = loop {
        match reader.next_chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a shortened file must not pass"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("program"), "{error}");
}

#[test]
fn a_label_changes_the_digest_and_shares_the_layers() {
    let image = sample().build().unwrap();
    let labelled = image.with_label("run", "1").unwrap();
    assert_ne!(image.digest(), labelled.digest());
    assert_ne!(image.config_digest(), labelled.config_digest());
    assert!(Arc::ptr_eq(&image.layers()[0], &labelled.layers()[0]));
    assert_eq!(labelled.digest(), image.with_label("run", "1").unwrap().digest());
}

#[test]
fn further_layers_keep_their_order() {
    let image = ImageBuilder::new()
        .file("/z", b"1".to_vec(), 0o644)
        .layer()
        .file("/a", b"2".to_vec(), 0o644)
        .layer()
        .build()
        .unwrap();
    assert_eq!(image.layers().len(), 2, "an empty layer is left out");
    let alone = ImageBuilder::new().file("/z", b"1".to_vec(), 0o644).build().unwrap();
    assert_eq!(image.layers()[0].digest(), alone.layers()[0].digest());
}

#[rstest]
#[case(ImageBuilder::new().file("/", b"".to_vec(), 0o644), "must name something below /")]
#[case(ImageBuilder::new().file("/a/../b", b"".to_vec(), 0o644), "without empty parts")]
#[case(ImageBuilder::new().file("/a", b"".to_vec(), 0o644).symlink("a", "b"), "twice")]
#[case(ImageBuilder::new().file("/a", b"".to_vec(), 0o644).file("/a/b", b"".to_vec(), 0o644), "is no directory")]
#[case(ImageBuilder::static_binary("/a", Utf8PathBuf::from("/does/not/exist")), "/does/not/exist")]
fn what_cannot_be_built_is_named(#[case] builder: ImageBuilder, #[case] expected: &str) {
    let error = builder.build().unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn an_archive_is_both_layouts_and_reproducible() {
    let directory = tempfile::tempdir().unwrap();
    let image = sample().build().unwrap();
    let write = |name: &str| {
        let path = Utf8PathBuf::from_path_buf(directory.path().join(name)).unwrap();
        image.archive(&path, "registry.test/agent:1").unwrap();
        fs_err::read(path).unwrap()
    };
    let bytes = write("one.tar");
    assert_eq!(bytes, write("other.tar"));
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        found.insert(path, contents);
    }
    for (path, contents) in &found {
        if let Some(hex) = path.strip_prefix("blobs/sha256/") {
            assert_eq!(digest_of(contents), format!("sha256:{hex}"));
        }
    }
    let index: serde_json::Value = serde_json::from_slice(&found["index.json"]).unwrap();
    assert_eq!(index["manifests"][0]["digest"], image.digest());
    let docker: serde_json::Value = serde_json::from_slice(&found["manifest.json"]).unwrap();
    let layer = docker[0]["Layers"][0].as_str().unwrap();
    assert!(found.contains_key(layer), "{layer}");
}
