//! How push encodes: what is written, what is not, and where it may be written.

use port_model::{ComponentKind, Encoding};

use super::{check, parse};

const REGISTRY: &str = r#"backend = "oci-registry""#;
const DIRECTORY: &str = r#"backend = "file-system", root = "x""#;
const CONTROL_PLANE: &str = r#"backend = "hosted-api", endpoint = "http://a""#;

fn project(class: &str, distribution: &str) -> String {
    format!(
        "[control_planes.a]\nendpoint = \"http://a\"\naudience = \"a\"\n\
         auth = {{ scheme = \"bearer\", header = \"h\", source = {{ kind = \"env\", variable = \"T\" }} }}\n\
         [artifacts.{class}.x]\nreference = {{ registry = \"r\", repository = \"p/x\", version = \"v1\" }}\n\
         [artifacts.{class}.x.distribution]\n{distribution}\n"
    )
}

#[test]
fn the_encoding_is_what_is_written_or_what_class_and_backend_ask_for() {
    for (class, backend, written, encoding, deltas) in [
        ("guest_images", REGISTRY, "", Encoding::Packed, 3),
        ("guest_images", REGISTRY, r#", encoding = "raw""#, Encoding::Raw, 3),
        ("guest_images", REGISTRY, r#", encoding = "zstd""#, Encoding::Zstd, 3),
        ("guest_images", REGISTRY, r#", encoding = "packed", deltas = 0"#, Encoding::Packed, 0),
        ("guest_images", REGISTRY, ", deltas = 16", Encoding::Packed, 16),
        ("guest_images", DIRECTORY, "", Encoding::Raw, 3),
        ("guest_images", DIRECTORY, r#", encoding = "raw""#, Encoding::Raw, 3),
        ("guest_images", CONTROL_PLANE, "", Encoding::Raw, 3),
        ("guest_images", CONTROL_PLANE, r#", encoding = "packed""#, Encoding::Packed, 3),
        ("kernels", REGISTRY, "", Encoding::Raw, 3),
        ("kernels", REGISTRY, r#", encoding = "zstd""#, Encoding::Zstd, 3),
        ("kernels", REGISTRY, r#", encoding = "packed", deltas = 1"#, Encoding::Packed, 1),
        ("kernels", DIRECTORY, "", Encoding::Raw, 3),
    ] {
        let project = parse(&project(class, &format!("push = {{ {backend}{written} }}")));
        let artifact = project.artifact("x").unwrap();
        let found = (artifact.distribution.encoding, artifact.distribution.deltas);
        assert_eq!(found, (encoding, deltas), "{class} {backend}{written}");
        assert_eq!(artifact.encoding(artifact.class.main_kind()), encoding);
        assert_eq!(artifact.encoding(ComponentKind::Initrd), Encoding::Raw);
    }
}

#[test]
fn an_artifact_that_is_not_pushed_is_raw() {
    let project = parse(&project("guest_images", "pull = { backend = \"oci-registry\" }"));
    assert_eq!(project.artifact("x").unwrap().distribution.encoding, Encoding::Raw);
}

#[test]
fn words_and_numbers_that_do_not_exist() {
    check(
        r#"
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
[artifacts.guest_images.g.distribution]
push = { backend = "oci-registry", encoding = "pakced", deltas = 17 }
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.kernels.k.distribution]
push = { backend = "oci-registry", encodng = "raw", deltas = "3" }"#,
        r#"
cannot use `port.toml`: 4 problems
  port.toml:4:47: `artifacts.guest_images.g.distribution.push.encoding`: `pakced` is not an encoding: expected one of raw, zstd, packed (did you mean `packed`?)
      4 | push = { backend = "oci-registry", encoding = "pakced", deltas = 17 }
        |                                               ^^^^^^^^
  port.toml:4:66: `artifacts.guest_images.g.distribution.push.deltas`: expected an integer from 0 to 16, found 17
      4 | push = { backend = "oci-registry", encoding = "pakced", deltas = 17 }
        |                                                                  ^^
  port.toml:8:36: `artifacts.kernels.k.distribution.push.encodng`: unknown key (did you mean `encoding`?)
      8 | push = { backend = "oci-registry", encodng = "raw", deltas = "3" }
        |                                    ^^^^^^^
  port.toml:8:62: `artifacts.kernels.k.distribution.push.deltas`: expected an integer, found a string
      8 | push = { backend = "oci-registry", encodng = "raw", deltas = "3" }
        |                                                              ^^^"#,
    );
}

#[test]
fn what_a_backend_cannot_hold_is_refused() {
    check(
        r#"
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
[artifacts.guest_images.g.distribution]
push = { backend = "file-system", root = "x", encoding = "packed" }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:4:58: `artifacts.guest_images.g.distribution.push.encoding`: the backend `file-system` holds files as they are: expected raw, found `packed`
      4 | push = { backend = "file-system", root = "x", encoding = "packed" }
        |                                                          ^^^^^^^^"#,
    );
}

#[test]
fn only_what_is_packed_has_deltas() {
    check(
        r#"
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
[artifacts.guest_images.g.distribution]
push = { backend = "oci-registry", encoding = "zstd", deltas = 2 }
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.kernels.k.distribution]
push = { backend = "oci-registry", deltas = 2 }"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:4:64: `artifacts.guest_images.g.distribution.push.deltas`: only a `packed` artifact has deltas, this one is `zstd`
      4 | push = { backend = "oci-registry", encoding = "zstd", deltas = 2 }
        |                                                                ^
  port.toml:8:45: `artifacts.kernels.k.distribution.push.deltas`: only a `packed` artifact has deltas, this one is `raw`
      8 | push = { backend = "oci-registry", deltas = 2 }
        |                                             ^"#,
    );
}

#[test]
fn in_another_table_the_hint_says_where() {
    let hint = "it belongs in `distribution.push`: push encodes, and pull reads whatever was published";
    check(
        r#"
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
encoding = "packed"
[artifacts.guest_images.g.distribution]
deltas = 3
pull = { backend = "oci-registry", encoding = "packed", colour = 1 }"#,
        &format!(
            r#"
cannot use `port.toml`: 4 problems
  port.toml:3:1: `artifacts.guest_images.g.encoding`: unknown key
      3 | encoding = "packed"
        | ^^^^^^^^
        = hint: {hint}
  port.toml:5:1: `artifacts.guest_images.g.distribution.deltas`: unknown key
      5 | deltas = 3
        | ^^^^^^
        = hint: {hint}
  port.toml:6:36: `artifacts.guest_images.g.distribution.pull.encoding`: unknown key
      6 | pull = {{ backend = "oci-registry", encoding = "packed", colour = 1 }}
        |                                    ^^^^^^^^
        = hint: {hint}
  port.toml:6:57: `artifacts.guest_images.g.distribution.pull.colour`: unknown key
      6 | pull = {{ backend = "oci-registry", encoding = "packed", colour = 1 }}
        |                                                         ^^^^^^
        = hint: known here: auth, backend, certificate_authority, client_certificate, client_key, transport"#
        ),
    );
}
