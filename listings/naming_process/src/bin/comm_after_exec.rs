// ANCHOR: all
//! Starts a worker with a comm, an argument zero and a path of the parent's.

use std::ffi::CStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
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
    let seen = seen_by_worker(&file)?;
    let name = file.file_name().context("it has no name")?;
    let start: String = name.to_string_lossy().chars().take(15).collect();
    assert_eq!(seen, format!("cmdline Worker-1 worker, comm {start}\n"));

    // The same file by another path.
    let by_link = seen_by_worker(Path::new("/proc/self/exe"))?;
    assert_eq!(by_link, "cmdline Worker-1 worker, comm exe\n");
    print!("by its path: {seen}by a link:   {by_link}");
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: start
fn seen_by_worker(path: &Path) -> Result<String> {
    let output = Command::new(path)
        .arg0("Worker-1")
        .arg("worker")
        .output()
        .context("cannot run the worker")?;
    Ok(String::from_utf8(output.stdout)?)
}
// ANCHOR_END: start

fn worker() -> Result<()> {
    let cmdline = read("/proc/self/cmdline")?.replace('\0', " ");
    let comm = read("/proc/self/comm")?;
    println!("cmdline {}, comm {}", cmdline.trim_end(), comm.trim_end());
    Ok(())
}

fn read(file: &str) -> Result<String> {
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
