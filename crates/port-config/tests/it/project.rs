//! What a file that is right becomes: defaults, `native`, lookups, and the shape for tools.

use std::path::Path;

use port_config::{
    Backend, ImageFormat, KernelSource, Project, RegistryAuth, RegistryConfig, RootfsOverlay, Transport,
    Volume,
};
use port_model::{Architecture, ArchitectureSelector, ProtectionMode, Selector, Substrate};

use super::parse;

const SMALL: &str = r#"
[artifacts.kernels.k]
reference = { registry = "127.0.0.1:5510", repository = "port/k", version = "v1" }
build = "make kernel"
validate = "file vmlinux"
[[artifacts.kernels.k.variants]]
path = "k/vmlinux"
selector = { architecture = "native", substrate = "firecracker", protection_mode = "standard" }
[artifacts.guest_images.g]
reference = { registry = "r", repository = "g", version = "v1" }
recipe = { format = "ext4" }
[[artifacts.guest_images.g.variants]]
path = "g/rootfs.ext4"
selector = { architecture = "x86_64", substrate = "qemu", protection_mode = "standard" }
recipe = { format = "erofs", label = "x", kernel = "k", agent = "a", busybox = "b", directory = "d/", hostname = "h" }
[machines.m]
kernel = "k"
guest_image = "g"
"#;

#[test]
fn an_empty_file_is_a_project_with_defaults() {
    let project = parse("");
    assert_eq!(project.store_root, Path::new(".port/store"));
    assert_eq!(project.sources.firecracker_ci_url, "https://s3.amazonaws.com/spec.ccfc.min");
    assert!(project.artifacts.is_empty() && project.machines.is_empty() && project.control_planes.is_empty());
}

#[test]
fn p_24_native_becomes_the_host() {
    for host in [Architecture::X86_64, Architecture::Aarch64] {
        let project = Project::parse("port.toml", SMALL, host).unwrap();
        let kernel = project.artifact("k").unwrap();
        assert_eq!(kernel.variants.iter().map(|v| v.variant.architecture).collect::<Vec<_>>(), [host]);
        assert_eq!(project.machine("m").unwrap().variant.architecture, host);
    }
}

#[test]
fn pu_2_pu_15_what_is_not_written_has_its_default() {
    let project = parse(SMALL);
    let kernel = project.artifact("k").unwrap();
    assert_eq!(kernel.build.as_deref(), Some("make kernel"));
    assert_eq!(kernel.validate.as_deref(), Some("file vmlinux"));
    assert_eq!((&kernel.distribution.push, &kernel.distribution.pull), (&None, &None));
    assert_eq!(kernel.distribution.cache_root, Path::new(".port/cache"));
    assert!(kernel.variants.iter().all(|config| config.sources.is_empty() && config.recipe.is_none()));
    let machine = project.machine("m").unwrap();
    assert_eq!(machine.variant.to_string(), "x86_64/firecracker/standard");
    assert_eq!((machine.vcpu_count, machine.memory_mib), (2, 512));
    assert_eq!((machine.guest.vsock_cid, machine.guest.control_port), (3, 7000));
    assert_eq!(machine.rootfs_overlay, RootfsOverlay::None);
    assert_eq!(machine.kernel_args.to_string(), "");
}

#[test]
fn a_variants_own_recipe_replaces_the_artifacts() {
    let project = parse(SMALL);
    let recipe = project.artifact("g").unwrap().variants.first().unwrap().recipe.clone().unwrap();
    assert_eq!((recipe.format, recipe.label.as_deref()), (ImageFormat::Erofs, Some("x")));
    assert_eq!(recipe.directory.as_deref(), Some(Path::new("d/")));
    assert_eq!((recipe.kernel.as_deref(), recipe.hostname.as_deref()), (Some("k"), Some("h")));
}

