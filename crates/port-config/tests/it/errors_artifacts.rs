//! What is wrong with `[artifacts]`: references, names, selectors and paths.

use super::check;

#[test]
fn an_unknown_key_is_suggested() {
    check(
        r#"
[artifacts.kernels.k]
refrence = { registry = "r", repository = "p/k", version = "v1" }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:2:1: `artifacts.kernels.k.refrence`: unknown key (did you mean `reference`?)
      2 | refrence = { registry = "r", repository = "p/k", version = "v1" }
        | ^^^^^^^^"#,
    );
}

#[test]
fn p_1_a_reference_names_its_wrong_part() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/../k", version = "v1" }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:2:44: `artifacts.kernels.k.reference.repository`: the repository `p/../k` of a reference has a segment `..` that must not start with `.`
      2 | reference = { registry = "r", repository = "p/../k", version = "v1" }
        |                                            ^^^^^^^^"#,
    );
}

#[test]
fn p_1_a_reference_needs_all_parts() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = 7 }"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:2:13: `artifacts.kernels.k.reference`: the key `version` is missing
      2 | reference = { registry = "r", repository = 7 }
        |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:2:44: `artifacts.kernels.k.reference.repository`: expected a string, found an integer
      2 | reference = { registry = "r", repository = 7 }
        |                                            ^"#,
    );
}

#[test]
fn p_2_c_6_parts_of_a_reference() {
    check(
        r#"
[artifacts.kernels.a]
reference = { registry = "..", repository = "k", version = "v1" }
[artifacts.kernels.b]
reference = { registry = "r", repository = "k", version = "/v1" }
[artifacts.kernels.c]
reference = { registry = "r", repository = "", version = "v1" }"#,
        r#"
cannot use `port.toml`: 3 problems
  port.toml:2:26: `artifacts.kernels.a.reference.registry`: the registry `..` of a reference must not start with `.`
      2 | reference = { registry = "..", repository = "k", version = "v1" }
        |                          ^^^^
  port.toml:4:59: `artifacts.kernels.b.reference.version`: the version `/v1` of a reference must hold only letters, digits, `.`, `_` and `-`, found '/'
      4 | reference = { registry = "r", repository = "k", version = "/v1" }
        |                                                           ^^^^^
  port.toml:6:44: `artifacts.kernels.c.reference.repository`: must not be empty
      6 | reference = { registry = "r", repository = "", version = "v1" }
        |                                            ^^"#,
    );
}

#[test]
fn p_6_only_two_classes() {
    check(
        r#"
[artifacts.kernel.k]
[artifacts.initrds.k]"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:1:12: `artifacts.kernel`: unknown key (did you mean `kernels`?)
      1 | [artifacts.kernel.k]
        |            ^^^^^^
  port.toml:2:12: `artifacts.initrds`: unknown key
      2 | [artifacts.initrds.k]
        |            ^^^^^^^
        = hint: known here: guest_images, kernels"#,
    );
}

#[test]
fn p_25_one_name_in_both_classes() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.guest_images.k]
reference = { registry = "r", repository = "p/g", version = "v1" }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:3:25: `artifacts.guest_images.k`: `k` is the name of a kernel already
      3 | [artifacts.guest_images.k]
        |                         ^
        = hint: `--artifact` takes a name alone, so a kernel and a guest image cannot share one"#,
    );
}

#[test]
fn c_6_names_become_directories() {
    check(
        r#"
[artifacts.kernels."../k"]
reference = { registry = "r", repository = "p/k", version = "v1" }
[control_planes.".."]
endpoint = "http://127.0.0.1:7040"
audience = "demo"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "TOKEN" } }
[machines."a/b"]
kernel = "../k"
guest_image = "g""#,
        r#"
