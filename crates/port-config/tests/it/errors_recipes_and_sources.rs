//! What is wrong with kernel sources and image recipes.

use super::check;

#[test]
fn unknown_source_kind() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "a/vmlinux"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
sources = [{ kind = "firecracker_ci", key = "a" }]"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:6:21: `artifacts.kernels.k.variants[0].sources[0].kind`: `firecracker_ci` is not a kind of kernel source: expected one of firecracker-ci, debian-package, debian-file, url, path, pvm-flake (did you mean `firecracker-ci`?)
      6 | sources = [{ kind = "firecracker_ci", key = "a" }]
        |                     ^^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn p_67_a_pinned_key_has_a_digest() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "a/vmlinux"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
sources = [{ kind = "firecracker-ci", key = "../a" }, { kind = "firecracker-ci", key = "a", sha256 = "12" }, { kind = "url", url = "ftp://x/y", sha256 = "zz" }]"#,
        r#"
cannot use `port.toml`: 5 problems
  port.toml:6:12: `artifacts.kernels.k.variants[0].sources[0]`: the key `sha256` is missing
      6 | sources = [{ kind = "firecracker-ci", key = "../a" }, { kind = "firecracker-ci", key = "a", sha256 = "12" }, { kind = "u…
        |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:6:45: `artifacts.kernels.k.variants[0].sources[0].key`: expected a key without empty, `.` or `..` segments, found `..`
      6 | sources = [{ kind = "firecracker-ci", key = "../a" }, { kind = "firecracker-ci", key = "a", sha256 = "12" }, { kind = "u…
        |                                             ^^^^^^
  port.toml:6:102: `artifacts.kernels.k.variants[0].sources[1].sha256`: expected 64 hex digits, found 2
      6 | sources = [{ kind = "firecracker-ci", key = "../a" }, { kind = "firecracker-ci", key = "a", sha256 = "12" }, { kind = "u…
        |                                                                                                      ^^^^
  port.toml:6:132: `artifacts.kernels.k.variants[0].sources[2].url`: expected `http://` or `https://` and a host, found the scheme `ftp`
      6 | … sha256 = "12" }, { kind = "url", url = "ftp://x/y", sha256 = "zz" }]
        |                                          ^^^^^^^^^^^
  port.toml:6:154: `artifacts.kernels.k.variants[0].sources[2].sha256`: expected 64 hex digits, found 'z'
      6 | …nd = "url", url = "ftp://x/y", sha256 = "zz" }]
        |                                          ^^^^"#,
    );
}

#[test]
fn url_sources_hold_no_secrets() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "a/vmlinux"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
sources = [{ kind = "url", url = "https://me:hunter2@example.org/vmlinux", sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }]"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:6:34: `artifacts.kernels.k.variants[0].sources[0].url`: a URL must not carry a user name or password
      6 | sources = [{ kind = "url", url = ****************************************, sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…
        |                                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = hint: the file is no place for secrets; this one should be changed if it was shared"#,
    );
}

#[test]
fn other_sources() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "a/vmlinux"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
sources = [{ kind = "debian-package", package = "--x" }, { kind = "debian-file" }, { kind = "path", path = "", module = "m" }, { kind = "path", path = "x", sha256 = 1 }]"#,
        r#"
cannot use `port.toml`: 5 problems
  port.toml:6:49: `artifacts.kernels.k.variants[0].sources[0].package`: expected a Debian package name of two or more characters, a letter or digit first, found `--x`
      6 | sources = [{ kind = "debian-package", package = "--x" }, { kind = "debian-file" }, { kind = "path", path = "", module = …
        |                                                 ^^^^^
  port.toml:6:58: `artifacts.kernels.k.variants[0].sources[1]`: the key `path` is missing
      6 | sources = [{ kind = "debian-package", package = "--x" }, { kind = "debian-file" }, { kind = "path", path = "", module = …
        |                                                          ^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:6:108: `artifacts.kernels.k.variants[0].sources[2].path`: must not be empty
      6 | sources = [{ kind = "debian-package", package = "--x" }, { kind = "debian-file" }, { kind = "path", path = "", module = …
        |                                                                                                            ^^
  port.toml:6:112: `artifacts.kernels.k.variants[0].sources[2].module`: unknown key (did you mean `modules`?)
      6 | sources = [{ kind = "debian-package", package = "--x" }, { kind = "debian-file" }, { kind = "path", path = "", module = …
        |                                                                                                                ^^^^^^
  port.toml:6:166: `artifacts.kernels.k.variants[0].sources[3].sha256`: expected a string, found an integer
      6 | …, { kind = "path", path = "x", sha256 = 1 }]
        |                                          ^"#,
    );
}

#[test]
fn p_82_standard_kernels_do_not_serve_pvm() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "a/vmlinux"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "pvm" }
sources = [{ kind = "firecracker-ci", key = "a", sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }, { kind = "debian-package", package = "linux-image-cloud-amd64" }]"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:6:12: `artifacts.kernels.k.variants[0].sources[0]`: a `firecracker-ci` source gives a standard kernel, found it for `x86_64/firecracker/pvm`
      6 | sources = [{ kind = "firecracker-ci", key = "a", sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…
        |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = hint: PVM kernels come from `pvm-flake`, or prebuilt from `path`, `debian-file` or `url`
  port.toml:6:129: `artifacts.kernels.k.variants[0].sources[1]`: a `debian-package` source gives a standard kernel, found it for `x86_64/firecracker/pvm`
      6 | …aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }, { kind = "debian-package", package = "linux-image-cloud-amd64" }]
        |                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = hint: PVM kernels come from `pvm-flake`, or prebuilt from `path`, `debian-file` or `url`"#,
    );
}

#[test]
fn p_82_pvm_kernels_do_not_serve_standard() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "a/vmlinux"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
sources = [{ kind = "pvm-flake" }, { kind = "pvm-flake", attribute = "-x" }]"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:6:12: `artifacts.kernels.k.variants[0].sources[0]`: a `pvm-flake` source gives a PVM kernel, found it for `x86_64/firecracker/standard`
      6 | sources = [{ kind = "pvm-flake" }, { kind = "pvm-flake", attribute = "-x" }]
        |            ^^^^^^^^^^^^^^^^^^^^^^
        = hint: standard kernels come from `firecracker-ci`, `debian-package`, `debian-file`, `url` or `path`
  port.toml:6:70: `artifacts.kernels.k.variants[0].sources[1].attribute`: expected a flake attribute, found `-x`
      6 | sources = [{ kind = "pvm-flake" }, { kind = "pvm-flake", attribute = "-x" }]
        |                                                                      ^^^^"#,
    );
}

