//! What people and their tools see: the page, the numbers, the OpenAPI document, and what a rotten blob looks like from outside.

use port_content::hashing::digest_of;
use port_server::gate::AnonymousPull;
use serde_json::{Value, json};

use crate::client::{header, http, request, send};
use crate::running::{Running, TOKEN};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

async fn blob(server: &Running, repository: &str, bytes: &[u8]) -> Value {
    let digest = digest_of(bytes);
    let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    assert_eq!(request(server, "POST", &path).body(bytes.to_vec()).send().await.unwrap().status(), 201);
    json!({"mediaType": "a/b", "digest": digest, "size": bytes.len()})
}

/// A manifest whose every text is hostile.
async fn publish(server: &Running, repository: &str, tag: &str) {
    const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";
    let (config, mut layer) =
        (blob(server, repository, b"{}").await, blob(server, repository, b"kernel").await);
    layer["annotations"] = json!({"org.opencontainers.image.title": HOSTILE});
    layer["mediaType"] = json!(HOSTILE);
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let path = format!("/v2/{repository}/manifests/{tag}");
    let put = request(server, "PUT", &path).header("content-type", MANIFEST).body(manifest.to_string());
    assert_eq!(put.send().await.unwrap().status(), 201);
}

async fn page(server: &Running, path: &str) -> (u16, String) {
    let response = http().get(server.url(path)).basic_auth("anybody", Some(TOKEN)).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_page_asks_for_the_token_as_browsers_understand_and_runs_nothing() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    publish(&server, "port/demo", "v1-x86_64-firecracker-pvm").await;
    let denied = http().get(server.url("/")).send().await.unwrap();
    assert_eq!(denied.status(), 401);
    assert!(header(&denied, "www-authenticate").starts_with("Basic "));
    assert!(header(&denied, "content-security-policy").starts_with("default-src 'none'"));
    let body = denied.text().await.unwrap();
    assert!(!body.contains("port/demo") && !body.contains("demo"), "{body}");
    let (status, home) = page(&server, "/").await;
    assert_eq!(status, 200);
    assert!(home.contains("href=\"/repositories/port/demo\"") && home.contains("published"), "{home}");
    let (status, repository) = page(&server, "/repositories/port/demo").await;
    assert_eq!(status, 200);
    for expected in ["x86_64", "firecracker", "pvm", "&lt;script&gt;", &digest_of(b"kernel").to_string()] {
        assert!(repository.contains(expected), "no `{expected}` in {repository}");
    }
    for text in [&home, &repository] {
        for hostile in ["<script", "<img", "onerror=alert(1)>\"", TOKEN, "javascript:", "style=\""] {
            assert!(!text.contains(hostile), "`{hostile}` in {text}");
        }
    }
}

#[tokio::test]
async fn the_page_says_nothing_of_what_is_not_there_and_repeats_no_markup() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    publish(&server, "port/demo", "v1").await;
    for path in ["/repositories/port/none", "/repositories/../secret", "/repositories/A", "/repositories/"] {
        assert_eq!(page(&server, path).await.0, 404, "{path}");
    }
    let (_, found) = page(&server, "/?q=%22%3E%3Cscript%3E").await;
    assert!(found.contains("value=\"&quot;&gt;&lt;script&gt;\"") && !found.contains("<script>"), "{found}");
    assert!(!found.contains("href=\"/repositories/port/demo\"") || found.contains("Recent activity"));
    let (_, found) = page(&server, "/?q=DEMO").await;
    assert!(found.contains("1 repository"), "{found}");
    let response = request(&server, "POST", "/").send().await.unwrap();
    assert_eq!(response.status(), 405);
    let style = http().get(server.url("/-/style.css")).send().await.unwrap();
    assert_eq!((style.status().as_u16(), header(&style, "content-type")), (200, "text/css; charset=utf-8"));
}

#[tokio::test]
async fn numbers_are_for_tokens_and_count_what_happened() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    publish(&server, "port/demo", "v1").await;
    assert_eq!(http().get(server.url("/metrics")).send().await.unwrap().status(), 401);
    let response = send(&server, "GET", "/metrics").await;
    assert!(header(&response, "content-type").starts_with("text/plain; version=0.0.4"));
    let text = response.text().await.unwrap();
    for expected in [
        "port_requests_total{class=\"upload\",method=\"post\",status=\"201\"} 2",
        "port_requests_total{class=\"manifest\",method=\"put\",status=\"201\"} 1",
        "port_requests_total{class=\"operations\",method=\"get\",status=\"401\"} 1",
        "# TYPE port_request_duration_seconds histogram",
    ] {
        assert!(text.lines().any(|line| line == expected), "no `{expected}` in\n{text}");
    }
    assert!(!text.contains("demo"), "{text}");
    let open = text.lines().find_map(|line| line.strip_prefix("port_connections ")).unwrap();
    assert!(open.parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn the_openapi_document_is_told_to_everybody() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    let response = http().get(server.url("/v1/openapi.json")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), port_server::openapi_document());
}

#[tokio::test]
async fn a_rotten_blob_never_arrives_whole_and_is_put_aside() {
    let root = tempfile::tempdir().unwrap();
    let bytes = vec![7u8; 3 << 20];
    let digest = digest_of(&bytes);
    let first = Running::over(root.path()).await;
    blob(&first, "a", &bytes).await;
    assert!(first.stop().await);
    let hex = digest.hex();
    let place = root.path().join(format!("blobs/sha256/{}/{hex}", &hex[..2]));
    let mut rotten = bytes.clone();
    *rotten.last_mut().unwrap() ^= 1;
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, &rotten).unwrap();
    let server = Running::with(root.path(), AnonymousPull::Refused).await;
    let path = format!("/v2/a/blobs/{digest}");
    let arrived = send(&server, "GET", &path).await.bytes().await;
    assert!(arrived.is_err(), "the connection must break before the last byte");
    assert_eq!(send(&server, "GET", &path).await.status(), 404);
    assert!(root.path().join(format!("quarantine/sha256/{hex}")).exists());
    blob(&server, "a", &bytes).await;
    assert_eq!(send(&server, "GET", &path).await.bytes().await.unwrap(), bytes);
}
