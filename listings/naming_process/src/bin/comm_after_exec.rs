// ANCHOR: all
//! Starts a worker with a comm and an argument zero chosen by the parent.

use std::ffi::CStr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent() -> Result<()> {
    // ANCHOR: proof
    set_name(c"named-by-parent")?;
    let file = env::current_exe()?;
    let output = Command::new(&file)
        .arg0("Worker-1")
        .arg("worker")
        .output()
        .context("cannot start the worker")?;
    let seen = String::from_utf8(output.stdout)?;
    let mut lines = seen.lines();
    assert_eq!(lines.next(), Some("cmdline: Worker-1 worker"));
    let file_name = file.file_name().context("it has no name")?;
    let start: String = file_name.to_string_lossy().chars().take(15).collect();
    assert_eq!(lines.next(), Some(format!("comm: {start}").as_str()));
    print!("{seen}");
    // ANCHOR_END: proof
    Ok(())
}

fn worker() -> Result<()> {
    let cmdline = fs::read_to_string("/proc/self/cmdline")?;
    println!("cmdline: {}", cmdline.replace('\0', " ").trim_end());
    println!(
        "comm: {}",
        fs::read_to_string("/proc/self/comm")?.trim_end()
    );
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
