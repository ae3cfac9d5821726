use super::*;

fn entry(id: &str, owner: ProcessIdentity) -> Entry {
    Entry {
        id: id.to_owned(),
        name: format!("cluster-{id}"),
        run: "run".to_owned(),
        created: jiff::Timestamp::UNIX_EPOCH,
        kubernetes: "1.36.4".to_owned(),
        owner,
        directory: Utf8PathBuf::from("/nonexistent/sandproof-test"),
        kept: false,
        holdings: holdings(None),
    }
}

fn holdings(first_process: Option<ProcessIdentity>) -> Holdings {
    Holdings::Native(crate::native::Holdings {
        link: "spffffffff".to_owned(),
        subnet: "198.18.0.4".parse().unwrap(),
        groups: vec![],
        supervisor: None,
        first_process,
    })
}

fn state() -> (tempfile::TempDir, Utf8PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
    (directory, path)
}

const DEAD: ProcessIdentity = ProcessIdentity { pid: 1, started: u64::MAX };

#[test]
fn addresses_follow_from_the_subnet() {
    let Holdings::Native(holdings) = holdings(None) else { panic!() };
    assert_eq!(holdings.host_address().to_string(), "198.18.0.5");
    assert_eq!(holdings.node_address().to_string(), "198.18.0.6");
}

#[tokio::test]
async fn a_sweep_removes_the_dead_and_spares_the_living() {
    let (_directory, state) = state();
    let ledger = Ledger::open(&state).unwrap();
    ledger.write(&entry("dead", DEAD)).unwrap();
    ledger.write(&entry("living", ProcessIdentity::own())).unwrap();
    let kept = Entry { kept: true, holdings: holdings(Some(ProcessIdentity::own())), ..entry("kept", DEAD) };
    ledger.write(&kept).unwrap();
    let report = sweep(&state).await.unwrap();
    assert_eq!(report.removed.len(), 1);
    assert_eq!(report.removed[0].name, "cluster-dead");
    assert!(report.removed[0].leftovers.is_nothing());
    assert_eq!(report.owned, ["cluster-living"]);
    assert_eq!(report.kept, ["cluster-kept"]);
    let ids: Vec<String> = list(&state).await.unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids, ["kept", "living"]);
}

#[tokio::test]
async fn a_kept_cluster_that_died_is_dead() {
    let kept = Entry { kept: true, holdings: holdings(Some(DEAD)), ..entry("kept", DEAD) };
    assert_eq!(kept.state(), EntryState::Dead);
}

#[tokio::test]
async fn an_unknown_name_is_told_what_there_is() {
    let (_directory, state) = state();
    Ledger::open(&state).unwrap().write(&entry("x", DEAD)).unwrap();
    let error = down(&state, "other").await.unwrap_err().to_string();
    assert!(error.contains("cluster-x"), "{error}");
}

#[test]
fn an_entry_comes_back() {
    let (_directory, state) = state();
    let ledger = Ledger::open(&state).unwrap();
    let written = Entry { holdings: holdings(Some(ProcessIdentity::own())), ..entry("x", DEAD) };
    ledger.write(&written).unwrap();
    assert_eq!(ledger.entries().unwrap(), [written]);
}

#[test]
fn an_entry_from_before_there_were_providers_is_a_native_one() {
    let (_directory, state) = state();
    let ledger = Ledger::open(&state).unwrap();
    let old = r#"{
        "id": "00000001", "name": "dev", "run": "r", "created": "2026-01-01T00:00:00Z", "kubernetes": "1.36.4",
        "owner": {"pid": 1, "started": 2}, "directory": "/nonexistent", "link": "sp00000001",
        "subnet": "198.18.0.4", "groups": [], "supervisor": null,
        "firstProcess": {"pid": 3, "started": 18446744073709551615}, "kept": true
    }"#;
    std::fs::write(ledger.path("00000001"), old).unwrap();
    let entries = ledger.entries().unwrap();
    assert_eq!(entries[0].provider(), crate::provider::Provider::Native);
    let Holdings::Native(holdings) = &entries[0].holdings else { panic!() };
    assert_eq!(holdings.link, "sp00000001");
    assert_eq!(holdings.first_process.unwrap().started, u64::MAX);
}

#[test]
fn a_broken_entry_is_named() {
    let (_directory, state) = state();
    let ledger = Ledger::open(&state).unwrap();
    std::fs::write(ledger.path("broken"), "{").unwrap();
    let error = ledger.entries().unwrap_err().to_string();
    assert!(error.contains("broken.json"), "{error}");
}

#[test]
fn an_inventory_tells_what_is_new() {
    let mut after = Inventory::default();
    after.links.insert("sp00000001".to_owned());
    after.entries.insert("00000001".to_owned());
    assert_eq!(after.since(&Inventory::default()), ["network link sp00000001", "ledger entry 00000001"]);
    assert!(after.since(&after).is_empty());
}

#[rstest::rstest]
#[case("dev", true)]
#[case("a-1", true)]
#[case("", false)]
#[case("..", false)]
#[case("../../other", false)]
#[case("-a", false)]
#[case("Upper", false)]
#[case("n2345678901234567890123456789012345678901", false)]
fn a_name_that_would_lead_out_of_the_state_directory_is_none(#[case] name: &str, #[case] is_one: bool) {
    assert_eq!(is_cluster_name(name), is_one);
}
