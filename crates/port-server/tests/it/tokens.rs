//! Stored tokens, and the registry's token flow as clients play it.

use port_content::hashing::digest_of;
use port_server::gate::AnonymousPull;
use reqwest::Response;

use crate::client::{header, http, json};
use crate::guarded::{Guarded, token};
use crate::running::{Running, TOKEN};

/// Asks `/token` as a client does that was challenged so.
async fn fetch_token(challenge: &str, password: Option<&str>) -> Response {
    let field = |name: &str| {
        let rest = challenge.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("{challenge}")).1;
        rest.split_once('"').unwrap().0.to_owned()
    };
    let mut url = format!("{}?service={}", field("realm"), field("service"));
    if challenge.contains("scope=") {
        url.push_str(&format!("&scope={}", field("scope").replace('*', "%2A")));
    }
    let mut request = http().get(url);
    if let Some(password) = password {
        request = request.basic_auth("anybody", Some(password));
    }
    request.send().await.unwrap()
}

/// A request as a registry client makes it: without anything, then with a token for what it was told to ask for.
async fn as_client(server: &Running, method: &str, path: &str, password: Option<&str>) -> Response {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let first = http().request(method.clone(), server.url(path)).send().await.unwrap();
    assert_eq!(first.status(), 401, "{path}");
    let challenge = header(&first, "www-authenticate").to_owned();
    assert!(challenge.starts_with("Bearer realm=\"http://127.0.0.1:"), "{challenge}");
    let answer = fetch_token(&challenge, password).await;
    if answer.status() != 200 {
        return answer;
    }
    let token = json(answer).await["token"].as_str().unwrap().to_owned();
    http().request(method, server.url(path)).bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn the_token_flow_of_registries_is_played_with_any_token() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    let reader = token(root.path(), &["pull:**"]).await;
    for password in [TOKEN, &reader] {
        assert_eq!(as_client(&server, "GET", "/v2/", Some(password)).await.status(), 200, "docker login");
    }
    let begin = "/v2/team/a/blobs/uploads/";
    assert_eq!(as_client(&server, "POST", begin, Some(TOKEN)).await.status(), 202);
    assert_eq!(
        as_client(&server, "POST", begin, Some(&reader)).await.status(),
        403,
        "asked for, and not granted"
    );
    assert_eq!(as_client(&server, "GET", "/v2/_catalog", Some(&reader)).await.status(), 200);
    for wrong in [Some("wrong"), Some(""), None] {
        assert_eq!(as_client(&server, "GET", "/v2/", wrong).await.status(), 401, "{wrong:?}");
    }
    let elsewhere = server.url("/token?service=another");
    let elsewhere = http().get(elsewhere).basic_auth("x", Some(TOKEN)).send().await.unwrap();
    assert_eq!(elsewhere.status(), 401, "another service's token");
    assert_eq!(http().post(server.url("/token")).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn a_token_for_a_while_is_for_what_it_was_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    let ask = async |scope: &str| {
        let request = http().get(server.url(&format!("/token?service=port-demo&scope={scope}")));
        let answer = request.basic_auth("x", Some(TOKEN)).send().await.unwrap();
        assert_eq!(header(&answer, "cache-control"), "no-store");
        json(answer).await["access_token"].as_str().unwrap().to_owned()
    };
    let reads = ask("repository:team/a:pull").await;
    let get = http().get(server.url("/v2/team/a/tags/list")).bearer_auth(&reads).send().await.unwrap();
    assert_eq!(get.status(), 404, "it may look, and there is nothing yet");
    // Not 403: the client asks for a token that may write, and goes on.
    for path in ["/v2/team/a/blobs/uploads/", "/v2/team/b/blobs/uploads/"] {
        let push = http().post(server.url(path)).bearer_auth(&reads).send().await.unwrap();
        assert_eq!(push.status(), 401, "{path}");
        assert!(header(&push, "www-authenticate").contains(":pull,push\""));
    }
    let again = http().get(server.url("/token")).basic_auth("x", Some(&reads)).send().await.unwrap();
    assert_eq!(again.status(), 401, "a token for a while makes no other");
    let body = http().post(server.url("/v1/artifacts:push")).bearer_auth(&reads).send().await.unwrap();
    assert_eq!(body.status(), 400, "the hosted API takes it as well, and misses the metadata");
}

#[tokio::test]
async fn anonymous_clients_get_a_token_that_reads_only_where_that_is_configured() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded { anonymous: AnonymousPull::Allowed, ..Guarded::over(root.path()) }.start().await;
    let digest = digest_of(b"kernel");
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let pushed = http().post(server.url(&path)).bearer_auth(TOKEN).body("kernel").send().await.unwrap();
    assert_eq!(pushed.status(), 201);
    assert_eq!(as_client(&server, "GET", "/v2/", None).await.status(), 200);
    let plain = http().get(server.url(&format!("/v2/a/blobs/{digest}"))).send().await.unwrap();
    assert_eq!(plain.status(), 200, "clients that play no flow read as well");
    assert_eq!(as_client(&server, "POST", "/v2/a/blobs/uploads/", None).await.status(), 401);
    assert!(server.stop().await);
    // Closed again, what was given out opens nothing.
    let server = Guarded::over(root.path()).start().await;
    assert_eq!(as_client(&server, "GET", "/v2/", None).await.status(), 401);
}

