//! What is wrong with the rest: syntax, backends, control planes and machines.

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
        = hint: known here: artifacts, control_planes, host_groups, hosts, machines, nodes, sources, store_root"#,
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
fn pu_4_unknown_backend() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.kernels.k.distribution]
push = { backend = "filesystem", root = "x" }
pull = { root = "x" }"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:4:20: `artifacts.kernels.k.distribution.push.backend`: `filesystem` is not a backend: expected one of file-system, oci-registry, hosted-api (did you mean `file-system`?)
      4 | push = { backend = "filesystem", root = "x" }
        |                    ^^^^^^^^^^^^
  port.toml:5:8: `artifacts.kernels.k.distribution.pull`: the key `backend` is missing
      5 | pull = { root = "x" }
        |        ^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn pu_4_backend_keys() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.kernels.k.distribution]
push = { backend = "file-system", transport = "https" }
pull = { backend = "oci-registry", root = "x", transport = "http", auth = { kind = "basic" } }"#,
        r#"
cannot use `port.toml`: 5 problems
  port.toml:4:8: `artifacts.kernels.k.distribution.push`: the key `root` is missing
      4 | push = { backend = "file-system", transport = "https" }
        |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:4:35: `artifacts.kernels.k.distribution.push.transport`: unknown key
      4 | push = { backend = "file-system", transport = "https" }
        |                                   ^^^^^^^^^
        = hint: known here: backend, root
  port.toml:5:36: `artifacts.kernels.k.distribution.pull.root`: unknown key
      5 | pull = { backend = "oci-registry", root = "x", transport = "http", auth = { kind = "basic" } }
        |                                    ^^^^
        = hint: known here: auth, backend, transport
  port.toml:5:60: `artifacts.kernels.k.distribution.pull.transport`: `http` is not a transport: expected one of https, plain-http (did you mean `https`?)
      5 | pull = { backend = "oci-registry", root = "x", transport = "http", auth = { kind = "basic" } }
        |                                                            ^^^^^^
  port.toml:5:84: `artifacts.kernels.k.distribution.pull.auth.kind`: `basic` is not a kind of registry auth: expected one of anonymous, basic-env
      5 | pull = { backend = "oci-registry", root = "x", transport = "http", auth = { kind = "basic" } }
        |                                                                                    ^^^^^^^"#,
    );
}

#[test]
fn pu_12_basic_env_needs_both_names() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.kernels.k.distribution]
push = { backend = "oci-registry", auth = { kind = "basic-env", username_variable = "", password_variable = "p4ss word!" } }
pull = { backend = "oci-registry", auth = { kind = "basic-env" } }"#,
        r#"
