//! `port packages` in containerd: a real one of the test's own, asked by containerd's own client as well.

use std::fs::File;
use std::path::Path;

use port_containerd::{Address, Containerd, Image, Labels, NewContent, Target};
use port_content::hashing::digest_of;
use port_model::Digest;
use port_testkit::containerd::Containerd as Daemon;
use port_testkit::project::{Project, Ran};
use port_testkit::registry::Registry;
use serde_json::{Value, json};

use crate::packages::{KRAFT, TARGET, json as report, pack_words, project, text};

const FC: [&str; 6] = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc"];
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A containerd, and a project that uses it.
struct Place {
    daemon: Daemon,
    project: Project,
}

fn place() -> Option<Place> {
    Some(Place { daemon: Daemon::start()?, project: project() })
}

impl Place {
    fn run(&self, words: &[&str]) -> Ran {
        let store = format!("containerd:{}", self.daemon.socket().display());
        self.project.port(&[words, &["--format", "json", "--store", &store]].concat())
    }

    fn packages(&self, words: &[&str]) -> Value {
        report(&self.run(&[&["packages"], words].concat()))
    }

    fn pack(&self, name: &str, more: &[&str]) -> Value {
        self.packages(&[&["pack", "--name", name], more].concat())
    }

    fn client(&self, namespace: &str) -> Containerd {
        let address: Address = self.daemon.socket().display().to_string().parse().unwrap();
        Containerd::connect(&address, namespace).unwrap()
    }

    fn labels(&self, digest: &Value) -> Labels {
        self.client("default").content(&parsed(digest)).unwrap().unwrap().labels
    }

    /// An image of somebody else, with one label that keeps what it needs.
    fn add_foreign(&self, name: &str, media_type: &str, bytes: &[u8], needs: Option<&Value>) {
        let client = self.client("default");
        let lease = client.create_lease(Labels::new()).unwrap();
        let path = self.project.write("foreign", bytes);
        let digest = digest_of(bytes);
        let size = bytes.len() as u64;
        let needs =
            needs.map(|needs| ("containerd.io/gc.ref.content.l.0".to_owned(), text(needs).to_owned()));
        let labels: Labels = needs.into_iter().collect();
        let content = NewContent { file: File::open(path).unwrap(), digest: digest.clone(), size, labels };
        client.write(&lease, content).unwrap();
        let target = Target { media_type: media_type.to_owned(), digest, size };
        client.set_image(&Image { name: name.to_owned(), target, labels: Labels::new() }, &[]).unwrap();
        client.end_lease(lease, port_containerd::Collection::Now).unwrap();
    }

    fn has(&self, digest: &Value) -> bool {
        self.client("default").content(&parsed(digest)).unwrap().is_some()
    }
}

fn parsed(digest: &Value) -> Digest {
    text(digest).parse().unwrap()
}

