//! `port artifacts copy` to destinations that refuse, and kills in between: what was there stays.

use port_content::hashing::digest_of;
use port_testkit::registry::{Abilities, Access, Action, Registry, Reply};

use crate::copy::*;

#[test]
fn a_destination_that_refuses_is_left_untagged() {
    let one = registry(true);
    publish(&one, "team/app");
    let from = format!("{}/team/app:v1", one.host());
    let project = empty();
    for (method, part) in
        [("POST", "/blobs/uploads/"), ("PUT", "/blobs/uploads/"), ("PUT", "/manifests/sha256:")]
    {
        let hook = Box::new(move |request: &port_testkit::registry::Request| {
            if request.method == method && request.target.contains(part) {
                return Action::Answer(Reply::new(
                    403,
                    br#"{"errors":[{"code":"DENIED","message":"quota"}]}"#,
                ));
            }
            Action::Pass
        });
        let two = Registry::with(Abilities::default(), hook);
        let ran = refused(&project, &from, &format!("{}/team/app:v1", two.host()), "DENIED");
        assert!(ran.stderr.contains("port login"), "{ran}");
        assert!(two.manifest("team/app", "v1").is_none(), "{method} {part}");
        let tagged = two.requests().iter().any(|r| r.method == "PUT" && r.target.ends_with("/manifests/v1"));
        assert!(!tagged, "{method} {part}");
    }
    // A pinned destination that is to be something else.
    let two = registry(true);
    let pinned = format!("{}/team/app:v1@{}", two.host(), digest_of(b"other"));
    refused(&project, &from, &pinned, "the destination is to have");
    assert!(two.requests().is_empty());
    let ran = copy(&project, &format!("{}/team/none:v1", one.host()), "oci:out:v1", &[]);
    assert_eq!(ran.code, 5, "{ran}");
}

#[test]
fn each_registry_gets_its_own_credentials_and_no_other() {
    let one = registry(true);
    publish(&one, "team/app");
    let access = Access::Basic("dTpwdw==".to_owned());
    let two = Registry::with(Abilities { access, ..Abilities::default() }, Box::new(|_| Action::Pass));
    let project = empty();
    let (from, to) = (format!("{}/team/app:v1", one.host()), format!("{}/team/app:v1", two.host()));
    let ran = refused(&project, &from, &to, "401");
    assert!(ran.stderr.contains("port login"), "{ran}");
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"dTpwdw=="}}}}}}"#, two.host());
    project.write(".docker/config.json", config);
    copied(&project, &from, &to, &[]);
    assert!(two.manifest("team/app", "v1").is_some());
    assert!(one.requests().iter().all(|request| request.header("authorization").is_empty()));
    assert!(!project.exists(".port"), "a copy leaves nothing behind where no project is");
}

#[test]
fn a_copy_into_a_layout_that_fails_or_is_killed_keeps_the_old_name() {
    let one = registry(true);
    let project = empty();
    let from = format!("{}/team/app:v1", one.host());
    let old = manifest(b"old", None);
    one.add_blob(b"old");
    one.add_blob(b"{}");
    one.add_manifest("team/app", "v1", MANIFEST, old.as_bytes());
    copied(&project, &from, "oci:out:v1", &[]);
    let published = publish(&one, "team/app");
    for point in ["before-sync", "before-rename"] {
        for how in ["error", "kill"] {
            let mut command = project.command(&["artifacts", "copy", "--plain-http", &from, "oci:out:v1"]);
            command.env("PORT_FAILPOINT", format!("atomic.{point}={how}"));
            let ran = project.ran(command.output().unwrap());
            assert_ne!(ran.code, 0, "{ran}");
            let index = String::from_utf8(project.read("out/index.json")).unwrap();
            assert!(index.contains(&name(&old)), "{point} {how}: {index}");
        }
    }
    let report = copied(&project, &from, "oci:out:v1", &[]);
    assert_eq!(report["replaced"], *name(&old), "{report}");
    let two = registry(false);
    copied(&project, "oci:out:v1", &format!("{}/x:v1", two.host()), &[]);
    assert_eq!(two.manifest("x", "v1").unwrap(), published.index.as_bytes());
    // Where the partial file would be, somebody planted a link.
    std::fs::create_dir_all(project.path().join("trap/.partial")).unwrap();
    project.write("trap/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let target = project.write("precious", "precious");
    let partial = project.path().join("trap/.partial").join(digest_of(&published.layer).hex());
    std::os::unix::fs::symlink(target, partial).unwrap();
    refused(&project, &from, "oci:trap:v1", "is a symbolic link");
    assert_eq!(project.read("precious"), b"precious");
}
