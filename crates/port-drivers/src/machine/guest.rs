//! What is done in the guest, through its agent and with the BusyBox that its initrd brought: a root need have nothing.

use port_runtime::{AgentClient, GuestCommand};

use crate::error::DriverError;
use crate::job::Volume;

const SHELL: [&str; 3] = ["/run/port/busybox", "sh", "-c"];

/// Arguments: address with prefix, gateway, name servers (three texts, which may be empty), then tag, place and `ro` or `rw` of each
/// share. What a read-only root has no place for is an error.
const SET_UP: &str = r#"
b=/run/port/busybox
fail() { echo "$*" >&2; exit 1; }
address=$1 gateway=$2 servers=$3
shift 3
[ ! -e /run/port/port-launcher ] || $b chmod 0755 /run/port/port-launcher
if [ -n "$address" ]; then
    card=
    for path in /sys/class/net/*; do
        [ "${path##*/}" = lo ] || card=${path##*/}
    done
    [ -n "$card" ] || fail "no network card: expected the kernel to know virtio-net"
    $b ip address add "$address" dev "$card" && $b ip link set "$card" up && $b ip route add default via "$gateway" ||
        fail "cannot set up $card"
fi
if [ -n "$servers" ]; then
    for server in $servers; do echo "nameserver $server"; done >/run/port/resolv.conf
    [ -e /etc/resolv.conf ] || { $b mkdir -p /etc && : >/etc/resolv.conf; } || fail "no /etc/resolv.conf, and none can be made"
    $b mount -o bind /run/port/resolv.conf /etc/resolv.conf || fail "cannot mount /etc/resolv.conf"
fi
while [ $# -gt 0 ]; do
    [ -d "$2" ] || $b mkdir -p "$2" || fail "no directory $2, and none can be made"
    $b mount -t virtiofs -o "$3" "$1" "$2" || fail "cannot mount the volume at $2: expected a kernel that knows virtiofs"
    shift 3
done
"#;

/// Arguments: where the process id goes (or nothing), the most processes (or nothing), then the command, which this becomes.
const JOIN: &str = r#"
fail() { echo "port: cannot limit the number of processes: expected a kernel with control groups and pids" >&2; exit 125; }
b=/run/port/busybox
group=/run/port/cgroup
[ -z "$1" ] || echo $$ >"$1"
if [ -n "$2" ]; then
    if [ ! -d $group/workload ]; then
        { $b mkdir -p $group && $b mount -t cgroup2 none $group && echo +pids >$group/cgroup.subtree_control &&
            $b mkdir $group/workload && echo "$2" >$group/workload/pids.max; } 2>/dev/null || fail
    fi
    echo $$ >$group/workload/cgroup.procs || fail
fi
shift 2
exec "$@"
"#;

/// Where the command's process id is.
const MAIN: &str = "/run/port/main";

/// Asks the command to end.
const ASK: &str = "read -r main </run/port/main && kill -TERM \"$main\"";

/// How the guest is connected.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// With its prefix; empty without one.
    pub(super) address: String,
    pub(super) gateway: String,
    pub(super) name_servers: String,
}

/// Makes the guest what the workload expects.
pub(super) async fn set_up(
    agent: &AgentClient,
    network: &Network,
    shares: impl Iterator<Item = (String, &Volume)>,
) -> Result<(), DriverError> {
    let mut arguments = vec![network.address.clone(), network.gateway.clone(), network.name_servers.clone()];
    for (tag, volume) in shares {
        let mode = if volume.writable { "rw" } else { "ro" };
        arguments.extend([tag, volume.container.display().to_string(), mode.to_owned()]);
    }
    done(agent, "make the guest ready", script(SET_UP, arguments)).await
}

/// Asks the workload's command to end.
pub(super) async fn ask(agent: &AgentClient) -> Result<(), DriverError> {
    done(agent, "ask the command to end", script(ASK, Vec::new())).await
}

/// The workload's command, whose process id is known afterwards.
pub(super) fn main_command(
    words: Vec<String>,
    pids: Option<u64>,
    environment: &[(String, String)],
) -> GuestCommand {
    joined(MAIN, words, pids, environment)
}

/// One more command beside it.
pub(crate) fn another(
    words: Vec<String>,
    pids: Option<u64>,
    environment: &[(String, String)],
) -> GuestCommand {
    joined("", words, pids, environment)
}

fn joined(
    main: &str,
    words: Vec<String>,
    pids: Option<u64>,
    environment: &[(String, String)],
) -> GuestCommand {
    let mut arguments = vec![main.to_owned(), pids.map(|most| most.to_string()).unwrap_or_default()];
    arguments.extend(words);
    GuestCommand { environment: environment.iter().cloned().collect(), ..script(JOIN, arguments) }
}

fn script(text: &str, arguments: Vec<String>) -> GuestCommand {
    let words = SHELL.map(str::to_owned).into_iter().chain([text.to_owned(), "port".to_owned()]);
    GuestCommand::new(words.chain(arguments))
}

async fn done(agent: &AgentClient, step: &'static str, command: GuestCommand) -> Result<(), DriverError> {
    let (code, result) = agent.exec(command).await?;
    if code == 0 {
        return Ok(());
    }
    let said = result.stderr.trim().chars().take(500).collect();
    Err(DriverError::Inside { step, said })
}