cannot use `port.toml`: 4 problems
  port.toml:4:85: `artifacts.kernels.k.distribution.push.auth.username_variable`: must not be empty
      4 | push = { backend = "oci-registry", auth = { kind = "basic-env", username_variable = "", password_variable = ************…
        |                                                                                     ^^
  port.toml:4:109: `artifacts.kernels.k.distribution.push.auth.password_variable`: expected the name of an environment variable: letters, digits and `_`, no digit first
      4 | push = { backend = "oci-registry", auth = { kind = "basic-env", username_variable = "", password_variable = ************…
        |                                                                                                             ^^^^^^^^^^^^
        = hint: the file names the variable; it never holds the secret
  port.toml:5:43: `artifacts.kernels.k.distribution.pull.auth`: the key `username_variable` is missing
      5 | pull = { backend = "oci-registry", auth = { kind = "basic-env" } }
        |                                           ^^^^^^^^^^^^^^^^^^^^^^
  port.toml:5:43: `artifacts.kernels.k.distribution.pull.auth`: the key `password_variable` is missing
      5 | pull = { backend = "oci-registry", auth = { kind = "basic-env" } }
        |                                           ^^^^^^^^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn pu_14_hosted_api_needs_its_control_plane() {
    check(
        r#"
[control_planes.demo]
endpoint = "http://127.0.0.1:7040"
audience = "demo"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "TOKEN" } }
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.kernels.k.distribution]
push = { backend = "hosted-api", endpoint = "http://127.0.0.1:7041" }
pull = { backend = "hosted-api" }"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:8:45: `artifacts.kernels.k.distribution.push.endpoint`: no control plane has the endpoint `http://127.0.0.1:7041` (did you mean `http://127.0.0.1:7040`?)
      8 | push = { backend = "hosted-api", endpoint = "http://127.0.0.1:7041" }
        |                                             ^^^^^^^^^^^^^^^^^^^^^^^
        = hint: endpoints of `control_planes`: http://127.0.0.1:7040
  port.toml:9:8: `artifacts.kernels.k.distribution.pull`: the key `endpoint` is missing
      9 | pull = { backend = "hosted-api" }
        |        ^^^^^^^^^^^^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn pu_10_control_planes_share_no_endpoint() {
    check(
        r#"
[control_planes.demo]
endpoint = "http://127.0.0.1:7040"
audience = "demo"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "TOKEN" } }
[control_planes.other]
endpoint = "http://127.0.0.1:7040/"
audience = "demo"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "TOKEN" } }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:6:12: `control_planes.other.endpoint`: `http://127.0.0.1:7040` is the endpoint of the control plane `demo` already
      6 | endpoint = "http://127.0.0.1:7040/"
        |            ^^^^^^^^^^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn pu_10_nothing_is_empty() {
    check(
        r#"
[control_planes.demo]
endpoint = ""
audience = " "
auth = { scheme = "basic", header = "", source = { kind = "env", variable = "" } }"#,
        r#"
cannot use `port.toml`: 5 problems
  port.toml:2:12: `control_planes.demo.endpoint`: must not be empty
      2 | endpoint = ""
        |            ^^
  port.toml:3:12: `control_planes.demo.audience`: must not be empty
      3 | audience = " "
        |            ^^^
  port.toml:4:19: `control_planes.demo.auth.scheme`: `basic` is not an auth scheme: expected one of bearer
      4 | auth = { scheme = "basic", header = "", source = { kind = "env", variable = "" } }
        |                   ^^^^^^^
  port.toml:4:37: `control_planes.demo.auth.header`: must not be empty
      4 | auth = { scheme = "basic", header = "", source = { kind = "env", variable = "" } }
        |                                     ^^
  port.toml:4:77: `control_planes.demo.auth.source.variable`: must not be empty
      4 | auth = { scheme = "basic", header = "", source = { kind = "env", variable = "" } }
        |                                                                             ^^"#,
    );
}

#[test]
fn p_57_a_control_plane_needs_its_keys() {
    check(
        r#"
[control_planes.demo]
endpoint = "127.0.0.1:7040""#,
        r#"
cannot use `port.toml`: 3 problems
  port.toml:1:1: `control_planes.demo`: the key `audience` is missing
      1 | [control_planes.demo]
        | ^^^^^^^^^^^^^^^^^^^^^
  port.toml:1:1: `control_planes.demo`: the key `auth` is missing
      1 | [control_planes.demo]
        | ^^^^^^^^^^^^^^^^^^^^^
  port.toml:2:12: `control_planes.demo.endpoint`: expected `http://` or `https://` and a host, found `127.0.0.1:7040`
      2 | endpoint = "127.0.0.1:7040"
        |            ^^^^^^^^^^^^^^^^"#,
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
fn a_secret_is_shown_for_no_finding() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.kernels.k.distribution]
push = { backend = "oci-registry", auth = { kind = "basic-env", username_variable = "it's me", password_variable = "p4ss word!", realm = "x" } }"#,
        r#"
cannot use `port.toml`: 3 problems
  port.toml:4:85: `artifacts.kernels.k.distribution.push.auth.username_variable`: expected the name of an environment variable: letters, digits and `_`, no digit first
      4 | push = { backend = "oci-registry", auth = { kind = "basic-env", username_variable = *********, password_variable = *****…
        |                                                                                     ^^^^^^^^^
        = hint: the file names the variable; it never holds the secret
  port.toml:4:116: `artifacts.kernels.k.distribution.push.auth.password_variable`: expected the name of an environment variable: letters, digits and `_`, no digit first
      4 | …riable = *********, password_variable = ************, realm = "x" } }
        |                                          ^^^^^^^^^^^^
        = hint: the file names the variable; it never holds the secret
  port.toml:4:130: `artifacts.kernels.k.distribution.push.auth.realm`: unknown key
      4 | …****, password_variable = ************, realm = "x" } }
        |                                          ^^^^^
        = hint: known here: kind, password_variable, username_variable"#,
    );
}

#[test]
fn an_endpoint_with_a_slip_keeps_its_password() {
    check(
        r#"
[control_planes.demo]
endpoint = "http//me:hunter2@127.0.0.1:7040"
audience = "demo"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "TOKEN" } }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:2:12: `control_planes.demo.endpoint`: a URL must not carry a user name or password
      2 | endpoint = *********************************
        |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = hint: the file is no place for secrets; this one should be changed if it was shared"#,
    );
}

#[test]
fn a_secret_in_the_bucket_url() {
    check(
        r#"
[sources]
firecracker_ci_url = "https://key:secret@example.org/b"
firecracker_url = "x""#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:2:22: `sources.firecracker_ci_url`: a URL must not carry a user name or password
      2 | firecracker_ci_url = **********************************
        |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = hint: the file is no place for secrets; this one should be changed if it was shared
  port.toml:3:1: `sources.firecracker_url`: unknown key (did you mean `firecracker_ci_url`?)
      3 | firecracker_url = "x"
        | ^^^^^^^^^^^^^^^"#,
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

#[test]
fn a_secret_under_an_unknown_key_is_not_shown() {
    check(
        r#"
[control_planes.demo]
endpoint = "http://127.0.0.1:7040"
audience = "demo"
token = "hunter2"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "TOKEN" } }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:4:1: `control_planes.demo.token`: unknown key
      4 | token = *********
        | ^^^^^
        = hint: known here: audience, auth, endpoint"#,
    );
}
