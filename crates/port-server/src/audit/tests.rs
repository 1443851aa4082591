//! The chain: what breaks it, what a kill leaves, what is found by a noted head.
#![expect(clippy::disallowed_methods, reason = "tests do to files what nobody should")]

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::*;

fn clock() -> Clock {
    Arc::new(|| Timestamp::from_second(1_700_000_000).unwrap())
}

fn entry(path: &str) -> Entry {
    Entry {
        request_id: "r-1".to_owned(),
        remote: "192.0.2.1".parse().unwrap(),
        principal: Some("ci".to_owned()),
        method: "PUT".to_owned(),
        path: path.to_owned(),
        subject: None,
        digest: None,
        status: 201,
        received: Some(6),
    }
}

/// A log with `entries` entries, written to its end.
async fn written(path: &Path, entries: usize) {
    let audit = Audit::open(path, clock()).unwrap();
    for number in 0..entries {
        audit.record(entry(&format!("/v2/a/manifests/{number}"))).await.unwrap();
    }
    closed(audit, path).await;
}

/// Waits until the writer has let go of the file.
async fn closed(audit: Audit, path: &Path) {
    drop(audit);
    let file = port_content::fs::open(path).unwrap();
    while file.try_lock().is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_audit_log_is_one_chain_over_restarts() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("audit/log.jsonl");
    written(&path, 3).await;
    let first = verify(&path, None).unwrap();
    written(&path, 2).await;
    let second = verify(&path, Some(&first.head)).unwrap();
    assert_eq!((first.head.lines, second.head.lines, second.torn), (4, 7, 0));
    let noted: Head = second.head.to_string().parse().unwrap();
    assert!(verify(&path, Some(&noted)).is_ok());
}

#[tokio::test]
async fn whatever_is_changed_is_found() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log.jsonl");
    written(&path, 4).await;
    let (good, head) = (std::fs::read_to_string(&path).unwrap(), verify(&path, None).unwrap().head);
    let lines: Vec<&str> = good.lines().collect();
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let mut removed = lines.clone();
    removed.remove(2);
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    for (what, text) in [
        ("a changed line", good.replacen("\"status\":201", "\"status\":401", 1)),
        ("a removed line", joined(&removed)),
        ("a removed beginning", joined(&lines[1..])),
        ("swapped lines", joined(&swapped)),
        ("a line put in", good.replacen(lines[2], &format!("{}\n{}", lines[2], lines[2]), 1)),
        ("no line", good.replacen(lines[1], "{}", 1)),
    ] {
        std::fs::write(&path, text).unwrap();
        assert!(matches!(verify(&path, None), Err(AuditError::Broken { .. })), "{what} was not found");
        assert!(Audit::open(&path, clock()).is_err(), "a server went on with {what}");
    }
    std::fs::write(&path, joined(&lines[..3])).unwrap();
    assert!(verify(&path, None).is_ok());
    assert!(
        matches!(verify(&path, Some(&head)), Err(AuditError::HeadMissing { .. })),
        "a cut end was not found"
    );
}

#[tokio::test]
async fn a_torn_line_is_dropped_and_said() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log.jsonl");
    written(&path, 1).await;
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"sequence\":3,\"ti");
    std::fs::write(&path, text).unwrap();
    assert_eq!(verify(&path, None).unwrap().torn, 17);
    written(&path, 0).await;
    assert_eq!(verify(&path, None).unwrap().torn, 0);
    assert!(std::fs::read_to_string(&path).unwrap().contains("\"dropped\":17"));
}

#[tokio::test]
async fn one_server_writes_one_log() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log.jsonl");
    let audit = Audit::open(&path, clock()).unwrap();
    assert!(matches!(Audit::open(&path, clock()), Err(AuditError::Locked(_))));
    closed(audit, &path).await;
}
