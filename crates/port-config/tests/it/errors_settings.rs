//! What is wrong with the rest: syntax, top-level tables and machines.

use super::check;

#[test]
fn syntax_is_one_finding() {
    check(
        r#"
store_root = "a
[x"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:2:3: not TOML: unclosed table, expected `]`
      2 | [x
        |   ^"#,
    );
}

#[test]
fn a_key_given_twice() {
    check(
        r#"
store_root = "a"
store_root = "b""#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:2:1: not TOML: duplicate key
      2 | store_root = "b"
        | ^^^^^^^^^^"#,
    );
}

#[test]
fn a_merge_conflict() {
    check(
        r#"
<<<<<<< HEAD
store_root = "a"
======="#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:1:9: not TOML: key with no value, expected `=`
      1 | <<<<<<< HEAD
        |         ^
        = hint: this is the mark of a merge conflict: take one side of it"#,
    );
}

#[test]
fn top_level_keys() {
    check(
        r#"
store_rot = "a"
[artefacts]
[colours]"#,
        r#"
cannot use `port.toml`: 3 problems
  port.toml:1:1: `store_rot`: unknown key (did you mean `store_root`?)
      1 | store_rot = "a"
        | ^^^^^^^^^
  port.toml:2:2: `artefacts`: unknown key (did you mean `artifacts`?)
      2 | [artefacts]
        |  ^^^^^^^^^
  port.toml:3:2: `colours`: unknown key
      3 | [colours]
        |  ^^^^^^^
        = hint: known here: artifacts, base_images, control_planes, host_groups, hosts, machines, nodes, registries, sources, store_root"#,
    );
}

#[test]
fn wrong_types() {
    check(
        r#"
store_root = 1
sources = []
artifacts = "x"
machines = 1.5
hosts = true"#,
        r#"
cannot use `port.toml`: 5 problems
  port.toml:1:14: `store_root`: expected a string, found an integer
      1 | store_root = 1
        |              ^
  port.toml:2:11: `sources`: expected a table, found an array
      2 | sources = []
        |           ^^
  port.toml:3:13: `artifacts`: expected a table, found a string
      3 | artifacts = "x"
        |             ^^^
  port.toml:4:12: `machines`: expected a table, found a float
      4 | machines = 1.5
        |            ^^^
  port.toml:5:9: `hosts`: expected a table, found a boolean
      5 | hosts = true
        |         ^^^^"#,
    );
}

#[test]
fn pu_9_a_machine_names_what_exists() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
[machines.m]
kernel = "g"
guest_image = "h"
[machines.n]
kernel = "demo""#,
        r#"
cannot use `port.toml`: 4 problems
  port.toml:6:10: `machines.m.kernel`: expected a kernel, found `g`, which is a guest image
      6 | kernel = "g"
        |          ^^^
  port.toml:7:15: `machines.m.guest_image`: there is no guest image `h` (did you mean `g`?)
      7 | guest_image = "h"
        |               ^^^
        = hint: found here: g
  port.toml:8:1: `machines.n`: the key `guest_image` is missing
      8 | [machines.n]
        | ^^^^^^^^^^^^
  port.toml:9:10: `machines.n.kernel`: there is no kernel `demo`
      9 | kernel = "demo"
        |          ^^^^^^
        = hint: found here: k"#,
    );
}

#[test]
fn pu_11_a_machine_needs_variants() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.guest_images.g]
reference = { registry = "r", repository = "p/g", version = "v1" }
[machines.m]
kernel = "k"
guest_image = "g""#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:6:10: `machines.m.kernel`: expected an artifact with at least one variant, found `k`, which has none
      6 | kernel = "k"
        |          ^^^
  port.toml:7:15: `machines.m.guest_image`: expected an artifact with at least one variant, found `g`, which has none
      7 | guest_image = "g"
        |               ^^^"#,
    );
}

#[test]
fn pu_9_machine_values() {
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
path = "g/rootfs.ext4"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
[machines.m]
kernel = "k"
guest_image = "g"
architecture = "arm"
vcpu_count = 0
memory_mib = 31
kernel_args = "a=\"b"
rootfs_read_only = "no"
rootfs_overlay = "ram"
volumes = [{ path = "a" }, { path = "b", readonly = true }]
guest = { vsock_cid = 2, control_port = 0, console_log = "" }"#,
        r#"
cannot use `port.toml`: 11 problems
  port.toml:14:16: `machines.m.architecture`: `arm` is not an architecture: expected one of native, x86_64, aarch64
     14 | architecture = "arm"
        |                ^^^^^
  port.toml:15:14: `machines.m.vcpu_count`: expected an integer from 1 to 1024, found 0
     15 | vcpu_count = 0
        |              ^
  port.toml:16:14: `machines.m.memory_mib`: expected an integer from 32 to 4294967295, found 31
     16 | memory_mib = 31
        |              ^^
  port.toml:17:15: `machines.m.kernel_args`: the boot arguments open a quote and do not close it
     17 | kernel_args = "a=\"b"
        |               ^^^^^^^
  port.toml:18:20: `machines.m.rootfs_read_only`: expected `true` or `false`, found a string
     18 | rootfs_read_only = "no"
        |                    ^^^^
  port.toml:19:18: `machines.m.rootfs_overlay`: `ram` is not a root file system overlay: expected one of none, tmpfs, disk
     19 | rootfs_overlay = "ram"
        |                  ^^^^^
  port.toml:20:11: `machines.m.volumes`: expected at most one volume, found 2
     20 | volumes = [{ path = "a" }, { path = "b", readonly = true }]
        |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:20:42: `machines.m.volumes[1].readonly`: unknown key (did you mean `read_only`?)
     20 | volumes = [{ path = "a" }, { path = "b", readonly = true }]
        |                                          ^^^^^^^^
  port.toml:21:23: `machines.m.guest.vsock_cid`: expected an integer from 3 to 4294967294, found 2
     21 | guest = { vsock_cid = 2, control_port = 0, console_log = "" }
        |                       ^
  port.toml:21:41: `machines.m.guest.control_port`: expected an integer from 1 to 4294967294, found 0
     21 | guest = { vsock_cid = 2, control_port = 0, console_log = "" }
        |                                         ^
  port.toml:21:58: `machines.m.guest.console_log`: must not be empty
     21 | guest = { vsock_cid = 2, control_port = 0, console_log = "" }
        |                                                          ^^"#,
    );
}

#[test]
fn pu_9_at_most_one_volume() {
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
path = "g/rootfs.ext4"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }
[machines.m]
kernel = "k"
guest_image = "g"
volumes = [{ path = "a" }, { path = "b" }]
vcpu_count = 99999999999999999999"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:14:11: `machines.m.volumes`: expected at most one volume, found 2
     14 | volumes = [{ path = "a" }, { path = "b" }]
        |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:15:14: `machines.m.vcpu_count`: expected an integer from 1 to 1024, found 99999999999999999999
     15 | vcpu_count = 99999999999999999999
        |              ^^^^^^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn pu_1_opaque_tables_are_tables() {
    check(
        r#"
hosts = 1
nodes = { a = 99999999999999999999 }"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:1:9: `hosts`: expected a table, found an integer
      1 | hosts = 1
        |         ^
  port.toml:2:9: `nodes`: holds a number that is out of TOML's range
      2 | nodes = { a = 99999999999999999999 }
        |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#,
    );
}
