//! Packed images through `hosted-api`: what changed is what moves, and nobody is told that the file itself is there.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use port_testkit::project::Project;
use serde_json::{Value, json};

use super::{HOSTED, Server, TOKEN, succeed_there};
use crate::fixture::*;
use crate::packed::{CHANGED, IMAGE, TALK, assert_same, image, place};

const INITRD: &str = "g/x86_64/standard/initrd.cpio.gz";

/// `port.toml` for one version of the image and this encoding.
fn turn(project: &Project, server: &Server, version: usize, push: &str) {
    let endpoint = &server.endpoint;
    let backend = format!(r#"backend = "hosted-api", endpoint = "{endpoint}""#);
    let configuration = format!(
        r#"
[artifacts.guest_images.root]
reference = {{ registry = "demo-fs", repository = "port/root", version = "v{version}" }}
variants = [{{ path = "{IMAGE}", selector = {{ architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }} }}]
distribution = {{ push = {{ {backend}{push} }}, pull = {{ {backend} }} }}
[control_planes.demo]
endpoint = "{endpoint}"
audience = "port-demo"
auth = {{ scheme = "bearer", header = "authorization", source = {{ kind = "env", variable = "PORT_DEMO_TOKEN" }} }}
"#
    );
    project.write("port.toml", configuration);
}

fn moved(project: &Project, verb: &str, more: &[&str]) -> u64 {
    let arguments = [&[verb, "--artifact", "root", "--format", "json"][..], &X86, more].concat();
    let ran = succeed_there(project, &arguments);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    report["moved_bytes"].as_u64().unwrap()
}

fn hosted(version: usize, name: &str) -> String {
    format!("{HOSTED}/root/v{version}/x86_64/firecracker/standard/{name}")
}

/// What a client gets that knows the two published routes only.
fn pull_by_name(server: &Server, version: usize, name: &str) -> (u16, Vec<u8>) {
    let selector =
        json!({"architecture": "x86_64", "substrate": "firecracker", "protection_mode": "standard"});
    let metadata = json!({"artifact_name": "root", "selector": selector, "filename": name,
        "reference": {"registry": "demo-fs", "repository": "port/root", "version": format!("v{version}")},
        "store_path": format!("demo-fs/port/root/v{version}/x86_64/firecracker/standard/{name}")});
    let (metadata, address) = (metadata.to_string(), server.endpoint.trim_start_matches("http://"));
    let head = format!(
        "POST /v1/artifacts:pull HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\n\
         x-port-audience: port-demo\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        metadata.len()
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all((head + &metadata).as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|found| found == b"\r\n\r\n").unwrap();
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer.split_off(end + 4))
}

#[test]
fn issue_6_point_4_only_what_changed_moves_and_comes_back_the_same() {
    let (publisher, server) = super::served();
    let reader = Project::new(env!("CARGO_BIN_EXE_port"));
    let packed = r#", encoding = "packed""#;
    for version in [1, 2, 3] {
        turn(&publisher, &server, version, packed);
        place(&publisher, &image(version));
        publisher.write(INITRD, b"initrd");
        let (sent, size) = (moved(&publisher, "push", &[]), image(version).len() as u64);
        assert!(
            if version == 1 { sent < size } else { sent < 3 * CHANGED },
            "push {version}: {sent} of {size}"
        );
        assert_eq!(moved(&publisher, "push", &[]), 0, "it is there");
        turn(&reader, &server, version, "");
        let fetched = moved(&reader, "pull", &[]);
        assert!(version == 1 || fetched < CHANGED + TALK, "pull {version}: {fetched}");
        assert_same(&reader, &image(version));
        assert_eq!(reader.read(INITRD), b"initrd");
    }
    assert!(publisher.exists(&hosted(3, "initrd.cpio.gz")) && !publisher.exists(&hosted(3, "rootfs.ext4")));
    assert_eq!(pull_by_name(&server, 3, "initrd.cpio.gz"), (200, b"initrd".to_vec()));
    let (status, message) = pull_by_name(&server, 3, "rootfs.ext4");
    let message = String::from_utf8(message).unwrap();
    assert!(status == 404 && message.contains("not here as itself") && message.contains("raw"), "{message}");
}

#[test]
fn p_39_an_image_is_raw_at_a_control_plane_unless_somebody_asks_for_packs_and_again_afterwards() {
    let (publisher, server) = super::served();
    let reader = Project::new(env!("CARGO_BIN_EXE_port"));
    place(&publisher, &image(1));
    for (push, is_file) in
        [("", true), (r#", encoding = "packed""#, false), (r#", encoding = "zstd""#, false), ("", true)]
    {
        turn(&publisher, &server, 1, push);
        moved(&publisher, "push", &["--overwrite"]);
        assert_eq!(publisher.exists(&hosted(1, "rootfs.ext4")), is_file, "{push}");
        assert_eq!(pull_by_name(&server, 1, "rootfs.ext4").0, if is_file { 200 } else { 404 }, "{push}");
        for place in ["g", ".port/store", ".port/cache"] {
            let _ = std::fs::remove_dir_all(reader.path().join(place));
        }
        turn(&reader, &server, 1, "");
        moved(&reader, "pull", &[]);
        assert_same(&reader, &image(1));
    }
    assert_eq!(publisher.read(&hosted(1, "rootfs.ext4")), image(1));
}
