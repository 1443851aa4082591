//! The published routes, as any client speaks them (acceptance Pu-27 … Pu-32), and that both faces see one store.

use serde_json::{Value, json};

use crate::client::{header, http, json as json_of, request, send};
use crate::running::{Running, TOKEN};

const PATH: &str = "demo-fs/port/demo-kernel/v1/x86_64/firecracker/standard/vmlinux";

fn metadata() -> Value {
    json!({
        "artifact_name": "demo-kernel",
        "reference": {"registry": "demo-fs", "repository": "port/demo-kernel", "version": "v1"},
        "selector": {"architecture": "x86_64", "substrate": "firecracker", "protection_mode": "standard"},
        "filename": "vmlinux",
        "store_path": PATH,
    })
}

async fn push(server: &Running, metadata: &Value, bytes: &[u8]) -> (u16, Value) {
    let request = request(server, "POST", "/v1/artifacts:push");
    let request = request.header("x-port-artifact-transfer", metadata.to_string()).body(bytes.to_vec());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), json_of(response).await)
}

async fn pull(server: &Running, metadata: &Value) -> (u16, Vec<u8>) {
    let response =
        request(server, "POST", "/v1/artifacts:pull").body(metadata.to_string()).send().await.unwrap();
    (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn pu_27_pu_28_pu_32_a_file_goes_in_and_comes_out() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    let (status, answer) = push(&server, &metadata(), b"kernel").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["route"]["path"], "/v1/artifacts:push");
    let result = &answer["result"];
    assert_eq!(result["bytes_copied"], 6);
    for field in ["reference", "selector", "store_path"] {
        assert_eq!(result[field], metadata()[field]);
    }
    assert_eq!(pull(&server, &metadata()).await, (200, b"kernel".to_vec()));
    assert_eq!(std::fs::read(root.path().join("artifacts").join(PATH)).unwrap(), b"kernel");
}

#[tokio::test]
async fn pu_31_bad_metadata_is_400_and_what_is_not_there_404() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    let mut elsewhere = metadata();
    elsewhere["store_path"] = "../../etc/passwd".into();
    let mut escaping = metadata();
    escaping["reference"]["repository"] = "../x".into();
    for (metadata, part) in
        [(elsewhere, "store_path"), (escaping, "repository"), (json!({}), "artifact_name")]
    {
        let (status, answer) = push(&server, &metadata, b"kernel").await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(part), "{answer}");
        assert!(answer["route"].is_object());
        assert_eq!(pull(&server, &metadata).await.0, 400);
    }
    let response = request(&server, "POST", "/v1/artifacts:push").body("kernel").send().await.unwrap();
    assert_eq!(response.status(), 400, "without metadata");
    assert_eq!(pull(&server, &metadata()).await.0, 404);
}

#[tokio::test]
async fn p_62_c_7_without_the_token_nothing_is_read() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    for token in [None, Some("wrong"), Some("")] {
        // Announced and never sent: an answer comes all the same.
        let body = reqwest::Body::wrap_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>());
        let request =
            http().post(server.url("/v1/artifacts:push")).header("content-length", 1 << 30).body(body);
        let request = request.header("x-port-artifact-transfer", metadata().to_string());
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(header(&response, "www-authenticate").starts_with("Bearer"));
    }
    let response = http()
        .post(server.url("/v1/artifacts:pull"))
        .bearer_auth(TOKEN)
        .header("x-port-audience", "another")
        .body(metadata().to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 401, "another audience");
    assert!(!root.path().join("sessions").exists());
}

#[tokio::test]
async fn c_1_c_5_companions_stay_and_files_of_others_are_served() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    // Another tool's file, with no digest anywhere.
    let path = root.path().join("artifacts").join(PATH);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, b"older").unwrap();
    assert_eq!(pull(&server, &metadata()).await, (200, b"older".to_vec()));
    let (mut initrd, directory) = (metadata(), PATH.strip_suffix("vmlinux").unwrap());
    initrd["filename"] = "initrd.cpio.gz".into();
    initrd["store_path"] = format!("{directory}initrd.cpio.gz").into();
    assert_eq!(push(&server, &metadata(), b"kernel").await.0, 200);
    assert_eq!(push(&server, &initrd, b"initrd").await.0, 200);
    assert_eq!(push(&server, &metadata(), b"newer").await.0, 200);
    assert_eq!(pull(&server, &metadata()).await.1, b"newer");
    assert_eq!(pull(&server, &initrd).await.1, b"initrd");
}

#[tokio::test]
async fn what_one_face_stores_the_other_sees() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    push(&server, &metadata(), b"kernel").await;
    let manifest = "/v2/demo-fs/port/demo-kernel/manifests/v1-x86_64-firecracker-standard";
    let response = send(&server, "GET", manifest).await;
    assert_eq!(response.status(), 200);
    let document: Value = json_of(response).await;
    let layer = &document["layers"][0];
    assert_eq!(layer["annotations"]["org.opencontainers.image.title"], "vmlinux");
    let blob = format!("/v2/demo-fs/port/demo-kernel/blobs/{}", layer["digest"].as_str().unwrap());
    assert_eq!(send(&server, "GET", &blob).await.bytes().await.unwrap(), "kernel");
    // The other way round: a tag that a registry client moves is what the hosted API serves, and what lies at the path.
    let digest = port_content::hashing::digest_of(b"pushed").to_string();
    let path = format!("/v2/demo-fs/port/demo-kernel/blobs/uploads/?digest={digest}");
    assert_eq!(request(&server, "POST", &path).body("pushed").send().await.unwrap().status(), 201);
    let mut changed = document.clone();
    changed["layers"][0]["digest"] = digest.into();
    let put = request(&server, "PUT", manifest)
        .header("content-type", "application/vnd.oci.image.manifest.v1+json")
        .body(changed.to_string());
    assert_eq!(put.send().await.unwrap().status(), 201);
    assert_eq!(pull(&server, &metadata()).await, (200, b"pushed".to_vec()));
    assert_eq!(std::fs::read(root.path().join("artifacts").join(PATH)).unwrap(), b"pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_pushes_of_several_files_lose_none() {
    let root = tempfile::tempdir().unwrap();
    let server = std::sync::Arc::new(Running::over(root.path()).await);
    let mut racers = Vec::new();
    for racer in 0..8 {
        let server = std::sync::Arc::clone(&server);
        racers.push(tokio::spawn(async move {
            let mut metadata = metadata();
            metadata["filename"] = format!("file-{racer}").into();
            metadata["store_path"] = PATH.replace("vmlinux", &format!("file-{racer}")).into();
            let pushed = push(&server, &metadata, format!("bytes {racer}").as_bytes()).await;
            assert_eq!(pushed.0, 200, "{}", pushed.1);
            metadata
        }));
    }
    for (racer, task) in racers.into_iter().enumerate() {
        let metadata = task.await.unwrap();
        assert_eq!(pull(&server, &metadata).await.1, format!("bytes {racer}").as_bytes());
    }
}
