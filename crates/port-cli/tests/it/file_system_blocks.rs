//! Large files through a file-system store: the published path is the raw file, and only what changed moves.

use port_testkit::project::{Project, Ran};
use serde_json::Value;

use crate::fixture::*;

const IMAGE: &str = "g/x86_64/standard/rootfs.ext4";
const BLOCK: usize = 4096;
/// Beside every block index: bounds of what reading it costs, for images of [`image`].
const INDEX: std::ops::RangeInclusive<u64> = 1..=10_000;

/// 512 blocks, half of them zero.
fn image() -> Vec<u8> {
    let mut state = 1u32;
    let byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let data: Vec<u8> = std::iter::repeat_with(byte).take(256 * BLOCK).collect();
    data.chunks(16 * BLOCK).flat_map(|data| [data, &[0; 16 * BLOCK]].concat()).collect()
}

fn changed(mut image: Vec<u8>, blocks: &[usize]) -> Vec<u8> {
    for block in blocks {
        image[block * BLOCK + 7] ^= 0xff;
    }
    image
}

/// A project of its own whose shop is that of `of`.
fn shopping_at(of: &Project) -> Project {
    let shop = of.path().join("shop").display().to_string();
    with_configuration(&CONFIGURATION.replace("\"shop\"", &format!("{shop:?}")))
}

fn set_version(project: &Project, version: &str) {
    let text = String::from_utf8(project.read("port.toml")).unwrap();
    let (head, tail) = text.split_once("repository = \"port/root\", version = \"").unwrap();
    let (_, tail) = tail.split_once('"').unwrap();
    project.write("port.toml", format!("{head}repository = \"port/root\", version = \"{version}\"{tail}"));
}

fn report(project: &Project, verb: &str) -> Value {
    let arguments = [&["artifacts", verb, "--artifact", "root", "--format", "json"][..], &X86].concat();
    let ran: Ran = project.port(&arguments);
    assert_eq!(ran.code, 0, "{verb}\n{ran}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    report.get(0).cloned().unwrap_or(report)
}

fn moved(report: &Value) -> u64 {
    report["moved_bytes"].as_u64().unwrap_or_else(|| panic!("{report}"))
}

fn shop_image(version: &str) -> String {
    format!("shop/demo-fs/port/root/{version}/x86_64/firecracker/standard/rootfs.ext4")
}

#[test]
fn p_37_p_44_the_published_path_is_the_raw_file_and_only_changed_blocks_move() {
    let publisher = project();
    let (one, two) = (image(), changed(image(), &[3, 64]));
    publisher.write(IMAGE, &one);
    // The file is written without holes, so its zeros move, too.
    let whole = one.len() as u64;
    assert_eq!(moved(&report(&publisher, "push")), whole);
    let reader = shopping_at(&publisher);
    assert_eq!(moved(&report(&reader, "pull")), whole);

    publisher.write(IMAGE, &two);
    set_version(&publisher, "v2");
    assert_eq!(moved(&report(&publisher, "push")), 2 * BLOCK as u64);
    assert_eq!(publisher.read(&shop_image("v1")), one);
    assert_eq!(publisher.read(&shop_image("v2")), two);

    set_version(&reader, "v2");
    let only_changed = |report: Value| {
        let index = moved(&report) - 2 * BLOCK as u64;
        assert!(INDEX.contains(&index), "{report}");
        assert_eq!(report["files"][0]["found_bytes"], 254 * BLOCK as u64, "{report}");
        assert_eq!(reader.read(IMAGE), two);
    };
    // From the store alone, then from the local path alone.
    std::fs::remove_dir_all(reader.path().join("g")).unwrap();
    only_changed(report(&reader, "pull"));
    std::fs::remove_dir_all(reader.path().join(".port")).unwrap();
    reader.write(IMAGE, &one);
    only_changed(report(&reader, "pull"));
    assert_eq!(moved(&report(&reader, "pull")), 0, "it is all here");
    assert_eq!(reader.port(&["store", "verify"]).code, 0);
}

#[test]
fn a_pull_killed_at_any_point_is_continued() {
    let publisher = project();
    publisher.write(IMAGE, image());
    succeed(&publisher, "push", "root");
    let reader = shopping_at(&publisher);
    let arguments = [&["artifacts", "pull", "--artifact", "root"][..], &X86].concat();
    let mut hits = 0;
    for point in port_content::failpoint::ALL {
        for pass in 1..=4 {
            let mut command = reader.command(&arguments);
            command.env("PORT_FAILPOINT", format!("{point}=kill:{pass}"));
            let ran = reader.ran(command.output().unwrap());
            assert_eq!(reader.port(&["store", "verify"]).code, 0, "{point}:{pass}");
            succeed(&reader, "pull", "root");
            assert_eq!(reader.read(IMAGE), image(), "{point}:{pass}");
            std::fs::remove_dir_all(reader.path().join(".port")).unwrap();
            std::fs::remove_dir_all(reader.path().join("g")).unwrap();
            if ran.code == 0 {
                break;
            }
            hits += 1;
        }
    }
    assert!(hits > 8, "only {hits} points were hit");
}

#[test]
fn a_changed_published_file_is_refused_and_one_block_of_it_is_healed_by_the_older_version() {
    let publisher = project();
    publisher.write(IMAGE, image());
    succeed(&publisher, "push", "root");
    let reader = shopping_at(&publisher);
    succeed(&reader, "pull", "root");
    publisher.write(IMAGE, changed(image(), &[3]));
    set_version(&publisher, "v2");
    set_version(&reader, "v2");
    succeed(&publisher, "push", "root");
    // A block that the reader has from v1 is not read; one that it has not makes the whole another file.
    publisher.write(&shop_image("v2"), changed(image(), &[3, 5]));
    succeed(&reader, "pull", "root");
    assert_eq!(reader.read(IMAGE), changed(image(), &[3]));
    std::fs::remove_dir_all(reader.path().join(".port")).unwrap();
    reader.write(IMAGE, image());
    publisher.write(&shop_image("v2"), image());
    let ran = artifacts(&reader, "pull", "root");
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("expected sha256:"), "{ran}");
    assert_eq!(reader.read(IMAGE), image(), "the local file stays");
}
