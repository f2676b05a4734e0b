//! The harness of *Multiprocessing in Rust*: builds and serves the book, and
//! runs its programs so that the tests can hold the pages against them.

pub mod batch;
pub mod browser;
pub mod claims;
pub mod descendants;
pub mod devtools;
pub mod edits;
pub mod expand;
pub mod hostile;
pub mod includes;
pub mod inputs;
pub mod kills;
pub mod needs;
pub mod pdf;
pub mod programs;
pub mod serve;
pub mod site;
pub mod supervise;
pub mod timeline;
#[cfg(target_os = "linux")]
pub mod under;
pub mod verified;
