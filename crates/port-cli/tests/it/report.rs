//! list, inspect, store: what they say, in text and in JSON.

use port_testkit::project::Ran;
use serde_json::Value;

use crate::fixture::*;

#[test]
fn pu_15_list_says_where_every_variant_is() {
    let project = project();
    project.write(LOCAL_KERNEL, b"kernel");
    succeed(&project, "push", "tiny");
    project.write("k/aarch64/standard/vmlinux", b"arm");
    project.write("g/x86_64/standard/rootfs.ext4", b"image");
    succeed(&project, "push", "root");
    std::fs::remove_file(project.path().join("g/x86_64/standard/rootfs.ext4")).unwrap();
    insta::assert_snapshot!("list", project.port(&["artifacts", "list"]));
    let ran = project.port(&["artifacts", "list", "--artifact", "tiny", "--format", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let rows = report["artifacts"].as_array().unwrap();
    let states: Vec<_> = rows.iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["local+cache", "local", "missing", "missing"]);
}

#[test]
fn inspect_looks_at_local_files_then_at_the_store() {
    let project = project();
    project.write(LOCAL_KERNEL, elf_kernel("inspect"));
    succeed(&project, "push", "tiny");
    insta::assert_snapshot!("inspect", succeed(&project, "inspect", "tiny"));
    std::fs::remove_file(project.path().join(LOCAL_KERNEL)).unwrap();
    let ran = project
        .port(&[&["--format", "json", "artifacts", "inspect", "--artifact", "tiny"][..], &X86].concat());
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["origin"], "the store");
    assert_eq!(report["bundle"]["kernel"]["release"], "6.1.0-inspect");
}

/// What a blob takes on the disk is another number on each file system.
fn without_disk(ran: Ran) -> Ran {
    let column = |line: &str| {
        let start = line.rfind("  sha256:")?;
        let size = line[..start].trim_end().rfind("  ")? + 2;
        Some(format!("{}[DISK]{}", &line[..size], &line[start..]))
    };
    let counted = |line: &str| {
        let end = line.find(" on disk")?;
        let start = line[..end].rfind(", ")? + 2;
        Some(format!("{}[DISK]{}", &line[..start], &line[end..]))
    };
    let heading = |line: &str| {
        let (before, after) = line.split_once("ON DISK")?;
        Some(format!("{before}ON DISK  {}", after.trim_start()))
    };
    let line = |line: &str| {
        let hidden = column(line).or_else(|| counted(line)).or_else(|| heading(line));
        hidden.unwrap_or_else(|| line.to_owned()) + "\n"
    };
    Ran { stdout: ran.stdout.lines().map(line).collect(), ..ran }
}

#[test]
fn the_store_is_listed_verified_and_tidied() {
    let project = project();
    for content in [b"one".as_slice(), b"two"] {
        project.write(LOCAL_KERNEL, content);
        succeed(&project, "push", "tiny");
    }
    insta::assert_snapshot!("store_list", without_disk(project.port(&["store", "list"])));
    insta::assert_snapshot!("store_gc", without_disk(project.port(&["store", "gc"])));
    insta::assert_snapshot!("store_verify", project.port(&["store", "verify"]));
    let blob = project
        .path()
        .join(".port/store/blobs/sha256")
        .join("3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3");
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, b"twx").unwrap();
    insta::assert_snapshot!("store_verify_damaged", project.port(&["store", "verify"]));
}

#[test]
fn referrers_in_the_store_say_what_they_refer_to() {
    let registry = crate::copy::registry(true);
    let published = crate::copy::publish(&registry, "team/app");
    let project = project();
    project.write(LOCAL_KERNEL, b"one");
    succeed(&project, "push", "tiny");
    let from = format!("{}/team/app:v1", registry.host());
    crate::copy::copied(&project, &from, "oci:.port/store:team/app:v1", &[]);
    insta::assert_snapshot!("store_list_referrers", without_disk(project.port(&["store", "list"])));
    let ran = project.port(&["store", "list", "--format", "json"]);
    let rows: Value = serde_json::from_str(&ran.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    let (named, unnamed): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row["name"].is_string());
    assert_eq!((named.len(), unnamed.len()), (2, 2), "{ran}");
    assert!(named.iter().all(|row| row["refers_to"].is_null()), "{ran}");
    for (referrer, subject) in
        [(&published.signature, &published.first), (&published.countersignature, &published.signature)]
    {
        let row = unnamed.iter().find(|row| row["manifest"] == *crate::copy::name(referrer)).unwrap();
        assert_eq!(row["refers_to"], *crate::copy::name(subject), "{ran}");
        assert_eq!(row["artifact_type"], "application/vnd.test.signature", "{ran}");
    }
}

#[test]
fn errors_are_json_where_reports_are() {
    let project = project();
    let ran = project.port(&["--format", "json", "artifacts", "push", "--artifact", "tinny"]);
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.code, ran.stdout.as_str()), (5, ""));
    assert_eq!(error["error"]["exit"], "not-found");
    assert!(error["error"]["message"].as_str().unwrap().contains("did you mean `tiny`"));
}

#[test]
fn doctor_needs_no_project() {
    let project = port_testkit::project::Project::new(env!("CARGO_BIN_EXE_port"));
    let ran = project.port(&["doctor", "--format", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let names: Vec<_> =
        report["facts"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    for name in ["qemu-system-x86_64", "/dev/kvm", "e2fsck", "port-guest-agent"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_an_error_and_a_reader_that_left_is_none() {
    let project = project();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = project.command(&["artifacts", "list"]).stdout(full).output().unwrap();
    let ran = project.ran(output);
    assert!(ran.code == 1 && ran.stderr.contains("standard output"), "{ran}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(project.command(&["artifacts", "list"]).stdout(writer).status().unwrap().success());
}

#[test]
fn reading_commands_make_nothing() {
    let project = project();
    project.port(&["artifacts", "list"]);
    artifacts(&project, "inspect", "tiny");
    assert!(!project.exists(".port"));
}