#[test]
fn k_8_k_9_ku_23_a_package_lies_where_kraft_looks_in_containerd() {
    let Some(place) = place() else { return };
    let more = ["--kconfig", "kconfig", "--initrd", "initrd", "--cmd", "/app"];
    let packed = place.pack("hello", &[&TARGET[..], &more].concat());
    let fc = place.pack("hello", &FC);
    let info = place.packages(&["info", "hello"]);
    assert!(!place.project.exists(KRAFT), "nothing is in kraft's directory");
    let name = "unikraft.org/hello:latest";
    let image = place.client("default").image(name).unwrap().unwrap();
    assert_eq!(
        (image.target.media_type.as_str(), image.target.digest.to_string()),
        (INDEX, text(&info["index"]).to_owned())
    );
    // What kraft finds its documents by, and what keeps them.
    let source = "containerd.io/distribution.source.unikraft.org";
    let index = place.labels(&info["index"]);
    assert_eq!((index["kraftkit.sh/oci.mediaType"].as_str(), index[source].as_str()), (INDEX, "hello"));
    assert_eq!(index["containerd.io/gc.root"], "true");
    let manifests: Vec<&str> =
        (0..2).map(|at| index[&format!("containerd.io/gc.ref.content.m.{at}")].as_str()).collect();
    assert!(manifests.contains(&text(&packed["manifest"])) && manifests.contains(&text(&fc["manifest"])));
    let manifest = place.labels(&packed["manifest"]);
    for (at, part) in
        [&packed["layers"][0]["digest"], &packed["layers"][1]["digest"], &packed["config"]].iter().enumerate()
    {
        assert_eq!(manifest[&format!("containerd.io/gc.ref.content.l.{at}")], text(part), "config last");
        assert_eq!(place.labels(part)["containerd.io/gc.root"], "true");
    }
    assert_eq!(
        place.labels(&packed["config"])["kraftkit.sh/oci.mediaType"],
        "application/vnd.oci.image.config.v1+json"
    );
    // containerd's own client sees it.
    if let Some(images) = place.daemon.ctr("default", &["images", "ls", "-q"]) {
        assert_eq!(images.trim(), name);
        let content = place.daemon.ctr("default", &["content", "get", text(&info["index"])]).unwrap();
        assert_eq!(digest_of(content.as_bytes()).to_string(), info["index"]);
    }
    let rows = place.packages(&["list", "--platform", "qemu"]);
    assert_eq!((&rows[0]["name"], &rows[0]["manifest"]), (&"unikraft.org/hello".into(), &packed["manifest"]));
    assert!(rows[0]["pulled"].is_string());
    place.packages(&["unpack", "hello", "out", "--platform", "qemu"]);
    assert_eq!(place.project.read("out/unikraft/bin/initrd"), b"the initrd");
}

#[test]
fn k_8_k_9_kraft_s_variables_say_which_containerd_and_which_namespace() {
    let Some(place) = place() else { return };
    let port = |words: &[&str], namespace: &str| {
        let mut command = place.project.command(words);
        command.env("KRAFTKIT_CONTAINERD_ADDR", place.daemon.socket());
        command.env("CONTAINERD_NAMESPACE", namespace);
        place.project.ran(command.output().unwrap())
    };
    report(&port(&pack_words("hello", &TARGET), "kraft"));
    assert!(!place.project.exists(KRAFT) && place.client("default").images().unwrap().is_empty());
    assert_eq!(place.client("kraft").images().unwrap().len(), 1);
    let list = ["packages", "list", "--format", "json"];
    assert_eq!(report(&port(&list, "kraft")).as_array().unwrap().len(), 1);
    assert_eq!(report(&port(&list, "")), json!([]), "an empty variable is none");
    // What is named comes before what is set.
    let here = ["packages", "list", "--format", "json", "--store", "kraftkit"];
    assert_eq!(report(&port(&here, "kraft")), json!([]));
}

