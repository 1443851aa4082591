//! Makes a base image ready and says how it boots: `cargo run -p port-base-images --example ensure -- lts`. A mirror is named
//! behind the preset: `… ensure -- latest BUCKET-URL RELEASES-URL`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "an example is a program: it prints, and it has a clock"
)]

use std::error::Error;
use std::process::ExitCode;
use std::time::SystemTime;

use port_base_images::{BaseImageError, BaseImageManager, Options, Preset, Request};

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let preset = match words.next().map_or(Ok(Preset::Latest), |word| word.parse()) {
        Ok(preset) => preset,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut options = Options::new(&std::env::temp_dir(), SystemTime::now);
    if let Some(url) = words.next() {
        options.bucket_url = url;
    }
    if let Some(url) = words.next() {
        options.releases_url = url;
    }
    match ensure(options, preset).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("[{}] {error}", error.code());
            let mut next = error.source();
            while let Some(cause) = next {
                eprintln!("  {cause}");
                next = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn ensure(options: Options, preset: Preset) -> Result<(), BaseImageError> {
    let manager = BaseImageManager::new(options)?;
    // While `ensured` lives, nobody evicts the bundle.
    let ensured = manager.ensure(&Request { preset, ..Request::default() }).await?;
    println!("kernel  {}", ensured.bundle.kernel_image_path.display());
    println!("rootfs  {}", ensured.bundle.rootfs_path.display());
    println!("boot    {}", ensured.bundle.boot_args);
    Ok(())
}
