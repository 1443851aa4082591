//! What nspawn is told, by plan.

use port_runtime::SearchPath;
use port_workload::{Document, Manifest};

use super::*;
use crate::job::Lower;

pub(crate) const LEAST: &str =
    "[workload]\nname = \"web_1\"\nmode = \"container\"\n[storage]\nrootfs = \"/srv/root\"\n";

pub(crate) fn plan_of(text: &str) -> Plan {
    let document = Document::parse("web.toml", "/web.toml".into(), text.as_bytes()).unwrap();
    let manifest: Manifest = document.manifest;
    port_workload::plan(&manifest).unwrap()
}

pub(crate) fn host(with: &tempfile::TempDir) -> Host {
    let nspawn = with.path().join("systemd-nspawn");
    port_content::atomic::write(&nspawn, b"").unwrap();
    port_content::fs::set_mode(&nspawn, 0o755).unwrap();
    Host {
        user: 0,
        search: SearchPath::new([with.path().to_owned()]),
        launcher: Some("/opt/port/port-launcher-x86_64".into()),
        kernel_release: "6.8.0".to_owned(),
    }
}

pub(crate) fn request() -> Request {
    Request {
        lower: Lower::Directory("/srv/root".into()),
        command: vec!["/bin/httpd".into(), "-f".into()],
        room: "/rooms/web_1".into(),
        machine: None,
        best_effort: false,
    }
}

fn prepared(text: &str) -> Result<Job, DriverError> {
    let directory = tempfile::tempdir().unwrap();
    ContainerDriver.prepare(&plan_of(text), &request(), &host(&directory))
}

#[test]
fn v_3_v_27_v_42_v_43_the_options_of_a_container() {
    let text = format!(
        "{LEAST}volumes = [{{ host = \"/a:b\", container = \"/data\" }}, {{ host = \"/c\", container = \"/conf\", readonly = true }}]\n\
         [network]\nmode = \"none\"\n[security]\ncapabilities = [\"CHOWN\"]\nread_only_rootfs = true\n"
    );
    let job = prepared(&text).unwrap();
    let said = job.program.join(" ");
    for part in [
        "--directory=/rooms/web_1/root",
        "--machine=web-1",
        "--private-network",
        "--read-only",
        "--no-new-privileges=yes",
        "--capability=CAP_CHOWN --drop-capability=CAP_DAC_OVERRIDE,",
        "--bind=/a\\:b:/data",
        "--bind-ro=/c:/conf",
        "--bind-ro=/opt/port/port-launcher-x86_64:/run/port-launcher",
        "-- /run/port-launcher --capabilities 1 --no-new-privileges --read / ",
        "-- /bin/httpd -f",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert_eq!(job.layer, Layer::Memory);
    assert_eq!(prepared(&text).unwrap().gate, job.gate);
}

#[test]
fn v_43_a_layer_is_kept_where_the_manifest_says_overlay() {
    let kept = prepared(&format!("{LEAST}[network]\nmode = \"host\"\n")).unwrap();
    assert_eq!(kept.layer, Layer::Kept);
    let said = kept.program.join(" ");
    assert!(said.contains("--resolv-conf=copy-host") && !said.contains("--read-only"), "{said}");
    assert!(!said.contains("--private-network"), "{said}");
}

#[test]
fn c_48_what_cannot_be_run_is_refused_by_name() {
    for (network, part) in [
        ("mode = \"custom\"", "`network.mode` is `custom`, expected `bridge`, `host` or `none`"),
        (
            "address = \"192.168.7.2\"",
            "`network.address` is `192.168.7.2`, expected 10.209.0.2 to 10.209.0.254 or fd50:6f72:7430::2",
        ),
    ] {
        let error = prepared(&format!("{LEAST}[network]\n{network}\n")).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn c_48_what_the_host_lacks_is_refused_by_name_or_said() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan_of(&format!("{LEAST}[network]\nmode = \"none\"\n"));
    let sound = host(&directory);
    let prepare = |host: &Host, request: &Request| ContainerDriver.prepare(&plan, request, host);

    let user = Host { user: 1000, ..sound.clone() };
    let error = prepare(&user, &request()).unwrap_err().to_string();
    assert_eq!(error, "cannot run `web_1`: workloads need root, found user 1000");

    let bare = Host { search: SearchPath::default(), ..sound.clone() };
    let error = prepare(&bare, &request()).unwrap_err().to_string();
    assert!(
        error.contains("`systemd-nspawn` is not there") && error.contains("systemd-container"),
        "{error}"
    );

    let open = Host { launcher: None, ..sound };
    let error = prepare(&open, &request()).unwrap_err().to_string();
    assert!(error.contains("cannot keep what the manifest asks for: `security.landlock_profile`"), "{error}");
    let job = prepare(&open, &Request { best_effort: true, ..request() }).unwrap();
    assert_eq!((job.warnings.len(), job.gate.len()), (1, 0));
    assert!(job.program.ends_with(&["--".into(), "/bin/httpd".into(), "-f".into()]), "{:?}", job.program);
}

#[test]
fn v_36_v_37_v_38_a_place_on_the_bridge() {
    let network =
        "[network]\naddress = \"10.209.0.9/24\"\ndns = [\"1.1.1.1\"]\nports = [\"8080:80\", \"53:53/udp\"]\n";
    let job = prepared(&format!("{LEAST}{network}")).unwrap();
    let expected = Bridge {
        address: Some("10.209.0.9".parse().unwrap()),
        ports: vec![
            Port { host: 8080, container: 80, protocol: Transport::Tcp },
            Port { host: 53, container: 53, protocol: Transport::Udp },
        ],
    };
    assert_eq!((job.network, job.name_servers.len()), (Some(expected), 1));
    let said = job.program.join(" ");
    assert!(
        said.contains("--network-bridge=port0 --bind-ro=/rooms/web_1/resolv.conf:/etc/resolv.conf"),
        "{said}"
    );
}