cannot use `port.toml`: 5 problems
  port.toml:1:20: `artifacts.kernels."../k"`: `../k` is not a usable name
      1 | [artifacts.kernels."../k"]
        |                    ^^^^^^
        = hint: a name becomes a directory: letters, digits, `.`, `_` and `-`, no `.` first
  port.toml:3:17: `control_planes.".."`: `..` is not a usable name
      3 | [control_planes.".."]
        |                 ^^^^
        = hint: a name becomes a directory: letters, digits, `.`, `_` and `-`, no `.` first
  port.toml:7:11: `machines."a/b"`: `a/b` is not a usable name
      7 | [machines."a/b"]
        |           ^^^^^
        = hint: a name becomes a directory: letters, digits, `.`, `_` and `-`, no `.` first
  port.toml:8:10: `machines."a/b".kernel`: expected an artifact with at least one variant, found `../k`, which has none
      8 | kernel = "../k"
        |          ^^^^^^
  port.toml:9:15: `machines."a/b".guest_image`: there is no guest image `g`
      9 | guest_image = "g"
        |               ^^^
        = hint: found here: none"#,
    );
}

#[test]
fn p_3_a_selector_is_concrete() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "a/vmlinux"
selector = { architecture = "any", substrate = "firecraker", protection_mode = "*" }"#,
        r#"
cannot use `port.toml`: 3 problems
  port.toml:5:29: `artifacts.kernels.k.variants[0].selector.architecture`: `any` is not an architecture: expected one of native, x86_64, aarch64
      5 | selector = { architecture = "any", substrate = "firecraker", protection_mode = "*" }
        |                             ^^^^^
  port.toml:5:48: `artifacts.kernels.k.variants[0].selector.substrate`: `firecraker` is not a substrate: expected one of firecracker, cloud-hypervisor, qemu, avf (did you mean `firecracker`?)
      5 | selector = { architecture = "any", substrate = "firecraker", protection_mode = "*" }
        |                                                ^^^^^^^^^^^^
  port.toml:5:80: `artifacts.kernels.k.variants[0].selector.protection_mode`: `*` is not a protection mode: expected one of standard, pvm
      5 | selector = { architecture = "any", substrate = "firecraker", protection_mode = "*" }
        |                                                                                ^^^"#,
    );
}

#[test]
fn p_3_a_selector_is_whole() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "a/vmlinux"
selector = { architecture = "x86_64" }"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:5:12: `artifacts.kernels.k.variants[0].selector`: the key `substrate` is missing
      5 | selector = { architecture = "x86_64" }
        |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:5:12: `artifacts.kernels.k.variants[0].selector`: the key `protection_mode` is missing
      5 | selector = { architecture = "x86_64" }
        |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn p_23_the_file_writes_an_underscore() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "a/vmlinux"
selector = { architecture = "x86-64", substrate = "firecracker", protection_mode = "standard" }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:5:29: `artifacts.kernels.k.variants[0].selector.architecture`: `x86-64` is not an architecture: expected one of native, x86_64, aarch64 (did you mean `x86_64`?)
      5 | selector = { architecture = "x86-64", substrate = "firecracker", protection_mode = "standard" }
        |                             ^^^^^^^^"#,
    );
}

#[test]
fn pu_11_p_24_two_variants_with_one_selector() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "a/vmlinux"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
[[artifacts.kernels.k.variants]]
path = "b/vmlinux"
selector = { architecture = "native", substrate = "firecracker", protection_mode = "standard" }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:8:12: `artifacts.kernels.k.variants[1].selector`: `x86_64/firecracker/standard` is the selector of `artifacts.kernels.k.variants[0]` already
      8 | selector = { architecture = "native", substrate = "firecracker", protection_mode = "standard" }
        |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = hint: `native` is `x86_64` on this host"#,
    );
}

#[test]
fn pu_13_pvm_is_firecrackers() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "a/vmlinux"
selector = { architecture = "x86_64", substrate = "cloud-hypervisor", protection_mode = "pvm" }
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
[machines.m]
kernel = "k"
guest_image = "g"
substrate = "qemu"
protection_mode = "pvm""#,
        r#"
