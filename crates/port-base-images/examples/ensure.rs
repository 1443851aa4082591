//! Makes a base image ready and says how it boots: `cargo run -p port-base-images --example ensure -- lts`.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example is a program: it prints, and it has a clock"
)]

use std::time::SystemTime;

use port_base_images::{BaseImageManager, Options, Preset, Request};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let preset = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(Preset::Latest);
    let manager = BaseImageManager::new(Options::new(&std::env::temp_dir(), SystemTime::now))?;
    // While `ensured` lives, nobody evicts the bundle.
    let ensured = manager.ensure(&Request { preset, ..Request::default() }).await?;
    println!("kernel  {}", ensured.bundle.kernel_image_path.display());
    println!("rootfs  {}", ensured.bundle.rootfs_path.display());
    println!("boot    {}", ensured.bundle.boot_args);
    Ok(())
}
