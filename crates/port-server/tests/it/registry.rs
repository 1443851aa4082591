//! The registry's face where the conformance suite does not look: who may read what, restarts, conditions.

use port_content::hashing::digest_of;
use port_server::gate::AnonymousPull;
use serde_json::{Value, json};

use crate::client::{header, http, json as json_of, request, send};
use crate::running::Running;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

async fn push_blob(server: &Running, repository: &str, bytes: &[u8]) -> String {
    let digest = digest_of(bytes).to_string();
    let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    let response = request(server, "POST", &path).body(bytes.to_vec()).send().await.unwrap();
    assert_eq!(response.status(), 201);
    digest
}

async fn put(server: &Running, path: &str, media_type: &str, body: &Value) -> reqwest::Response {
    request(server, "PUT", path)
        .header("content-type", media_type)
        .body(body.to_string())
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_blob_is_read_only_through_a_repository_that_has_it() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    let digest = push_blob(&server, "one/a", b"kernel").await;
    assert_eq!(send(&server, "GET", &format!("/v2/one/a/blobs/{digest}")).await.status(), 200);
    assert_eq!(send(&server, "GET", &format!("/v2/two/a/blobs/{digest}")).await.status(), 404);
    assert_eq!(send(&server, "GET", &format!("/v2/one/blobs/{digest}")).await.status(), 404);
    // A deleted blob does not come back through another repository (CVE-2026-35172).
    let mount = format!("/v2/two/a/blobs/uploads/?mount={digest}");
    assert_eq!(send(&server, "DELETE", &format!("/v2/one/a/blobs/{digest}")).await.status(), 202);
    assert_eq!(send(&server, "POST", &mount).await.status(), 202);
    assert_eq!(send(&server, "POST", &format!("{mount}&from=one/a")).await.status(), 202);
    assert_eq!(send(&server, "GET", &format!("/v2/two/a/blobs/{digest}")).await.status(), 404);
}

#[tokio::test]
async fn an_upload_outlives_its_server() {
    let root = tempfile::tempdir().unwrap();
    let first = Running::over(root.path()).await;
    let begun = send(&first, "POST", "/v2/a/blobs/uploads/").await;
    let location = header(&begun, "location").to_owned();
    let sent = request(&first, "PATCH", &location).body("ker").send().await.unwrap();
    assert_eq!((sent.status().as_u16(), header(&sent, "range")), (202, "0-2"));
    assert!(first.stop().await);
    let second = Running::over(root.path()).await;
    let status = send(&second, "GET", &location).await;
    assert_eq!((status.status().as_u16(), header(&status, "range")), (204, "0-2"));
    let digest = digest_of(b"kernel");
    let path = format!("{location}?digest={digest}");
    let finished =
        request(&second, "PUT", &path).header("content-range", "3-5").body("nel").send().await.unwrap();
    assert_eq!(finished.status(), 201);
    assert_eq!(send(&second, "GET", &format!("/v2/a/blobs/{digest}")).await.text().await.unwrap(), "kernel");
    // Under another repository's name there is no such upload.
    let begun = send(&second, "POST", "/v2/a/blobs/uploads/").await;
    let elsewhere = header(&begun, "location").replace("/v2/a/", "/v2/b/");
    assert_eq!(send(&second, "GET", &elsewhere).await.status(), 404);
    assert_eq!(request(&second, "PATCH", &elsewhere).body("x").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_tag_moves_only_as_its_writer_expects() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    let index = |n: u32| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": {"n": n.to_string()}});
    let path = "/v2/a/manifests/v1";
    let write = async |n: u32, name: &str, value: &str| {
        let request = request(&server, "PUT", path).header("content-type", INDEX).header(name, value);
        request.body(index(n).to_string()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(write(1, "if-none-match", "*").await, 201);
    assert_eq!(write(2, "if-none-match", "*").await, 412);
    let tag = header(&send(&server, "GET", path).await, "etag").to_owned();
    assert_eq!(write(2, "if-match", &tag).await, 201);
    assert_eq!(write(3, "if-match", &tag).await, 412);
    let known = header(&send(&server, "HEAD", path).await, "etag").to_owned();
    let again = request(&server, "GET", path).header("if-none-match", known).send().await.unwrap();
    assert_eq!(again.status(), 304);
}

#[tokio::test]
async fn anonymous_callers_read_where_they_may_and_write_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::with(root.path(), AnonymousPull::Allowed).await;
    let digest = push_blob(&server, "a", b"kernel").await;
    let url = server.url(&format!("/v2/a/blobs/{digest}"));
    assert_eq!(http().get(&url).send().await.unwrap().status(), 200);
    assert_eq!(http().get(&url).bearer_auth("wrong").send().await.unwrap().status(), 401);
    assert_eq!(http().delete(&url).send().await.unwrap().status(), 401);
    assert_eq!(http().post(server.url("/v2/a/blobs/uploads/")).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn hostile_documents_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    let config = push_blob(&server, "a", b"{}").await;
    let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2});
    let both = json!({"schemaVersion": 2, "config": config, "layers": [], "manifests": []});
    assert_eq!(put(&server, "/v2/a/manifests/x", MANIFEST, &both).await.status(), 400, "CVE-2021-41190");
    let missing = json!({"schemaVersion": 2, "config": config,
        "layers": [{"mediaType": "a/b", "digest": digest_of(b"nowhere"), "size": 7}]});
    let refused = put(&server, "/v2/a/manifests/x", MANIFEST, &missing).await;
    assert_eq!(refused.status(), 400);
    assert!(refused.text().await.unwrap().contains("MANIFEST_BLOB_UNKNOWN"));
    let large = "x".repeat(5 << 20);
    let large = request(&server, "PUT", "/v2/a/manifests/x").header("content-type", MANIFEST).body(large);
    assert_eq!(large.send().await.unwrap().status(), 413);
    let many = send(&server, "GET", &format!("/v2/_catalog?n={}", u64::MAX)).await;
    assert_eq!(many.status(), 200, "CVE-2023-2253");
}

#[tokio::test]
async fn a_deleted_manifest_takes_its_tags_and_its_entry_as_a_referrer_along() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    let config = push_blob(&server, "a", b"{}").await;
    let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2});
    let subject = digest_of(b"not here yet");
    let manifest = json!({"schemaVersion": 2, "artifactType": "x/y", "config": config, "layers": [],
        "subject": {"mediaType": MANIFEST, "digest": subject, "size": 12}});
    let response = put(&server, "/v2/a/manifests/v1", MANIFEST, &manifest).await;
    assert_eq!(
        (response.status().as_u16(), header(&response, "oci-subject")),
        (201, subject.to_string().as_str())
    );
    let digest = header(&response, "docker-content-digest").to_owned();
    let referrers = async || {
        let path = format!("/v2/a/referrers/{subject}?artifactType=x/y");
        let found: Value = json_of(send(&server, "GET", &path).await).await;
        found["manifests"].as_array().unwrap().len()
    };
    assert_eq!(referrers().await, 1);
    assert_eq!(send(&server, "DELETE", &format!("/v2/a/manifests/{digest}")).await.status(), 202);
    assert_eq!(referrers().await, 0);
    assert_eq!(send(&server, "GET", "/v2/a/manifests/v1").await.status(), 404);
    assert_eq!(send(&server, "GET", "/v2/a/tags/list").await.status(), 404);
}
