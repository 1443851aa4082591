//! What is started for a plan, and what is refused.

use port_content::{atomic, fs};

use super::*;
use crate::container::tests::{LEAST, host, plan_of, request};

fn with_translator() -> (tempfile::TempDir, Host) {
    let directory = tempfile::tempdir().unwrap();
    let host = host(&directory);
    let other = if std::env::consts::ARCH == "aarch64" { "riscv64" } else { "aarch64" };
    let program = directory.path().join(format!("qemu-{other}-static"));
    atomic::write(&program, b"").unwrap();
    fs::set_mode(&program, 0o755).unwrap();
    (directory, host)
}

fn text(more: &str) -> String {
    format!("{}{more}", LEAST.replace("\"container\"", "\"hybrid-emulated\""))
}

#[test]
fn v_6_a_translator_is_registered_for_this_workload_alone() {
    let (_directory, host) = with_translator();
    let plan = plan_of(&text("[network]\nmode = \"none\"\n"));
    let job = EmulatedDriver.prepare(&plan, &request(), &host).unwrap();
    let said = job.program.join(" ");
    assert!(said.starts_with("unshare --user --map-root-user --mount"), "{said}");
    for part in
        ["--net --pid --fork --kill-child -- /bin/sh -c", ":M::\\x7f\\x45\\x4c\\x46", "-static:PF -- /opt"]
    {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let end = "--root /rooms/web_1/root --init -- /run/port-launcher --capabilities";
    assert!(said.contains(end) && said.ends_with("-- /bin/httpd -f"), "{said}");
    assert!(!said.contains("--await-network"), "there is none: {said}");
    let bridged = EmulatedDriver.prepare(&plan_of(&text("")), &request(), &host).unwrap().program.join(" ");
    assert!(bridged.contains("--init -- /run/port-launcher --await-network "), "{bridged}");
    assert_eq!(job.layer, crate::job::Layer::Memory, "what it writes is for this run");
}

#[test]
fn v_6_c_48_what_lacks_is_named() {
    let (directory, sound) = with_translator();
    let plan = plan_of(&text("[network]\nmode = \"none\"\n"));
    let bare = Host { search: port_runtime::SearchPath::default(), ..sound.clone() };
    let error = EmulatedDriver.prepare(&plan, &request(), &bare).unwrap_err().to_string();
    assert!(error.contains("qemu-user-static"), "{error}");
    let old = Host { kernel_release: "6.6.9-lts".to_owned(), ..sound.clone() };
    // There is no lesser way, so nothing to be content with.
    let content = Request { best_effort: true, ..request() };
    let error = EmulatedDriver.prepare(&plan, &content, &old).unwrap_err().to_string();
    assert!(error.contains("expected Linux 6.7 or newer") && error.contains("found 6.6.9-lts"), "{error}");
    let open = Host { launcher: None, ..sound.clone() };
    assert!(EmulatedDriver.prepare(&plan, &request(), &open).is_err());
    let filtered = plan_of(&text("[network]\nmode = \"none\"\n[security]\nseccomp_profile = \"strict\"\n"));
    assert!(EmulatedDriver.prepare(&filtered, &request(), &sound).is_err());
    assert_eq!(EmulatedDriver.prepare(&filtered, &content, &sound).unwrap().warnings.len(), 1);
    drop(directory);
    assert!(is_new_enough("6.18.44-fc-v595") && is_new_enough("7.0.0") && !is_new_enough("5.15.0-100"));
}
