//! From a chain to one manifest: merging, variables, paths, defaults, and where findings stand.

use port_workload::{BUILT_IN, Chain, Variables, check};

use crate::{LEAST, document, findings, golden, lines, manifest, resolved, resolved_with};

const SERVICE: &str = include_str!("../manifests/service.toml");
const TEAM: &str = include_str!("../manifests/team.toml");
const COMPANY: &str = include_str!("../manifests/company.toml");

#[test]
fn v_12_vu_1_three_manifests_become_one() {
    let files =
        [("/m/service.toml", SERVICE), ("/m/base/team.toml", TEAM), ("/m/base/company.toml", COMPANY)];
    let resolved = resolved_with(&files, &[("VERSION", "v7")]);
    assert_eq!(resolved.problems, []);
    assert_eq!(check(&resolved.manifest), []);
    assert_eq!(resolved.manifest.extends, None, "it stands alone");
    golden::compare("service.resolved.toml", &resolved.written().to_toml().unwrap());
}

#[test]
fn vu_22_the_child_wins_and_lists_are_replaced() {
    let base = "[workload]\nname = \"base\"\nmode = \"container\"\ndescription = \"base\"\n[security]\nread_only_rootfs = true\ncapabilities = [\"CHOWN\", \"KILL\"]\n[resources]\ncpu_weight = 100\nio_weight = 100\n[network]\ndns = [\"1.1.1.1\"]\nports = [\"80\"]\n[[storage.volumes]]\nhost = \"/a\"\ncontainer = \"/a\"\n";
    let child = "extends = \"base.toml\"\n[workload]\nname = \"child\"\n[security]\nread_only_rootfs = false\ncapabilities = [\"SETUID\"]\n[resources]\ncpu_weight = 200\n[network]\nports = []\n[storage]\nvolumes = [{ host = \"/b\", container = \"/b\" }]\n";
    let merged = resolved(&[("/m/child.toml", child), ("/m/base.toml", base)]).manifest;
    assert_eq!((merged.workload.name.as_str(), merged.workload.mode.as_str()), ("child", "container"));
    assert_eq!(merged.workload.description.as_deref(), Some("base"));
    assert_eq!(merged.security.read_only_rootfs, Some(false), "a child can say false");
    assert_eq!(merged.security.capabilities.unwrap(), ["SETUID"]);
    assert_eq!((merged.resources.cpu_weight, merged.resources.io_weight), (Some(200), Some(100)));
    assert_eq!(merged.network.dns.unwrap(), ["1.1.1.1"]);
    assert_eq!(merged.network.ports.unwrap(), [""; 0], "an empty list replaces too");
    let volumes = merged.storage.volumes.unwrap();
    assert_eq!((volumes.len(), volumes[0].host.as_str()), (1, "/b"));
}

#[test]
fn vu_1_paths_start_from_their_own_manifest() {
    let base = "[workload]\nname = \"a\"\nmode = \"hybrid-kvm\"\n[kernel]\npath = \"vmlinux\"\n[storage]\nvolumes = [{ host = \"data\", container = \"/data\" }]\n";
    let child = "extends = \"base/base.toml\"\n[storage]\nrootfs = \"./root.erofs\"\n";
    let resolved = resolved(&[("/m/child.toml", child), ("/m/base/base.toml", base)]);
    assert_eq!(resolved.manifest.kernel.path.as_deref(), Some("/m/base/vmlinux"));
    assert_eq!(resolved.manifest.storage.rootfs.as_deref(), Some("/m/root.erofs"));
    assert_eq!(resolved.manifest.storage.volumes.as_ref().unwrap()[0].host, "/m/base/data");
    let elsewhere = format!("{LEAST}[storage]\nrootfs = \"oci://ghcr.io/acme/web:v1\"\n");
    let resolved = crate::resolved(&[("/m/a.toml", &elsewhere)]);
    assert_eq!(resolved.manifest.storage.rootfs.as_deref(), Some("oci://ghcr.io/acme/web:v1"));
}

#[test]
fn vu_1_vu_3_variables_are_put_in_after_merging() {
    let base = "[workload]\nname = \"${NAME}\"\nmode = \"container\"\n[storage]\nvolumes = [{ host = \"${VOLT_BASE}/${NAME}\", container = \"/data\" }]\n";
    let child = "extends = \"base.toml\"\n[workload]\ndescription = \"on ${HOSTNAME}, ${FROM_ENVIRONMENT}, for $$5\"\n";
    let files = [("/m/child.toml", child), ("/m/base.toml", base)];
    let resolved = resolved_with(&files, &[("NAME", "web")]);
    assert_eq!(resolved.problems, []);
    assert_eq!(resolved.manifest.workload.name, "web");
    assert_eq!(resolved.manifest.workload.description.as_deref(), Some("on host-1, there, for $5"));
    assert_eq!(resolved.manifest.storage.volumes.as_ref().unwrap()[0].host, "/var/lib/volt/web");
    assert_eq!(BUILT_IN.map(|(name, _)| name), ["VOLT_BASE", "VOLT_CAS_DIR", "VOLT_RUN_DIR"]);
}

