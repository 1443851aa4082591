//! `port artifacts list --remote` and `inspect --remote`: what is published, without fetching it.

use port_testkit::project::Project;

use crate::copy::{MANIFEST, manifest, name, registry};
use crate::fixture::*;
use crate::registry::{ANONYMOUS, TAG, registry_project};

#[test]
fn what_is_published_is_listed_by_tags_and_by_directories_too() {
    let remote = |project: &Project, more: &[&str]| {
        let ran = project.port(&[&["artifacts", "list", "--remote", "--format", "json"][..], more].concat());
        assert_eq!(ran.code, 0, "{ran}");
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        report["published"].as_array().unwrap().clone()
    };
    // Tags alone: of a variant of port.toml, and of one that is not in it.
    let one = registry(true);
    for blob in [&b"kernel"[..], b"{}"] {
        one.add_blob(blob);
    }
    let text = manifest(b"kernel", None);
    for tag in [TAG, "v1-x86_64-qemu-standard", "v1-x86_64-toaster-standard", "v2", "latest"] {
        one.add_manifest("port/tiny", tag, MANIFEST, text.as_bytes());
    }
    let project = registry_project(one.host(), ANONYMOUS);
    let rows = remote(&project, &[]);
    let variants: Vec<_> =
        rows.iter().map(|row| (row["variant"].to_string(), row["configured"] == true)).collect();
    assert_eq!(variants.len(), 2, "{rows:?}");
    assert!(variants.iter().any(|(variant, configured)| variant.contains("qemu") && !configured), "{rows:?}");
    for row in &rows {
        assert_eq!(
            (&row["listed"], &row["bytes"], &row["manifest"]),
            (&"tag".into(), &6.into(), &name(&text).into())
        );
    }
    // An empty registry, an artifact that is not there.
    assert!(remote(&registry_project(registry(true).host(), ANONYMOUS), &[]).is_empty());
    assert_eq!(project.port(&["artifacts", "list", "--remote", "--artifact", "nobody"]).code, 5);
    // A directory.
    let project = crate::fixture::project();
    project.write(LOCAL_KERNEL, elf_kernel("x"));
    succeed(&project, "push", "tiny");
    let rows = remote(&project, &["--artifact", "tiny"]);
    assert_eq!((rows.len(), &rows[0]["listed"]), (1, &"directory".into()), "{rows:?}");
    let ran =
        project.port(&["artifacts", "inspect", "--artifact", "tiny", "--remote", "--architecture", "x86-64"]);
    assert!(ran.code == 0 && ran.stdout.contains("6.1.0-x"), "{ran}");
    let ran = project.port(&["artifacts", "referrers", "--artifact", "tiny", "--architecture", "x86-64"]);
    assert!(ran.code == 2 && ran.stderr.contains("knows of no referrers"), "{ran}");
}
