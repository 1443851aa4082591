//! Reading: types, places, unknown keys; what values mean is no matter here.

use std::path::PathBuf;

use port_document::Severity;
use port_workload::{Document, Manifest, Volume};

use crate::{LEAST, WHOLE, document, findings, lines, manifest};

#[test]
fn v_11_v_15_v_16_v_17_v_18_v_19_v_20_v_21_v_22_every_key_is_read() {
    let manifest = manifest(WHOLE);
    assert_eq!(manifest.extends.as_deref(), Some("base.toml"));
    assert_eq!((manifest.workload.name.as_str(), manifest.workload.mode.as_str()), ("web", "hybrid-kvm"));
    assert_eq!(manifest.workload.image.as_deref(), Some("ghcr.io/acme/web:v1"));
    assert_eq!(manifest.workload.description.as_deref(), Some("Serves \"pages\".\nTwo lines."));
    let kernel = manifest.kernel;
    assert_eq!((kernel.version.as_deref(), kernel.path.as_deref()), (Some("6.1"), Some("vmlinux")));
    assert_eq!(kernel.modules.unwrap(), ["virtio_blk", "erofs"]);
    assert_eq!(kernel.cmdline.as_deref(), Some("quiet root=/dev/vda"));
}

#[test]
fn v_24_v_25_v_26_v_27_v_31_v_32_v_33_v_34_v_35_v_36_v_37_v_38_limits_and_rights_are_read() {
    let Manifest { security, resources, network, .. } = manifest(WHOLE);
    assert_eq!(security.landlock_profile.as_deref(), Some("strict"));
    assert_eq!(security.seccomp_profile.as_deref(), Some("/etc/port/seccomp.json"));
    assert_eq!(security.capabilities.unwrap(), ["NET_ADMIN", "CAP_CHOWN"]);
    assert_eq!(security.read_only_rootfs, Some(true));
    assert_eq!(
        (resources.cpu_weight, resources.io_weight, resources.pids_max),
        (Some(200), Some(50), Some(128))
    );
    assert_eq!(resources.cpu_set.as_deref(), Some("0-3,6"));
    assert_eq!((network.mode.as_deref(), network.address.as_deref()), (Some("bridge"), Some("10.0.0.2/24")));
    assert_eq!(network.dns.unwrap(), ["1.1.1.1", "fd00::1"]);
    assert_eq!(network.ports.unwrap(), ["8080:80", "53:53/udp"]);
}

#[test]
fn v_39_v_40_v_41_storage_is_read() {
    let storage = manifest(WHOLE).storage;
    assert!(storage.rootfs.unwrap().starts_with("cas://sha256:"));
    assert_eq!(storage.writable_layer.as_deref(), Some("none"));
    let volume = |host: &str, container: &str, readonly| Volume {
        host: host.to_owned(),
        container: container.to_owned(),
        readonly,
    };
    let expected =
        [volume("/srv/data", "/data", Some(false)), volume("certificates", "/etc/certificates", None)];
    assert_eq!(storage.volumes.unwrap(), expected);
}

#[test]
fn v_27_read_only_rootfs_has_three_states() {
    let of = |text: &str| manifest(&format!("{LEAST}[security]\n{text}")).security.read_only_rootfs;
    assert_eq!(
        (of(""), of("read_only_rootfs = false"), of("read_only_rootfs = true")),
        (None, Some(false), Some(true))
    );
}

#[test]
fn v_13_v_44_the_source_is_remembered_and_belongs_to_no_text() {
    let read = document("dir/web.toml", LEAST);
    assert_eq!(read.manifest.source, PathBuf::from("dir/web.toml"));
    assert!(!read.manifest.to_toml().unwrap().contains("dir"));
    assert!(!read.manifest.to_json().unwrap().contains("dir"));
    assert_eq!(Manifest::default().source, PathBuf::new());
}