#[test]
fn p_22_p_24_p_82_a_selector_gives_one_variant_or_lists_them() {
    let project = parse(SMALL);
    let kernel = project.artifact("k").unwrap();
    let found = kernel.variant(Selector::default(), Architecture::X86_64).unwrap();
    assert_eq!(found.path, Path::new("k/vmlinux"));
    let pvm = Selector {
        architecture: ArchitectureSelector::Exact(Architecture::X86_64),
        substrate: Substrate::Firecracker,
        protection_mode: ProtectionMode::Pvm,
    };
    assert_eq!(
        kernel.variant(pvm, Architecture::Aarch64).unwrap_err().to_string(),
        "no variant of `k` matches `x86_64/firecracker/pvm`\n  found: x86_64/firecracker/standard"
    );
}

#[test]
fn p_25_pu_18_names_are_looked_up_in_both_classes() {
    let project =
        parse(&SMALL.replace("kernels.k", "kernels.demo-kernel").replace("\"k\"", "\"demo-kernel\""));
    assert_eq!(
        project.artifact("demo-kernl").unwrap_err().to_string(),
        "there is no artifact `demo-kernl` (did you mean `demo-kernel`?)\n  found: demo-kernel, g"
    );
    assert_eq!(project.machine("web").unwrap_err().to_string(), "there is no machine `web`\n  found: m");
    assert_eq!(
        project.control_plane("demo").unwrap_err().to_string(),
        "there is no control plane `demo`\n  found: none"
    );
}

fn registry(transport: Transport, auth: Option<RegistryAuth>) -> RegistryConfig {
    let (certificate_authority, client_certificate, client_key) = (None, None, None);
    RegistryConfig { transport, auth, certificate_authority, client_certificate, client_key }
}

