//! Workloads on the bridge, as a user has them: streams and datagrams by IPv4 and IPv6 through published ports, the way out of the
//! host, and nothing of it left behind. In network namespaces of their own: the bridge is no business of the machine that runs this.

use std::process::{Command, Stdio};

use port_testkit::project::{Project, Ran};
use port_testkit::skip;

use crate::workload_run::{manifest, nothing_is_left, project};

/// Functions for the scripts. A failed step must leave no workload behind.
const PRELUDE: &str = r#"
set -e
port() { verb=$1; shift; "$PORT" workload "$verb" --workloads rooms "$@"; }
stop_all() { for name in web second; do port stop $name --grace 0 >/dev/null 2>&1 || true; done; kill $helpers 2>/dev/null || true; }
helpers=
trap stop_all EXIT
# A server that was started listens a moment later.
until_it_says() { tries=0; until "$@" 2>/dev/null; do tries=$((tries + 1)); [ $tries -lt 400 ] || return 1; sleep 0.05; done; }
page() { busybox wget -q -O - "http://$1/index.html"; }
number() { port list --format json | sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" | head -1; }
state() { ip -o link | cut -d: -f2 | cut -d@ -f1; if command -v nft >/dev/null; then nft list ruleset; fi; }
ip link set lo up
"#;

/// Runs a script in a network of its own.
fn script(project: &Project, script: &str) -> Ran {
    let port = project.command(&[]).get_program().to_owned();
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &format!("{PRELUDE}{script}")]);
    command.current_dir(project.path()).stdin(Stdio::null());
    command.env("PORT", port).env("HOME", project.path());
    project.ran(command.output().unwrap())
}

/// A project with the workload `web` on the bridge.
fn connected(network: &str) -> Option<Project> {
    let project = project()?;
    skip::tool("ip", "iproute2")?;
    skip::tool("unshare", "util-linux")?;
    project.write("root/srv/index.html", "published\n");
    for name in ["web", "second"] {
        manifest(&project, name, "");
        let file = format!("{name}.toml");
        let text = String::from_utf8(project.read(&file)).unwrap();
        let network = if name == "web" { network } else { "mode = \"bridge\"" };
        project.write(&file, text.replace("mode = \"none\"", network));
    }
    Some(project)
}

#[test]
fn v_36_v_38_a_published_port_answers_by_both_versions_and_leaves_nothing() {
    let Some(project) =
        connected("mode = \"bridge\"\naddress = \"fd50:6f72:7430::7\"\nports = [\"8080:80\"]")
    else {
        return;
    };
    let ran = script(
        &project,
        r#"
        state > before
        port run web.toml --detach -- busybox httpd -f -p 80 -h /srv
        until_it_says page 127.0.0.1:8080
        page '[::1]:8080'
        page 10.209.0.7
        page '[fd50:6f72:7430::7]'
        # Workloads reach each other, from their first moment on.
        port run second.toml -- wget -q -O - http://10.209.0.7/index.html
        port stop web
        state > after
        cmp before after && echo as before
    "#,
    );
    let published = "published\n".repeat(5);
    assert_eq!(ran.stdout, format!("web runs\n{published}stopped web\nas before\n"), "{ran}");
    nothing_is_left(&project);
}

#[test]
fn v_38_datagrams_reach_a_workload_and_their_answers_come_back() {
    let Some(project) = connected("mode = \"bridge\"\nports = [\"5353:53/udp\"]") else { return };
    if skip::tool("python3", "python3").is_none() {
        return;
    }
    project.write("echo.py", "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('', 53))\nwhile True:\n    said, who = s.recvfrom(9000)\n    s.sendto(said.upper(), who)\n");
    project.write("ask.py", "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(0.2)\nfor _ in range(100):\n    try:\n        s.sendto(sys.argv[1].encode(), ('127.0.0.1', 5353))\n        print(s.recvfrom(9000)[0].decode())\n        break\n    except OSError:\n        pass\n");
    let ran = script(
        &project,
        r#"
        port run web.toml --detach -- sleep 600
        nsenter --net -t "$(number init)" python3 echo.py & helpers=$!
        python3 ask.py one
        python3 ask.py two
        port stop web
    "#,
    );
    assert_eq!(ran.stdout, "web runs\nONE\nTWO\nstopped web\n", "{ran}");
    nothing_is_left(&project);
}

#[test]
fn v_35_workloads_reach_beyond_a_host_that_forwards() {
    let Some(project) = connected("mode = \"bridge\"") else { return };
    let ran = script(
        &project,
        r#"
        # A neighbour that knows no way back to the bridge: only the host's own address is answered.
        unshare --net sleep 600 & beyond=$!; helpers=$beyond
        until_it_says sh -c "[ \$(readlink /proc/$beyond/ns/net) != $(readlink /proc/self/ns/net) ]"
        ip link add up0 type veth peer name eth0 netns $beyond
        ip address add 192.0.2.1/24 dev up0
        ip link set up0 up
        there="nsenter --net -t $beyond"
        $there ip address add 192.0.2.2/24 dev eth0
        $there ip link set eth0 up
        $there busybox httpd -f -p 80 -h root/srv & helpers="$helpers $!"
        until_it_says page 192.0.2.2
        echo 1 > /proc/sys/net/ipv4/ip_forward
        state > before
        port run web.toml --detach -- sleep 600
        port exec web -- wget -q -O - http://192.0.2.2/index.html || echo no way out
        # Killed, not stopped: the kernel takes back what it gave.
        kill -KILL "$(number supervisor)"
        until_it_says sh -c '! "$PORT" workload list --workloads rooms | grep running'
        until_it_says sh -c '! ip -o link | grep -q vb-'
        port list | grep -c 'supervisor was killed'
        state > after
        cmp before after && echo as before
    "#,
    );
    if ran.stdout.contains("no way out") {
        return skip::because("this kernel has no tables that a socket owns");
    }
    assert_eq!(ran.stdout, "published\nweb runs\npublished\n1\nas before\n", "{ran}");
    nothing_is_left(&project);
}