#[test]
fn v_30_v_46_reading_checks_no_value_and_resolves_nothing() {
    let text = "extends = \"nowhere.toml\"\n[workload]\nname = \"!\"\nmode = \"vm\"\n[resources]\nmemory_limit = \"lots\"\nmemory_soft = \"${SOFT}\"\n";
    let read = document("web.toml", text);
    assert_eq!(read.findings, []);
    let manifest = read.decoded().unwrap();
    assert_eq!(manifest.resources.memory_limit.as_deref(), Some("lots"));
    assert_eq!(manifest.resources.memory_soft.as_deref(), Some("${SOFT}"));
    assert_eq!(manifest.extends.as_deref(), Some("nowhere.toml"));
    assert!(
        Document::parse("", PathBuf::new(), b"").unwrap().decoded().is_ok(),
        "an empty text is read, not valid"
    );
}

#[test]
fn v_45_v_47_bytes_that_are_no_manifest_are_an_error_that_names_the_file() {
    for (bytes, part) in [
        (b"[workload\n" as &[u8], "not TOML"),
        (b"name = \n", "not TOML"),
        (b"{\"workload\": ", "not JSON"),
        (b"a = \"\xff\"", "not UTF-8"),
    ] {
        let error = Document::parse("dir/web.toml", PathBuf::new(), bytes).unwrap_err().to_string();
        assert!(error.contains("`dir/web.toml`") && error.contains(part), "{error}");
    }
    let wrong = document("dir/web.toml", "[workload]\nname = 1\nmode = true\n").decoded().unwrap_err();
    let text = wrong.to_string();
    assert!(text.contains("cannot use `dir/web.toml`: 2 problems"), "{text}");
    assert!(
        text.contains("dir/web.toml:2:8: `workload.name`: expected a string, found an integer"),
        "{text}"
    );
}

#[test]
fn vu_13_vu_15_an_empty_text_and_zero_say_nothing() {
    let text =
        format!("{LEAST}[resources]\ncpu_weight = 0\npids_max = 0\ncpu_set = \"\"\n[network]\nmode = \"\"\n");
    assert_eq!(manifest(&text), manifest(LEAST));
    assert_eq!(lines(&findings(&[("web.toml", &text)])), [""; 0]);
}

#[test]
fn c_45_unknown_keys_are_warnings_with_a_suggestion() {
    let text = "colour = 1\n[workload]\nname = \"web\"\nmode = \"container\"\ndescripton = \"x\"\n[newtork]\nmode = \"host\"\n[[storage.volumes]]\nhost = \"/a\"\ncontainer = \"/b\"\nread_only = true\n";
    assert_eq!(
        lines(&findings(&[("web.toml", text)])),
        [
            "warning web.toml:1:1 colour: unknown key",
            "warning web.toml:5:1 workload.descripton: unknown key (did you mean `description`?)",
            "warning web.toml:6:2 newtork: unknown key (did you mean `network`?)",
            "warning web.toml:11:1 storage.volumes[0].read_only: unknown key (did you mean `readonly`?)",
        ]
    );
    assert!(document("web.toml", text).decoded().is_ok());
}

#[test]
fn c_44_extends_in_a_table_is_an_error_with_a_hint() {
    let text = format!("{LEAST}extends = \"base.toml\"\n");
    let found = findings(&[("web.toml", &text)]);
    assert_eq!(lines(&found), ["error web.toml:4:1 workload.extends: unknown key"]);
    assert!(found[0].finding.hint.as_ref().unwrap().contains("above the first `[table]`"));
}

#[test]
fn what_may_be_a_secret_is_shown_nowhere() {
    let text = "[workload]\nname = 1\npassword = \"hunter2\"\n";
    let found = findings(&[("web.toml", text)]);
    assert!(found.iter().any(|placed| placed.finding.severity == Severity::Warning));
    assert!(!serde_json::to_string(&found).unwrap().contains("hunter2"));
}