#[test]
fn vu_23_an_unresolved_variable_is_an_error_with_variable_and_field() {
    let base = "[workload]\nname = \"web\"\nmode = \"container\"\n[network]\ndns = [\n \"1.1.1.1\",\n \"${DNS}\",\n]\n";
    let child = "extends = \"base.toml\"\n[kernel]\ncmdline = \"a=${VOLT_BSAE} b=${OTHER}\"\n";
    let resolved = resolved(&[("/m/child.toml", child), ("/m/base.toml", base)]);
    let found = lines(&resolved.findings(&[]));
    assert_eq!(
        found,
        [
            "error /m/child.toml:3:11 kernel.cmdline: the variable `VOLT_BSAE` has no value (did you mean `VOLT_BASE`?)",
            "error /m/child.toml:3:11 kernel.cmdline: the variable `OTHER` has no value",
            "error /m/base.toml:7:2 network.dns[1]: the variable `DNS` has no value",
        ]
    );
}

#[test]
fn vu_1_defaults_of_the_mode_then_the_others() {
    let of = |mode: &str, more: &str| {
        resolved(&[("/m/a.toml", &format!("[workload]\nname = \"a\"\nmode = \"{mode}\"\n{more}"))]).manifest
    };
    for (mode, memory, landlock, layer) in [
        ("container", None, "default", "overlay"),
        ("hybrid-native", None, "default", "overlay"),
        ("hybrid-kvm", Some("512M"), "strict", "overlay"),
        ("hybrid-emulated", None, "default", "tmpfs"),
    ] {
        let filled = of(mode, "");
        assert_eq!(filled.resources.memory_limit.as_deref(), memory, "{mode}");
        assert_eq!(filled.security.landlock_profile.as_deref(), Some(landlock), "{mode}");
        assert_eq!(filled.security.seccomp_profile.as_deref(), Some("default"), "{mode}");
        assert_eq!(filled.security.read_only_rootfs, Some(false), "{mode}");
        assert_eq!(filled.network.mode.as_deref(), Some("bridge"), "{mode}");
        assert_eq!(filled.storage.writable_layer.as_deref(), Some(layer), "{mode}");
    }
    let said = of(
        "hybrid-kvm",
        "[resources]\nmemory_limit = \"1G\"\n[security]\nlandlock_profile = \"permissive\"\n",
    );
    assert_eq!(said.resources.memory_limit.as_deref(), Some("1G"));
    assert_eq!(said.security.landlock_profile.as_deref(), Some("permissive"));
    let read_only = of("hybrid-emulated", "[security]\nread_only_rootfs = true\n");
    assert_eq!(read_only.storage.writable_layer.as_deref(), Some("none"));
    assert_eq!(of("vm", "").network.mode, None, "an unknown mode has no defaults");
}

#[test]
fn vu_9_a_finding_stands_in_the_file_that_says_it() {
    let base = "[workload]\nmode = \"containr\"\n[network]\nports = [\"x\"]\nmdoe = \"host\"\n";
    let child = "extends = \"base.toml\"\n[resources]\ncpu_set = \"a\"\n";
    let found = lines(&findings(&[("child.toml", child), ("base.toml", base)]));
    let places: Vec<&str> = found.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "error child.toml:1:1 workload.name",
            "error child.toml:3:11 resources.cpu_set",
            "error base.toml:2:8 workload.mode",
            "error base.toml:4:10 network.ports[0]",
            "warning base.toml:5:1 network.mdoe",
        ]
    );
}

#[test]
fn vu_21_without_its_base_a_manifest_is_judged_by_what_it_says() {
    let child = "extends = \"gone.toml\"\n[workload]\ncolour = 1\n[kernel]\n[resources]\ncpu_set = \"a\"\n";
    let mut chain = Chain::new(document("web.toml", child), "web".to_owned());
    chain.give_up(port_workload::extends_problem("the base `gone.toml` is missing", "create it"));
    let none = |_: &str| None;
    let variables = Variables { overrides: Default::default(), host_name: String::new(), environment: &none };
    let resolved = port_workload::Resolved::new(chain, &variables);
    assert_eq!(
        lines(&resolved.findings(&check(&resolved.manifest))),
        [
            "error web.toml:1:11 extends: the base `gone.toml` is missing",
            "warning web.toml:3:1 workload.colour: unknown key",
            "error web.toml:6:11 resources.cpu_set: expected numbers and ranges as `0-3,6`, found `a` in `a`",
        ]
    );
}

#[test]
fn a_manifest_in_code_is_resolved_like_one_from_a_file() {
    let text = manifest(LEAST).to_json().unwrap();
    let stored = port_workload::Document::parse("cas://x", "".into(), text.as_bytes()).unwrap();
    let none = |_: &str| None;
    let variables = Variables { overrides: Default::default(), host_name: String::new(), environment: &none };
    let from_code = port_workload::Resolved::new(Chain::new(stored, "x".to_owned()), &variables);
    let from_file = resolved(&[("web.toml", LEAST)]);
    assert_eq!(from_code.written().to_toml().unwrap(), from_file.written().to_toml().unwrap());
    assert_eq!(document("web.toml", LEAST).findings, []);
}