#[test]
fn kernels_have_no_recipe_and_images_no_sources() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
recipe = {}
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
[[artifacts.guest_images.g.variants]]
path = "g/rootfs.ext4"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
sources = []"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:3:1: `artifacts.kernels.k.recipe`: unknown key
      3 | recipe = {}
        | ^^^^^^
        = hint: known here: build, distribution, reference, validate, variants
  port.toml:9:1: `artifacts.guest_images.g.variants[0].sources`: unknown key
      9 | sources = []
        | ^^^^^^^
        = hint: known here: path, recipe, selector"#,
    );
}

#[test]
fn a_recipe_names_a_kernel() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
[artifacts.guest_images.g.recipe]
format = "ext4"
kernel = "kk"
[[artifacts.guest_images.g.variants]]
path = "g/rootfs.ext4"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
recipe = { format = "ext3", kernel = "g" }"#,
        r#"
cannot use `port.toml`: 3 problems
  port.toml:7:10: `artifacts.guest_images.g.recipe.kernel`: there is no kernel `kk` (did you mean `k`?)
      7 | kernel = "kk"
        |          ^^^^
        = hint: found here: k
  port.toml:11:21: `artifacts.guest_images.g.variants[0].recipe.format`: `ext3` is not an image format: expected one of ext4, squashfs, erofs (did you mean `ext4`?)
     11 | recipe = { format = "ext3", kernel = "g" }
        |                     ^^^^^^
  port.toml:11:38: `artifacts.guest_images.g.variants[0].recipe.kernel`: expected a kernel, found `g`, which is a guest image
     11 | recipe = { format = "ext3", kernel = "g" }
        |                                      ^^^"#,
    );
}

#[test]
fn options_of_another_format() {
    check(
        r#"
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
[artifacts.guest_images.g.recipe]
format = "squashfs"
size_mib = 64
label = "x""#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:5:12: `artifacts.guest_images.g.recipe.size_mib`: only an `ext4` image has a size of its own, found it with `squashfs`
      5 | size_mib = 64
        |            ^^
  port.toml:6:9: `artifacts.guest_images.g.recipe.label`: a `squashfs` image has no label
      6 | label = "x"
        |         ^^^"#,
    );
}

#[test]
fn recipe_values() {
    check(
        r#"
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
[artifacts.guest_images.g.recipe]
format = "ext4"
size_mib = 0
label = "a-label-that-is-long"
hostname = "a b"
agent = ""
busybox = 1"#,
        r#"
cannot use `port.toml`: 5 problems
  port.toml:5:12: `artifacts.guest_images.g.recipe.size_mib`: expected an integer from 1 to 16777216, found 0
      5 | size_mib = 0
        |            ^
  port.toml:6:9: `artifacts.guest_images.g.recipe.label`: expected a label of at most 16 bytes, found 20
      6 | label = "a-label-that-is-long"
        |         ^^^^^^^^^^^^^^^^^^^^^^
  port.toml:7:12: `artifacts.guest_images.g.recipe.hostname`: expected a host name of letters, digits, `-` and `.`, found ' '
      7 | hostname = "a b"
        |            ^^^^^
  port.toml:8:9: `artifacts.guest_images.g.recipe.agent`: must not be empty
      8 | agent = ""
        |         ^^
  port.toml:9:11: `artifacts.guest_images.g.recipe.busybox`: expected a string, found an integer
      9 | busybox = 1
        |           ^"#,
    );
}

#[test]
fn an_erofs_label_leaves_room_for_its_zero() {
    check(
        r#"
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
recipe = { format = "erofs", label = "port-demo-rootfs" }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:3:38: `artifacts.guest_images.g.recipe.label`: expected a label of at most 15 bytes, found 16
      3 | recipe = { format = "erofs", label = "port-demo-rootfs" }
        |                                      ^^^^^^^^^^^^^^^^^^"#,
    );
}