#[tokio::test]
async fn a_stored_token_is_bearer_and_password_and_nothing_of_it_is_told() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    let token = token(root.path(), &["pull,push:team/**"]).await;
    let url = server.url("/v2/team/a/blobs/uploads/");
    let bearer = http().post(&url).bearer_auth(&token).send().await.unwrap();
    let location = header(&bearer, "location").to_owned();
    let basic = http().post(&url).basic_auth("anybody", Some(&token)).send().await.unwrap();
    assert_eq!((bearer.status().as_u16(), basic.status().as_u16()), (202, 202));
    let other = http().get(server.url(&location)).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(other.status(), 404, "an upload is its owner's");
    let secret = token.rsplit('_').next().unwrap();
    let told = serde_json::to_string(&*server.told.requests.lock().unwrap()).unwrap();
    assert!(told.contains("\"principal\":\"ci-") && !told.contains(secret), "{told}");
    let kept = walk(root.path());
    assert!(kept.iter().all(|text| !text.contains(secret) && !text.contains(TOKEN)), "a secret is kept");
}

fn walk(directory: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned());
        }
    }
    found
}

#[tokio::test]
async fn a_mount_is_made_with_a_token_that_was_asked_for_both_repositories_and_others_learn_of_it() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    let digest = digest_of(b"kernel");
    let path = format!("/v2/ours/a/blobs/uploads/?digest={digest}");
    let pushed = http().post(server.url(&path)).bearer_auth(TOKEN).body("kernel").send().await.unwrap();
    assert_eq!(pushed.status(), 201);
    let stranger = token(root.path(), &["pull,push:theirs/**"]).await;
    for (target, from) in [("ours/b", ""), ("ours/c", "&from=ours/a")] {
        let mount = server.url(&format!("/v2/{target}/blobs/uploads/?mount={digest}{from}"));
        let narrow = format!("/token?service=port-demo&scope=repository:{target}:pull,push");
        let narrow = http().get(server.url(&narrow)).basic_auth("x", Some(TOKEN)).send().await.unwrap();
        let narrow = json(narrow).await["token"].as_str().unwrap().to_owned();
        let refused = http().post(&mount).bearer_auth(&narrow).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{target}");
        let challenge = header(&refused, "www-authenticate").to_owned();
        let scope = format!("scope=\"repository:{target}:pull,push repository:ours/a:pull\"");
        assert!(challenge.ends_with(&scope), "{challenge}");
        let both =
            json(fetch_token(&challenge, Some(TOKEN)).await).await["token"].as_str().unwrap().to_owned();
        let mounted = http().post(&mount).bearer_auth(both).send().await.unwrap();
        assert_eq!(mounted.status(), 201, "{target}");
        // Who may not read it is told nothing, asked for or not, and uploads.
        let theirs = server.url(&format!("/v2/theirs/x/blobs/uploads/?mount={digest}{from}"));
        let scope = "/token?service=port-demo&scope=repository:theirs/x:pull,push%20repository:ours/a:pull";
        let session = http().get(server.url(scope)).basic_auth("x", Some(&stranger)).send().await.unwrap();
        let session = json(session).await["token"].as_str().unwrap().to_owned();
        for shown in [&stranger, &session] {
            let begun = http().post(&theirs).bearer_auth(shown).send().await.unwrap();
            assert_eq!(begun.status(), 202, "{target}");
        }
    }
}