cannot use `port.toml`: 3 problems
  port.toml:5:12: `artifacts.kernels.k.variants[0].selector`: expected `firecracker` with `pvm`, found `x86_64/cloud-hypervisor/pvm`: PVM exists nowhere else
      5 | selector = { architecture = "x86_64", substrate = "cloud-hypervisor", protection_mode = "pvm" }
        |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:8:1: `machines.m`: expected `firecracker` with `pvm`, found `x86_64/qemu/pvm`: PVM exists nowhere else
      8 | [machines.m]
        | ^^^^^^^^^^^^
  port.toml:10:15: `machines.m.guest_image`: expected an artifact with at least one variant, found `g`, which has none
     10 | guest_image = "g"
        |               ^^^"#,
    );
}

#[test]
fn variant_paths() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = ""
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
[[artifacts.kernels.k.variants]]
path = "a/.."
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
[[artifacts.kernels.k.variants]]
path = "a/b/"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
[[artifacts.kernels.k.variants]]
path = "a/.hidden"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
[[artifacts.kernels.k.variants]]
path = "a/vm linux"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }"#,
        r#"
cannot use `port.toml`: 9 problems
  port.toml:4:8: `artifacts.kernels.k.variants[0].path`: must not be empty
      4 | path = ""
        |        ^^
  port.toml:7:8: `artifacts.kernels.k.variants[1].path`: `` is not a usable file name: it must not be empty
      7 | path = "a/.."
        |        ^^^^^^
  port.toml:8:12: `artifacts.kernels.k.variants[1].selector`: `x86_64/firecracker/standard` is the selector of `artifacts.kernels.k.variants[0]` already
      8 | selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
        |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:10:8: `artifacts.kernels.k.variants[2].path`: expected the path of a file, found `a/b/`
     10 | path = "a/b/"
        |        ^^^^^^
  port.toml:11:12: `artifacts.kernels.k.variants[2].selector`: `x86_64/firecracker/standard` is the selector of `artifacts.kernels.k.variants[0]` already
     11 | selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
        |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:13:8: `artifacts.kernels.k.variants[3].path`: `.hidden` is not a usable file name: it must not start with `.`
     13 | path = "a/.hidden"
        |        ^^^^^^^^^^^
  port.toml:14:12: `artifacts.kernels.k.variants[3].selector`: `x86_64/firecracker/standard` is the selector of `artifacts.kernels.k.variants[0]` already
     14 | selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
        |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:16:8: `artifacts.kernels.k.variants[4].path`: `vm linux` is not a usable file name: it must hold only letters, digits, `.`, `_` and `-`, found ' '
     16 | path = "a/vm linux"
        |        ^^^^^^^^^^^^
  port.toml:17:12: `artifacts.kernels.k.variants[4].selector`: `x86_64/firecracker/standard` is the selector of `artifacts.kernels.k.variants[0]` already
     17 | selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
        |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn paths_are_shared_by_nothing() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "a/vmlinux"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
[[artifacts.guest_images.g.variants]]
path = "./a/vmlinux"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:9:8: `artifacts.guest_images.g.variants[0].path`: the path `a/vmlinux` is taken already by `artifacts.kernels.k.variants[0].path`
      9 | path = "./a/vmlinux"
        |        ^^^^^^^^^^^^^"#,
    );
}

#[test]
fn an_initrd_is_built_beside_its_image() {
    check(
        r#"
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
[artifacts.guest_images.g.recipe]
format = "ext4"
[[artifacts.guest_images.g.variants]]
path = "g/rootfs.ext4"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
[[artifacts.guest_images.g.variants]]
path = "g/other.ext4"
selector = { architecture = "aarch64", substrate = "firecracker", protection_mode = "standard" }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:9:8: `artifacts.guest_images.g.variants[1].path`: the path of its initrd `g/initrd.cpio.gz` is taken already by `artifacts.guest_images.g.variants[0].path`
      9 | path = "g/other.ext4"
        |        ^^^^^^^^^^^^^^"#,
    );
}
