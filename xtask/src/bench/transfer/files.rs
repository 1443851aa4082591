//! A directory over HTTP on loopback, for clients that fetch from plain web servers: GET alone, connections are kept.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Failure, Outcome};

/// The longest request that is read.
const REQUEST_BYTES: u64 = 64 * 1024;

/// Serves until dropped.
pub(super) struct Files {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Files {
    pub(super) fn start(directory: &Path) -> Outcome<Self> {
        let failed = |error: std::io::Error| Failure::new(format!("cannot listen on loopback: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let over = Arc::new(AtomicBool::new(false));
        let (ending, directory) = (Arc::clone(&over), directory.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                let directory = directory.clone();
                // A client that goes away ends its connection, and nothing else.
                std::thread::spawn(move || serve(&stream, &directory).ok());
            }
        });
        Ok(Self { address, over })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: &TcpStream, directory: &Path) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(target) = request(&mut reader)? {
        let found = path_of(&target, directory).and_then(|path| File::open(path).ok());
        match found {
            Some(file) => {
                let size = file.metadata()?.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
                // One write for what is small: the head alone would be a packet of its own.
                let mut answer = head.into_bytes();
                (&file).take(REQUEST_BYTES).read_to_end(&mut answer)?;
                (&mut &*stream).write_all(&answer)?;
                std::io::copy(&mut &file, &mut &*stream)?;
            }
            None => (&mut &*stream).write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?,
        }
    }
    Ok(())
}

/// The target of the next request; none where the connection ends.
fn request(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut reader = reader.take(REQUEST_BYTES);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    while !line.trim_end().is_empty() {
        line.clear();
        reader.read_line(&mut line)?;
    }
    Ok(target)
}

/// Nothing outside the directory is served.
fn path_of(target: &str, directory: &Path) -> Option<PathBuf> {
    let relative = Path::new(target.trim_start_matches('/'));
    let plain = relative.components().all(|component| matches!(component, Component::Normal(_)));
    plain.then(|| directory.join(relative)).filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::client::remove;
    use crate::workspace;

    #[test]
    fn files_are_served_on_one_connection_and_nothing_outside() {
        let root = std::env::temp_dir().join(format!("port-xtask-files-{}", std::process::id()));
        workspace::write_text(&root.join("served/a"), "content").unwrap();
        workspace::write_text(&root.join("secret"), "no").unwrap();
        let files = Files::start(&root.join("served")).unwrap();
        let mut stream = TcpStream::connect(files.address()).unwrap();
        for target in ["/a", "/../secret", "/a"] {
            stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said.matches("\r\n\r\ncontent").count(), 2, "{said}");
        assert_eq!(said.matches("404").count(), 1, "{said}");
        remove(&root).unwrap();
    }
}
