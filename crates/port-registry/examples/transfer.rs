//! Pushes or pulls one blob, for measuring and for trying the client by hand against a registry on loopback.
//!
//! `transfer push|pull HOST:PORT REPOSITORY FILE STATE_DIRECTORY [DIGEST SIZE]`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "an example program for people")]

use std::path::PathBuf;
use std::sync::Arc;

use port_content::hashing::digest_file;
use port_model::progress::Silent;
use port_registry::{Anonymous, BlobSource, BlobUpload, Client, HostOptions, Options, Partial, Transport};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, verb, host, repository, file, state, rest @ ..] = arguments.as_slice() else {
        panic!("transfer push|push-whole|pull HOST REPOSITORY FILE STATE_DIRECTORY [DIGEST SIZE]");
    };
    let default = HostOptions { transport: Transport::PlainHttp, ..HostOptions::default() };
    let mut options = Options { default, state_directory: Some(PathBuf::from(state)), ..Options::default() };
    if verb == "push-whole" {
        options.transfer.upload_part = u64::MAX;
    }
    let client = Client::new(options, Arc::new(Anonymous), Arc::new(Silent));
    let repository = client.repository(&host.parse().unwrap(), &repository.parse().unwrap()).unwrap();
    let path = PathBuf::from(file);
    match rest {
        [digest, size] if verb == "pull" => {
            let (digest, partial) = (digest.parse().unwrap(), Partial::wait(&path).await.unwrap());
            repository.blob_to_file(&digest, size.parse().unwrap(), &partial).await.unwrap();
        }
        _ => {
            let (digest, size) = match rest {
                [digest, size] => (digest.parse().unwrap(), size.parse().unwrap()),
                _ => digest_file(&path).unwrap(),
            };
            let upload = BlobUpload { digest, size, source: BlobSource::Path(path), mount_from: None };
            println!("{:?} {}", repository.push_blob(&upload).await.unwrap(), upload.digest);
        }
    }
}
