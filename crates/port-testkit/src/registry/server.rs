//! How the registry in memory answers: the API of the distribution-spec, as far as tests of clients need it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, MutexGuard};

use port_content::hashing::digest_of;
use serde_json::{Value, json};

use super::{Access, Action, BlobEtags, Reply, Request, Server, State};

impl Server {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut request = read_head(&mut reader)?;
        self.state().requests.push(request.clone());
        let action = (self.hook)(&request);
        let length = request.header("content-length").parse::<usize>().unwrap_or(0);
        let wanted = if let Action::CutRequest(after) = action { after.min(length) } else { length };
        request.body = vec![0; wanted];
        let arrived = read_some(&mut reader, &mut request.body);
        request.body.truncate(arrived);
        self.state().received += arrived as u64;
        if arrived < length {
            if request.method == "PATCH" && self.allowed(&request) {
                self.append(&request);
            }
            return None;
        }
        let reply = match action {
            Action::Answer(reply) => reply,
            Action::CutAnswer(after) => Reply { cut: Some(after), ..self.answer(&request) },
            _ => self.answer(&request),
        };
        self.send(stream, &request, &reply)
    }

    fn send(&self, mut stream: TcpStream, request: &Request, reply: &Reply) -> Option<()> {
        let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", reply.status);
        if !reply.endless && !reply.headers.iter().any(|(name, _)| name == "content-length") {
            write!(head, "content-length: {}\r\n", reply.body.len()).unwrap();
        }
        for (name, value) in &reply.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        if request.method == "HEAD" {
            return Some(());
        }
        if reply.endless {
            while stream.write_all(&[b' '; 4096]).is_ok() {}
            return None;
        }
        for block in reply.body[..reply.cut.unwrap_or(usize::MAX).min(reply.body.len())].chunks(65536) {
            stream.write_all(block).ok()?;
            self.state().sent += block.len() as u64;
        }
        Some(())
    }

    fn answer(&self, request: &Request) -> Reply {
        if request.path() == "/token" {
            return self.token(request);
        }
        if !self.allowed(request) {
            return self.challenge(request);
        }
        let parts: Vec<&str> = request.path().trim_start_matches("/v2/").split('/').collect();
        match parts.as_slice() {
            [repository @ .., "blobs", "uploads", ""] => self.begin(&repository.join("/"), request),
            [repository @ .., "blobs", "uploads", id] => self.upload(&repository.join("/"), id, request),
            [.., "blobs", digest] => self.blob(digest, request),
            [repository @ .., "manifests", name] => self.manifest(&repository.join("/"), name, request),
            [repository @ .., "tags", "list"] => self.tags(&repository.join("/"), request),
            [repository @ .., "referrers", digest] if self.abilities.referrers => {
                self.referrers(&repository.join("/"), digest)
            }
            _ => Reply::new(404, b""),
        }
    }

    fn allowed(&self, request: &Request) -> bool {
        let sent = request.header("authorization");
        match &self.abilities.access {
            Access::Anyone => true,
            Access::Basic(pair) => sent == format!("Basic {pair}"),
            Access::Bearer { .. } => {
                let token = sent.trim_start_matches("Bearer ").to_owned();
                let mut state = self.state();
                let Some(left) = state.tokens.get_mut(&token) else { return false };
                *left = left.saturating_sub(1);
                *left > 0
            }
        }
    }

    fn challenge(&self, request: &Request) -> Reply {
        let error = br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        let header = match self.abilities.access {
            Access::Bearer { .. } => {
                let path = request.path().trim_start_matches("/v2/");
                let api = ["/blobs/", "/manifests/", "/tags/", "/referrers/"];
                let end = api.iter().filter_map(|part| path.find(part)).min().unwrap_or(path.len());
                let (realm, repository) = (&self.address, &path[..end]);
                format!(
                    "Bearer realm=\"http://{realm}/token\",service=\"test\",scope=\"repository:{repository}:pull\""
                )
            }
            _ => "Basic realm=\"test\"".to_owned(),
        };
        Reply::new(401, error).header("www-authenticate", header)
    }

    fn token(&self, request: &Request) -> Reply {
        let Access::Bearer { basic, uses } = &self.abilities.access else { return Reply::new(404, b"") };
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let good = basic.is_empty()
            || request.header("authorization") == format!("Basic {basic}")
            || form.contains("refresh_token=refresh");
        if !good {
            return Reply::new(401, b"");
        }
        let mut state = self.state();
        state.next += 1;
        let token = format!("token-{}", state.next);
        state.tokens.insert(token.clone(), *uses + 1);
        Reply::new(200, format!("{{\"token\":\"{token}\",\"expires_in\":300}}").as_bytes())
    }

    fn blob(&self, digest: &str, request: &Request) -> Reply {
        let Some(bytes) = self.state().blobs.get(digest).cloned() else { return Reply::new(404, b"") };
        let size = bytes.len();
        let range = request.header("range").strip_prefix("bytes=").and_then(|range| range.split_once('-'));
        let etag = match self.abilities.blob_etags {
            BlobEtags::Absent => None,
            BlobEtags::Strong => Some(format!("\"{digest}\"")),
            BlobEtags::Weak => Some(format!("W/\"{digest}\"")),
        };
        let condition = request.header("if-range");
        let unchanged = condition.is_empty()
            || (self.abilities.blob_etags == BlobEtags::Strong && etag.as_deref() == Some(condition));
        let reply = match range.filter(|_| self.abilities.ranges && unchanged) {
            Some((start, last)) => {
                let (start, last) =
                    (start.parse().unwrap_or(0), last.parse().unwrap_or(size - 1).min(size - 1));
                let body = bytes.get(start..=last).unwrap_or_default();
                let content_range = format!("bytes {start}-{last}/{size}");
                Reply::new(206, body).header("content-range", content_range)
            }
            None => Reply::new(200, &bytes),
        };
        let reply = etag.into_iter().fold(reply, |reply, etag| reply.header("etag", etag));
        reply.header("docker-content-digest", digest)
    }

    fn begin(&self, repository: &str, request: &Request) -> Reply {
        if let Some(digest) = request.query("mount")
            && self.state().blobs.contains_key(&digest)
        {
            return Reply::new(201, b"").header("docker-content-digest", digest);
        }
        let mut state = self.state();
        state.next += 1;
        let id = format!("u{}", state.next);
        state.uploads.insert(id.clone(), Vec::new());
        Reply::new(202, b"").header("location", format!("/v2/{repository}/blobs/uploads/{id}"))
    }

    /// Adds what came of a part; refuses one that does not continue.
    fn append(&self, request: &Request) -> bool {
        let id = request.path().rsplit('/').next().unwrap().to_owned();
        let mut state = self.state();
        let Some(bytes) = state.uploads.get_mut(&id) else { return false };
        let start = request.header("content-range").split('-').next().unwrap().to_owned();
        if !start.is_empty() && start.parse() != Ok(bytes.len()) {
            return false;
        }
        bytes.extend_from_slice(&request.body);
        true
    }

    fn upload(&self, repository: &str, id: &str, request: &Request) -> Reply {
        if !self.state().uploads.contains_key(id) {
            return Reply::new(404, b"");
        }
        let appended = match request.method.as_str() {
            "DELETE" => {
                self.state().uploads.remove(id);
                return Reply::new(204, b"");
            }
            "PATCH" | "PUT" => self.append(request),
            _ => true,
        };
        if !appended {
            return Reply::new(416, b"");
        }
        if request.method == "PUT" {
            let bytes = self.state().uploads.remove(id).unwrap();
            let digest = digest_of(&bytes).to_string();
            if request.query("digest") != Some(digest.clone()) {
                return Reply::new(400, br#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
            }
            self.state().blobs.insert(digest.clone(), Arc::new(bytes));
            return Reply::new(201, b"").header("docker-content-digest", digest);
        }
        let last = self.state().uploads[id].len().saturating_sub(1);
        let status = if request.method == "GET" { 204 } else { 202 };
        Reply::new(status, b"")
            .header("location", format!("/v2/{repository}/blobs/uploads/{id}"))
            .header("range", format!("0-{last}"))
    }

    fn manifest(&self, repository: &str, name: &str, request: &Request) -> Reply {
        let key = (repository.to_owned(), name.to_owned());
        let mut state = self.state();
        let known = state.manifests.get(&key).cloned();
        let etag = |bytes: &[u8]| format!("\"{}\"", digest_of(bytes));
        match request.method.as_str() {
            "PUT" => {
                let there = known.map(|(_, bytes)| etag(&bytes));
                let (matching, none) = (request.header("if-match"), request.header("if-none-match"));
                let wrong = (!matching.is_empty() && there.as_deref() != Some(matching))
                    || (none == "*" && there.is_some());
                if self.abilities.etags && wrong {
                    return Reply::new(412, b"");
                }
                let digest = digest_of(&request.body).to_string();
                let document = (request.header("content-type").to_owned(), request.body.clone());
                state.manifests.insert((repository.to_owned(), digest.clone()), document.clone());
                state.manifests.insert(key, document);
                let reply = Reply::new(201, b"").header("docker-content-digest", digest);
                match subject(&request.body) {
                    Some(subject) if self.abilities.referrers => reply.header("oci-subject", subject),
                    _ => reply,
                }
            }
            "DELETE" => match state.manifests.remove(&key) {
                Some(_) => Reply::new(202, b""),
                None => Reply::new(404, b""),
            },
            _ => match known {
                Some((media_type, bytes)) => {
                    let reply = Reply::new(200, &bytes)
                        .header("content-type", media_type)
                        .header("docker-content-digest", digest_of(&bytes).to_string());
                    if self.abilities.etags { reply.header("etag", etag(&bytes)) } else { reply }
                }
                None => Reply::new(404, br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}"#),
            },
        }
    }

    fn tags(&self, repository: &str, request: &Request) -> Reply {
        let last = request.query("last").unwrap_or_default();
        let state = self.state();
        let names = state.manifests.keys().filter(|(of, name)| of == repository && !name.contains(':'));
        let mut tags: Vec<&str> =
            names.map(|(_, name)| name.as_str()).collect::<HashSet<_>>().into_iter().collect();
        tags.sort_unstable();
        tags.retain(|tag| *tag > last.as_str());
        let more = tags.len() > self.abilities.page;
        tags.truncate(self.abilities.page);
        let reply = Reply::new(200, format!("{{\"name\":\"x\",\"tags\":{tags:?}}}").as_bytes());
        match tags.last().filter(|_| more) {
            Some(last) => {
                reply.header("link", format!("</v2/{repository}/tags/list?last={last}>; rel=\"next\""))
            }
            None => reply,
        }
    }

    fn referrers(&self, repository: &str, digest: &str) -> Reply {
        let state = self.state();
        let found = state.manifests.iter().filter(|((of, name), (_, bytes))| {
            of == repository && name.contains(':') && subject(bytes).as_deref() == Some(digest)
        });
        let entries: Vec<String> =
            found.map(|((_, name), (media_type, bytes))| entry(media_type, name, bytes)).collect();
        let body = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", entries.join(","));
        Reply::new(200, body.as_bytes()).header("content-type", "application/vnd.oci.image.index.v1+json")
    }
}

/// What a manifest refers to.
fn subject(manifest: &[u8]) -> Option<String> {
    let manifest: Value = serde_json::from_slice(manifest).ok()?;
    manifest["subject"]["digest"].as_str().map(str::to_owned)
}

/// An entry of a list of referrers, which says of its manifest what the distribution-spec wants.
fn entry(media_type: &str, digest: &str, bytes: &[u8]) -> String {
    let manifest: Value = serde_json::from_slice(bytes).unwrap();
    let mut entry = json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() });
    for field in ["artifactType", "annotations"] {
        if let Some(value) = manifest.get(field) {
            entry[field] = value.clone();
        }
    }
    entry.to_string()
}

pub(crate) fn read_head(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let mut request =
        Request { method: words.next()?.to_owned(), target: words.next()?.to_owned(), ..Request::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { return Some(request) };
        request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

/// Reads as much as comes; returns how much it was.
pub(crate) fn read_some(reader: &mut impl std::io::Read, buffer: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.by_ref().read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => filled += count,
        }
    }
    filled
}
