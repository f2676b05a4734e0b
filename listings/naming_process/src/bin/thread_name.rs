// ANCHOR: all
//! Sets the comm from a second thread, and names that thread only.

use std::ffi::CStr;
use std::{env, fs, thread};

use anyhow::{Context, Result, anyhow, bail};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // ANCHOR: proof
    set_name(c"Worker-1")?;
    let in_thread = || {
        set_name(c"fetcher")?;
        comm("/proc/thread-self/comm")
    };
    let thread = thread::Builder::new()
        .spawn(in_thread)
        .context("cannot start a thread")?;
    let of_thread = thread.join().map_err(|_| anyhow!("it panicked"))??;
    let of_process = comm("/proc/self/comm")?;
    assert_eq!(of_thread, "fetcher\n");
    assert_eq!(of_process, "Worker-1\n");
    println!("the thread:  {}", of_thread.trim_end());
    println!("the process: {}", of_process.trim_end());
    // ANCHOR_END: proof
    Ok(())
}

fn comm(file: &str) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {file}"))
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