#[test]
fn ku_23_what_is_pushed_from_containerd_is_pulled_into_it() {
    let (Some(here), Some(there)) = (place(), place()) else { return };
    let registry = Registry::start();
    let name = format!("{}/team/hello:1", registry.host());
    let packed = here.pack(&name, &[&TARGET[..], &["--initrd", "initrd"]].concat());
    here.pack(&name, &FC);
    let pushed = here.packages(&["push", &name, "--plain-http"]);
    let pulled = there.packages(&["pull", &name, "--plain-http", "--platform", "qemu", "--workdir", "out"]);
    assert_eq!(
        (&pulled["remote_index"], &pulled["targets"][0]["manifest"]),
        (&pushed["index"], &packed["manifest"])
    );
    assert_eq!(there.project.read("out/unikraft/bin/kernel"), b"the kernel");
    assert_eq!(there.packages(&["pull", &name, "--plain-http", "--platform", "qemu"])["fetched_bytes"], 0);
    // The second target joins the first; nothing is left of what passed through.
    there.packages(&["pull", &name, "--plain-http"]);
    assert_eq!(there.packages(&["list"]).as_array().unwrap().len(), 2);
    let scratch = there.project.path().join(".cache/port/containerd");
    let left = |directory: &Path| {
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    for directory in left(&scratch) {
        assert_eq!(left(&directory.join("partial")), Vec::<std::path::PathBuf>::new());
    }
    // Made from it under another name, and from there once more.
    there.packages(&["retag", &name, "mine:2"]);
    let third =
        there.packages(&["pack", "--name", "third", "--from", "mine:2", "--platform", "qemu", "--cmd", "/b"]);
    assert_eq!(third["layers"][0]["digest"], packed["layers"][0]["digest"]);
}

#[test]
fn c_12_what_others_need_in_containerd_stays() {
    let Some(place) = place() else { return };
    let packed = place.pack("hello", &[&TARGET[..], &["--initrd", "initrd"]].concat());
    place.pack("mine", &["--from", "hello", "--cmd", "/mine"]);
    // Somebody else's image needs the kernel's layer; its name leads to no index.
    let kernel = &packed["layers"][0]["digest"];
    let manifest = b"somebody's manifest";
    place.add_foreign(
        "docker.io/library/other:1",
        "application/vnd.oci.image.manifest.v1+json",
        manifest,
        Some(kernel),
    );
    let ran = place.run(&["packages", "remove", "docker.io/library/other:1"]);
    assert!(ran.code == 5 && ran.stderr.contains("there is no package"), "{ran}");
    let ran =
        place.run(&[&["packages", "pack", "--name", "docker.io/library/other:1"], &TARGET[..]].concat());
    assert!(
        ran.code == 1 && ran.stderr.contains("is no package: expected none, or an index with kraft's marker"),
        "{ran}"
    );
    assert_eq!(place.packages(&["list"]).as_array().unwrap().len(), 2);

    let removed = place.packages(&["remove", "hello"]);
    assert_eq!(removed["blobs"], 3, "index, manifest and config; the layers are still `mine`'s");
    assert!(place.has(kernel) && !place.has(&packed["config"]));
    let removed = place.packages(&["remove", "mine"]);
    assert_eq!(removed["blobs"], 4, "index, manifest, config and initrd");
    assert!(place.has(kernel), "containerd knows who else needs it");
    assert!(!place.has(&packed["layers"][1]["digest"]));
    assert_eq!(place.client("default").images().unwrap().len(), 1);
    place.client("default").remove_image("docker.io/library/other:1").unwrap();
    let lease = place.client("default").create_lease(Labels::new()).unwrap();
    place.client("default").end_lease(lease, port_containerd::Collection::Now).unwrap();
    assert!(!place.has(kernel), "nothing keeps it any more");
}

#[test]
fn c_12_what_somebody_else_labelled_in_containerd_keeps_its_root() {
    let Some(place) = place() else { return };
    let packed = place.pack("hello", &[&TARGET[..], &["--initrd", "initrd"]].concat());
    let (kernel, initrd) = (&packed["layers"][0]["digest"], &packed["layers"][1]["digest"]);
    let pinned = Labels::from([("example.com/pinned".to_owned(), "yes".to_owned())]);
    place.client("default").label(&parsed(kernel), pinned).unwrap();
    place.packages(&["remove", "hello"]);
    assert!(place.has(kernel) && !place.has(initrd));
    assert_eq!(place.labels(kernel)["containerd.io/gc.root"], "true");
}

#[test]
fn what_is_damaged_in_containerd_can_be_removed_and_packed_again() {
    let Some(place) = place() else { return };
    let packed = place.pack("hello", &TARGET);
    let damage = |digest: &Value| {
        let path = place.daemon.blob(text(digest).strip_prefix("sha256:").unwrap());
        let size = std::fs::metadata(&path).unwrap().len();
        // containerd makes content read-only; root writes all the same.
        std::fs::write(&path, vec![b' '; usize::try_from(size).unwrap()]).unwrap();
    };
    damage(&packed["index"]);
    let ran = place.run(&[&["packages", "pack", "--name", "hello"], &TARGET[..]].concat());
    assert!(ran.code == 1 && ran.stderr.contains("remove the package"), "{ran}");
    assert_eq!(place.packages(&["remove", "hello"])["remaining"], 0);
    assert_eq!(place.pack("hello", &TARGET)["index"], packed["index"]);
    damage(&packed["manifest"]);
    let ran = place.run(&["packages", "unpack", "hello", "out"]);
    assert!(ran.code == 1 && ran.stderr.contains("is not what it should be"), "{ran}");
    place.packages(&["remove", "hello"]);
    place.pack("hello", &TARGET);
    place.packages(&["unpack", "hello", "out"]);
    assert_eq!(place.project.read("out/unikraft/bin/kernel"), b"the kernel");
}

#[test]
fn c_10_what_kraft_left_in_containerd_is_found() {
    let Some(place) = place() else { return };
    let packed = place.pack("hello", &TARGET);
    let client = place.client("default");
    let full = client.image("unikraft.org/hello:latest").unwrap().unwrap();
    client.set_image(&Image { name: "hello:latest".to_owned(), ..full.clone() }, &[]).unwrap();
    client.remove_image(&full.name).unwrap();
    assert_eq!(place.packages(&["list"])[0]["name"], "unikraft.org/hello");
    let ran =
        place.run(&[&["packages", "pack", "--name", "hello", "--strategy", "exit"], &TARGET[..]].concat());
    assert!(ran.code == 1 && ran.stderr.contains("exists with 1 manifests"), "{ran}");
    place.pack("hello", &FC);
    let names: Vec<String> = client.images().unwrap().into_iter().map(|image| image.name).collect();
    assert_eq!(names, ["unikraft.org/hello:latest"], "one name, both targets");
    assert_eq!(place.packages(&["list"]).as_array().unwrap().len(), 2);
    assert!(place.has(&packed["manifest"]));
    // kraft removes a package's content and leaves the image.
    let gone = Target { digest: digest_of(b"gone"), ..full.target };
    client
        .set_image(
            &Image { name: "unikraft.org/gone:latest".to_owned(), target: gone, labels: Labels::new() },
            &[],
        )
        .unwrap();
    assert_eq!(place.packages(&["list"]).as_array().unwrap().len(), 2);
    place.pack("gone", &TARGET);
    assert_eq!(place.packages(&["list"]).as_array().unwrap().len(), 3);
    // An index that is none: what cannot be read keeps everything, and can be removed.
    place.add_foreign("unikraft.org/broken:latest", INDEX, b"no index", None);
    let ran = place.run(&["packages", "list"]);
    assert!(ran.code == 0 && ran.stderr.contains("skipped `unikraft.org/broken:latest`"), "{ran}");
    assert_eq!(place.packages(&["remove", "gone"])["blobs"], 0);
    place.packages(&["remove", "broken"]);
    assert!(client.image("unikraft.org/broken:latest").unwrap().is_none());
}

#[test]
fn two_packers_of_one_name_lose_nothing_in_containerd() {
    let Some(place) = place() else { return };
    let store = format!("containerd:{}", place.daemon.socket().display());
    let targets = [("qemu", "x86_64"), ("fc", "x86_64"), ("xen", "x86_64"), ("qemu", "arm64")];
    let packers: Vec<_> = targets
        .iter()
        .map(|(platform, architecture)| {
            let words = [
                "--kernel",
                "kernel",
                "--architecture",
                architecture,
                "--platform",
                platform,
                "--store",
                &store,
            ];
            let mut command = place.project.command(&pack_words("hello", &words));
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for packer in packers {
        assert!(packer.wait_with_output().unwrap().status.success());
    }
    assert_eq!(place.packages(&["list"]).as_array().unwrap().len(), targets.len());
}

#[test]
fn a_containerd_that_is_not_there_is_said() {
    let project = project();
    let ran = project.port(&["packages", "list", "--store", "containerd:/nobody/listens/here"]);
    assert!(
        ran.code == 4 && ran.stderr.contains("cannot reach containerd at `/nobody/listens/here`"),
        "{ran}"
    );
    let ran = project.port(&["packages", "list", "--store", "containers"]);
    assert!(ran.code == 2 && ran.stderr.contains("`containerd:ADDRESS`"), "{ran}");
}
