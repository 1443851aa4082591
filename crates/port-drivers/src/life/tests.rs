//! What becomes of processes when their supervisor fails, with a number 1 of a namespace that needs no container.

use std::io::Write as _;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::*;
use crate::job::{Job, Layer, Lower, VERSION};
use crate::log::LogWriter;
use crate::room::Rooms;

/// A parent that leaves its number 1 alone when it is killed, as nspawn does; none where this user may make no namespaces.
async fn parent_and_init() -> Option<(Child, u32)> {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--", "sleep", "600"]);
    let mut parent = command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().ok()?;
    loop {
        if let Some(init) = inside::init_of(parent.id().unwrap()) {
            return Some((parent, init));
        }
        if parent.try_wait().unwrap().is_some() {
            return None;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn skip() {
    let _ = writeln!(std::io::stderr(), "skipped: this user may make no namespaces");
}

fn job() -> Job {
    Job {
        version: VERSION,
        name: "web".to_owned(),
        mode: "hybrid-native".to_owned(),
        command: Vec::new(),
        lower: Lower::Directory("/".into()),
        layer: Layer::Memory,
        limits: Vec::new(),
        network: None,
        name_servers: Vec::new(),
        best_effort: false,
        warnings: Vec::new(),
        program: Vec::new(),
        environment: Vec::new(),
        gate: Vec::new(),
        body: Body::Booted { command: None },
    }
}

fn is_there(process: u32) -> bool {
    fs::exists(&std::path::PathBuf::from(format!("/proc/{process}/comm")))
}

/// Whether number 1 is gone after `act`, with whatever it said.
async fn after<T>(room: &Room, act: impl AsyncFnOnce(&mut Life<'_>) -> T) -> Option<(T, bool)> {
    let (mut child, init) = parent_and_init().await?;
    let directory = tempfile::tempdir().unwrap();
    let log = Arc::new(Mutex::new(LogWriter::open(&directory.path().join("log")).unwrap()));
    let (job, mut record, mut signals) = (job(), Record::starting(1, Vec::new()), Signals::listen().unwrap());
    let (record, child, signals) = (&mut record, &mut child, &mut signals);
    let mut life = Life { room, job: &job, record, log: &log, child, signals, killed: false };
    // Who goes on fails, and does not wait for ever.
    let said = tokio::time::timeout(INIT_TIME * 2, act(&mut life)).await.unwrap();
    let is_gone = !is_there(init);
    inside::signal(init, Signal::KILL);
    Some((said, is_gone))
}

#[tokio::test]
async fn an_error_leaves_nothing_that_runs() {
    let directory = tempfile::tempdir().unwrap();
    // Its record cannot be written below a file, so it cannot begin.
    port_content::atomic::write(&directory.path().join("none"), b"").unwrap();
    let room = Rooms::new(directory.path().to_owned()).room("none");
    let watched = after(&room, async |life| life.watch(None, &mut None).await).await;
    let Some((watched, is_gone)) = watched else { return skip() };
    assert!(matches!(watched, Err(DriverError::Files(_))), "{watched:?}");
    assert!(is_gone);
}

#[tokio::test]
async fn number_one_is_killed_before_it_was_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let room = Rooms::new(directory.path().to_owned()).room("web");
    let killed = after(&room, async |life| {
        life.kill();
        life.child.wait().await.unwrap();
        life.kill();
    });
    let Some(((), is_gone)) = killed.await else { return skip() };
    assert!(is_gone);
}
