//! The rules of every key: each with a manifest that keeps it and several that do not.

use port_document::Severity;
use port_workload::{Manifest, Problem, check};

use crate::{LEAST, findings, lines, manifest};

/// The least manifest with `text` behind it.
fn with(text: &str) -> Manifest {
    manifest(&format!("{LEAST}{text}\n"))
}

fn of(severity: Severity, problems: &[Problem]) -> Vec<String> {
    problems.iter().filter(|problem| problem.severity == severity).map(ToString::to_string).collect()
}

fn errors(manifest: &Manifest) -> Vec<String> {
    of(Severity::Error, &check(manifest))
}

fn warnings(manifest: &Manifest) -> Vec<String> {
    of(Severity::Warning, &check(manifest))
}

/// Each text is without any problem.
fn sound(texts: &[&str]) {
    for text in texts {
        assert_eq!(check(&with(text)), [], "{text}");
    }
}

/// Each text has one error, which stands at the key and says the part.
fn wrong(rows: &[(&str, &str, &str)]) {
    for (text, key, part) in rows {
        let found = errors(&with(text));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with(&format!("`{key}`: ")) && found[0].contains(part), "{text}: {found:?}");
    }
}

#[test]
fn v_14_vu_10_vu_11_a_manifest_needs_a_name_and_a_mode() {
    let found = errors(&Manifest::default());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("a workload needs a name"), "{found:?}");
    assert!(found[1].contains("a workload needs a mode: one of container, hybrid-native"), "{found:?}");
    assert_eq!(check(&manifest(LEAST)), []);
}

#[test]
fn v_15_vu_10_names() {
    let named = |name: &str| {
        let mut manifest = manifest(LEAST);
        manifest.workload.name = name.to_owned();
        errors(&manifest)
    };
    for name in ["a", "9", "a.b_c-d", "A1", &"x".repeat(63)] {
        assert_eq!(named(name), [""; 0], "{name}");
    }
    for (name, part) in [
        (".a", "a letter or digit first"),
        ("-a", "a letter or digit first"),
        ("_a", "found `_a`"),
        ("a b", "found `a b`"),
        ("a/b", "found `a/b`"),
        ("é", "found `é`"),
        (&"x".repeat(64), "at most 63 characters, found 64"),
    ] {
        let found = named(name);
        assert!(found.len() == 1 && found[0].contains(part), "{name}: {found:?}");
    }
}

#[test]
fn v_2_v_16_vu_11_modes() {
    for mode in ["container", "hybrid-native", "hybrid-emulated"] {
        assert_eq!(check(&manifest(&format!("[workload]\nname = \"a\"\nmode = \"{mode}\"\n"))), [], "{mode}");
    }
    let found = errors(&manifest("[workload]\nname = \"a\"\nmode = \"hybrid-nativ\"\n"));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("did you mean `hybrid-native`?"), "{found:?}");
}

#[test]
fn vu_12_v_29_v_30_memory() {
    sound(&[
        "[resources]\nmemory_limit = \"512M\"",
        "[resources]\nmemory_limit = \"2g\"\nmemory_soft = \"2048MiB\"",
        "[resources]\nmemory_soft = \"1024\"",
    ]);
    wrong(&[
        ("[resources]\nmemory_limit = \"lots\"", "resources.memory_limit", "found `lots`"),
        ("[resources]\nmemory_soft = \"0\"", "resources.memory_soft", "at least one byte"),
        (
            "[resources]\nmemory_limit = \"1G\"\nmemory_soft = \"1025M\"",
            "resources.memory_soft",
            "at most `memory_limit`, which is 1G, found 1025M",
        ),
        ("[resources]\nmemory_limit = \"x\"\nmemory_soft = \"2G\"", "resources.memory_limit", "found `x`"),
    ]);
}

#[test]
fn v_31_v_33_v_34_vu_13_weights_and_processes() {
    sound(&[
        "[resources]\ncpu_weight = 0\nio_weight = 0\npids_max = 0",
        "[resources]\ncpu_weight = 1\nio_weight = 10000\npids_max = 1",
    ]);
    wrong(&[
        (
            "[resources]\ncpu_weight = 10001",
            "resources.cpu_weight",
            "from 1 to 10000, or 0 for none, found 10001",
        ),
        ("[resources]\nio_weight = -1", "resources.io_weight", "found -1"),
        (
            "[resources]\npids_max = -5",
            "resources.pids_max",
            "at least 1 process, or 0 for no limit, found -5",
        ),
    ]);
}

#[test]
fn v_32_vu_14_processors() {
    sound(&["[resources]\ncpu_set = \"0-3,6\""]);
    wrong(&[("[resources]\ncpu_set = \"3-0\"", "resources.cpu_set", "ascend")]);
}

