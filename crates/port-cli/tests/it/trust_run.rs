//! `port run` under a policy: what was pulled with its signatures boots, and nothing else does.
//!
//! No machine is started: whether files are taken is decided before.

use port_testkit::project::{Project, Ran};
use port_testkit::registry::Registry;

use crate::fixture::*;
use crate::trust::{done, key};

const CONFIGURATION: &str = r#"
[artifacts.kernels.tiny]
reference = { registry = "HOST", repository = "port/tiny", version = "v1" }
distribution = { push = { backend = "oci-registry", transport = "plain-http", auth = { kind = "anonymous" } }, pull = { backend = "oci-registry", transport = "plain-http", auth = { kind = "anonymous" } } }
variants = [{ path = "k/vmlinux", selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" } }]
[artifacts.guest_images.root]
reference = { registry = "HOST", repository = "port/root", version = "v1" }
distribution = { push = { backend = "oci-registry", transport = "plain-http", auth = { kind = "anonymous" } }, pull = { backend = "oci-registry", transport = "plain-http", auth = { kind = "anonymous" } } }
variants = [{ path = "g/rootfs.ext4", selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" } }]
[machines.tiny]
kernel = "tiny"
guest_image = "root"
architecture = "x86_64"
"#;

const POLICY: &str = "version = 1\n[keys]\nalice = { path = \"a.pub\" }\n[[rules]]\nreferences = [\"*/port/*\"]\nkeys = [\"alice\"]\n";

/// The plan of the machine; where it is refused, the reason.
fn plan(project: &Project) -> Ran {
    project.port(&["run", "tiny", "--dry-run"])
}

fn signed() -> (Registry, Project) {
    let registry = Registry::start();
    let project = with_configuration(&CONFIGURATION.replace("HOST", registry.host()));
    project.write("k/vmlinux", elf_kernel("a"));
    project.write("g/rootfs.ext4", b"a file system");
    key(&project, "a.key", "p256");
    for name in ["tiny", "root"] {
        succeed(&project, "push", name);
        done(&project, &[&["artifacts", "sign", "--artifact", name, "--key", "a.key"][..], &X86].concat());
    }
    project.write("trust.toml", POLICY);
    (registry, project)
}

fn is_refused(ran: &Ran, reason: &str) {
    assert_eq!(ran.code, 3, "{ran}");
    assert!(ran.stderr.contains(reason), "should say `{reason}`\n{ran}");
}

#[test]
fn only_what_was_pulled_with_its_signatures_runs() {
    let (registry, project) = signed();
    // Built here: nobody has signed these files, as far as this place knows.
    is_refused(&plan(&project), "these files were not pulled with any");
    for name in ["tiny", "root"] {
        succeed(&project, "pull", name);
    }
    // The registry is not needed any more.
    drop(registry);
    let planned = plan(&project);
    assert_ne!(planned.code, 3, "{planned}");
    // A file that changed, though its times may be the same.
    project.write("k/vmlinux", elf_kernel("b"));
    is_refused(&plan(&project), "is not the one that was signed");
    project.write("k/vmlinux", elf_kernel("a"));
    assert_ne!(plan(&project).code, 3);
    // The policy of now decides: the key was withdrawn.
    key(&project, "b.key", "p256");
    project.write("trust.toml", POLICY.replace("a.pub", "b.pub"));
    is_refused(&plan(&project), "0 of 1 required signatures are valid");
}

#[test]
fn what_is_kept_of_signatures_is_believed_in_nothing() {
    let (_registry, project) = signed();
    for name in ["tiny", "root"] {
        succeed(&project, "pull", name);
    }
    let directory = project.path().join(".port/trust");
    let files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    let texts: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let both = |write: &dyn Fn(usize) -> Vec<u8>| {
        for (index, file) in files.iter().enumerate() {
            std::fs::write(file, write(index)).unwrap();
        }
        plan(&project)
    };
    // The signatures of one below the name of the other.
    is_refused(&both(&|index| texts[1 - index].clone().into_bytes()), "cannot be used");
    is_refused(&both(&|_| b"{}".to_vec()), "cannot be used");
    is_refused(&both(&|_| Vec::new()), "cannot be used");
    // Without its signatures.
    let bare = |index: usize| {
        let mut value: serde_json::Value = serde_json::from_str(&texts[index]).unwrap();
        value["signatures"] = serde_json::json!([]);
        serde_json::to_vec(&value).unwrap()
    };
    is_refused(&both(&bare), "0 of 1 required signatures are valid");
    // Another config, which the manifest does not name.
    let other = |index: usize| {
        let mut value: serde_json::Value = serde_json::from_str(&texts[index]).unwrap();
        value["config"] = "e30=".into();
        serde_json::to_vec(&value).unwrap()
    };
    is_refused(&both(&other), "its config is not the one that its manifest names");
    let good = both(&|index| texts[index].clone().into_bytes());
    assert_ne!(good.code, 3, "{good}");
}
