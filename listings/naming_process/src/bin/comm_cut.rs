// ANCHOR: all
//! Sets a comm that is too long, and finds the first 15 bytes of it.

use std::ffi::CStr;
use std::{env, fs};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // ANCHOR: proof
    set_name(c"Downloader-Process-7")?;
    let comm = fs::read_to_string("/proc/self/comm")
        .context("cannot read /proc/self/comm")?;
    assert_eq!(comm, "Downloader-Proc\n");
    assert_eq!(comm.trim_end().len(), 15);
    println!("set: Downloader-Process-7");
    println!("got: {}", comm.trim_end());
    // ANCHOR_END: proof
    Ok(())
}

#[cfg(target_os = "linux")]
fn set_name(name: &CStr) -> Result<()> {
    nix::sys::prctl::set_name(name).context("cannot set the name")
}

#[cfg(not(target_os = "linux"))]
fn set_name(_: &CStr) -> Result<()> {
    bail!("this program needs Linux: it uses prctl and /proc")
}
// ANCHOR_END: all