#[test]
fn v_8_v_35_v_36_v_37_vu_15_networks() {
    sound(&[
        "[network]\nmode = \"\"",
        "[network]\nmode = \"bridge\"\naddress = \"10.0.0.2/24\"\ndns = [\"1.1.1.1\", \"::1\"]\nports = [\"80\"]",
        "[network]\nmode = \"none\"\nports = []",
        "[network]\nmode = \"custom\"\naddress = \"fd00::2\"",
        "[network]\nports = [\"80\"]",
    ]);
    wrong(&[
        ("[network]\nmode = \"nat\"", "network.mode", "bridge, host, none, custom"),
        ("[network]\naddress = \"dhcp\"", "network.address", "an IP address"),
        ("[network]\ndns = [\"1.1.1.1\", \"one.one\"]", "network.dns[1]", "found `one.one`"),
        ("[network]\nmode = \"none\"\nports = [\"80\"]", "network.ports", "cannot publish ports"),
    ]);
    let host = with("[network]\nmode = \"host\"\nports = [\"80\"]\naddress = \"10.0.0.2\"");
    assert_eq!(errors(&host), [""; 0]);
    assert_eq!(warnings(&host).len(), 2, "{:?}", warnings(&host));
}

#[test]
fn v_38_vu_16_ports() {
    sound(&["[network]\nports = [\"8080:80\", \"8080:80/udp\", \"8081:80\", \"53/udp\", \"53\"]"]);
    wrong(&[
        ("[network]\nports = [\"53/udp\", \"53:54/udp\"]", "network.ports[1]", "53/udp is taken already"),
        ("[network]\nports = [\"80:x\"]", "network.ports[0]", "`host:container`"),
        ("[network]\nports = [\"80\", \"0:80\"]", "network.ports[1]", "from 1 to 65535"),
        (
            "[network]\nports = [\"8080:80\", \"53/udp\", \"8080:81/tcp\"]",
            "network.ports[2]",
            "the host's port 8080/tcp is taken already by `network.ports[0]`",
        ),
    ]);
}

#[test]
fn v_7_v_24_v_25_vu_17_c_43_profiles() {
    sound(&[
        "[security]\nlandlock_profile = \"permissive\"\nseccomp_profile = \"unconfined\"",
        "[security]\nlandlock_profile = \"/etc/l.toml\"\nseccomp_profile = \"/etc/s.json\"",
    ]);
    wrong(&[
        ("[security]\nlandlock_profile = \"custom\"", "security.landlock_profile", "the bare word `custom`"),
        ("[security]\nlandlock_profile = \"rules\"", "security.landlock_profile", "absolute path"),
        ("[security]\nseccomp_profile = \"stric\"", "security.seccomp_profile", "did you mean `strict`?"),
    ]);
}

#[test]
fn v_26_vu_18_capabilities() {
    sound(&["[security]\ncapabilities = [\"net_admin\", \"CAP_CHOWN\"]", "[security]\ncapabilities = []"]);
    wrong(&[(
        "[security]\ncapabilities = [\"CHOWN\", \"ROOT\"]",
        "security.capabilities[1]",
        "found `ROOT`",
    )]);
    let twice = with("[security]\ncapabilities = [\"CHOWN\", \"cap_chown\"]");
    assert_eq!(errors(&twice), [""; 0]);
    assert!(warnings(&twice)[0].contains("`CAP_CHOWN` stands at `security.capabilities[0]` already"));
}

#[test]
fn v_39_v_53_vu_19_c_46_roots() {
    let digest = "0a".repeat(32);
    sound(&[
        &format!("[storage]\nrootfs = \"cas://sha256:{digest}\""),
        "[storage]\nrootfs = \"/srv/root\"",
        "[storage]\nrootfs = \"oci://ghcr.io/acme/web:v1\"",
    ]);
    wrong(&[
        ("[storage]\nrootfs = \"cas://\"", "storage.rootfs", "found `cas://` alone"),
        ("[storage]\nrootfs = \"cas://sha256:abc123\"", "storage.rootfs", "64 hexadecimal digits"),
        ("[storage]\nrootfs = \"http://x/y\"", "storage.rootfs", "found `http://`"),
    ]);
}

#[test]
fn v_9_v_40_v_41_vu_19_volumes_and_layers() {
    let volume = |host: &str, container: &str| {
        format!("[[storage.volumes]]\nhost = {host:?}\ncontainer = {container:?}\n")
    };
    sound(&[&(volume("/a", "/data") + &volume("b", "/data/inner")), "[storage]\nwritable_layer = \"tmpfs\""]);
    wrong(&[
        (&volume("", "/b"), "storage.volumes[0].host", "needs a path on the host"),
        (&volume("/a", ""), "storage.volumes[0].container", "needs a path in the workload"),
        ("[[storage.volumes]]\ncontainer = \"/b\"", "storage.volumes[0].host", "needs a path on the host"),
        (&volume("/a", "data"), "storage.volumes[0].container", "an absolute path"),
        (&volume("/a/../b", "/b"), "storage.volumes[0].host", "without `..`"),
        (&volume("/a", "/b/.."), "storage.volumes[0].container", "without `..`"),
        (&volume("/a", "//"), "storage.volumes[0].container", "hide the whole root"),
        (
            &(volume("/a", "/data") + &volume("/b", "/x") + &volume("/c", "/./data/")),
            "storage.volumes[2].container",
            "`/data` is taken already by `storage.volumes[0]`",
        ),
        ("[storage]\nwritable_layer = \"overlayfs\"", "storage.writable_layer", "overlay, tmpfs, none"),
    ]);
    let unused = with("[security]\nread_only_rootfs = true\n[storage]\nwritable_layer = \"overlay\"");
    assert!(warnings(&unused)[0].starts_with("`storage.writable_layer`"));
}

