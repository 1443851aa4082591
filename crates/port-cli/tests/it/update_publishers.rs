//! Releases that oras published, as KubeSolo's script does, applied by the agent.

use port_content::hashing::digest_of;
use port_testkit::peers::{self, Access, Security, Software};
use port_update::slots::{DirectoryPointer, SlotName};
use serde_json::json;

use crate::trust::done;
use crate::update_agent::{Fleet, expect};

const KERNEL: &str = "application/vnd.kubesolo.os.kernel.v1+octet-stream";
const INITRAMFS: &str = "application/vnd.kubesolo.os.initramfs.v1+gzip";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An index as `oras manifest index create` and KubeSolo's script write it: one entry for each platform.
fn index(manifests: &[(&str, Vec<u8>)]) -> String {
    let entry = |(architecture, bytes): &(&str, Vec<u8>)| {
        let digest = digest_of(bytes).to_string();
        let platform = json!({ "architecture": architecture, "os": "linux" });
        json!({ "mediaType": MANIFEST, "digest": digest, "size": bytes.len(), "platform": platform })
    };
    let entries: Vec<_> = manifests.iter().map(entry).collect();
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string()
}

#[test]
fn o_43_o_47_o_48_what_oras_published_is_applied_booted_and_kept() {
    let registry = peers::Registry::start(Software::DockerRegistry, Access::Open, Security::Plain);
    let (Some(registry), Some(oras)) = (registry, peers::tool("oras")) else { return };
    let fleet = Fleet::new();
    let place = format!("{}/os/kubesolo", registry.address());
    let oras = |arguments: &[&str]| peers::run(&oras, arguments, fleet.machine.path());
    let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    fleet.machine.write(
        "update.conf",
        format!("registry = {place}\nstate = state/state.json\nslots = slots\nunsigned = allowed\n"),
    );
    for (version, slot) in [("v0.3.0", SlotName::B), ("v0.4.0", SlotName::A)] {
        let mut manifests = Vec::new();
        for architecture in ["amd64", "arm64"] {
            fleet.machine.write("vmlinuz", format!("a kernel of {version} for {architecture}"));
            fleet.machine.write("kubesolo-os.gz", format!("an initramfs of {version} for {architecture}"));
            let reference = format!("{place}:{version}-{architecture}");
            let said = ["version", "channel", "architecture"].map(|key| format!("io.kubesolo.os.{key}="));
            let [version, channel, of] = [(0, version), (1, "stable"), (2, architecture)]
                .map(|(at, value): (usize, &str)| format!("{}{value}", said[at]));
            let (kernel, initramfs) = (format!("vmlinuz:{KERNEL}"), format!("kubesolo-os.gz:{INITRAMFS}"));
            let mut words = vec!["push", "--plain-http", &reference, &kernel, &initramfs];
            for said in [&version, &channel, &of] {
                words.extend(["--annotation", said]);
            }
            oras(&words);
            manifests.push((architecture, oras(&["manifest", "fetch", "--plain-http", &reference])));
        }
        fleet.machine.write("index.json", index(&manifests));
        let stable = format!("{place}:stable");
        oras(&["manifest", "push", "--plain-http", "--media-type", INDEX, &stable, "index.json"]);
        expect(&fleet.apply(), 0);
        expect(&fleet.verb("activate", &[]), 0);
        assert_eq!(DirectoryPointer::new(&fleet.slots()).boot().unwrap(), slot);
        expect(&fleet.well(), 0);
        fleet.is_at("committed");
        let kernel = fleet.machine.read(&format!("slots/{slot}/vmlinuz"));
        assert_eq!(kernel, format!("a kernel of {version} for {own}").into_bytes());
    }
    expect(&fleet.apply(), 10);
    // A signature of Port's over what oras published makes it one that a machine with a key takes.
    let words =
        ["update", "sign", "--plain-http", "--repository", &place, "--tag", "stable", "--sequence", "1"];
    done(&fleet.machine, &[&words[..], &["--key", "release.key", "--name", "os"]].concat());
    fleet.machine.write(
        "update.conf",
        format!("registry = {place}\nstate = state2/state.json\nslots = slots2\npubkey = release.pub\n"),
    );
    expect(&fleet.apply(), 0);
}