#[test]
fn p_50_p_52_p_58_pu_4_pu_6_backends() {
    let backend = |backend: &str| {
        let text = format!(
            "{SMALL}\n[artifacts.kernels.k.distribution]\npush = {backend}\n[control_planes.demo]\n\
             endpoint = \"http://LOCALHOST:7040/\"\naudience = \"port-demo\"\n\
             auth = {{ scheme = \"bearer\", header = \"authorization\", \
             source = {{ kind = \"env\", variable = \"T\" }} }}\n"
        );
        parse(&text).artifact("k").unwrap().distribution.push.clone().unwrap()
    };
    assert_eq!(
        backend(r#"{ backend = "oci-registry" }"#),
        Backend::OciRegistry(registry(Transport::Https, None))
    );
    assert_eq!(
        backend(
            r#"{ backend = "oci-registry", transport = "plain-http",
                 auth = { kind = "basic-env", username_variable = "U", password_variable = "P" } }"#
        ),
        Backend::OciRegistry(registry(
            Transport::PlainHttp,
            Some(RegistryAuth::BasicEnv {
                username_variable: "U".to_owned(),
                password_variable: "P".to_owned()
            })
        ))
    );
    assert_eq!(
        backend(r#"{ backend = "hosted-api", endpoint = "http://localhost:7040" }"#),
        Backend::HostedApi { endpoint: "http://localhost:7040".to_owned(), control_plane: "demo".to_owned() }
    );
}

#[test]
fn every_kind_of_source_has_one_canonical_text() {
    let text = SMALL.replace(
        "[artifacts.guest_images.g]",
        r#"sources = [
  { kind = "debian-file", path = "k.deb" },
  { kind = "debian-file", path = "k.deb", sha256 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" },
  { kind = "url", url = "https://example.org/vmlinux?x=1", sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
  { kind = "path", path = "a/vmlinux", modules = "lib/modules/6.1" },
]
[artifacts.guest_images.g]"#,
    );
    let project = parse(&text);
    let sources = &project.artifact("k").unwrap().variants.first().unwrap().sources;
    let digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    assert_eq!(
        sources.iter().map(KernelSource::to_string).collect::<Vec<_>>(),
        [
            "debian-file k.deb".to_owned(),
            format!("debian-file k.deb {digest}"),
            format!("url https://example.org/vmlinux?x=1 {digest}"),
            "path a/vmlinux modules lib/modules/6.1".to_owned(),
        ]
    );
}

#[test]
fn pu_9_a_machine_with_everything() {
    let project = parse(&format!(
        "{SMALL}host = \"far\"\nvolumes = [{{ path = \"data.img\", read_only = true }}]\n\
         rootfs_overlay = \"disk\"\nrootfs_read_only = true\nguest = {{ console_log = \"c.log\" }}\n"
    ));
    let machine = project.machine("m").unwrap();
    assert_eq!(machine.host.as_deref(), Some("far"));
    assert_eq!(machine.volumes, [Volume { path: "data.img".into(), read_only: true }]);
    assert_eq!((machine.rootfs_overlay, machine.rootfs_read_only), (RootfsOverlay::Disk, true));
    assert_eq!(machine.guest.console_log.as_deref(), Some(Path::new("c.log")));
}

#[test]
fn pu_1_published_tables_are_kept() {
    let project = parse("[hosts.a]\naddress = \"x\"\n[nodes]\nn = [1]\n[host_groups.g]\nhosts = [\"a\"]\n");
    assert_eq!(project.opaque.hosts["a"]["address"].as_str(), Some("x"));
    assert_eq!(project.opaque.nodes["n"][0].as_integer(), Some(1));
    assert_eq!(project.opaque.host_groups["g"]["hosts"][0].as_str(), Some("a"));
}

#[test]
fn findings_have_a_shape_for_tools() {
    let error = Project::parse("p.toml", "store_root = 1\n", Architecture::X86_64).unwrap_err();
    assert_eq!(
        serde_json::to_value(&error).unwrap(),
        serde_json::json!({ "file": "p.toml", "findings": [{
            "severity": "error", "line": 1, "column": 14, "key": "store_root",
            "message": "expected a string, found an integer",
            "snippet": "store_root = 1", "mark_start": 13, "mark_length": 1, "hint": null
        }] })
    );
}

#[test]
fn a_text_without_end_is_refused_before_it_is_read() {
    let text = "#".repeat(1024 * 1024 + 1);
    let error = Project::parse("p.toml", &text, Architecture::X86_64).unwrap_err().to_string();
    assert!(error.contains("expected at most 1048576 bytes, found 1048577"), "{error}");
}

#[test]
fn a_hopeless_file_is_not_listed_to_its_end() {
    let text: String = (0..5000).map(|n| format!("[colour{n}]\n")).collect();
    let error = Project::parse("p.toml", &text, Architecture::X86_64).unwrap_err();
    assert_eq!(error.findings.len(), 1000);
    assert!(error.to_string().ends_with("\n  … and 960 more"));
}

#[test]
fn s_6_su_1_the_cache_of_base_images_has_its_table() {
    let project = parse(
        r#"
[sources]
firecracker_releases_url = "http://127.0.0.1:5000/releases/latest"
[base_images]
architecture = "aarch64"
cache_directory = "images"
max_stored_images = 0
manifest_url = "https://host/m.json?x=1"
manifest_path = "m.json"
"#,
    );
    let settings = &project.base_images;
    assert_eq!(settings.architecture, Some(ArchitectureSelector::Exact(Architecture::Aarch64)));
    assert_eq!(settings.cache_directory.as_deref(), Some(Path::new("images")));
    assert_eq!(settings.max_stored_images, Some(0), "refused where it is used, with its code");
    assert_eq!(settings.manifest_url.as_deref(), Some("https://host/m.json?x=1"));
    assert_eq!(settings.manifest_path.as_deref(), Some(Path::new("m.json")));
    let releases = project.sources.firecracker_releases_url.as_deref();
    assert_eq!(releases, Some("http://127.0.0.1:5000/releases/latest"));
    assert_eq!(parse("").base_images, port_config::BaseImageSettings::default());
}