#[test]
fn v_23_vu_20_c_42_kernels() {
    let of_mode = |mode: &str, kernel: &str| {
        manifest(&format!("[workload]\nname = \"a\"\nmode = \"{mode}\"\n[kernel]\n{kernel}\n"))
    };
    for kernel in ["version = \"6.1\"", "path = \"vmlinux\"", "path = \"vmlinux\"\ncmdline = \"quiet\""] {
        assert_eq!(check(&of_mode("hybrid-kvm", kernel)), [], "{kernel}");
    }
    let none = errors(&of_mode("hybrid-kvm", "cmdline = \"quiet\""));
    assert!(
        none.len() == 1 && none[0].starts_with("`kernel`: ") && none[0].contains("needs a kernel"),
        "{none:?}"
    );
    // The host's kernel is there already.
    assert_eq!(check(&of_mode("hybrid-native", "")), []);
    // What is ignored is a warning, whatever it says.
    let ignored = of_mode("container", "path = \"vmlinux\"\nmodules = [\"/etc/passwd\"]\ncmdline = \"\\\"\"");
    assert_eq!(errors(&ignored), [""; 0]);
    assert_eq!(warnings(&ignored).len(), 1);
    assert!(warnings(&ignored)[0].starts_with("`kernel`: "));
    let both = of_mode("hybrid-kvm", "path = \"vmlinux\"\nversion = \"6.1\"");
    assert!(errors(&both).is_empty() && warnings(&both)[0].starts_with("`kernel.version`: "));
    for (kernel, key) in [
        ("path = \"v\"\nmodules = [\"virtio_blk\", \"../x\"]", "`kernel.modules[1]`"),
        ("path = \"v\"\ncmdline = \"a=\\\"\"", "`kernel.cmdline`"),
    ] {
        let found = errors(&of_mode("hybrid-kvm", kernel));
        assert!(found.len() == 1 && found[0].starts_with(key), "{found:?}");
    }
}

#[test]
fn vu_9_everything_at_once_with_its_place_errors_apart_from_warnings() {
    let text = "\
[workload]
name = \"a b\"
mode = \"conatiner\"
[resources]
memory_limit = \"1X\"
pids_max = \"many\"
[network]
mode = \"host\"
ports = [
  \"80\",
  \"80:90\",
]
colour = 1
[[storage.volumes]]
container = \"data\"
";
    assert_eq!(
        lines(&findings(&[("web.toml", text)])),
        [
            "error web.toml:2:8 workload.name: expected letters, digits, `.`, `_` and `-`, a letter or digit first, found `a b`",
            "error web.toml:3:8 workload.mode: `conatiner` is not a mode: expected one of container, hybrid-native, hybrid-kvm, hybrid-emulated (did you mean `container`?)",
            "error web.toml:5:16 resources.memory_limit: expected an amount of memory as `512M` or `2G`, found `1X`",
            "error web.toml:6:12 resources.pids_max: expected an integer, found a string",
            "warning web.toml:9:9 network.ports: a workload on the host's network has the host's ports: this is ignored",
            "error web.toml:11:3 network.ports[1]: the host's port 80/tcp is taken already by `network.ports[0]`",
            "warning web.toml:13:1 network.colour: unknown key",
            "error web.toml:14:1 storage.volumes[0].host: a volume needs a path on the host",
            "error web.toml:15:13 storage.volumes[0].container: expected an absolute path in the workload, found `data`",
        ]
    );
}

#[test]
fn vu_9_json_has_places_too() {
    let text = "{\n  \"workload\": {\n    \"name\": \"web\",\n    \"mode\": \"vm\"\n  },\n  \"network\": {\"ports\": [\"x\"]}\n}\n";
    let found = lines(&findings(&[("web.json", text)]));
    assert!(found[0].starts_with("error web.json:4:13 workload.mode: "), "{found:?}");
    assert!(found[1].starts_with("error web.json:6:25 network.ports[0]: "), "{found:?}");
}

#[test]
fn a_key_of_a_wrong_type_is_not_also_missing() {
    let found = lines(&findings(&[("web.toml", "[workload]\nname = 1\nmode = [\"container\"]\n")]));
    assert_eq!(
        found,
        [
            "error web.toml:2:8 workload.name: expected a string, found an integer",
            "error web.toml:3:8 workload.mode: expected a string, found an array",
        ]
    );
}
