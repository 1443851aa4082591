//! `port control-plane … --storage s3://…`: what is pushed through one server is pulled through another one, tokens and collection work
//! on the bucket, and what is missing or unsafe is said without a secret.

use port_testkit::s3::{ACCESS_KEY, Abilities, BUCKET, Fault, S3, SECRET_KEY};

use super::*;

fn with_keys(command: &mut Command) -> &mut Command {
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
}

fn flags(bucket: &S3) -> [String; 5] {
    let storage = format!("s3://{BUCKET}/plane");
    ["--storage".into(), storage, "--s3-endpoint".into(), bucket.endpoint(), "--s3-plain-http".into()]
}

fn start(project: &Project, bucket: &S3) -> Server {
    Server::of(with_keys(serve(project).args(flags(bucket))))
}

fn plane(project: &Project, bucket: &S3, arguments: &[&str]) -> Ran {
    let mut command = project.command(&[&["control-plane"], arguments].concat());
    let ran = project
        .ran(with_keys(command.args(["--control-plane", "demo"]).args(flags(bucket))).output().unwrap());
    assert!(!format!("{ran}").contains(SECRET_KEY), "a secret is in the output: {ran}");
    ran
}

#[test]
fn p_63_what_one_server_on_a_bucket_takes_another_one_gives() {
    let bucket = S3::default();
    let project = project();
    let one = start(&project, &bucket);
    project.write("port.toml", configuration(&one.endpoint));
    project.write(LOCAL_KERNEL, b"kernel");
    let tiny = [&["--artifact", "tiny"][..], &X86].concat();
    succeed_there(&project, &[&["push"][..], &tiny].concat());
    let readable = "plane/artifacts/demo-fs/port/tiny/v1/x86_64/firecracker/standard/vmlinux".to_owned();
    assert!(bucket.keys().contains(&readable), "{:?}", bucket.keys());
    let first_log = one.stop();
    let other = start(&project, &bucket);
    project.write("port.toml", configuration(&other.endpoint));
    for local in ["k", ".port"] {
        let _ = std::fs::remove_dir_all(project.path().join(local));
    }
    succeed_there(&project, &[&["pull"][..], &tiny].concat());
    assert_eq!(project.read(LOCAL_KERNEL), b"kernel");
    assert!(!project.exists(".port/hosted"), "nothing of it lies here");
    let log = first_log + &other.stop();
    assert!(!log.contains(SECRET_KEY) && !log.contains(ACCESS_KEY) && !log.contains(TOKEN), "{log}");
}

#[test]
fn tokens_and_collection_work_on_a_bucket() {
    let bucket = S3::default();
    let project = project();
    let made = plane(&project, &bucket, &["token", "create", "--name", "ci", "--scope", "pull:**"]);
    assert_eq!(made.code, 0, "{made}");
    assert!(plane(&project, &bucket, &["token", "list"]).stdout.contains("pull:**"));
    let collected = plane(&project, &bucket, &["gc", "--scrub"]);
    assert!(collected.code == 0 && collected.stdout.contains("removed 0 blobs"), "{collected}");
}

#[test]
fn a_bucket_that_cannot_be_used_is_said_by_name() {
    let ignores = Abilities { conditional_writes: false, ..Abilities::default() };
    let careless = S3::with(ignores, Box::new(|_| Fault::None));
    let project = project();
    let refused = plane(&project, &careless, &["token", "list"]);
    assert!(refused.code != 0 && refused.stderr.contains("in spite of `If-None-Match: *`"), "{refused}");
    let list = ["control-plane", "token", "list", "--control-plane", "demo"];
    let endpoint = careless.endpoint();
    for (arguments, expected) in [
        (&["--storage", "s3://port-demo"][..], "`AWS_ACCESS_KEY_ID`, which is not set"),
        (&["--storage", "s3://P"], "names no bucket"),
        (&["--storage", "s3://port-demo", "--s3-endpoint", &endpoint], "--s3-plain-http"),
        (&["--storage", "here", "--s3-plain-http"], "is a folder"),
        (&["--s3-plain-http"], "--storage"),
    ] {
        let ran = project.port(&[&list[..], arguments].concat());
        assert!(ran.code == 2 && ran.stderr.contains(expected), "{arguments:?}: {ran}");
    }
}
