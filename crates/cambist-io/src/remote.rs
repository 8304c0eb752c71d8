//! Files that lie elsewhere: on the Hugging Face Hub (`hf://`) or in a bucket (`s3://`), kept in a local cache.
//!
//! What was fetched once lies in the cache of the `huggingface_hub` package, in its layout, so that both find each
//! other's files. A file has its name in the cache only when it is whole; one that broke off goes on where it stopped.
//! Nothing is sent but what names the file, and the token only to the Hub itself.

mod address;
mod cache;
mod download;
mod error;
mod hub;
mod places;
#[cfg(feature = "s3")]
mod s3;

use std::path::{Path, PathBuf};

pub use address::{HubAddress, HubKind};
pub use error::RemoteError;
pub use places::{Places, Secret};

/// Returns where the files of a source lie on this machine, fetching them first where they lie elsewhere: a path for
/// [`crate::formats::files_of`]. A path of the disk is taken from `folder` on and not looked at.
///
/// # Errors
/// When an address cannot be read or its files cannot be fetched.
pub fn locate(folder: &Path, source: &Path) -> Result<PathBuf, RemoteError> {
    let text = source.to_string_lossy();
    if is_remote(&text) { fetch(&text, &Places::from_env()?) } else { Ok(folder.join(source)) }
}

/// Whether a path is an address.
pub fn is_remote(source: &str) -> bool {
    ["hf://", "s3://"].iter().any(|scheme| source.starts_with(scheme))
}

/// Fetches the files of an address, which may name a file, a folder or a pattern, and returns where they lie.
///
/// # Errors
/// When the address cannot be read, nothing fits it, or its files cannot be fetched.
pub fn fetch(address: &str, places: &Places) -> Result<PathBuf, RemoteError> {
    if address.starts_with("s3://") {
        #[cfg(feature = "s3")]
        return s3::fetch(address, places);
        #[cfg(not(feature = "s3"))]
        return Err(RemoteError::NoS3 { address: address.to_owned() });
    }
    hub::fetch(&HubAddress::parse(address)?, places)
}
